//! Why an overlay or a delta was refused.

use crate::set::SetError;

/// Why an overlay, a delta or a snapshot under one was refused. Constant texts; they never repeat
/// the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// More entries than `limits::OVERLAY_ENTRIES_MAX`, or more bytes than
    /// `limits::OVERLAY_BYTES_MAX` or `limits::DELTA_BYTES_MAX`.
    #[error("the overlay or delta is larger than the limit")]
    TooLarge,
    /// The directory would have more members than `limits::DIRECTORY_MEMBERS_MAX`.
    #[error("the number of members is outside the limits of a directory")]
    Capacity,
    /// The bytes end before the header, a section or a number does.
    #[error("the overlay or delta is truncated")]
    Truncated,
    /// Bytes after the last section, or whole bytes of a section after its last number.
    #[error("the overlay or delta has trailing bytes")]
    TrailingBytes,
    /// The first bytes are not those of an overlay or a delta, whichever was expected.
    #[error("not an overlay, or not a delta")]
    Magic,
    /// A format version this code does not know.
    #[error("unknown version of the overlay or delta format")]
    Version,
    /// A reserved header byte that is not zero.
    #[error("a reserved byte is not zero")]
    Reserved,
    /// Another Rice parameter than the one that follows from range and count.
    #[error("wrong Rice parameter")]
    RiceParameter,
    /// The bytes belong to another epoch.
    #[error("the overlay or delta belongs to another epoch")]
    Epoch,
    /// The bytes belong to another snapshot.
    #[error("the overlay or delta belongs to another snapshot")]
    SnapshotNumber,
    /// A delta between other versions than expected, or one that does not lead forward.
    #[error("the delta is between other versions")]
    Versions,
    /// More numbers than a section has room for; found before anything is allocated.
    #[error("a section is too short for its number of entries")]
    CountTooHigh,
    /// Bits after the last number of a section that are not zero.
    #[error("the padding is not zero")]
    Padding,
    /// A rank at or past the number of members of the snapshot.
    #[error("a rank lies outside the snapshot")]
    RankRange,
    /// A value at or past the width of the universe.
    #[error("a value lies outside the universe")]
    ValueRange,
    /// An ordinal at or past the number of additions.
    #[error("an ordinal lies outside the additions")]
    OrdinalRange,
    /// Entries or values that do not ascend.
    #[error("the entries are not in canonical order")]
    Order,
    /// Overlay, delta and snapshot that do not belong together.
    #[error("overlay, delta and snapshot do not belong together")]
    OtherSnapshot,
    /// A delta from an overlay with another number of additions.
    #[error("the delta starts from another overlay")]
    OtherOverlay,
    /// A delta restores a rank that was not removed.
    #[error("the delta restores a member that was not removed")]
    NotRemoved,
    /// A delta removes a rank that is removed already.
    #[error("the delta removes a member twice")]
    RemovedTwice,
    /// A delta or overlay with the right effect, but not the canonical form of it.
    #[error("the overlay or delta is not in canonical form")]
    NotCanonical,
    /// An entry left that is not a member.
    #[error("an entry that left was not a member")]
    NotAMember,
    /// A segment's labels take another number of bytes than its members need.
    #[error("the labels do not match the number of members")]
    LabelBytes,
    /// The snapshot itself is malformed, or a compacted segment would be too large.
    #[error("the snapshot is malformed or a segment is too large")]
    Segment(#[from] SetError),
}
