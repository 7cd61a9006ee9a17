//! Canonical identifiers: the one spelling of a phone number, e-mail address or opaque handle.
//!
//! Both sides of a lookup hash the canonical bytes, so two spellings would never match. This
//! module accepts *only* the canonical spelling; turning human input into it (regions, trunk
//! prefixes, international domains) is the work of a normalizer above this crate.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits;

/// A canonical identifier of a person: `tel:+<E.164>`, `mailto:<address>` or `id:<opaque>`.
///
/// The prefix is part of the hashed bytes, so kinds never collide. It is wiped on drop and
/// redacted in `Debug`; [`Identifier::as_bytes`] is the only way to its content.
///
/// `Eq`, `Ord` and `Hash` exist for address books and oracles on the *client*, where the content
/// is the user's own; they are not constant time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct Identifier {
    canonical: Vec<u8>,
}

/// The kind of an [`Identifier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An E.164 phone number.
    Tel,
    /// An e-mail address.
    Mailto,
    /// An opaque handle, meaningful to the tenant only.
    Id,
}

/// Why bytes are not a canonical identifier. The texts never repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// The text starts with none of the known prefixes.
    #[error("an identifier starts with tel:, mailto: or id:")]
    UnknownKind,
    /// Not `+` followed by 1 to 15 digits, the first of them not zero.
    #[error("a phone number is a plus sign and 1 to 15 digits, the first not zero (E.164)")]
    Tel,
    /// Not a lower-case address with an ASCII domain within the length limits.
    #[error("an e-mail address is lower case, local@domain, with the domain in its ASCII form")]
    Mailto,
    /// Not 1 to 128 bytes.
    #[error("an opaque identifier has 1 to 128 bytes")]
    Id,
}

impl Identifier {
    /// A phone number in E.164 form, for example `+99912345678`.
    ///
    /// Checks the form only: whether the country code exists is the normalizer's question.
    ///
    /// # Errors
    /// [`IdentifierError::Tel`] if it is not a plus sign and 1 to 15 digits, the first not zero.
    pub fn tel(e164: &str) -> Result<Self, IdentifierError> {
        let digits = e164.strip_prefix('+').ok_or(IdentifierError::Tel)?;
        let well_formed = (1..=limits::E164_DIGITS_MAX).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if !well_formed {
            return Err(IdentifierError::Tel);
        }
        Ok(Self::prefixed(Kind::Tel, e164.as_bytes()))
    }

    /// An e-mail address in canonical form: lower case, domain as A-labels.
    ///
    /// # Errors
    /// [`IdentifierError::Mailto`] if it is not lower case, has no local part or no domain of
    /// letters, digits, dots and hyphens, or passes the lengths of RFC 5321.
    pub fn mailto(address: &str) -> Result<Self, IdentifierError> {
        let (local, domain) = address.rsplit_once('@').ok_or(IdentifierError::Mailto)?;
        let well_formed = address.len() <= limits::MAILTO_BYTES_MAX
            && (1..=limits::MAILTO_LOCAL_BYTES_MAX).contains(&local.len())
            && !local.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@')
            && address == address.to_lowercase()
            && is_ascii_domain(domain);
        if !well_formed {
            return Err(IdentifierError::Mailto);
        }
        Ok(Self::prefixed(Kind::Mailto, address.as_bytes()))
    }

    /// An opaque handle of 1 to 128 bytes, taken as it is.
    ///
    /// # Errors
    /// [`IdentifierError::Id`] for an empty or longer handle.
    pub fn opaque(handle: &[u8]) -> Result<Self, IdentifierError> {
        if !(1..=limits::OPAQUE_BYTES_MAX).contains(&handle.len()) {
            return Err(IdentifierError::Id);
        }
        Ok(Self::prefixed(Kind::Id, handle))
    }

