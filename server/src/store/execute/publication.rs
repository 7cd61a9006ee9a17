//! Publications: recorded in order, forgotten from the oldest on.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};

use super::super::error::Fault;
use super::super::{Publication, StoreError, tables};
use super::{Execution, Outcome, STEP_PUBLICATIONS_MAX, remove_lowest};

impl Execution<'_> {
    pub(super) fn publish(&mut self, publication: &Publication) -> Outcome<()> {
        let last = last_sequence(&self.publications)?;
        if last.checked_add(1) != Some(publication.sequence) {
            return Ok(Err(StoreError::OutOfOrder));
        }
        let record = tables::encode_publication(publication);
        self.publications.insert(&publication.sequence.to_be_bytes(), record.as_slice())?;
        self.written = true;
        Ok(Ok(()))
    }

    /// One step of forgetting publications; says whether it was the last. The newest one stays:
    /// without it the chain of manifests could not go on.
    pub(super) fn prune_publications(&mut self, up_to: u64) -> Result<bool, Fault> {
        let up_to = up_to.min(last_sequence(&self.publications)?.saturating_sub(1)).to_be_bytes();
        let limit = STEP_PUBLICATIONS_MAX;
        let removed = remove_lowest(&mut self.publications, &[0; 8], &up_to, limit)?;
        self.written |= removed > 0;
        Ok(removed < limit)
    }
}

pub(in super::super) fn read_last_publication(
    publications: &impl ReadableTable<&'static [u8; 8], &'static [u8]>,
) -> Result<Option<Publication>, Fault> {
    let Some((key, record)) = publications.last()? else { return Ok(None) };
    let sequence = u64::from_be_bytes(*key.value());
    Ok(Some(tables::decode_publication(sequence, record.value())?))
}

/// The publications after a sequence number, in order.
pub(in super::super) fn publications_after(
    snapshot: &ReadTransaction,
    sequence: u64,
) -> Result<Vec<Publication>, Fault> {
    let publications = snapshot.open_table(tables::PUBLICATIONS)?;
    let after = sequence.to_be_bytes();
    publications
        .range::<&[u8; 8]>((Bound::Excluded(&after), Bound::Unbounded))?
        .map(|publication| {
            let (key, record) = publication?;
            let sequence = u64::from_be_bytes(*key.value());
            Ok(tables::decode_publication(sequence, record.value())?)
        })
        .collect()
}

fn last_sequence(
    publications: &impl ReadableTable<&'static [u8; 8], &'static [u8]>,
) -> Result<u64, Fault> {
    Ok(publications.last()?.map_or(0, |(key, _)| u64::from_be_bytes(*key.value())))
}
