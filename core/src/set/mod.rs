//! The published set: sorted tags, Golomb–Rice coded in segments.
//!
//! A snapshot's set is a **multiset** of tags, scaled into a [`Universe`] and cut into segments by
//! tag prefix. A member's position in it is its *rank*, and the rank locates its sealed label in
//! the label array. The coding is canonical: the same members in the same universe give the same
//! bytes, so digests compare between clients, auditors and replicas.
//!
//! A directory that changed since is told apart by an [`Overlay`]: ranks of the snapshot never
//! shift.
//!
//! What it guarantees: a decoded segment re-encodes to the bytes it came from; every other input
//! is an error, found with memory in proportion to the input.
//!
//! What it does not: a match is not a proof of membership. One look-up in `2^20.6` of a
//! non-member hits (at `capacity` members), and distinct tags may share a value. Opening the
//! label decides; a client tries every rank of the range it got. Nothing here is constant time:
//! a set is public and a look-up happens on the device that owns the address book.
//!
//! ```
//! use acquaint_core::set::{self, Expected, Record, Segment, Set, Universe};
//!
//! let universe = Universe::for_members(2)?;
//! let mut records = [
//!     Record { tag: u64::MAX, sealed_label: [2; 32] },
//!     Record { tag: 7, sealed_label: [1; 32] },
//! ];
//! let mut segments = Vec::new();
//! for (index, built) in (0..).zip(set::build(&universe, 1, &mut records)) {
//!     let built = built?;
//!     let expected = Expected { snapshot_number: 1, index, count: built.count };
//!     segments.push(Segment::decode(&universe, expected, &built.bytes)?);
//! }
//! let set = Set::new(&universe, 1, segments)?;
//! assert_eq!(set.lookup(u64::MAX), Some(1..2));
//! assert_eq!(set.lookup(1 << 60), None);
//! # Ok::<(), set::SetError>(())
//! ```
//!
//! Source: ours; spacing and coding after BIP-158, with `P = 20` and prefix segments.

mod build;
mod entry;
mod error;
mod header;
mod overlay;
mod rice;
mod segment;
mod snapshot;
mod table;
mod universe;

#[cfg(test)]
mod tests;

pub use build::{EncodedSegment, EncodedSegments, Record, build, build_segment, encode_sorted};
pub use entry::Entry;
pub use error::SetError;
pub use overlay::{Compaction, Delta, DeltaVersions, Overlay, OverlayError, OverlayHit, compact};
pub use segment::{Expected, Segment, SegmentHit, encode_segment, find_in_segment};
pub use snapshot::{SnapshotIdentity, SnapshotSegment, SnapshotView};
pub use table::Set;
pub use universe::Universe;

/// Low bits of a gap stored verbatim: the Rice parameter `P`.
///
/// One more bit would halve the false positives for 0.125 bytes per member.
pub const RICE_PARAMETER: u8 = 20;

/// Mean gap between neighbors at `capacity` members: `M = round(1.497137 · 2^20)`.
///
/// The spacing at which Rice parameter 20 is optimal; BIP-158 uses the same ratio with 19.
pub const MEAN_GAP: u64 = 1_569_862;
