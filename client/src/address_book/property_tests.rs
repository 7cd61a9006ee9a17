//! The readers against plaintext oracles, and against hostile bytes.

use std::collections::HashSet;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::{AddressBook, Format, Import};

fn import() -> Import {
    Import::new().default_region(Some("DE".parse().unwrap()))
}

/// A number of the ranges reserved for films: area code without zero, then the line.
fn number() -> impl Strategy<Value = (String, String)> {
    let range = prop::sample::select(vec![
        ("30", "23125"),
        ("69", "90009"),
        ("40", "66969"),
        ("221", "4710"),
        ("89", "99998"),
    ]);
    (range, 0..1_000_u32).prop_map(|((area, line), n)| (area.into(), format!("{line}{n:03}")))
}

fn spelling(area: &str, line: &str, style: u8) -> String {
    let (head, tail) = line.split_at(3);
    match style {
        0 => format!("+49{area}{line}"),
        1 => format!("+49 {area} {head} {tail}"),
        2 => format!("0{area} {head} {tail}"),
        3 => format!("(0{area}) {head}-{tail}"),
        4 => format!("0049 {area}/{line}"),
        _ => format!("+49 (0){area} {line}"),
    }
}

fn found(book: &AddressBook) -> HashSet<Vec<u8>> {
    book.contacts().iter().map(|c| c.identifier().as_bytes().to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(
        people in prop::collection::vec((number(), 0..6_u8, "[A-ZÄa-zöü ,;\"\\\\]{0,12}"), 0..40),
        separator in prop::sample::select(vec![',', ';', '\t']),
    ) {
        let mut oracle = HashSet::new();
        let mut cards = String::from("BEGIN:VCARD\nFN:me\nTEL:+493023125000\nEND:VCARD\n");
        oracle.insert(b"tel:+493023125000".to_vec());
        let mut table = format!("name{separator}tel\nme{separator}+493023125000\n");
        let mut lines = String::from("+493023125000\n");
        for (i, ((area, line), style, name)) in people.iter().enumerate() {
            let tel = spelling(area, line, *style);
            let version = ["2.1", "3.0", "4.0"][i % 3];
            let escaped = name.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;");
            write!(
                cards,
                "BEGIN:VCARD\r\nVERSION:{version}\r\nFN:{escaped}\r\n\
                 x.TEL;TYPE=home:{}\r\n {}\r\nEND:VCARD\r\n",
                &tel[..5], &tel[5..],
            ).unwrap();
            writeln!(table, "\"{}\"{separator}{tel}", name.replace('"', "\"\"")).unwrap();
            writeln!(lines, "{tel}").unwrap();
            oracle.insert(format!("tel:+49{area}{line}").into_bytes());
        }
        for (text, format) in
            [(cards, Format::VCard), (table, Format::Csv), (lines, Format::Lines)]
        {
            let book = import().read_bytes(text.as_bytes(), format).unwrap();
            prop_assert_eq!(book.skipped(), &[]);
            prop_assert_eq!(book.contacts().len(), oracle.len());
            prop_assert_eq!(&found(&book), &oracle);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::VCard, Format::Csv, Format::Lines, Format::detect(None, &bytes)] {
            let _ = import().read_bytes(&bytes, format);
        }
    }

    #[test]
    fn no_text_panics(
        body in "(TEL|EMAIL|FN|N|VERSION|PHOTO|END:VCARD|BEGIN:VCARD|VALUE=|ENCODING=BASE64|\
                 QUOTED-PRINTABLE|;|:|=|,|\\.|\"|\\\\|\r|\n|\n |[0-9+]{1,9}|\\PC){0,60}",
    ) {
        let _ = import().read_bytes(format!("BEGIN:VCARD\n{body}").as_bytes(), Format::VCard);
        let _ = import().read_bytes(format!("tel;name\n{body}").as_bytes(), Format::Csv);
        let _ = import().read_bytes(body.as_bytes(), Format::Lines);
    }
}
