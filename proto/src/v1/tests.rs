use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};

use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::{FILE_DESCRIPTOR_SET, MESSAGES};

/// Prints a decoded message, plainly and prettily, and encodes it again.
pub(super) type Print = fn(&[u8]) -> (String, String, Vec<u8>);

pub(super) fn print<M: Message + Default + Debug>(wire: &[u8]) -> (String, String, Vec<u8>) {
    let message = M::decode(wire).unwrap();
    (format!("{message:?}"), format!("{message:#?}"), message.encode_to_vec())
}

const BYTES: &[u8] = &[0xa7, 0x3c, 0xd9, 0x00, 0x6b, 0xe2, 0x41, 0x5f];
const TEXT: &str = "payload of a string";
const NUMBER: u32 = 918_273_645;

#[test]
fn no_message_prints_its_payload() {
    let descriptors = descriptors();
    assert_eq!(
        MESSAGES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(),
        descriptors.keys().cloned().collect()
    );
    for (name, print) in MESSAGES {
        let wire = filled(&descriptors, name);
        let (plain, pretty, encoded) = print(&wire);
        // The message really held the payload when it was printed.
        assert_eq!(encoded, wire, "{name}");
        for printed in [plain, pretty] {
            for payload in encodings() {
                assert!(!printed.contains(&payload), "{printed} shows {payload}");
            }
            assert_eq!(printed, format!("{name}(..)"));
        }
    }
}

#[test]
fn every_payload_kind_occurs_in_some_message() {
    let descriptors = descriptors();
    let wires: Vec<_> = descriptors.keys().map(|name| filled(&descriptors, name)).collect();
    let holds = |part: &[u8]| wires.iter().any(|wire| wire.windows(part.len()).any(|w| w == part));
    assert!(holds(BYTES));
    assert!(holds(TEXT.as_bytes()));
}

#[test]
fn the_descriptor_set_lists_every_service_and_rpc() {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    assert!(set.file.iter().all(|file| file.source_code_info.is_none()));
    let mut found = BTreeMap::new();
    for service in set.file.iter().flat_map(|file| &file.service) {
        let rpcs: Vec<_> = service
            .method
            .iter()
            .map(|rpc| (rpc.name(), rpc.client_streaming(), rpc.server_streaming()))
            .collect();
        found.insert(service.name(), rpcs);
    }
    let expected = BTreeMap::from([
        (
            "AdminService",
            vec![
                ("Publish", false, false),
                ("ListPublication", false, true),
                ("FetchFile", false, true),
                ("GetStatus", false, false),
                ("RotateKey", false, false),
                ("ListKeys", false, false),
            ],
        ),
        (
            "DiscoveryService",
            vec![
                ("GetManifest", false, false),
                ("Evaluate", false, false),
                ("GetQuota", false, false),
                ("FetchSegmentIndex", false, false),
                ("FetchSet", false, true),
                ("FetchLabels", false, true),
                ("FetchDelta", false, true),
            ],
        ),
        (
            "RegistryService",
            vec![
                ("GetManifest", false, false),
                ("Evaluate", false, false),
                ("Register", true, true),
                ("Unregister", false, false),
            ],
        ),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn the_generated_servers_carry_the_names_of_the_package() {
    use super::{
        admin_service_server, discovery_service_server as discovery, registry_service_server,
    };
    assert_eq!(admin_service_server::SERVICE_NAME, "acquaint.v1.AdminService");
    assert_eq!(discovery::SERVICE_NAME, "acquaint.v1.DiscoveryService");
    assert_eq!(registry_service_server::SERVICE_NAME, "acquaint.v1.RegistryService");
}

fn descriptors() -> BTreeMap<String, DescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let messages = set.file.into_iter().flat_map(|file| file.message_type);
    messages.map(|message| (message.name().to_owned(), message)).collect()
}

/// The encoding of a message in which every field holds a payload, a repeated message one.
fn filled(descriptors: &BTreeMap<String, DescriptorProto>, name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for field in &descriptors[name].field {
        // One of several messages is as good as all; numbers would be packed.
        let packed = field.label() == Label::Repeated && field.r#type() != Type::Message;
        assert!(!packed, "{name}: extend this test");
        let tag = field.number().try_into().unwrap();
        let mut delimited = |content: &[u8]| {
            encode_key(tag, WireType::LengthDelimited, &mut wire);
            encode_varint(content.len() as u64, &mut wire);
            wire.extend_from_slice(content);
        };
        match field.r#type() {
            Type::Bytes => delimited(BYTES),
            Type::String => delimited(TEXT.as_bytes()),
            Type::Message => {
                let nested = field.type_name().rsplit('.').next().unwrap();
                delimited(&filled(descriptors, nested));
            }
            Type::Fixed64 => {
                encode_key(tag, WireType::SixtyFourBit, &mut wire);
                wire.extend_from_slice(&u64::from(NUMBER).to_le_bytes());
            }
            Type::Uint32 | Type::Uint64 | Type::Enum => {
                encode_key(tag, WireType::Varint, &mut wire);
                encode_varint(NUMBER.into(), &mut wire);
            }
            Type::Bool => {
                encode_key(tag, WireType::Varint, &mut wire);
                encode_varint(1, &mut wire);
            }
            other => panic!("{name}: extend this test for {other:?}"),
        }
    }
    wire
}

/// The payloads as a careless print would show them.
fn encodings() -> Vec<String> {
    let mut hex = String::new();
    for byte in BYTES {
        write!(hex, "{byte:02x}").unwrap();
    }
    let decimal: Vec<_> = BYTES.iter().map(u8::to_string).collect();
    let escaped = format!("{:?}", Bytes::from_static(BYTES));
    vec![
        hex.to_uppercase(),
        hex,
        decimal.join(", "),
        decimal.join(",\n    "),
        escaped.trim_start_matches("b\"").trim_end_matches('"').to_owned(),
        BYTES.escape_ascii().to_string(),
        String::from_utf8_lossy(BYTES).into_owned(),
        TEXT.to_owned(),
        NUMBER.to_string(),
        "true".to_owned(),
    ]
}