    /// Reads the canonical text with its prefix, for example `tel:+99912345678`.
    ///
    /// # Errors
    /// [`IdentifierError`], by the kind that the prefix names.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        if let Some(rest) = text.strip_prefix(Kind::Tel.prefix()) {
            Self::tel(rest)
        } else if let Some(rest) = text.strip_prefix(Kind::Mailto.prefix()) {
            Self::mailto(rest)
        } else if let Some(rest) = text.strip_prefix(Kind::Id.prefix()) {
            Self::opaque(rest.as_bytes())
        } else {
            Err(IdentifierError::UnknownKind)
        }
    }

    /// The canonical bytes, prefix included: what is hashed to the group.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.canonical
    }

    /// The kind, read back from the prefix.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.canonical.first() {
            Some(b't') => Kind::Tel,
            Some(b'm') => Kind::Mailto,
            _ => Kind::Id,
        }
    }

    fn prefixed(kind: Kind, content: &[u8]) -> Self {
        // Exact capacity: growing would leave a copy behind that is not wiped.
        let mut canonical = Vec::with_capacity(kind.prefix().len() + content.len());
        canonical.extend_from_slice(kind.prefix().as_bytes());
        canonical.extend_from_slice(content);
        Self { canonical }
    }
}

impl Kind {
    /// The prefix of the canonical text, colon included.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Tel => "tel:",
            Self::Mailto => "mailto:",
            Self::Id => "id:",
        }
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identifier(REDACTED)")
    }
}

impl ConstantTimeEq for Identifier {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.canonical.ct_eq(&other.canonical)
    }
}

fn is_ascii_domain(domain: &str) -> bool {
    !domain.is_empty()
        && domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_texts_round_trip() {
        for text in
            ["tel:+9991", "tel:+999123456789012", "mailto:a.b+c@xn--bcher-kva.example", "id:x"]
        {
            let id = Identifier::parse(text).unwrap();
            assert_eq!(id.as_bytes(), text.as_bytes());
        }
        assert_eq!(Identifier::parse("tel:+9991").unwrap().kind(), Kind::Tel);
        assert_eq!(Identifier::parse("mailto:a@b.test").unwrap().kind(), Kind::Mailto);
        assert_eq!(Identifier::parse("id:t").unwrap().kind(), Kind::Id);
    }

    #[test]
    fn everything_else_is_refused() {
        use IdentifierError as E;
        for (text, error) in [
            ("", E::UnknownKind),
            ("+9991", E::UnknownKind),
            ("TEL:+9991", E::UnknownKind),
            ("tel:9991", E::Tel),
            ("tel:+", E::Tel),
            ("tel:+0999", E::Tel),
            ("tel:+999 1", E::Tel),
            ("tel:+999١", E::Tel),
            ("tel:+9991234567890123", E::Tel),
            ("mailto:a", E::Mailto),
            ("mailto:@b.test", E::Mailto),
            ("mailto:A@b.test", E::Mailto),
            ("mailto:a@B.test", E::Mailto),
            ("mailto:a@bücher.test", E::Mailto),
            ("mailto:a@-b.test", E::Mailto),
            ("mailto:a@b..test", E::Mailto),
            ("mailto:a@", E::Mailto),
            ("mailto:a b@b.test", E::Mailto),
            ("mailto:a@b@c.test", E::Mailto),
            ("id:", E::Id),
        ] {
            assert_eq!(Identifier::parse(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn lengths_hold_at_the_limit_and_fail_one_past_it() {
        assert!(Identifier::opaque(&[7; limits::OPAQUE_BYTES_MAX]).is_ok());
        assert!(Identifier::opaque(&[7; limits::OPAQUE_BYTES_MAX + 1]).is_err());
        let local = |n| format!("{}@b.test", "a".repeat(n));
        assert!(Identifier::mailto(&local(limits::MAILTO_LOCAL_BYTES_MAX)).is_ok());
        assert!(Identifier::mailto(&local(limits::MAILTO_LOCAL_BYTES_MAX + 1)).is_err());
        let labels = format!("{0}.{0}.{0}", "d".repeat(63));
        let padded = |n: usize| format!("{}@{labels}", "a".repeat(n - labels.len() - 1));
        assert!(Identifier::mailto(&padded(limits::MAILTO_BYTES_MAX)).is_ok());
        assert!(Identifier::mailto(&padded(limits::MAILTO_BYTES_MAX + 1)).is_err());
        let digits = |n| format!("+{}", "9".repeat(n));
        assert!(Identifier::tel(&digits(limits::E164_DIGITS_MAX)).is_ok());
        assert!(Identifier::tel(&digits(limits::E164_DIGITS_MAX + 1)).is_err());
    }

    #[test]
    fn kinds_never_collide_and_debug_is_redacted() {
        let a = Identifier::opaque(b"+9991").unwrap();
        let b = Identifier::tel("+9991").unwrap();
        assert_ne!(a, b);
        assert_eq!(format!("{b:?}"), "Identifier(REDACTED)");
    }
}
