//! CSV with a header, separated by comma, semicolon or tab.

use csv::StringRecord;

use super::collector::Collector;
use super::columns::{Column, Header, detect_separator};
use super::{Import, ImportError, SkipReason};

/// Reads all rows. Blank lines are passed over, missing fields at the end of a row are empty.
pub(super) fn read(
    import: &Import,
    text: &str,
    collector: &mut Collector,
) -> Result<(), ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(detect_separator(text))
        .from_reader(text.as_bytes());
    let mut record = StringRecord::new();
    let mut next = |record: &mut StringRecord| {
        // Impossible for text in memory, but an error must not pass for the end of the file.
        reader.read_record(record).map_err(|_| ImportError::NotText)
    };
    if !next(&mut record)? {
        return Err(ImportError::NoHeader);
    }
    let header = Header::read(record.iter(), import.ignore_unknown_columns)?;
    let mut last_start = start_of(&record, text);
    while next(&mut record)? {
        last_start = start_of(&record, text);
        read_row(import, &header, &record, last_start.line, collector)?;
    }
    if is_quote_open(text.get(last_start.offset..).unwrap_or_default()) {
        collector.skip(last_start.line, SkipReason::UnclosedQuote)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Start {
    offset: usize,
    line: usize,
}

/// Where a record starts. The position that csv reports is before any blank lines.
fn start_of(record: &StringRecord, text: &str) -> Start {
    let (offset, line) = record.position().map_or((0, 1), |p| (p.byte(), p.line()));
    let mut start =
        Start { offset: offset.try_into().unwrap_or(0), line: line.try_into().unwrap_or(0) };
    let rest = text.as_bytes().get(start.offset..).unwrap_or_default();
    for byte in rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')) {
        start.offset += 1;
        start.line += usize::from(*byte == b'\n');
    }
    start
}

/// Whether the last record swallowed lines because a quotation mark is never closed.
fn is_quote_open(last_record: &str) -> bool {
    let n_quotes = last_record.bytes().filter(|&b| b == b'"').count();
    n_quotes % 2 == 1 && last_record.trim_end().contains('\n')
}

fn read_row(
    import: &Import,
    header: &Header,
    record: &StringRecord,
    line: usize,
    collector: &mut Collector,
) -> Result<(), ImportError> {
    if record.iter().skip(header.columns.len()).any(|field| !field.trim().is_empty()) {
        return collector.skip(line, SkipReason::TooManyFields);
    }
    if record.iter().all(|field| field.trim().is_empty()) {
        return Ok(());
    }
    let name = display_name(header, record);
    let mut n_values = 0_usize;
    for (column, value) in values(header, record) {
        let outcome = match column {
            Column::Tel => import.normalizer.phone(value, import.default_region),
            Column::Email => import.normalizer.email(value),
            Column::Opaque => import.normalizer.opaque(value),
            Column::Identifier => import.normalizer.identifier(value, import.default_region),
            _ => continue,
        };
        n_values += 1;
        collector.record(outcome, &name, line)?;
    }
    if n_values == 0 { collector.skip(line, SkipReason::NoIdentifier) } else { Ok(()) }
}

/// The values that are not empty, each with its column.
fn values<'a>(
    header: &'a Header,
    record: &'a StringRecord,
) -> impl Iterator<Item = (Column, &'a str)> {
    // Decoded text holds no NUL: where values are not joined, nothing is split.
    let joint = if header.joins_values { " ::: " } else { "\0" };
    header
        .columns
        .iter()
        .copied()
        .zip(record.iter())
        .flat_map(move |(column, field)| field.split(joint).map(move |part| (column, part.trim())))
        .filter(|(_, value)| !value.is_empty())
}

fn display_name(header: &Header, record: &StringRecord) -> String {
    let of = |wanted: Column| {
        header
            .columns
            .iter()
            .zip(record.iter())
            .filter(move |(column, field)| **column == wanted && !field.trim().is_empty())
            .map(|(_, field)| field)
            .next()
    };
    if let Some(name) = of(Column::DisplayName) {
        return name.to_owned();
    }
    let parts = [Column::FirstName, Column::MiddleName, Column::LastName];
    parts.into_iter().filter_map(of).collect::<Vec<_>>().join(" ")
}
