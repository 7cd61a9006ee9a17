//! The registrar's list of users: one verified identifier and one label per row, streamed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use acquaint_core::identifier::Identifier;
use acquaint_core::limits::LABEL_BYTES;

use crate::address_book::{Normalizer, PhoneNumberNormalizer, Region, SkipReason};
use crate::limits;

mod row;
#[cfg(test)]
mod tests;

use row::{Columns, fields};

/// Reads a user list row by row, in constant memory.
///
/// The file is UTF-8 CSV, separated by comma, semicolon or tab, one row per line. The header
/// names exactly one of `identifier`, `tel`, `email` and `id`, then `label` (32 hexadecimal digits,
/// or a UUID with hyphens) and, if wanted, `discoverable` (`true` or `false`; an empty field is
/// `true`). Canonical text such as `tel:+…` belongs into `identifier`.
///
/// The iterator gives every row that is not blank, in order. A bad row is an item like any
/// other and does not end it; only a read error does. Duplicates are the caller's concern.
pub struct UserListReader<R> {
    input: BufReader<R>,
    columns: Columns,
    separator: u8,
    line: usize,
    default_region: Option<Region>,
    normalizer: Arc<dyn Normalizer>,
    is_done: bool,
}

/// One user of the list. `Debug` prints neither identifier nor label.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Line of the file, counted from 1, the header included.
    pub line: usize,
    /// The verified identifier.
    pub identifier: Identifier,
    /// What those who may look the user up find: the account id.
    pub label: [u8; LABEL_BYTES],
    /// Whether the user may be found.
    pub discoverable: bool,
}

/// A row that cannot be used. It holds no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    /// Line of the file, counted from 1, the header included.
    pub line: usize,
    /// What is wrong with it.
    pub reason: RowReason,
}

/// Why a row cannot be used. The texts are constants and name the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowReason {
    /// The identifier cannot be read.
    #[error(transparent)]
    Identifier(SkipReason),
    /// The label has another length than 16 bytes.
    #[error("the label has a wrong length: write 32 hexadecimal digits or a UUID")]
    LabelLength,
    /// The label has characters other than hexadecimal digits, or hyphens in wrong places.
    #[error("the label is not hexadecimal: write 32 hexadecimal digits or a UUID")]
    Label,
    /// The flag is neither `true` nor `false`.
    #[error("discoverable is neither true nor false: write one of them or leave it empty")]
    Discoverable,
    /// The row has not as many fields as the header, or its quotation marks do not match.
    #[error("the row does not fit the header: check its separators and quotation marks")]
    Fields,
    /// The row is longer than [`limits::USER_ROW_BYTES_MAX`].
    #[error("the row is longer than 4,096 bytes: check its line end and quotation marks")]
    TooLong,
    /// The row is not UTF-8.
    #[error("the row is not UTF-8: save the file as CSV UTF-8")]
    NotText,
    /// Reading failed; the iterator ends here.
    #[error("reading the file failed: check the disk or connection and start again")]
    Io(io::ErrorKind),
}

/// Why a user list cannot be read at all. The texts say what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserListError {
    /// The file cannot be opened or read.
    #[error("cannot read the user list: check the path and its permissions")]
    Unreadable(#[from] io::Error),
    /// The first line is not a header in UTF-8.
    #[error("the first line must name the columns in UTF-8, for example: identifier,label")]
    NoHeader,
    /// A column is not known or appears twice.
    #[error(
        "column {position} is unknown or repeated: rename it (identifier, tel, email, id, label, \
         discoverable) or remove it"
    )]
    UnknownColumn {
        /// Position of the column, counted from 1.
        position: usize,
    },
    /// Not exactly one column holds identifiers.
    #[error("exactly one column must be named identifier, tel, email or id")]
    IdentifierColumn,
    /// No column holds labels.
    #[error("no column holds labels: add a column named label")]
    NoLabelColumn,
}

