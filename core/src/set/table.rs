//! The client's view of a whole snapshot: every segment decoded, ranks counted over all.

use std::fmt;
use std::ops::Range;

use super::{Expected, Segment, SetError, Universe};

/// All segments of one snapshot, decoded: from a tag to the ranks of the members that may be it.
///
/// A rank is the number of members before, over all segments; it is the position in the label
/// array. Memory: four bytes per member and some 150 per segment; a device that cannot spare it
/// uses [`find_in_segment`](super::find_in_segment).
#[derive(Clone)]
pub struct Set {
    universe: Universe,
    segments: Vec<Segment>,
    /// The rank of the first member of each segment; then the number of members.
    first_ranks: Vec<u64>,
}

impl Set {
    /// Joins the segments of a snapshot: all of them, by ascending index.
    ///
    /// # Errors
    /// [`SetError::SegmentSequence`] if one is missing, surplus, out of order or of another
    /// universe or snapshot.
    pub fn new(
        universe: &Universe,
        snapshot_number: u64,
        segments: Vec<Segment>,
    ) -> Result<Self, SetError> {
        let complete = segments.len() as u64 == u64::from(universe.segment_count());
        let in_order = (0..).zip(&segments).all(|(index, segment)| {
            let expected = Expected { snapshot_number, index, count: segment.count() };
            segment.identity() == (*universe, expected)
        });
        if !complete || !in_order {
            return Err(SetError::SegmentSequence);
        }
        let mut first_ranks = Vec::with_capacity(segments.len() + 1);
        let mut members = 0;
        for segment in &segments {
            first_ranks.push(members);
            members += u64::from(segment.count());
        }
        first_ranks.push(members);
        Ok(Self { universe: *universe, segments, first_ranks })
    }

    /// The ranks of the members with this tag's value, or `None` if there are none.
    ///
    /// A range is never empty and usually has one rank. Each of them may be the member or not:
    /// only a label that opens proves it.
    #[must_use]
    pub fn lookup(&self, tag: u64) -> Option<Range<u64>> {
        let index = usize::try_from(self.universe.segment_of(tag)).ok()?;
        let ranks = self.segments.get(index)?.ranks_of(self.universe.value_of(tag));
        let first = self.first_ranks.get(index)?;
        let global = first + u64::from(ranks.start)..first + u64::from(ranks.end);
        (!global.is_empty()).then_some(global)
    }

    /// The universe of the snapshot.
    #[must_use]
    pub fn universe(&self) -> &Universe {
        &self.universe
    }

    /// The number of members.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.first_ranks.last().copied().unwrap_or(0)
    }

    /// The segments by ascending index, for compaction.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// Sizes only.
impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set")
            .field("universe", &self.universe)
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}
