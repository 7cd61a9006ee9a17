//! The bytes of an overlay.

use super::fields::{Fields, check};
use super::list::{ListCode, count_of, narrow};
use super::{Overlay, OverlayError, additions};
use crate::limits::{OVERLAY_BYTES_MAX, OVERLAY_ENTRIES_MAX, SEALED_LABEL_BYTES};
use crate::set::SnapshotIdentity;

const MAGIC: [u8; 4] = *b"ACQO";
const VERSION: u8 = 1;

/// Length of the header in bytes.
const HEADER_BYTES: usize = 40;

impl Overlay {
    /// The canonical bytes, which a signed manifest states the digest of. Integers little-endian:
    ///
    /// | offset | field | | offset | field |
    /// |---|---|---|---|---|
    /// | 0 | magic `ACQO` | | 20 | number of removed ranks, 4 bytes |
    /// | 4 | version 1 | | 24 | number of added entries, 4 bytes |
    /// | 5 | Rice parameter of removed ranks | | 28 | length of removed ranks, 4 bytes |
    /// | 6 | Rice parameter of added values | | 32 | length of added values, 4 bytes |
    /// | 7 | zero | | 36 | zero, 4 bytes |
    /// | 8 | snapshot number, 8 bytes | | 40 | removed ranks, added values, |
    /// | 16 | epoch, 4 bytes | | | added sealed labels (32 bytes each) |
    ///
    /// Removed ranks are gaps between different numbers (`r_i − r_{i−1} − 1`), added values gaps
    /// that may be zero, coded as in a segment; the parameters follow from range and count. Size
    /// at half a percent of the members removed and as many added: 1.14 bytes per removal and
    /// 35.73 per addition.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (removed, added) = self.codes(count_of(&self.removed), count_of(&self.added));
        let ranks = removed.encode(self.removed.iter().map(|rank| u64::from(*rank)), Vec::new());
        let values = additions::encode_values(added, &self.added, Vec::new());

        let labels_bytes = self.added.len() * SEALED_LABEL_BYTES;
        let mut bytes =
            Vec::with_capacity(HEADER_BYTES + ranks.len() + values.len() + labels_bytes);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, removed.parameter(), added.parameter(), 0]);
        bytes.extend(self.snapshot.number.to_le_bytes());
        let lengths = [
            self.snapshot.epoch,
            count_of(&self.removed),
            count_of(&self.added),
            count_of(&ranks),
            count_of(&values),
            0,
        ];
        bytes.extend(lengths.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(ranks);
        bytes.extend(values);
        bytes.extend(additions::encode_labels(&self.added));
        bytes
    }

    /// Reads an overlay of the given snapshot, accepting exactly what [`Overlay::encode`] writes.
    ///
    /// Allocates in proportion to the input, after header and lengths have been checked.
    ///
    /// # Errors
    /// In the header: [`OverlayError::TooLarge`], [`OverlayError::Magic`],
    /// [`OverlayError::Version`], [`OverlayError::Reserved`], [`OverlayError::SnapshotNumber`],
    /// [`OverlayError::Epoch`], [`OverlayError::RiceParameter`]. In the sections:
    /// [`OverlayError::Truncated`], [`OverlayError::TrailingBytes`],
    /// [`OverlayError::CountTooHigh`], [`OverlayError::Padding`], [`OverlayError::RankRange`],
    /// [`OverlayError::ValueRange`], [`OverlayError::Order`], [`OverlayError::Capacity`].
    pub fn decode(snapshot: &SnapshotIdentity, bytes: &[u8]) -> Result<Self, OverlayError> {
        check(bytes.len() <= OVERLAY_BYTES_MAX, OverlayError::TooLarge)?;
        let mut fields = Fields::new(bytes);
        check(fields.array()? == MAGIC, OverlayError::Magic)?;
        let [version, removed_parameter, added_parameter, reserved] = fields.array()?;
        check(version == VERSION, OverlayError::Version)?;
        check(reserved == 0, OverlayError::Reserved)?;
        check(fields.u64()? == snapshot.number, OverlayError::SnapshotNumber)?;
        check(fields.u32()? == snapshot.epoch, OverlayError::Epoch)?;
        let (removed_count, added_count) = (fields.u32()?, fields.u32()?);
        let (ranks_bytes, values_bytes) = (fields.u32()?, fields.u32()?);
        check(fields.u32()? == 0, OverlayError::Reserved)?;
        let entries = u64::from(removed_count) + u64::from(added_count);
        check(entries <= OVERLAY_ENTRIES_MAX as u64, OverlayError::TooLarge)?;

        let overlay = Self::empty(*snapshot);
        let (removed_code, added_code) = overlay.codes(removed_count, added_count);
        let ranks = fields.section(ranks_bytes.into())?;
        let values = fields.section(values_bytes.into())?;
        let labels = fields.section(additions::labels_length(added_count))?;
        fields.finish()?;
        let removed = removed_code.decode(removed_parameter, ranks, narrow)?;
        let added = additions::decode(added_code, added_parameter, values, labels)?;
        Self::within_limits(*snapshot, removed, added)
    }

    fn codes(&self, removed: u32, added: u32) -> (ListCode, ListCode) {
        (ListCode::ranks(&self.snapshot, removed), ListCode::values(&self.snapshot, added))
    }
}
