//! Added records as two sections: their values, and their sealed labels in the same order.

use super::OverlayError;
use super::fields::check;
use super::list::ListCode;
use crate::limits::SEALED_LABEL_BYTES;
use crate::set::Entry;

/// Appends the values, coded.
pub(super) fn encode_values(code: ListCode, added: &[Entry], onto: Vec<u8>) -> Vec<u8> {
    code.encode(added.iter().map(|entry| entry.value), onto)
}

/// The labels, one after the other.
pub(super) fn encode_labels(added: &[Entry]) -> impl Iterator<Item = u8> + '_ {
    added.iter().flat_map(|entry| entry.sealed_label)
}

/// Length of the labels of `count` additions in bytes.
pub(super) fn labels_length(count: u32) -> u64 {
    u64::from(count) * SEALED_LABEL_BYTES as u64
}

/// Joins values and labels again; `labels` has the length for the code's count.
///
/// # Errors
/// [`OverlayError::Order`] if labels of equal values descend; those of [`ListCode::decode`].
pub(super) fn decode(
    code: ListCode,
    parameter: u8,
    values: &[u8],
    labels: &[u8],
) -> Result<Vec<Entry>, OverlayError> {
    let values = code.decode(parameter, values, |value| value)?;
    let (labels, _) = labels.as_chunks();
    let entry =
        |(value, label): (u64, &[u8; SEALED_LABEL_BYTES])| Entry { value, sealed_label: *label };
    let added: Vec<Entry> = values.into_iter().zip(labels).map(entry).collect();
    check(added.is_sorted(), OverlayError::Order)?;
    Ok(added)
}
