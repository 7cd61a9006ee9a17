//! One row of a user list: its fields and their meaning.

use acquaint_core::identifier::Identifier;
use acquaint_core::limits::LABEL_BYTES;
use csv::StringRecord;

use super::{RowReason, UserListError};
use crate::address_book::{Normalizer, Region, SkipReason};

/// Where the header puts what.
pub(super) struct Columns {
    kind: Kind,
    identifier: usize,
    label: usize,
    discoverable: Option<usize>,
    n_columns: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Any,
    Tel,
    Email,
    Opaque,
}

/// The fields of a row that fits the header.
pub(super) struct Row<'a> {
    kind: Kind,
    identifier: &'a str,
    label: &'a str,
    discoverable: &'a str,
}

impl Columns {
    /// Reads the header, and the separator off it.
    pub(super) fn read(header: &str) -> Result<(Self, u8), UserListError> {
        // No column name contains a separator.
        let separator = [b',', b';', b'\t'].into_iter().find(|&s| header.contains(char::from(s)));
        let separator = separator.unwrap_or(b',');
        let names = fields(header, separator).ok_or(UserListError::NoHeader)?;
        let (mut kind, mut label, mut discoverable) = (None, None, None);
        let mut n_known = 0_usize;
        let mut unknown = None;
        for (i, name) in names.iter().enumerate() {
            let identifier = match name.trim().to_ascii_lowercase().as_str() {
                "identifier" => Some(Kind::Any),
                "tel" => Some(Kind::Tel),
                "email" => Some(Kind::Email),
                "id" => Some(Kind::Opaque),
                "label" if label.is_none() => {
                    label = Some(i);
                    None
                }
                "discoverable" if discoverable.is_none() => {
                    discoverable = Some(i);
                    None
                }
                _ => {
                    unknown = unknown.or(Some(i + 1));
                    continue;
                }
            };
            n_known += 1;
            if let Some(identifier) = identifier
                && kind.replace((identifier, i)).is_some()
            {
                return Err(UserListError::IdentifierColumn);
            }
        }
        match unknown {
            _ if n_known == 0 => return Err(UserListError::NoHeader),
            Some(position) => return Err(UserListError::UnknownColumn { position }),
            None => {}
        }
        let (kind, identifier) = kind.ok_or(UserListError::IdentifierColumn)?;
        let label = label.ok_or(UserListError::NoLabelColumn)?;
        let n_columns = names.len();
        Ok((Self { kind, identifier, label, discoverable, n_columns }, separator))
    }

    /// Assigns the fields of a row. Missing fields at its end are empty.
    pub(super) fn assign<'a>(&self, record: &'a StringRecord) -> Result<Row<'a>, RowReason> {
        if record.len() > self.n_columns {
            return Err(RowReason::Fields);
        }
        let field = |i: usize| record.get(i).unwrap_or_default().trim();
        Ok(Row {
            kind: self.kind,
            identifier: field(self.identifier),
            label: field(self.label),
            discoverable: self.discoverable.map_or("", field),
        })
    }
}

impl Row<'_> {
    pub(super) fn identifier(
        &self,
        normalizer: &dyn Normalizer,
        default_region: Option<Region>,
    ) -> Result<Identifier, SkipReason> {
        if self.identifier.is_empty() {
            return Err(SkipReason::NoIdentifier);
        }
        match self.kind {
            Kind::Any => normalizer.identifier(self.identifier, default_region),
            Kind::Tel => normalizer.phone(self.identifier, default_region),
            Kind::Email => normalizer.email(self.identifier),
            Kind::Opaque => normalizer.opaque(self.identifier),
        }
    }

    pub(super) fn label(&self) -> Result<[u8; LABEL_BYTES], RowReason> {
        label(self.label)
    }

    pub(super) fn discoverable(&self) -> Result<bool, RowReason> {
        match self.discoverable.to_ascii_lowercase().as_str() {
            "" | "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(RowReason::Discoverable),
        }
    }
}

/// Splits one line into fields; nothing if its quotation marks do not match.
pub(super) fn fields(line: &str, separator: u8) -> Option<StringRecord> {
    // An open quotation mark would otherwise take the rest of the line into its field.
    if line.bytes().filter(|&b| b == b'"').count() % 2 == 1 {
        return None;
    }
    let mut record = StringRecord::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(separator)
        .buffer_capacity(line.len().max(1))
        .from_reader(line.as_bytes());
    reader.read_record(&mut record).ok()?.then_some(record)
}

/// 32 hexadecimal digits, or a UUID with hyphens (RFC 9562, section 4).
fn label(text: &str) -> Result<[u8; LABEL_BYTES], RowReason> {
    const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let digits: Vec<u8> = text.bytes().filter(|&b| b != b'-').collect();
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(RowReason::Label);
    }
    if digits.len() != 2 * LABEL_BYTES {
        return Err(RowReason::LabelLength);
    }
    let has_hyphens = digits.len() != text.len();
    if has_hyphens && !text.split('-').map(str::len).eq(UUID_GROUPS) {
        return Err(RowReason::Label);
    }
    let mut label = [0; LABEL_BYTES];
    for (byte, pair) in label.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |value, &digit| value << 4 | hex_value(digit));
    }
    Ok(label)
}

/// The value of a digit that has been checked.
fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
