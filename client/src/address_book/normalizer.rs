//! From what people write to the one canonical spelling.

use acquaint_core::identifier::Identifier;
use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat,
    ValidationError,
};

use super::{Region, SkipReason, email};

/// Turns human input into canonical identifiers: one value for all spellings, or a reason.
///
/// Both sides of a lookup must use the same rules. Only [`Normalizer::phone`] has to be written
/// for another library, for example the platform's own on a telephone.
pub trait Normalizer: Send + Sync {
    /// Reads one phone number. `default_region` serves only numbers without a plus sign.
    ///
    /// # Errors
    /// The [`SkipReason`] that tells the user what to correct.
    fn phone(&self, text: &str, default_region: Option<Region>) -> Result<Identifier, SkipReason>;

    /// Reads one e-mail address, with or without `mailto:`.
    ///
    /// Trims, composes (NFC), lower-cases the local part and turns the domain into A-labels.
    /// Dots and plus tags in the local part stay: they are rules of single providers.
    ///
    /// # Errors
    /// [`SkipReason::Email`] or [`SkipReason::EmailDomain`].
    fn email(&self, text: &str) -> Result<Identifier, SkipReason> {
        email::canonical(text)
    }

    /// Reads an opaque handle, with or without `id:`. Its content is not changed but trimmed.
    ///
    /// # Errors
    /// [`SkipReason::Opaque`] if it has not 1 to 128 bytes.
    fn opaque(&self, text: &str) -> Result<Identifier, SkipReason> {
        let text = text.trim();
        let handle = text.strip_prefix("id:").unwrap_or(text);
        Identifier::opaque(handle.as_bytes()).map_err(|_| SkipReason::Opaque)
    }

    /// Reads an identifier of any kind.
    ///
    /// Canonical text (`tel:+…`, `mailto:…`, `id:…`) is taken as it is: that is how numbers
    /// with an unassigned country code enter a test directory. Anything else is an e-mail
    /// address if it contains an @, and a phone number otherwise.
    ///
    /// # Errors
    /// The [`SkipReason`] of the kind that the text seems to be.
    fn identifier(
        &self,
        text: &str,
        default_region: Option<Region>,
    ) -> Result<Identifier, SkipReason> {
        let text = text.trim();
        if let Ok(identifier) = Identifier::parse(text) {
            Ok(identifier)
        } else if text.starts_with("id:") {
            self.opaque(text)
        } else if text.contains('@') || strip_scheme(text, "mailto:").is_some() {
            self.email(text)
        } else {
            self.phone(text, default_region)
        }
    }
}

/// The default [`Normalizer`]: Google's numbering plans through rlibphonenumber.
///
/// A number must be *possible* (length and country code), not assigned: numbering plans change
/// faster than a pinned library, and a wrong refusal loses a contact where a wrong acceptance
/// costs one fruitless lookup. Of the variants of one number only one comes out: Mexico without
/// the former mobile 1, Argentina's mobiles with the 9, Italy with its leading zero.
///
/// Numbers with an extension are refused, and so are letters: see [`SkipReason`].
///
/// The library writes numbers into `log` records of level TRACE. An application that bridges
/// `log` into its own logs must switch the target `rlibphonenumber` off.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhoneNumberNormalizer;

impl Normalizer for PhoneNumberNormalizer {
    fn phone(&self, text: &str, default_region: Option<Region>) -> Result<Identifier, SkipReason> {
        let number = without_uri(&visible(text))?;
        let international = is_international(&number);
        // Given a region, the library drops a plus sign before an unknown code and reads on.
        let region = default_region.filter(|_| !international);
        let parsed = PHONE_NUMBER_UTIL.parse(&number, region.map(Region::library));
        let has_letters =
            number.chars().any(char::is_alphabetic) && number.chars().any(char::is_numeric);
        match parsed {
            Ok(phone) if !phone.extension().is_empty() => Err(SkipReason::Extension),
            Ok(_) | Err(ParseError::NotANumber(_)) if has_letters => Err(SkipReason::Letters),
            Ok(phone) => canonical(phone),
            Err(ParseError::InvalidCountryCode) if !international && region.is_none() => {
                Err(SkipReason::NoCountryCode)
            }
            Err(error) => Err(reason(&error)),
        }
    }
}

