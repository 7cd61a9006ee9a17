//! Checklist K8: of every spelling one canonical value, or a typed reason.
//!
//! German numbers are from the ranges reserved for films; those of other countries are the
//! library's own examples, asked for when the test runs.

use acquaint_core::identifier::Identifier;
use proptest::prelude::*;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType};

use super::{Normalizer, PhoneNumberNormalizer, Region, SkipReason};

fn region(code: &str) -> Option<Region> {
    Some(code.parse().unwrap())
}

fn phone(text: &str, code: Option<&str>) -> Result<String, SkipReason> {
    written(PhoneNumberNormalizer.phone(text, code.and_then(region)))
}

fn written(outcome: Result<Identifier, SkipReason>) -> Result<String, SkipReason> {
    outcome.map(|id| String::from_utf8(id.as_bytes().to_vec()).unwrap())
}

#[test]
fn spellings_of_one_number_meet() {
    for text in [
        "030 23125 001",
        "03023125001",
        " (030) 23125-001 ",
        "030/23125001",
        "0049 30 23125 001",
        "00493023125001",
        "+49 30 23125 001",
        "+493023125001",
        "+49 (0)30 23125 001",
        "+49 (0) 30 / 23125-001",
        "(+49) 30 23125001",
        "tel:+49-30-23125-001",
        "TEL:030-23125-001",
        "tel:23125-001;phone-context=+49-30",
        "tel:030-23125-001;phone-context=+49",
        "tel:+49-30-23125-001;npdi=1;npdi=yes",
        "\u{202a}+49 30 23125 001\u{202c}",
        "030\u{a0}23125\u{2011}001",
        "٠٣٠ ٢٣١٢٥ ٠٠١",
        "०३० २३१२५ ००१",
        "０３０ ２３１２５ ００１",
        "＋４９ ３０ ２３１２５ ００１",
    ] {
        assert_eq!(phone(text, Some("DE")).as_deref(), Ok("tel:+493023125001"), "{text}");
    }
}

#[test]
fn the_region_serves_only_numbers_without_a_plus_sign() {
    for code in [None, Some("DE"), Some("FR"), Some("US")] {
        assert_eq!(phone("+49 40 66969 123", code).as_deref(), Ok("tel:+494066969123"));
        for text in ["+999 123 456 78", "+99912345678", "tel:+99912345678", "＋999 12345678"] {
            assert_eq!(phone(text, code), Err(SkipReason::UnknownCountryCode), "{text}");
        }
    }
    // Given the region, the library would drop the plus sign and find the German 00 behind it.
    assert_eq!(phone("+0049 30 23125 001", Some("DE")), Err(SkipReason::UnknownCountryCode));
    assert_eq!(phone("00999 12345678", Some("DE")), Err(SkipReason::UnknownCountryCode));
}

#[test]
fn everything_else_has_a_reason() {
    use SkipReason as R;
    for (text, code, reason) in [
        ("030 23125 001", None, R::NoCountryCode),
        ("0049 30 23125 001", None, R::NoCountryCode),
        ("tel:030-23125-001;phone-context=example.com", None, R::NoCountryCode),
        ("", Some("DE"), R::NotANumber),
        ("   ", Some("DE"), R::NotANumber),
        ("unknown", Some("DE"), R::NotANumber),
        ("+", Some("DE"), R::NotANumber),
        ("Anna 030 23125 001", Some("DE"), R::Letters),
        ("030 23125 001 abc", Some("DE"), R::Letters),
        ("030 23125 ABC", Some("DE"), R::Letters),
        ("030 23125 001 ext. 7", Some("DE"), R::Extension),
        ("030 23125 001;ext=7", Some("DE"), R::Extension),
        ("tel:+49-30-23125-001;ext=7", None, R::Extension),
        ("tel:+49-30-23125-001;isub=7", None, R::Extension),
        ("030 23125 001;7", Some("DE"), R::Extension),
        ("231", Some("US"), R::TooShort),
        ("+49 3", None, R::TooShort),
        ("030 23125 001 030 23125 002", Some("DE"), R::TooLong),
        ("0049", Some("DE"), R::TooShort),
    ] {
        assert_eq!(phone(text, code), Err(reason), "{text} {code:?}");
    }
}

