//! What could not be read, where, and what the user can do about it.

/// An entry of the source that did not become a contact.
///
/// It holds no content, only the place: it may be printed and logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Line of the source, counted from 1. In a vCard it is the line of the property, or of the
    /// card where the property cannot be located.
    pub line: usize,
    /// Why it was skipped.
    pub reason: SkipReason,
}

/// Why an entry was skipped. The texts are constants that name the remedy; they never repeat
/// the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SkipReason {
    /// A national number, and no region that would say how to read it.
    #[error("the number has no country code: give a default region")]
    NoCountryCode,
    /// The digits after the plus sign or the international prefix start with no assigned code.
    #[error("the number has an unknown country code: correct the digits after the plus sign")]
    UnknownCountryCode,
    /// No number can be read from the text.
    #[error("the text is not a phone number: correct it or remove it")]
    NotANumber,
    /// Letters among the digits. Vanity spellings are refused with them: a trailing word would
    /// otherwise silently become the digits of another number.
    #[error("the number contains letters: write it in digits only")]
    Letters,
    /// An extension, sub-address or pause. The whole number belongs to a switchboard, and
    /// whoever has an account there is not the contact.
    #[error("the number has an extension: remove the extension to look up the main number")]
    Extension,
    /// Fewer digits than any number of that region.
    #[error("the number is too short: complete it")]
    TooShort,
    /// More digits than any number of that region; often two numbers in one field.
    #[error("the number is too long: write one number in each field")]
    TooLong,
    /// No number of that region has this many digits.
    #[error("the number has a wrong number of digits for its country: correct it")]
    WrongLength,
    /// A number that can be dialed only inside its own area.
    #[error("the number has no area code: add it")]
    NoAreaCode,
    /// Not an e-mail address; quoted local parts and address literals are refused too.
    #[error("the text is not an e-mail address: write it as name@domain, without a display name")]
    Email,
    /// The domain of an e-mail address is not a valid (international) domain name.
    #[error("the e-mail address has an invalid domain: correct the part after the @")]
    EmailDomain,
    /// An opaque identifier that is empty or longer than 128 bytes.
    #[error("an opaque identifier has 1 to 128 bytes: shorten it or leave the field empty")]
    Opaque,
    /// A card or row without any phone number, e-mail address or identifier.
    #[error("the entry has no phone number, e-mail address or identifier: add one")]
    NoIdentifier,
    /// A phone number or e-mail address of a card that cannot be read as a vCard property.
    #[error("a phone or e-mail property of the card cannot be read: export the card again")]
    UnreadableProperty,
    /// Text between cards.
    #[error("the text is outside of a card: put it between BEGIN:VCARD and END:VCARD")]
    OutsideCard,
    /// A card without its end. What it holds so far has been read.
    #[error("the card has no END:VCARD, the file may be cut short: export it again")]
    UnterminatedCard,
    /// A row with more fields than the header: its fields cannot be assigned to columns.
    #[error("the row has more fields than the header: put quotes around fields with separators")]
    TooManyFields,
    /// A quotation mark that is never closed, so that it swallows the rest of the file.
    #[error("a quotation mark is not closed before the end of the file: close it")]
    UnclosedQuote,
}
