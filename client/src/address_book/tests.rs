//! The readers, format by format: what they take, and what they list as skipped.

use super::collector::Collector;
use super::{AddressBook, Format, Import, ImportError, SkipReason};
use crate::limits;

fn import() -> Import {
    Import::new().default_region(Some("DE".parse().unwrap()))
}

fn read(text: &str, format: Format) -> AddressBook {
    import().read_bytes(text.as_bytes(), format).unwrap()
}

fn error(text: &str, format: Format) -> ImportError {
    import().read_bytes(text.as_bytes(), format).unwrap_err()
}

/// Every contact as `identifier | names | lines`.
fn contacts(book: &AddressBook) -> Vec<String> {
    let of = |contact: &super::Contact| {
        let identifier = String::from_utf8_lossy(contact.identifier().as_bytes()).into_owned();
        format!("{identifier} | {} | {:?}", contact.names().join(", "), contact.lines())
    };
    book.contacts().iter().map(of).collect()
}

fn skipped(book: &AddressBook) -> Vec<(usize, SkipReason)> {
    book.skipped().iter().map(|s| (s.line, s.reason)).collect()
}

#[test]
fn cards_of_every_version() {
    let book = read(
        "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:M=C3=BCller;\
         J=C3=B6=\r\nrg;;;\r\nTEL;CELL;PREF:030 23125 001\r\n\
         EMAIL;INTERNET:j@example.com\r\nEND:VCARD\r\n\r\n\
         BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Eva \r\n Klein\r\nN:Klein;Eva;;;\r\n\
         item1.TEL;TYPE=\"cell,voice\":+49 40 669\r\n 69 002\r\nitem1.X-ABLabel:private\r\n\
         NOTE:TEL:1\\nTEL:2\r\nEND:VCARD\r\n\
         begin:vcard\r\nversion:4.0\r\nN:Roth;Ute,Maria;;Dr.;\r\n\
         TEL;VALUE=uri;TYPE=\"voice\":tel:+49-89-99998-003\r\nend:vcard\r\n",
        Format::VCard,
    );
    assert_eq!(
        contacts(&book),
        [
            "tel:+493023125001 | Jörg Müller | [5]",
            "mailto:j@example.com | Jörg Müller | [6]",
            "tel:+494066969002 | Eva Klein | [14]",
            "tel:+498999998003 | Ute Maria Roth | [22]",
        ]
    );
    assert!(book.skipped().is_empty());
}

#[test]
fn spellings_of_one_number_become_one_contact() {
    let book = read(
        "name,tel,email\nAnna,030 23125 001,a@example.com\nAnne,+49 30 23125001,\n\
         Anna,0049 30 23125-001,\n",
        Format::Csv,
    );
    assert_eq!(
        contacts(&book),
        ["tel:+493023125001 | Anna, Anne | [2, 3, 4]", "mailto:a@example.com | Anna | [2]"]
    );
}

#[test]
fn what_a_card_cannot_give_is_listed_with_its_line() {
    use SkipReason as R;
    let book = read(
        "stray\nline\nBEGIN:VCARD\nFN:A\nTEL:+999 1234567\nTEL:030 23125 001 ext. 4\nEMAIL:nobody\n\
         TEL:\nEND:VCARD\nBEGIN:VCARD\nFN:B\nEND:VCARD\nBEGIN:VCARD\nFN:C\nTEL:030 23125 002\n\
         BEGIN:VCARD\nFN:D\nTEL\nTEL;X:030 23125 003\n",
        Format::VCard,
    );
    assert_eq!(
        skipped(&book),
        [
            (1, R::OutsideCard),
            (5, R::UnknownCountryCode),
            (6, R::Extension),
            (7, R::Email),
            (10, R::NoIdentifier),
            (13, R::UnterminatedCard),
            (16, R::UnterminatedCard),
            (16, R::UnreadableProperty),
        ]
    );
    assert_eq!(contacts(&book), ["tel:+493023125002 | C | [15]", "tel:+493023125003 | D | [16]"]);
}

#[test]
fn a_photo_does_not_move_the_lines() {
    let book = read(
        "BEGIN:VCARD\nVERSION:2.1\nFN:A\nPHOTO;JPEG;ENCODING=BASE64:VEVM\n\
         \x20TEL:VEVM\nVEVM\n\nTEL:1\nEND:VCARD\n",
        Format::VCard,
    );
    assert_eq!(skipped(&book), [(8, SkipReason::NotANumber)]);
}

