//! vCard 2.1, 3.0 and 4.0, through calcard.
//!
//! calcard reads one card at a time here. Left to find the cards itself it would continue a
//! card without an end into the next one, and it does not say on which line a property stands.

use calcard::vcard::{VCard, VCardEntry, VCardProperty, VCardValue};
use calcard::{Entry, Parser};

use super::collector::Collector;
use super::{Import, ImportError, SkipReason};

/// Reads all cards. The names are FN or else N, the identifiers TEL and EMAIL.
pub(super) fn read(
    import: &Import,
    text: &str,
    collector: &mut Collector,
) -> Result<(), ImportError> {
    let mut n_cards = 0_usize;
    for piece in pieces(text) {
        match piece {
            Piece::Card(card) => {
                n_cards += 1;
                read_card(import, &card, collector)?;
            }
            Piece::Outside { line } => collector.skip(line, SkipReason::OutsideCard)?,
        }
    }
    if n_cards == 0 { Err(ImportError::NoCards) } else { Ok(()) }
}

/// Whether the first line that is not blank begins a card.
pub(super) fn starts_with_card(text: &str) -> bool {
    text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| is_begin(line.trim()))
}

/// The text from a BEGIN line to its END line, both included, and the line of BEGIN.
struct Card<'a> {
    line: usize,
    text: &'a str,
    is_terminated: bool,
}

enum Piece<'a> {
    Card(Card<'a>),
    /// The first line of a run of lines that belong to no card.
    Outside {
        line: usize,
    },
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    let mut is_outside_reported = false;
    let mut offset = 0;
    let card = |(line, start): (usize, usize), end: usize, is_terminated: bool| {
        Piece::Card(Card { line, text: text.get(start..end).unwrap_or_default(), is_terminated })
    };
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let start = offset;
        offset += line.len();
        // Not trimmed at the start: an indented line continues the property before it.
        let line = line.trim_end();
        if is_begin(line) {
            pieces.extend(open.take().map(|begin| card(begin, start, false)));
            open = Some((i + 1, start));
            is_outside_reported = false;
        } else if line.eq_ignore_ascii_case("END:VCARD") && open.is_some() {
            pieces.extend(open.take().map(|begin| card(begin, offset, true)));
        } else if open.is_none() && !line.is_empty() && !is_outside_reported {
            pieces.push(Piece::Outside { line: i + 1 });
            is_outside_reported = true;
        }
    }
    pieces.extend(open.map(|begin| card(begin, text.len(), false)));
    pieces
}

fn is_begin(line: &str) -> bool {
    line.eq_ignore_ascii_case("BEGIN:VCARD")
}

fn read_card(
    import: &Import,
    card: &Card<'_>,
    collector: &mut Collector,
) -> Result<(), ImportError> {
    if !card.is_terminated {
        collector.skip(card.line, SkipReason::UnterminatedCard)?;
    }
    let Entry::VCard(parsed) = Parser::new(card.text).entry() else {
        return collector.skip(card.line, SkipReason::UnreadableProperty);
    };
    let name = display_name(&parsed);
    let fields = fields(card, &parsed);
    if fields.is_empty() {
        return collector.skip(card.line, SkipReason::NoIdentifier);
    }
    for Field { line, kind, value } in fields {
        let outcome = match (kind, value) {
            (_, None) => Err(SkipReason::UnreadableProperty),
            (Kind::Tel, Some(text)) => import.normalizer.phone(text, import.default_region),
            (Kind::Email, Some(text)) => import.normalizer.email(text),
        };
        collector.record(outcome, &name, line)?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Tel,
    Email,
}

/// One TEL or EMAIL that is not empty; no value if it cannot be read.
struct Field<'a> {
    line: usize,
    kind: Kind,
    value: Option<&'a str>,
}

fn fields<'a>(card: &Card<'_>, parsed: &'a VCard) -> Vec<Field<'a>> {
    let mut fields = Vec::new();
    let source = property_lines(card);
    for (kind, property) in [(Kind::Tel, VCardProperty::Tel), (Kind::Email, VCardProperty::Email)] {
        let lines: Vec<usize> =
            source.iter().filter(|(k, _)| *k == kind).map(|&(_, line)| line).collect();
        let entries: Vec<&VCardEntry> =
            parsed.entries.iter().filter(|entry| entry.name == property).collect();
        // calcard keeps the order. If it saw another number of properties, none can be located.
        let is_aligned = lines.len() == entries.len();
        for (i, entry) in entries.iter().enumerate() {
            let line = lines.get(i).copied().filter(|_| is_aligned).unwrap_or(card.line);
            fields.extend(entry.values.iter().filter_map(|value| match value {
                VCardValue::Text(text) if text.trim().is_empty() => None,
                VCardValue::Text(text) => Some(Field { line, kind, value: Some(text) }),
                _ => Some(Field { line, kind, value: None }),
            }));
        }
        if lines.len() > entries.len() {
            fields.push(Field { line: card.line, kind, value: None });
        }
    }
    fields.sort_by_key(|field| field.line);
    fields
}

/// The lines on which TEL and EMAIL properties start, in order.
fn property_lines(card: &Card<'_>) -> Vec<(Kind, usize)> {
    let mut found = Vec::new();
    let mut is_quoted_printable = false;
    let mut is_continued = false;
    for (i, line) in card.text.lines().enumerate() {
        let continues = is_continued || line.starts_with([' ', '\t']);
        if !continues {
            let head = line.split(':').next().unwrap_or_default();
            is_quoted_printable = head.to_ascii_uppercase().contains("QUOTED-PRINTABLE");
            found.extend(kind_of(head).map(|kind| (kind, card.line + i)));
        }
        is_continued = is_quoted_printable && line.trim_end().ends_with('=');
    }
    found
}

/// Reads the property name off `group.NAME;parameters`.
fn kind_of(head: &str) -> Option<Kind> {
    let name = head.split(';').next().unwrap_or_default().trim();
    let name = name.rsplit('.').next().unwrap_or_default();
    if name.eq_ignore_ascii_case("TEL") {
        Some(Kind::Tel)
    } else if name.eq_ignore_ascii_case("EMAIL") {
        Some(Kind::Email)
    } else {
        None
    }
}

fn display_name(card: &VCard) -> String {
    let property = |name: VCardProperty| card.entries.iter().filter(move |e| e.name == name);
    let formatted = property(VCardProperty::Fn)
        .flat_map(|entry| &entry.values)
        .filter_map(VCardValue::as_text)
        .find(|text| !text.trim().is_empty());
    if let Some(text) = formatted {
        return text.to_owned();
    }
    let Some(structured) = property(VCardProperty::N).next() else { return String::new() };
    // RFC 6350, section 6.2.2: family; given; additional; prefixes; suffixes.
    let part = |i: usize| match structured.values.get(i) {
        Some(VCardValue::Text(text)) => text.clone(),
        Some(VCardValue::Component(texts)) => texts.join(" "),
        _ => String::new(),
    };
    [part(1), part(2), part(0)].join(" ")
}
