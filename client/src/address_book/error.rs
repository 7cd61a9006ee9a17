//! Why a whole import failed.

use std::io;
use std::path::PathBuf;

/// Why an address book could not be read at all. Nothing has been imported then.
///
/// The texts say what to do next and never repeat the content of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read {}: check the path and its permissions", path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is larger than [`crate::limits::IMPORT_BYTES_MAX`].
    #[error("the address book is larger than 64 MiB: export it without photos, or split it")]
    TooLarge,
    /// More than [`crate::limits::IMPORT_CONTACTS_MAX`] contacts, or as many skipped entries.
    #[error("the address book has more than 1,000,000 entries: split it")]
    TooManyContacts,
    /// The bytes are not text in UTF-8, UTF-16 or Windows-1252.
    #[error("the file is not text: export the address book as vCard (.vcf) or CSV (UTF-8)")]
    NotText,
    /// A vCard file without a card.
    #[error("the file holds no vCard: check that it contains BEGIN:VCARD, or name it .csv or .txt")]
    NoCards,
    /// The first line of a CSV file does not name any known column.
    #[error("the first line must name the columns, for example: name,tel,email")]
    NoHeader,
    /// A column of a CSV file is not known, and the file is not a Google or Outlook export.
    #[error(
        "column {position} has an unknown name: rename it (name, tel, email, id, identifier), \
         remove it, or ignore unknown columns"
    )]
    UnknownColumn {
        /// Position of the column, counted from 1.
        position: usize,
    },
    /// The columns are known, but none can hold an identifier.
    #[error("no column holds identifiers: add a column named tel, email, id or identifier")]
    NoUsableColumn,
}