/// The national number of the library's example, without the digits that dialing adds.
fn example(code: &str, kind: PhoneNumberType) -> (i32, String) {
    let library: rlibphonenumber::Region = code.parse().unwrap();
    let number = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(library, kind).unwrap();
    let e164 = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164).into_owned();
    let prefix = format!("+{}", number.country_code);
    (number.country_code, e164.strip_prefix(&prefix).unwrap().to_owned())
}

#[test]
fn mexican_mobiles_lose_the_former_prefix() {
    let (country, national) = example("MX", PhoneNumberType::Mobile);
    assert_eq!((country, national.len()), (52, 10));
    let expected = format!("tel:+52{national}");
    for text in [format!("+52{national}"), format!("+52 1 {national}"), format!("+521{national}")] {
        assert_eq!(phone(&text, None).as_ref(), Ok(&expected), "{text}");
    }
    for text in [national.clone(), format!("0052 1 {national}"), format!("00521{national}")] {
        assert_eq!(phone(&text, Some("MX")).as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn argentine_mobiles_have_the_nine() {
    let (country, national) = example("AR", PhoneNumberType::Mobile);
    assert_eq!((country, national.len(), national.starts_with('9')), (54, 11, true));
    let (area, line) = national[1..].split_at(2);
    let expected = format!("tel:+54{national}");
    for text in [format!("+54{national}"), format!("+54 9 {area} {line}")] {
        assert_eq!(phone(&text, None).as_ref(), Ok(&expected), "{text}");
    }
    for text in [format!("0{area} 15 {line}"), format!("{area} 15-{line}"), national.clone()] {
        assert_eq!(phone(&text, Some("AR")).as_ref(), Ok(&expected), "{text}");
    }
    assert_eq!(phone(&format!("+54 {area} 15 {line}"), None), Ok(expected));
}

#[test]
fn italian_numbers_keep_their_leading_zero() {
    let (country, national) = example("IT", PhoneNumberType::FixedLine);
    assert!(country == 39 && national.starts_with('0'));
    let expected = format!("tel:+39{national}");
    assert_eq!(phone(&format!("+39 {national}"), None).as_ref(), Ok(&expected));
    assert_eq!(phone(&national, Some("IT")).as_ref(), Ok(&expected));
    assert_eq!(phone(&format!("0039{national}"), Some("DE")), Ok(expected));
}

#[test]
fn identifiers_of_any_kind_are_told_apart() {
    use SkipReason as R;
    let any = |text| written(PhoneNumberNormalizer.identifier(text, region("DE")));
    for (text, expected) in [
        (" tel:+99912345678 ", Ok("tel:+99912345678")),
        ("tel:030-23125-001", Ok("tel:+493023125001")),
        ("030 23125 001", Ok("tel:+493023125001")),
        ("mailto:a@example.com", Ok("mailto:a@example.com")),
        ("mailto:A@Example.com", Ok("mailto:a@example.com")),
        ("A@Example.com", Ok("mailto:a@example.com")),
        ("id:@nna", Ok("id:@nna")),
        ("+99912345678", Err(R::UnknownCountryCode)),
        ("mailto:a", Err(R::Email)),
        ("id:", Err(R::Opaque)),
    ] {
        assert_eq!(any(text).as_deref(), expected.as_ref().copied(), "{text}");
    }
    assert_eq!(any(&format!("id:{}", "x".repeat(129))), Err(R::Opaque));
    let opaque = |text: &str| written(PhoneNumberNormalizer.opaque(text));
    assert_eq!(opaque(" id:anna "), Ok("id:anna".into()));
    assert_eq!(opaque("anna"), Ok("id:anna".into()));
    assert_eq!(opaque(&"x".repeat(128)).unwrap().len(), 131);
    assert_eq!(opaque(" "), Err(R::Opaque));
}

proptest! {
    #[test]
    fn no_text_panics_and_results_are_fixed_points(
        text in "[+(]{0,2}[0-9٠-٩ ()/.;,x=#*+-]{0,24}|\\PC{0,30}|(tel:)?\\+?[0-9;a-z=-]{0,20}",
        code in prop::sample::select(vec![None, Some("DE"), Some("MX"), Some("AR"), Some("IT")]),
    ) {
        if let Ok(once) = phone(&text, code) {
            prop_assert_eq!(phone(once.strip_prefix("tel:").unwrap(), None), Ok(once.clone()));
            prop_assert_eq!(phone(&once, Some("US")), Ok(once));
        }
    }
}
