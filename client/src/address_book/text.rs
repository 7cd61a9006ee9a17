//! From the bytes of an export to text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::ImportError;

/// Decodes UTF-8 and UTF-16, with or without a byte order mark, and else Windows-1252.
///
/// Windows-1252 is what Western European spreadsheets and old telephones write without saying
/// so. It can spoil a name, never a number: digits are the same in all of them. Line ends of
/// old Macs become line feeds.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ImportError> {
    let text = if let Some((encoding, bom_bytes)) = Encoding::for_bom(bytes) {
        strictly(encoding, bytes.get(bom_bytes..).unwrap_or_default())?
    } else if let Some(encoding) = utf16_without_mark(bytes) {
        strictly(encoding, bytes)?
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        Cow::Borrowed(text)
    } else {
        WINDOWS_1252.decode_without_bom_handling(bytes).0
    };
    // Text has no NUL; images, archives and spreadsheets have one within the first bytes.
    if text.contains('\0') {
        return Err(ImportError::NotText);
    }
    if text.contains('\r') && !text.contains('\n') {
        return Ok(Cow::Owned(text.replace('\r', "\n")));
    }
    Ok(text)
}

fn strictly<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, ImportError> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).ok_or(ImportError::NotText)
}

/// Exports start with an ASCII character, which UTF-16 pairs with a zero byte.
fn utf16_without_mark(bytes: &[u8]) -> Option<&'static Encoding> {
    match bytes {
        [0, second, ..] if *second != 0 => Some(UTF_16BE),
        [first, 0, ..] if *first != 0 => Some(UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn every_encoding_gives_the_same_text() {
        let text = "name\nJörg Müller\n";
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            utf16(text, true, u16::to_le_bytes),
            utf16(text, true, u16::to_be_bytes),
            utf16(text, false, u16::to_le_bytes),
            utf16(text, false, u16::to_be_bytes),
            b"name\nJ\xf6rg M\xfcller\n".to_vec(),
            text.replace('\n', "\r").into_bytes(),
        ] {
            assert_eq!(decode(&bytes).unwrap(), text);
        }
        assert_eq!(decode(b"\x80").unwrap(), "€");
    }

    #[test]
    fn binary_files_are_refused() {
        for bytes in [
            b"PK\x03\x04\x14\x00\x06\x00".as_slice(),
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            b"\xff\xfe\x00\xd8a\x00",
            b"\xff\xfea\x00b",
            b"\xef\xbb\xbf\xff",
            b"\0\0",
        ] {
            assert!(matches!(decode(bytes), Err(ImportError::NotText)), "{bytes:?}");
        }
    }
}
