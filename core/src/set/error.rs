//! Why a universe, a segment or a set was refused.

/// Why a universe, a segment or a set was refused. Constant texts; they never repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// A capacity of zero, or capacity or members above `limits::DIRECTORY_MEMBERS_MAX`.
    #[error("the number of members is outside the limits of a directory")]
    Capacity,
    /// Segment bits or width that do not follow from the capacity.
    #[error("the parameters of the universe contradict each other")]
    Parameters,
    /// More bytes than `limits::SEGMENT_BYTES_MAX`, given or about to be produced.
    #[error("the segment is larger than the limit")]
    TooLarge,
    /// The bytes end before the header, the body or a member does.
    #[error("the segment is truncated")]
    Truncated,
    /// Bytes after the body, or whole bytes of the body after the last member.
    #[error("the segment has trailing bytes")]
    TrailingBytes,
    /// The first bytes are not those of a segment.
    #[error("not a set segment")]
    Magic,
    /// A format version this code does not know.
    #[error("unknown version of the segment format")]
    Version,
    /// Another Rice parameter than [`RICE_PARAMETER`](super::RICE_PARAMETER).
    #[error("wrong Rice parameter")]
    RiceParameter,
    /// Another number of segment bits than the universe has.
    #[error("wrong number of segment bits")]
    SegmentBits,
    /// A reserved header byte that is not zero.
    #[error("a reserved byte is not zero")]
    Reserved,
    /// The segment belongs to another snapshot.
    #[error("the segment belongs to another snapshot")]
    SnapshotNumber,
    /// The segment has another index, or the universe has no such segment.
    #[error("wrong segment index")]
    Index,
    /// The segment holds another number of members than the manifest says.
    #[error("wrong number of members")]
    Count,
    /// More members than the body has room for; found before anything is allocated.
    #[error("the body is too short for the number of members")]
    CountTooHigh,
    /// A value at or past the width of the segment.
    #[error("a value lies outside the segment")]
    ValueRange,
    /// Bits after the last member that are not zero.
    #[error("the padding is not zero")]
    Padding,
    /// Values or records that do not ascend.
    #[error("the members are not in canonical order")]
    Order,
    /// A record whose tag lies in another segment.
    #[error("a record belongs to another segment")]
    ForeignRecord,
    /// Decoded segments that are not all segments of one snapshot in order.
    #[error("the segments are not those of one snapshot, complete and in order")]
    SegmentSequence,
}