#[test]
fn tables_with_any_separator_and_encoding() {
    let rows = "First Name;last_name;Telefon;E-Mail;id;identifier\r\n\r\n\
                Jörg;Müller;\"089 99998 001\";J@Example.com;\"u;7\";tel:+9991\r\n";
    let expected = [
        "tel:+498999998001 | Jörg Müller | [3]",
        "mailto:j@example.com | Jörg Müller | [3]",
        "id:u;7 | Jörg Müller | [3]",
        "tel:+9991 | Jörg Müller | [3]",
    ];
    assert_eq!(contacts(&read(rows, Format::Csv)), expected);
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(rows.encode_utf16()).flat_map(bytes).collect()
    };
    let windows = encoding_rs::WINDOWS_1252.encode(rows).0.into_owned();
    for bytes in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), windows] {
        assert_eq!(contacts(&import().read_bytes(&bytes, Format::Csv).unwrap()), expected);
        assert_eq!(Format::detect(None, &bytes), Format::Csv);
    }
    let tabs = "name\ttel\nA, B\t0221 4710 001\n";
    assert_eq!(contacts(&read(tabs, Format::Csv)), ["tel:+492214710001 | A, B | [2]"]);
}

#[test]
fn google_and_outlook_exports_are_recognized() {
    let google = "First Name,Middle Name,Last Name,Notes,E-mail 1 - Label,E-mail 1 - Value,\
                  Phone 1 - Label,Phone 1 - Value\n\
                  Ida,,Wolf,\"two\nlines\",Home,i@example.com ::: w@example.com,Mobile,\
                  030 23125 004 ::: 069 90009 004\n";
    assert_eq!(
        contacts(&read(google, Format::Csv)),
        [
            "mailto:i@example.com | Ida Wolf | [2]",
            "mailto:w@example.com | Ida Wolf | [2]",
            "tel:+493023125004 | Ida Wolf | [2]",
            "tel:+496990009004 | Ida Wolf | [2]",
        ]
    );
    let outlook = "First Name,Last Name,Company,Business Street,Assistant's Phone,Business Fax,\
                   Home Phone,Home Phone 2,Mobile Phone,E-mail Address,E-mail Type,\
                   E-mail 2 Address\nJan,Beck,,,030 23125 009,,040 66969 001,040 66969 002,,\
                   j@example.com,SMTP,k@example.com\n";
    assert_eq!(
        contacts(&read(outlook, Format::Csv)),
        [
            "tel:+494066969001 | Jan Beck | [2]",
            "tel:+494066969002 | Jan Beck | [2]",
            "mailto:j@example.com | Jan Beck | [2]",
            "mailto:k@example.com | Jan Beck | [2]",
        ]
    );
}

#[test]
fn headers_that_do_not_fit_are_refused_with_the_position() {
    let unknown = "name,tel,shoe size\nA,030 23125 001,43\n";
    assert!(matches!(error(unknown, Format::Csv), ImportError::UnknownColumn { position: 3 }));
    let lenient = import().ignore_unknown_columns(true);
    assert_eq!(lenient.read_bytes(unknown.as_bytes(), Format::Csv).unwrap().contacts().len(), 1);
    for text in ["", "\n\n", "Anna,030 23125 001\n", "foo,bar\n"] {
        assert!(matches!(error(text, Format::Csv), ImportError::NoHeader), "{text}");
    }
    let names = "first name,last name\nA,B\n";
    assert!(matches!(error(names, Format::Csv), ImportError::NoUsableColumn));
    assert!(matches!(error("", Format::VCard), ImportError::NoCards));
    assert!(matches!(error("a\0b", Format::Lines), ImportError::NotText));
}

#[test]
fn what_a_row_cannot_give_is_listed_with_its_line() {
    use SkipReason as R;
    let book = read(
        "name,tel,email\n\nA,,\nB,1,x@\nC,030 23125 001,,\nD,030 23125 002,,extra\n\
         ,,\n\"E,030 23125 003\nF,030 23125 004,\n",
        Format::Csv,
    );
    assert_eq!(
        skipped(&book),
        [
            (3, R::NoIdentifier),
            (4, R::NotANumber),
            (4, R::EmailDomain),
            (6, R::TooManyFields),
            (8, R::NoIdentifier),
            (8, R::UnclosedQuote),
        ]
    );
    assert_eq!(contacts(&book), ["tel:+493023125001 | C | [5]"]);
}

