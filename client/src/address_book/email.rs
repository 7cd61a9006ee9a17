//! The canonical spelling of an e-mail address.

use acquaint_core::identifier::Identifier;
use email_address::{EmailAddress, Options};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use super::SkipReason;
use super::normalizer::{strip_scheme, visible};

/// NFC, lower-case local part, domain as A-labels.
pub(super) fn canonical(text: &str) -> Result<Identifier, SkipReason> {
    let text = visible(text);
    let address = strip_scheme(&text, "mailto:").unwrap_or(&text);
    let (local, domain) = address.rsplit_once('@').ok_or(SkipReason::Email)?;
    // Quoted and bare spellings of one mailbox would not match, and hardly any exist.
    if local.starts_with('"') || domain.starts_with('[') {
        return Err(SkipReason::Email);
    }
    let local = lower_case(local);
    let domain = Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .map_err(|_| SkipReason::EmailDomain)?;
    check_syntax(&local, &domain)?;
    Identifier::mailto(&format!("{local}@{domain}")).map_err(|_| SkipReason::Email)
}

/// Lower case and composed. Lower-casing can decompose (and the reverse), hence NFC twice.
fn lower_case(local: &str) -> String {
    let composed: String = local.nfc().collect();
    composed.to_lowercase().nfc().collect()
}

/// The syntax of RFC 5321 with the non-ASCII local parts of RFC 6531.
///
/// `email_address` 0.2.9 takes the bytes of a code point for its UTF-8 encoding and so refuses
/// many signs that are not letters, such as the virama of Indic scripts. RFC 6531 allows any
/// non-ASCII character where a letter is allowed, so a letter stands in.
fn check_syntax(local: &str, domain: &str) -> Result<(), SkipReason> {
    let stand_in: String = local.chars().map(|c| if c.is_ascii() { c } else { 'x' }).collect();
    let options = Options::default().without_display_text().without_domain_literal();
    EmailAddress::parse_with_options(&format!("{stand_in}@{domain}"), options)
        .map(|_| ())
        .map_err(|_| SkipReason::Email)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(input: &str) -> Result<String, SkipReason> {
        canonical(input).map(|id| String::from_utf8(id.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn spellings_of_one_address_meet() {
        for (input, expected) in [
            ("  Anna.Becker@Example.COM\t", "mailto:anna.becker@example.com"),
            ("MAILTO:anna@example.com", "mailto:anna@example.com"),
            ("a+tag@example.com", "mailto:a+tag@example.com"),
            ("post@BÜCHER.test", "mailto:post@xn--bcher-kva.test"),
            ("post@xn--bcher-kva.test", "mailto:post@xn--bcher-kva.test"),
            ("post@ｂücher。test", "mailto:post@xn--bcher-kva.test"),
            ("JU\u{308}RGEN@example.com", "mailto:jürgen@example.com"),
            ("jürgen@example.com", "mailto:jürgen@example.com"),
            ("\u{915}\u{94d}\u{937}@example.com", "mailto:\u{915}\u{94d}\u{937}@example.com"),
            ("\u{202a}a@example.com\u{202c}", "mailto:a@example.com"),
            ("a@straße.test", "mailto:a@xn--strae-oqa.test"),
        ] {
            assert_eq!(text(input).as_deref(), Ok(expected), "{input}");
        }
    }

    #[test]
    fn everything_else_has_a_reason() {
        use SkipReason as R;
        for (input, reason) in [
            ("", R::Email),
            ("anna", R::Email),
            ("@example.com", R::Email),
            ("anna@", R::EmailDomain),
            ("a b@example.com", R::Email),
            ("a..b@example.com", R::Email),
            ("\"a b\"@example.com", R::Email),
            ("\"ab\"@example.com", R::Email),
            ("Anna <anna@example.com>", R::EmailDomain),
            ("a@b@example.com", R::Email),
            ("a@[192.0.2.1]", R::Email),
            ("a@example..com", R::EmailDomain),
            ("a@example.com.", R::EmailDomain),
            ("a@-example.com", R::EmailDomain),
            ("a@exa_mple.com", R::EmailDomain),
            ("a@exam ple.com", R::EmailDomain),
            ("a@xn--\u{fc}.test", R::EmailDomain),
            ("a@xn--zzzzzzz9999.test", R::EmailDomain),
        ] {
            assert_eq!(text(input), Err(reason), "{input}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        assert_eq!(text(&long), Err(R::Email));
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_is_a_fixed_point(
            local in "\\PC{1,20}", domain in "[a-zäöüßA-ZÄÖÜ0-9-]{1,12}",
        ) {
            if let Ok(once) = text(&format!("{local}@{domain}.test")) {
                prop_assert_eq!(text(&once), Ok(once));
            }
        }

        #[test]
        fn no_text_panics(input in "\\PC*") {
            let _ = text(&input);
        }
    }
}
