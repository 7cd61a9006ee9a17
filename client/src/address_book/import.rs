//! The import: which file, which format, which rules.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::collector::Collector;
use super::{
    AddressBook, ImportError, Normalizer, PhoneNumberNormalizer, Region, columns, lines, table,
    text, vcard,
};
use crate::limits;

/// Reads address books. Build it, then call a `read_…` method as often as needed.
///
/// ```
/// use acquaint_client::address_book::{Format, Import, SkipReason};
///
/// let import = Import::new().default_region("DE".parse().ok());
/// let book = import.read_bytes(b"name,tel\nAnna,030 23125 001\nBen,1\n", Format::Csv)?;
/// assert_eq!(book.contacts()[0].identifier().as_bytes(), b"tel:+493023125001");
/// assert_eq!(book.skipped()[0].reason, SkipReason::NotANumber);
/// # Ok::<(), acquaint_client::address_book::ImportError>(())
/// ```
#[derive(Clone)]
pub struct Import {
    pub(super) default_region: Option<Region>,
    pub(super) ignore_unknown_columns: bool,
    pub(super) normalizer: Arc<dyn Normalizer>,
}

/// How an address book is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// vCard 2.1, 3.0 and 4.0, any number of cards.
    VCard,
    /// A table with a header: separated by comma, semicolon or tab.
    Csv,
    /// One identifier per line; blank lines and lines that start with `#` are comments.
    Lines,
}

impl Import {
    /// An import without default region that refuses unknown columns.
    #[must_use]
    pub fn new() -> Self {
        Self {
            default_region: None,
            ignore_unknown_columns: false,
            normalizer: Arc::new(PhoneNumberNormalizer),
        }
    }

    /// The region for numbers without a country code. Without one they are skipped.
    #[must_use]
    pub fn default_region(mut self, region: Option<Region>) -> Self {
        self.default_region = region;
        self
    }

    /// Whether CSV columns of unknown name are passed over instead of refused.
    #[must_use]
    pub fn ignore_unknown_columns(mut self, ignore: bool) -> Self {
        self.ignore_unknown_columns = ignore;
        self
    }

    /// Replaces the rules by which texts become identifiers.
    #[must_use]
    pub fn normalizer(mut self, normalizer: Arc<dyn Normalizer>) -> Self {
        self.normalizer = normalizer;
        self
    }

    /// Reads a file in the format that [`Format::detect`] sees.
    ///
    /// # Errors
    /// [`ImportError::Unreadable`] with the cause, [`ImportError::TooLarge`], and every error of
    /// [`Import::read_bytes`].
    pub fn read_path(&self, path: &Path) -> Result<AddressBook, ImportError> {
        let bytes = read_limited(path)
            .map_err(|source| ImportError::Unreadable { path: path.to_owned(), source })?;
        self.read_bytes(&bytes, Format::detect(Some(path), &bytes))
    }

    /// Reads an address book of a known format. See [`Format`] and [`ImportError`].
    ///
    /// The text may be UTF-8, UTF-16 or, failing both, Windows-1252.
    ///
    /// # Errors
    /// Every [`ImportError`] but [`ImportError::Unreadable`].
    pub fn read_bytes(&self, bytes: &[u8], format: Format) -> Result<AddressBook, ImportError> {
        self.read_into(bytes, format, Collector::new())
    }

    pub(super) fn read_into(
        &self,
        bytes: &[u8],
        format: Format,
        mut collector: Collector,
    ) -> Result<AddressBook, ImportError> {
        if bytes.len() as u64 > limits::IMPORT_BYTES_MAX {
            return Err(ImportError::TooLarge);
        }
        let text = text::decode(bytes)?;
        match format {
            Format::VCard => vcard::read(self, &text, &mut collector)?,
            Format::Csv => table::read(self, &text, &mut collector)?,
            Format::Lines => lines::read(self, &text, &mut collector)?,
        }
        Ok(collector.finish())
    }
}

impl Default for Import {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("default_region", &self.default_region)
            .field("ignore_unknown_columns", &self.ignore_unknown_columns)
            .finish_non_exhaustive()
    }
}

impl Format {
    /// Sees the format: a vCard by its first line, else by the extension (`vcf`, `vcard`, `csv`,
    /// `tsv`, `txt`), else a table by the known columns in its first line, else lines.
    ///
    /// `path` is only looked at, never opened; give `None` for standard input.
    #[must_use]
    pub fn detect(path: Option<&Path>, bytes: &[u8]) -> Self {
        // Enough for the header of the widest known export; a cut character does not matter.
        let head_bytes = bytes.len().min(16 * 1_024) & !1;
        let head = text::decode(bytes.get(..head_bytes).unwrap_or_default()).unwrap_or_default();
        if vcard::starts_with_card(&head) {
            return Self::VCard;
        }
        let extension = path.and_then(Path::extension).and_then(|e| e.to_str()).unwrap_or("");
        match extension.to_ascii_lowercase().as_str() {
            "vcf" | "vcard" => Self::VCard,
            "csv" | "tsv" => Self::Csv,
            "txt" => Self::Lines,
            _ if columns::starts_with_header(&head) => Self::Csv,
            _ => Self::Lines,
        }
    }
}

/// Reads one byte more than allowed at most, also from pipes and files that grow.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limits::IMPORT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
