//! The region whose dialing rules apply to numbers written without a country code.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::PHONE_NUMBER_UTIL;

/// An ISO 3166-1 alpha-2 code such as `DE` whose numbering plan the phone library knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    inner: rlibphonenumber::Region,
    code: [u8; 2],
}

/// The text is not the code of a region with a known numbering plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is a two-letter country code (ISO 3166-1), for example DE, FR or US")]
pub struct RegionError;

impl Region {
    /// The code, two upper-case letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// The region as the phone library names it.
    pub(super) fn library(self) -> rlibphonenumber::Region {
        self.inner
    }
}

impl FromStr for Region {
    type Err = RegionError;

    /// Reads a two-letter code in either case.
    ///
    /// # Errors
    /// [`RegionError`] if it is not two ASCII letters or no numbering plan is known for it. The
    /// codes of continents and of the world (`001`) are refused: they have no dialing rules.
    fn from_str(text: &str) -> Result<Self, RegionError> {
        let &[a, b] = text.as_bytes() else { return Err(RegionError) };
        if !(a.is_ascii_alphabetic() && b.is_ascii_alphabetic()) {
            return Err(RegionError);
        }
        let code = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
        let upper = text.to_ascii_uppercase();
        let inner = upper.parse::<rlibphonenumber::Region>().map_err(|_| RegionError)?;
        // The library's type has every pair of letters; only some have a numbering plan.
        PHONE_NUMBER_UTIL.get_country_code_for_region(inner).ok_or(RegionError)?;
        Ok(Self { inner, code })
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_either_case() {
        for text in ["DE", "de", "dE"] {
            assert_eq!(text.parse::<Region>().unwrap().to_string(), "DE");
        }
        assert_eq!(format!("{:?}", "us".parse::<Region>().unwrap()), "Region(US)");
    }

    #[test]
    fn everything_without_a_numbering_plan_is_refused() {
        for text in ["", "D", "DEU", "001", "World", "ZZ", "QQ", "EU", "1A", "ÄÄ", " DE"] {
            assert_eq!(text.parse::<Region>(), Err(RegionError), "{text}");
        }
    }
}
