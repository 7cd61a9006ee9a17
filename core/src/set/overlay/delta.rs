//! The delta: from the overlay of one version to that of a later one.

use std::fmt;

use super::changes::Changes;
use super::fields::{Fields, check};
use super::list::{ListCode, count_of, narrow};
use super::{Overlay, OverlayError, additions};
use crate::limits::{DELTA_BYTES_MAX, OVERLAY_ENTRIES_MAX, SEALED_LABEL_BYTES};
use crate::set::SnapshotIdentity;

const MAGIC: [u8; 4] = *b"ACQD";
const FORMAT_VERSION: u8 = 1;

/// Length of the header in bytes.
const HEADER_BYTES: usize = 80;

/// The versions of the directory that a delta leads from and to, `from < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaVersions {
    /// The version of the overlay it is applied to.
    pub from: u64,
    /// The version of the overlay it gives.
    pub to: u64,
}

/// What leads from the overlay of one version to the overlay of a later one, over one snapshot.
///
/// A delta is not signed. The overlay it gives has a digest that is, so a client applies the
/// delta, encodes the result and compares; a wrong delta is found before anything of it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Delta {
    snapshot: SnapshotIdentity,
    versions: DeltaVersions,
    /// The number of additions of the overlay it starts from.
    additions_before: u32,
    changes: Changes,
}

impl Delta {
    /// The delta between two overlays of one snapshot; a function of its arguments.
    ///
    /// # Errors
    /// [`OverlayError::OtherSnapshot`] if the overlays are of two; [`OverlayError::Versions`]
    /// unless the versions ascend.
    pub fn between(
        versions: DeltaVersions,
        from: &Overlay,
        to: &Overlay,
    ) -> Result<Self, OverlayError> {
        check(from.snapshot == to.snapshot, OverlayError::OtherSnapshot)?;
        check(versions.from < versions.to, OverlayError::Versions)?;
        let additions_before = count_of(&from.added);
        let changes = Changes::between(from, to);
        Ok(Self { snapshot: from.snapshot, versions, additions_before, changes })
    }

    /// The overlay of the version it leads to; `from` is not changed.
    ///
    /// Accepts exactly the delta that [`Delta::between`] `from` and the result is. Cost: one pass
    /// over both.
    ///
    /// # Errors
    /// [`OverlayError::OtherSnapshot`], [`OverlayError::OtherOverlay`],
    /// [`OverlayError::NotRemoved`], [`OverlayError::RemovedTwice`],
    /// [`OverlayError::NotCanonical`]; if the result passes a limit,
    /// [`OverlayError::TooLarge`] or [`OverlayError::Capacity`].
    pub fn apply(&self, from: &Overlay) -> Result<Overlay, OverlayError> {
        check(from.snapshot == self.snapshot, OverlayError::OtherSnapshot)?;
        check(count_of(&from.added) == self.additions_before, OverlayError::OtherOverlay)?;
        self.changes.apply(from)
    }

