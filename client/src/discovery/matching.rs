//! Matching, on the device: tags against the set, then keys against the labels of hits.

use acquaint_core::set::{Expected, OverlayHit, find_in_segment};
use acquaint_core::tag::SealedLabel;
use zeroize::Zeroizing;

use super::{evaluate::Evaluated, holding::Holding};
use crate::{
    error::{ClientError, Misbehavior},
    outcome::Match,
};

/// A contact whose tag is in the directory, perhaps by chance.
struct Hit {
    /// Position among the evaluated contacts.
    position: usize,
    /// Where its label may be.
    places: OverlayHit,
}

/// The contacts that are registered, ascending.
///
/// # Errors
/// [`Misbehavior::SetMalformed`] if the operator published what cannot be read.
pub(super) fn find(holding: &Holding, contacts: &[Evaluated]) -> Result<Vec<Match>, ClientError> {
    let hits = search(holding, contacts)?;
    let mut matches: Vec<Match> =
        hits.iter().filter_map(|hit| open(holding, contacts.get(hit.position)?, hit)).collect();
    matches.sort_unstable_by_key(|found| found.contact);
    Ok(matches)
}

/// Finds the contacts' tags in the snapshot and its overlay.
///
/// Every segment is decoded, whichever the tags fall into: an operator that publishes one that
/// cannot be read must not learn from the failure who has a contact in it. Their digests have been
/// checked, so that one that cannot be decoded was published that way.
fn search(holding: &Holding, contacts: &[Evaluated]) -> Result<Vec<Hit>, ClientError> {
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
    let identity = holding.view().identity();
    let mut first_rank = 0;
    for (index, segment) in (0..).zip(holding.view().segments()) {
        let n_same = rest.partition_point(|(tag, _)| identity.universe.segment_of(*tag) <= index);
        let (same_segment, later) = rest.split_at(n_same);
        rest = later;
        let tags: Zeroizing<Vec<u64>> =
            Zeroizing::new(same_segment.iter().map(|(tag, _)| *tag).collect());
        let expected = Expected { snapshot_number: identity.number, index, count: segment.count };
        let mut found = find_in_segment(&identity.universe, expected, &segment.bytes, &tags)
            .map_err(|_| Misbehavior::SetMalformed)?;
        found.sort_unstable_by_key(|hit| hit.tag);
        for (tag, position) in same_segment {
            // One for each time a tag was asked for; all have the same ranks.
            let at = found.binary_search_by_key(tag, |hit| hit.tag).ok();
            let ranks = at.and_then(|at| found.get(at)).map_or(0..0, |hit| hit.ranks.clone());
            let ranks = first_rank + ranks.start..first_rank + ranks.end;
            let places = holding.overlay().lookup(*tag, ranks);
            if !places.is_empty() {
                hits.push(Hit { position: *position, places });
            }
        }
        first_rank += segment.count;
    }
    Ok(hits)
}

/// Opens the labels of a hit. One that opens makes a match; if none does, it was chance.
fn open(holding: &Holding, contact: &Evaluated, hit: &Hit) -> Option<Match> {
    let Evaluated { contact, tag, label_key } = contact;
    let in_snapshot = hit.places.ranks.iter().filter_map(|rank| holding.view().label(*rank));
    let (start, end) = (hit.places.added.start as usize, hit.places.added.end as usize);
    let added = holding.overlay().added().get(start..end).unwrap_or_default();
    let sealed = in_snapshot.chain(added.iter().map(|entry| &entry.sealed_label));
    let label = sealed
        .filter_map(|sealed| label_key.open(tag, holding.epoch(), &SealedLabel(*sealed)).ok())
        .next()?;
    Some(Match { contact: *contact, label })
}