#[test]
fn lines_with_comments() {
    let book = read(
        "# friends\n\ntel:+9991234567\r\n  030 23125 001\nA@Example.com\nid:x\n+999 1234567\n",
        Format::Lines,
    );
    assert_eq!(
        contacts(&book),
        [
            "tel:+9991234567 |  | [3]",
            "tel:+493023125001 |  | [4]",
            "mailto:a@example.com |  | [5]",
            "id:x |  | [6]",
        ]
    );
    assert_eq!(skipped(&book), [(7, SkipReason::UnknownCountryCode)]);
}

#[test]
fn formats_are_detected() {
    let detect = |name: &str, text: &str| Format::detect(Some(name.as_ref()), text.as_bytes());
    let card = "\u{feff}\n begin:vcard\n";
    assert_eq!(detect("a.csv", card.trim_start()), Format::VCard);
    assert_eq!(detect("-", card), Format::VCard);
    assert_eq!(detect("a.VCF", ""), Format::VCard);
    assert_eq!(detect("a.tsv", "x"), Format::Csv);
    assert_eq!(detect("a.txt", "tel\n"), Format::Lines);
    assert_eq!(detect("a", "name;tel\n"), Format::Csv);
    assert_eq!(detect("a", "identifier\n"), Format::Csv);
    assert_eq!(detect("a", "tel:+9991\n"), Format::Lines);
    assert_eq!(detect("a", ""), Format::Lines);
}

#[test]
fn names_can_be_printed_and_nothing_shows_in_debug() {
    let book = read("name,tel\n\"A\u{1b}[31m\tJu\u{308}rgen\nB\",030 23125 001\n", Format::Csv);
    assert_eq!(book.contacts()[0].names(), ["A [31m Jürgen B"]);
    let debug = format!("{book:?} {:?} {:?}", book.contacts()[0], import());
    assert_eq!(
        debug,
        "AddressBook { n_contacts: 1, n_skipped: 0 } Contact { n_names: 1, n_lines: 1, .. } \
         Import { default_region: Some(Region(DE)), ignore_unknown_columns: false, .. }"
    );
}

#[test]
fn programs_bring_their_own_identifiers() {
    let id = |text| acquaint_core::identifier::Identifier::parse(text).unwrap();
    let book = AddressBook::from_identifiers([
        ("A", id("tel:+9991")),
        ("", id("id:x")),
        ("B", id("tel:+9991")),
        ("A", id("tel:+9991")),
    ]);
    assert_eq!(contacts(&book), ["tel:+9991 | A, B | [1, 3, 4]", "id:x |  | [2]"]);
}

#[test]
fn limits_hold_at_the_limit_and_fail_one_past_it() {
    let limited =
        |text: &str| import().read_into(text.as_bytes(), Format::Lines, Collector::with_limit(2));
    assert_eq!(limited("id:a\nid:b\nid:a\n1\n2\n").unwrap().contacts().len(), 2);
    for text in ["id:a\nid:b\nid:c\n", "1\n2\n3\n"] {
        assert!(matches!(limited(text), Err(ImportError::TooManyContacts)));
    }
    let mut bytes = vec![b'#'; usize::try_from(limits::IMPORT_BYTES_MAX).unwrap()];
    assert!(import().read_bytes(&bytes, Format::Lines).is_ok());
    bytes.push(b'#');
    let past = import().read_bytes(&bytes, Format::Lines);
    assert!(matches!(past, Err(ImportError::TooLarge)));
}

#[test]
fn files_are_read_up_to_the_limit_and_failures_name_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("big.txt");
    std::fs::File::create(&path).unwrap().set_len(limits::IMPORT_BYTES_MAX + 1).unwrap();
    assert!(matches!(import().read_path(&path), Err(ImportError::TooLarge)));
    let missing = directory.path().join("missing.vcf");
    let error = import().read_path(&missing).unwrap_err();
    assert!(error.to_string().contains("missing.vcf"));
    assert!(std::error::Error::source(&error).is_some());
}