impl UserListReader<File> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// See [`UserListReader::new`].
    pub fn open(path: &Path) -> Result<Self, UserListError> {
        Self::new(File::open(path)?)
    }
}

impl<R: Read> UserListReader<R> {
    /// Reads the header of a list. The reader needs no buffer of its own.
    ///
    /// # Errors
    /// [`UserListError`]: unreadable, without header, or with columns that do not fit.
    pub fn new(input: R) -> Result<Self, UserListError> {
        let mut input = BufReader::new(input);
        let header = match next_line(&mut input)? {
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) | None => return Err(UserListError::NoHeader),
        };
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&header);
        let header = std::str::from_utf8(header).map_err(|_| UserListError::NoHeader)?;
        let (columns, separator) = Columns::read(header)?;
        Ok(Self {
            input,
            columns,
            separator,
            line: 1,
            default_region: None,
            normalizer: Arc::new(PhoneNumberNormalizer),
            is_done: false,
        })
    }

    /// The region for numbers without a country code. Without one they are bad rows.
    #[must_use]
    pub fn default_region(mut self, region: Option<Region>) -> Self {
        self.default_region = region;
        self
    }

    /// Replaces the rules by which texts become identifiers.
    #[must_use]
    pub fn normalizer(mut self, normalizer: Arc<dyn Normalizer>) -> Self {
        self.normalizer = normalizer;
        self
    }

    /// Nothing for a blank line.
    fn row(&self, bytes: &[u8]) -> Result<Option<UserRow>, RowReason> {
        let text = std::str::from_utf8(bytes).map_err(|_| RowReason::NotText)?;
        if text.trim().is_empty() {
            return Ok(None);
        }
        let record = fields(text, self.separator).ok_or(RowReason::Fields)?;
        let row = self.columns.assign(&record)?;
        let identifier = row
            .identifier(self.normalizer.as_ref(), self.default_region)
            .map_err(RowReason::Identifier)?;
        let (label, discoverable) = (row.label()?, row.discoverable()?);
        Ok(Some(UserRow { line: self.line, identifier, label, discoverable }))
    }
}

impl<R: Read> Iterator for UserListReader<R> {
    type Item = Result<UserRow, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            self.line += 1;
            let outcome = match next_line(&mut self.input) {
                Ok(None) => {
                    self.is_done = true;
                    Ok(None)
                }
                Ok(Some(Ok(bytes))) => self.row(&bytes),
                Ok(Some(Err(TooLong))) => Err(RowReason::TooLong),
                Err(error) => {
                    self.is_done = true;
                    Err(RowReason::Io(error.kind()))
                }
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(row)) => return Some(Ok(row)),
                Err(reason) => return Some(Err(RowError { line: self.line, reason })),
            }
        }
        None
    }
}

impl<R: Read> std::iter::FusedIterator for UserListReader<R> {}

impl<R> fmt::Debug for UserListReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserListReader").field("line", &self.line).finish_non_exhaustive()
    }
}

impl fmt::Debug for UserRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRow").field("line", &self.line).finish_non_exhaustive()
    }
}

struct TooLong;

/// The next line without its end; nothing at the end of the file.
///
/// A line that is too long is read past without being kept, so that the next one is found.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, TooLong>>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    let mut is_end_of_file = true;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            break;
        }
        is_end_of_file = false;
        let end = available.iter().position(|&b| b == b'\n');
        let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
        // One byte more than a row, for the carriage return.
        is_too_long |= line.len() + part.len() > limits::USER_ROW_BYTES_MAX + 1;
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let n_read = end.map_or(available.len(), |end| end + 1);
        input.consume(n_read);
        if end.is_some() {
            break;
        }
    }
    if is_end_of_file {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    is_too_long |= line.len() > limits::USER_ROW_BYTES_MAX;
    Ok(Some(if is_too_long { Err(TooLong) } else { Ok(line) }))
}
