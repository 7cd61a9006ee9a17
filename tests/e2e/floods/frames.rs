//! HTTP/2 frames by hand (RFC 9113, RFC 7541): what no library would send.

/// The client's preface.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No padding, no priority: the two flags that frames here need.
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// The largest payload that a server must take.
pub const PAYLOAD_MAX: usize = 16_384;

pub const INITIAL_WINDOW_SIZE: u16 = 0x4;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const CANCEL: u32 = 0x8;

/// Nine bytes and the payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(kind, flags, stream, payload.len());
    bytes.extend_from_slice(payload);
    bytes
}

fn head(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

pub fn data(stream: u32, payload: &[u8], flags: u8) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

pub fn headers(stream: u32, block: &[u8], flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

/// The head of a HEADERS frame whose block of some length is to follow.
pub fn headers_head(stream: u32, length: usize) -> Vec<u8> {
    head(HEADERS, 0, stream, length)
}

pub fn continuation(stream: u32, block: &[u8]) -> Vec<u8> {
    frame(CONTINUATION, 0, stream, block)
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let bytes = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &values.iter().flat_map(bytes).collect::<Vec<_>>())
}

pub fn ping(number: u64) -> Vec<u8> {
    frame(PING, 0, 0, &number.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// The header block of a gRPC call.
pub fn call(path: &str, credential: Option<&str>) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    if let Some(credential) = credential {
        block.extend(field("authorization", &format!("Bearer {credential}")));
    }
    block
}

/// A header field: literal, not indexed, not Huffman-coded.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// An integer with a prefix of seven bits, whose first bit says "not Huffman-coded".
fn length(n: usize) -> Vec<u8> {
    if n < 127 { vec![n as u8] } else { [vec![127], varint(n - 127)].concat() }
}

/// Seven bits a byte, the lowest first: as in HPACK and in protobuf.
fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push((n % 0x80) as u8 | 0x80);
        n /= 0x80;
    }
    bytes.push(n as u8);
    bytes
}

/// A gRPC message whose field 1 is a number: all that the requests for a snapshot's parts need.
pub fn message(number: u64) -> Vec<u8> {
    let message = [vec![0x08], varint(number as usize)].concat();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat()
}

#[test]
fn frames_are_those_of_the_specification() {
    assert_eq!(settings(&[(4, 0)]), [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(data(5, b"ab", END_STREAM), [0, 0, 2, 0, 1, 0, 0, 0, 5, b'a', b'b']);
    assert_eq!(reset(1), [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
    assert_eq!(window_update(0, 7), [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    // RFC 7541, C.1.2 (1,337 with a prefix of five bits ends so), and C.2.2 but for the index.
    assert_eq!(varint(1_337 - 31), [154, 10]);
    assert_eq!(field("a", "bc"), [0, 1, b'a', 2, b'b', b'c']);
    assert_eq!(field("", &"x".repeat(127))[1..4], [0, 127, 0]);
    assert_eq!(field("", &"x".repeat(300))[1..5], [0, 127, 173, 1]);
    assert_eq!(message(300), [0, 0, 0, 0, 3, 8, 172, 2]);
}
