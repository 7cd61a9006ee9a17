//! The 32 bytes in front of a segment's body.

use super::{Expected, RICE_PARAMETER, SetError, Universe};
use crate::limits::SEGMENT_BYTES_MAX;

/// Length of the header in bytes.
pub(super) const HEADER_BYTES: usize = 32;

const MAGIC: [u8; 4] = *b"ACQS";
const VERSION: u8 = 1;

/// The header of a segment with a body of `body_bytes`. Integers are little-endian:
///
/// | offset | field | | offset | field |
/// |---|---|---|---|---|
/// | 0 | magic `ACQS` | | 8 | snapshot number, 8 bytes |
/// | 4 | version 1 | | 16 | segment index, 4 bytes |
/// | 5 | Rice parameter P | | 20 | number of members, 4 bytes |
/// | 6 | segment bits k | | 24 | body length in bytes, 4 bytes |
/// | 7 | zero | | 28 | zero, 4 bytes |
pub(super) fn encode(
    universe: &Universe,
    content: Expected,
    body_bytes: u32,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let fields = MAGIC
        .into_iter()
        .chain([VERSION, RICE_PARAMETER, universe.segment_bits(), 0])
        .chain(content.snapshot_number.to_le_bytes())
        .chain(content.index.to_le_bytes())
        .chain(content.count.to_le_bytes())
        .chain(body_bytes.to_le_bytes());
    for (byte, field) in header.iter_mut().zip(fields) {
        *byte = field;
    }
    header
}

/// Checks everything about a segment but the codes in its body, and returns the body.
///
/// # Errors
/// As [`Segment::decode`](super::Segment::decode); of several faults the first in the order of
/// the fields is reported, and the body's length last.
pub(super) fn split<'a>(
    universe: &Universe,
    expected: Expected,
    bytes: &'a [u8],
) -> Result<&'a [u8], SetError> {
    if bytes.len() > SEGMENT_BYTES_MAX {
        return Err(SetError::TooLarge);
    }
    let mut rest = bytes;
    check(take(&mut rest)? == MAGIC, SetError::Magic)?;
    let [version, rice_parameter, segment_bits, reserved] = take(&mut rest)?;
    check(version == VERSION, SetError::Version)?;
    check(rice_parameter == RICE_PARAMETER, SetError::RiceParameter)?;
    check(segment_bits == universe.segment_bits(), SetError::SegmentBits)?;
    check(reserved == 0, SetError::Reserved)?;
    let snapshot_number = u64::from_le_bytes(take(&mut rest)?);
    check(snapshot_number == expected.snapshot_number, SetError::SnapshotNumber)?;
    let index = u32::from_le_bytes(take(&mut rest)?);
    check(index == expected.index && index < universe.segment_count(), SetError::Index)?;
    let count = u32::from_le_bytes(take(&mut rest)?);
    check(count == expected.count, SetError::Count)?;
    let body_bytes = u32::from_le_bytes(take(&mut rest)?);
    check(take(&mut rest)? == [0; 4], SetError::Reserved)?;

    let body = rest;
    let stated = u64::from(body_bytes);
    let present = body.len() as u64;
    check(present >= stated, SetError::Truncated)?;
    check(present <= stated, SetError::TrailingBytes)?;
    // Each member takes a zero-bit and P low bits at least.
    check(u64::from(count) * u64::from(RICE_PARAMETER + 1) <= stated * 8, SetError::CountTooHigh)?;
    Ok(body)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SetError> {
    let (field, tail) = rest.split_first_chunk().ok_or(SetError::Truncated)?;
    *rest = tail;
    Ok(*field)
}

fn check(holds: bool, otherwise: SetError) -> Result<(), SetError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