/// Removes `prefix` in either case.
pub(super) fn strip_scheme<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Removes white space around the text and the invisible marks that come with copied numbers.
pub(super) fn visible(text: &str) -> String {
    let is_mark = |c| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{ad}' | '\u{feff}')
    };
    let marks_removed: String = text.chars().filter(|&c| !is_mark(c)).collect();
    marks_removed.trim().to_owned()
}

/// Reduces a `tel:` URI (RFC 3966) to its number.
///
/// The parameters are read here because the library logs the whole text when it dislikes one.
fn without_uri(text: &str) -> Result<String, SkipReason> {
    let uri = strip_scheme(text, "tel:").unwrap_or(text);
    let mut parts = uri.split(';');
    let mut number = parts.next().unwrap_or_default().trim().to_owned();
    for parameter in parts.map(str::trim).filter(|p| !p.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            // Not a parameter but a pause: what follows is dialed after the connection.
            return Err(SkipReason::Extension);
        };
        if ["ext", "isub", "postd"].iter().any(|&n| name.eq_ignore_ascii_case(n)) {
            return Err(SkipReason::Extension);
        }
        if name.eq_ignore_ascii_case("phone-context") && !number.starts_with('+') {
            // A domain as context means a private numbering plan.
            let context = value.strip_prefix('+').ok_or(SkipReason::NoCountryCode)?;
            number = format!("+{context}{number}");
        }
    }
    Ok(number)
}

fn is_international(number: &str) -> bool {
    let is_plus = |c| matches!(c, '+' | '\u{ff0b}');
    number.chars().find(|&c| is_plus(c) || c.is_numeric()).is_some_and(is_plus)
}

fn canonical(mut phone: PhoneNumber) -> Result<Identifier, SkipReason> {
    drop_mexican_mobile_prefix(&mut phone);
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&phone) {
        Ok(NumberLengthType::IsPossible) => {}
        Ok(NumberLengthType::IsPossibleLocalOnly) => return Err(SkipReason::NoAreaCode),
        Err(ValidationError::InvalidCountryCode) => return Err(SkipReason::UnknownCountryCode),
        Err(ValidationError::TooShort) => return Err(SkipReason::TooShort),
        Err(ValidationError::TooLong) => return Err(SkipReason::TooLong),
        Err(ValidationError::InvalidLength) => return Err(SkipReason::WrongLength),
    }
    let e164 = PHONE_NUMBER_UTIL.format(&phone, PhoneNumberFormat::E164);
    Identifier::tel(&e164).map_err(|_| SkipReason::TooLong)
}

/// Until 2020 mobile numbers of Mexico had a 1 after the country code when called from abroad.
///
/// Both spellings still stand in address books, and libphonenumber keeps them apart. National
/// numbers of Mexico have ten digits, so an eleventh in front can only be that 1.
fn drop_mexican_mobile_prefix(phone: &mut PhoneNumber) {
    const MEXICO: i32 = 52;
    const MOBILE_PREFIX: u64 = 10_000_000_000;
    let has_prefix = (MOBILE_PREFIX..2 * MOBILE_PREFIX).contains(&phone.national_number);
    if phone.country_code == MEXICO && has_prefix {
        phone.national_number -= MOBILE_PREFIX;
    }
}

fn reason(error: &ParseError) -> SkipReason {
    match error {
        ParseError::InvalidCountryCode => SkipReason::UnknownCountryCode,
        ParseError::NotANumber(_) => SkipReason::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => SkipReason::TooShort,
        ParseError::TooLongNsn => SkipReason::TooLong,
    }
}