    /// The snapshot of both overlays.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotIdentity {
        &self.snapshot
    }

    /// The versions it leads from and to.
    #[must_use]
    pub fn versions(&self) -> DeltaVersions {
        self.versions
    }

    /// The number of changes in it.
    #[must_use]
    pub fn entries(&self) -> usize {
        let Changes { restored, removed, dropped, added } = &self.changes;
        restored.len() + removed.len() + dropped.len() + added.len()
    }

    /// The canonical bytes. Integers are little-endian:
    ///
    /// | offset | field | | offset | field |
    /// |---|---|---|---|---|
    /// | 0 | magic `ACQD` | | 24 | version from, 8 bytes |
    /// | 4 | format version 1 | | 32 | version to, 8 bytes |
    /// | 5 | zero, 3 bytes | | 40 | additions of the overlay before, 4 bytes |
    /// | 8 | four Rice parameters | | 44 | four counts, 4 bytes each |
    /// | 12 | epoch, 4 bytes | | 60 | four lengths, 4 bytes each |
    /// | 16 | snapshot number, 8 bytes | | 76 | zero, 4 bytes |
    ///
    /// Parameters, counts and lengths are those of the sections that follow: restored ranks,
    /// removed ranks, ordinals of dropped additions, added values; last come the sealed labels of
    /// the added, 32 bytes each. Coding as in [`Overlay::encode`]. Size if half a percent of the
    /// members left and as many came: 1.14 bytes per removal and 35.73 per addition.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Changes { restored, removed, dropped, added } = &self.changes;
        let counts = [restored, removed, dropped].map(|list| count_of(list));
        let [restored_count, removed_count, dropped_count] = counts;
        let counts = [restored_count, removed_count, dropped_count, count_of(added)];
        let codes = Codes::new(&self.snapshot, self.additions_before, counts);
        let wide = |list: &[u32], code: ListCode| {
            code.encode(list.iter().map(|item| u64::from(*item)), Vec::new())
        };
        let sections = [
            wide(restored, codes.restored),
            wide(removed, codes.removed),
            wide(dropped, codes.dropped),
            additions::encode_values(codes.added, added, Vec::new()),
        ];

        let sections_bytes: usize = sections.iter().map(Vec::len).sum();
        let labels_bytes = added.len() * SEALED_LABEL_BYTES;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + sections_bytes + labels_bytes);
        bytes.extend(MAGIC);
        bytes.extend([FORMAT_VERSION, 0, 0, 0]);
        bytes.extend(codes.parameters());
        bytes.extend(self.snapshot.epoch.to_le_bytes());
        for number in [self.snapshot.number, self.versions.from, self.versions.to] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.additions_before.to_le_bytes());
        bytes.extend(counts.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(sections.iter().flat_map(|section| count_of(section).to_le_bytes()));
        bytes.extend([0; 4]);
        bytes.extend(sections.into_iter().flatten());
        bytes.extend(additions::encode_labels(added));
        bytes
    }

    /// Reads a delta, accepting exactly what [`Delta::encode`] writes for these arguments.
    ///
    /// Allocates in proportion to the input, after header and lengths have been checked. Whether
    /// the delta fits an overlay is found by [`Delta::apply`].
    ///
    /// # Errors
    /// Those of [`Overlay::decode`] but [`OverlayError::Capacity`];
    /// [`OverlayError::Versions`]; [`OverlayError::OrdinalRange`].
    pub fn decode(
        snapshot: &SnapshotIdentity,
        versions: DeltaVersions,
        bytes: &[u8],
    ) -> Result<Self, OverlayError> {
        check(bytes.len() <= DELTA_BYTES_MAX, OverlayError::TooLarge)?;
        let mut fields = Fields::new(bytes);
        let parameters = read_identity(&mut fields, snapshot, versions)?;
        let additions_before = fields.u32()?;
        let counts = fields.four()?;
        let lengths = fields.four()?;
        check(fields.u32()? == 0, OverlayError::Reserved)?;
        check_counts(additions_before, counts)?;

        let codes = Codes::new(snapshot, additions_before, counts);
        let [restored_bytes, removed_bytes, dropped_bytes, values_bytes] = lengths;
        let restored = fields.section(restored_bytes.into())?;
        let removed = fields.section(removed_bytes.into())?;
        let dropped = fields.section(dropped_bytes.into())?;
        let values = fields.section(values_bytes.into())?;
        let [.., added_count] = counts;
        let labels = fields.section(additions::labels_length(added_count))?;
        fields.finish()?;
        let [restored_parameter, removed_parameter, dropped_parameter, added_parameter] =
            parameters;
        let changes = Changes {
            restored: codes.restored.decode(restored_parameter, restored, narrow)?,
            removed: codes.removed.decode(removed_parameter, removed, narrow)?,
            dropped: codes.dropped.decode(dropped_parameter, dropped, narrow)?,
            added: additions::decode(codes.added, added_parameter, values, labels)?,
        };
        Ok(Self { snapshot: *snapshot, versions, additions_before, changes })
    }
}

/// Reads the header up to the versions; returns the Rice parameters.
fn read_identity(
    fields: &mut Fields<'_>,
    snapshot: &SnapshotIdentity,
    versions: DeltaVersions,
) -> Result<[u8; 4], OverlayError> {
    check(fields.array()? == MAGIC, OverlayError::Magic)?;
    check(fields.array()? == [FORMAT_VERSION], OverlayError::Version)?;
    check(fields.array()? == [0; 3], OverlayError::Reserved)?;
    let parameters = fields.array()?;
    check(fields.u32()? == snapshot.epoch, OverlayError::Epoch)?;
    check(fields.u64()? == snapshot.number, OverlayError::SnapshotNumber)?;
    let stated = DeltaVersions { from: fields.u64()?, to: fields.u64()? };
    check(stated == versions && stated.from < stated.to, OverlayError::Versions)?;
    Ok(parameters)
}

/// What it takes back is part of one overlay, what it adds part of another; both are limited.
fn check_counts(additions_before: u32, counts: [u32; 4]) -> Result<(), OverlayError> {
    let [restored, removed, dropped, added] = counts.map(u64::from);
    let most = OVERLAY_ENTRIES_MAX as u64;
    let before = restored + u64::from(additions_before);
    check(before <= most && removed + added <= most, OverlayError::TooLarge)?;
    check(dropped <= u64::from(additions_before), OverlayError::OrdinalRange)
}

/// The codes of the four lists.
struct Codes {
    restored: ListCode,
    removed: ListCode,
    dropped: ListCode,
    added: ListCode,
}

impl Codes {
    fn new(snapshot: &SnapshotIdentity, additions_before: u32, counts: [u32; 4]) -> Self {
        let [restored, removed, dropped, added] = counts;
        Self {
            restored: ListCode::ranks(snapshot, restored),
            removed: ListCode::ranks(snapshot, removed),
            dropped: ListCode::ordinals(additions_before, dropped),
            added: ListCode::values(snapshot, added),
        }
    }

    fn parameters(&self) -> [u8; 4] {
        [self.restored, self.removed, self.dropped, self.added].map(|code| code.parameter())
    }
}

/// Sizes only.
impl fmt::Debug for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delta")
            .field("snapshot", &self.snapshot)
            .field("versions", &self.versions)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}
