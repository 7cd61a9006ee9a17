//! Matching, on the device: tags against the set, then keys against the labels of hits.

use std::ops::Range;

use acquaint_core::{
    manifest::VerifiedManifest,
    set::{Expected, find_in_segment},
};
use zeroize::Zeroizing;

use super::{evaluate::Evaluated, labels::Labels, segments::Segments};
use crate::{
    error::{ClientError, Misbehavior},
    outcome::Match,
};

/// A contact whose tag is in the set, perhaps by chance.
pub(super) struct Hit {
    /// Position among the evaluated contacts.
    position: usize,
    pub(super) segment: u32,
    /// Where its label may be, within the segment; not empty.
    pub(super) ranks: Range<u32>,
}

/// Finds the contacts' tags in the set.
///
/// Every segment is decoded, whichever the tags fall into: an operator that publishes one that
/// cannot be read must not learn from the failure who has a contact in it. Their digests have been
/// checked, so that one that cannot be decoded was published that way.
pub(super) fn search(
    manifest: &VerifiedManifest,
    segments: &Segments,
    contacts: &[Evaluated],
) -> Result<Vec<Hit>, ClientError> {
    // Sorted, because the segment is the first bits of a tag: equal segments come together.
    let mut wanted: Vec<(u64, usize)> = contacts
        .iter()
        .enumerate()
        .map(|(position, contact)| (contact.tag.expose_u64(), position))
        .collect();
    wanted.sort_unstable();
    let wanted = Zeroizing::new(wanted);
    let mut rest = wanted.as_slice();
    let mut hits = Vec::new();
    for segment in 0..manifest.universe.segment_count() {
        let n_same = rest.partition_point(|(tag, _)| manifest.universe.segment_of(*tag) <= segment);
        let (same_segment, later) = rest.split_at(n_same);
        rest = later;
        let tags: Zeroizing<Vec<u64>> =
            Zeroizing::new(same_segment.iter().map(|(tag, _)| *tag).collect());
        let found = find(manifest, segments, segment, &tags)?;
        for (tag, position) in same_segment {
            // One hit for each time a tag was asked for; all have the same ranks.
            if let Ok(i) = found.binary_search_by_key(tag, |(tag, _)| *tag) {
                let ranks = found.get(i).map_or(0..0, |(_, ranks)| ranks.clone());
                hits.push(Hit { position: *position, segment, ranks });
            }
        }
    }
    Ok(hits)
}

/// Tags of one segment that are in the set, ascending, with their ranks.
fn find(
    manifest: &VerifiedManifest,
    segments: &Segments,
    index: u32,
    tags: &[u64],
) -> Result<Vec<(u64, Range<u32>)>, ClientError> {
    let info = manifest.segments.get(index as usize);
    let (Some(info), Some(bytes)) = (info, segments.get(index)) else {
        return Err(ClientError::Internal);
    };
    let expected = Expected { snapshot_number: manifest.snapshot, index, count: info.members };
    let mut found: Vec<_> = find_in_segment(&manifest.universe, expected, bytes, tags)
        .map_err(|_| Misbehavior::SetMalformed)?
        .into_iter()
        .map(|hit| (hit.tag, hit.ranks))
        .collect();
    found.sort_unstable_by_key(|(tag, _)| *tag);
    Ok(found)
}

/// Opens the labels of hits. One that opens makes a match; none that does was chance.
pub(super) fn open(
    epoch: u32,
    contacts: &[Evaluated],
    hits: &[Hit],
    labels: &Labels,
) -> Vec<Match> {
    let mut matches: Vec<Match> = hits
        .iter()
        .filter_map(|hit| {
            let Evaluated { contact, tag, label_key } = contacts.get(hit.position)?;
            let label = hit.ranks.clone().find_map(|rank| {
                label_key.open(tag, epoch, &labels.get(hit.segment, rank)?).ok()
            })?;
            Some(Match { contact: *contact, label })
        })
        .collect();
    matches.sort_unstable_by_key(|found| found.contact);
    matches
}
