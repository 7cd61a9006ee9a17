//! User lists: rows against a plaintext oracle, every reason, limits, hostile bytes.

use std::io::{self, Read};

use acquaint_core::identifier::Identifier;
use proptest::prelude::*;

use super::{RowError, RowReason, UserListError, UserListReader, UserRow};
use crate::address_book::SkipReason;
use crate::limits;

const LABEL: &str = "00112233445566778899aAbBcCdDeEfF";
const BYTES: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
];

fn rows(text: &str) -> Vec<Result<UserRow, RowError>> {
    UserListReader::new(text.as_bytes()).unwrap().collect()
}

fn reasons(text: &str) -> Vec<(usize, RowReason)> {
    rows(text).into_iter().filter_map(Result::err).map(|e| (e.line, e.reason)).collect()
}

fn refused(text: &str) -> UserListError {
    UserListReader::new(text.as_bytes()).unwrap_err()
}

fn row(line: usize, identifier: &str, discoverable: bool) -> Result<UserRow, RowError> {
    let identifier = Identifier::parse(identifier).unwrap();
    Ok(UserRow { line, identifier, label: BYTES, discoverable })
}

#[test]
fn rows_are_read_in_order() {
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    let text = format!(
        "\u{feff}Label;IDENTIFIER;discoverable\r\n{LABEL};tel:+9991;true\r\n\r\n\
         {uuid};\"mailto:a@example.com\";FALSE\r\n{LABEL};id:x;\r\n{LABEL};+49 30 23125 001"
    );
    let expected = [
        row(2, "tel:+9991", true),
        row(4, "mailto:a@example.com", false),
        row(5, "id:x", true),
        row(6, "tel:+493023125001", true),
    ];
    assert_eq!(rows(&text), expected);
}

#[test]
fn every_kind_of_column() {
    for (column, value, identifier) in [
        ("tel", "030 23125 001", "tel:+493023125001"),
        ("email", "A@Example.com", "mailto:a@example.com"),
        ("id", "anna", "id:anna"),
        ("identifier", "tel:+9991", "tel:+9991"),
    ] {
        let text = format!("{column},label\n{value},{LABEL}\n");
        let reader = UserListReader::new(text.as_bytes()).unwrap();
        let region = "DE".parse().ok();
        assert_eq!(reader.default_region(region).collect::<Vec<_>>(), [row(2, identifier, true)]);
    }
}

#[test]
fn a_bad_row_has_a_reason_and_does_not_end_the_list() {
    use RowReason as R;
    let short = &LABEL[2..];
    let text = format!(
        "tel,label,discoverable\n030 23125 001,{LABEL},\n+999 1234567,{LABEL},\n,{LABEL},\n\
         +493023125001,{short},\n+493023125001,{LABEL}00,\n+493023125001,,\n\
         +493023125001,{short}zz,\n+493023125001,0011-{},\n+493023125001,{LABEL},yes\n\
         \"+493023125001,{LABEL},\n+493023125001,{LABEL},true,\n+493023125001\n\
         +493023125001,{LABEL},true\n",
        &LABEL[4..],
    );
    let expected = [
        (2, R::Identifier(SkipReason::NoCountryCode)),
        (3, R::Identifier(SkipReason::UnknownCountryCode)),
        (4, R::Identifier(SkipReason::NoIdentifier)),
        (5, R::LabelLength),
        (6, R::LabelLength),
        (7, R::LabelLength),
        (8, R::Label),
        (9, R::Label),
        (10, R::Discoverable),
        (11, R::Fields),
        (12, R::Fields),
        (13, R::LabelLength),
    ];
    assert_eq!(reasons(&text), expected);
    assert_eq!(rows(&text).last(), Some(&row(14, "tel:+493023125001", true)));
}

#[test]
fn headers_that_do_not_fit_are_refused() {
    use UserListError as E;
    for text in ["", "\n", "tel:+9991,00\n", "\u{e9}"] {
        assert!(matches!(refused(text), E::NoHeader), "{text}");
    }
    assert!(matches!(UserListReader::new(b"label,\xff".as_slice()).unwrap_err(), E::NoHeader));
    assert!(matches!(refused("tel,label,name"), E::UnknownColumn { position: 3 }));
    assert!(matches!(refused("label,tel,label"), E::UnknownColumn { position: 3 }));
    assert!(matches!(refused("label"), E::IdentifierColumn));
    assert!(matches!(refused("tel,email,label"), E::IdentifierColumn));
    assert!(matches!(refused("tel"), E::NoLabelColumn));
}

#[test]
fn rows_hold_at_the_limit_and_fail_one_past_it() {
    let head = format!("id:x,{LABEL},");
    let padded = |n: usize| format!("{head}{}", " ".repeat(n - head.len()));
    let text = format!(
        "identifier,label,discoverable\n{}\r\n{}\n{}\nid:x,{LABEL},\n",
        padded(limits::USER_ROW_BYTES_MAX),
        padded(limits::USER_ROW_BYTES_MAX + 1),
        "x".repeat(100_000),
    );
    let expected = [(3, RowReason::TooLong), (4, RowReason::TooLong)];
    assert_eq!(reasons(&text), expected);
    assert_eq!(rows(&text).len(), 4);
}

/// Gives a header, then rows without end or an error: the list can never be in memory as a whole.
struct Endless {
    head: &'static [u8],
    fails: bool,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() && self.fails {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.head.is_empty() {
            self.head = b"a,00112233445566778899aabbccddeeff\n";
        }
        self.head.read(buffer)
    }
}

#[test]
fn the_list_is_streamed_and_a_read_error_ends_it() {
    let endless = Endless { head: b"id,label\n", fails: false };
    assert!(UserListReader::new(endless).unwrap().take(10_000).all(|row| row.is_ok()));
    let broken = Endless { head: b"id,label\n", fails: true };
    let items: Vec<_> = UserListReader::new(broken).unwrap().collect();
    let reason = RowReason::Io(io::ErrorKind::ConnectionReset);
    assert_eq!(items, [Err(RowError { line: 2, reason })]);
}

#[test]
fn nothing_shows_in_debug_and_errors() {
    let text = format!("identifier,label\ntel:+9991,{LABEL}\nanna,{LABEL}\n");
    let shown = format!("{:?} {}", rows(&text), rows(&text)[1].as_ref().unwrap_err());
    assert!(!shown.contains("9991") && !shown.contains("anna") && !shown.contains("0011"));
    assert!(UserListReader::open(std::path::Path::new("missing.csv")).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        users in prop::collection::vec((0..1_000_u32, any::<[u8; 16]>(), any::<bool>()), 0..40),
    ) {
        let mut text = String::from("identifier,label,discoverable\n");
        for (n, label, discoverable) in &users {
            let hex: String = label.iter().map(|b| format!("{b:02x}")).collect();
            text.push_str(&format!("tel:+999{n:07},{hex},{discoverable}\n"));
        }
        let expected: Vec<_> = users.iter().enumerate().map(|(i, &(n, label, discoverable))| {
            let identifier = Identifier::tel(&format!("+999{n:07}")).unwrap();
            Ok(UserRow { line: i + 2, identifier, label, discoverable })
        }).collect();
        prop_assert_eq!(rows(&text), expected);
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), header in any::<bool>(),
    ) {
        let head = if header { "identifier,label\n" } else { "" };
        let bytes = [head.as_bytes(), &bytes].concat();
        let rows = UserListReader::new(bytes.as_slice()).map(Iterator::count);
        prop_assert!(rows.is_ok() || !header);
    }
}
