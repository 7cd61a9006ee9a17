//! What a registrar changes: read and sealed slice by slice on the evaluator's pool, then stored.

use std::{fmt, sync::Arc};

use acquaint_core::{
    keys::Row,
    limits::{ELEMENT_BYTES, LABEL_BYTES},
    oprf::{self, OprfElement},
    tag::Label,
};
use bytes::Bytes;

use super::{
    Directory, DirectoryError,
    lines::{Parts, check_room},
};
use crate::{evaluator::Reservation, store::Applied};

/// Entries to register: parallel arrays as they came over the wire.
pub struct Entries {
    /// OPRF outputs, 32 bytes each.
    pub elements: Bytes,
    /// Labels, 16 bytes each.
    pub labels: Bytes,
    /// Keep, but do not publish.
    pub hidden: bool,
}

impl Entries {
    /// Cuts the arrays into slices of elements with their labels.
    ///
    /// # Errors
    /// [`DirectoryError::Element`] for the number of elements, [`DirectoryError::LabelLength`].
    fn slices(&self) -> Result<impl Iterator<Item = Self>, DirectoryError> {
        let slices = oprf::slices(self.elements.len())?;
        let n_elements = self.elements.len() / ELEMENT_BYTES;
        if self.labels.len() != n_elements * LABEL_BYTES {
            return Err(DirectoryError::LabelLength);
        }
        let slice = |(first, range): (usize, std::ops::Range<usize>)| {
            let end = first + range.len() / ELEMENT_BYTES;
            let labels = self.labels.slice(first * LABEL_BYTES..end * LABEL_BYTES);
            Self { elements: self.elements.slice(range), labels, hidden: self.hidden }
        };
        Ok(slices.map(slice))
    }

    /// Reads elements and labels, of which there are as many.
    ///
    /// # Errors
    /// [`DirectoryError::Element`].
    pub(super) fn parse(&self) -> Result<Vec<Row>, DirectoryError> {
        let elements = OprfElement::parse_batch(&self.elements)?;
        let (labels, _) = self.labels.as_chunks::<LABEL_BYTES>();
        let row = |(element, label): (OprfElement, &[u8; LABEL_BYTES])| Row {
            element,
            label: Label(*label),
            hidden: self.hidden,
        };
        Ok(elements.into_iter().zip(labels).map(row).collect())
    }
}

impl Directory {
    /// Stores entries of an epoch durably, all or none; known elements get the new label and
    /// visibility. During a rotation they are stored under both epochs.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing of these entries is stored then, as far as anyone was told.
    pub async fn register(
        &self,
        reservation: &Reservation,
        epoch: u32,
        entries: Entries,
    ) -> Result<Applied, DirectoryError> {
        let _turn = self.turns.take().await;
        let lines = self.lines.load_full();
        let puts = |slice: Entries| {
            let lines = Arc::clone(&lines);
            move || lines.puts(epoch, &slice.parse()?)
        };
        let parts = joined(reservation.run_all(entries.slices()?.map(puts)).await?)?;
        check_room(&*self.store, &parts, self.entries_max)?;
        self.apply(parts).await
    }

    /// Removes entries of an epoch durably, all or none; unknown elements are passed over. During
    /// a rotation they are removed from both epochs.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing is removed then, as far as anyone was told.
    pub async fn unregister(
        &self,
        reservation: &Reservation,
        epoch: u32,
        elements: Bytes,
    ) -> Result<Applied, DirectoryError> {
        let _turn = self.turns.take().await;
        let lines = self.lines.load_full();
        let removals = |(_, range): (usize, std::ops::Range<usize>)| {
            let (lines, elements) = (Arc::clone(&lines), elements.slice(range));
            move || lines.removals(epoch, &OprfElement::parse_batch(&elements)?)
        };
        let slices = oprf::slices(elements.len())?;
        let parts = joined(reservation.run_all(slices.map(removals)).await?)?;
        self.apply(parts).await
    }
}

/// The changes of all slices as those of one batch: by epoch, in their order.
fn joined(slices: Vec<Result<Parts, DirectoryError>>) -> Result<Parts, DirectoryError> {
    let mut slices = slices.into_iter();
    let mut all = slices.next().transpose()?.unwrap_or_default();
    for parts in slices {
        // All were made for the same epochs, in the same order.
        for ((_, changes), (_, more)) in all.iter_mut().zip(parts?) {
            changes.extend(more);
        }
    }
    Ok(all)
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} bytes REDACTED)", self.elements.len())
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::{engine::Engine, limits::SLICE_ELEMENTS};

    use super::*;

    fn entries(n: usize) -> Entries {
        let uniform = |i: usize| {
            let mut bytes = [0; 64];
            blake3::Hasher::new().update(&i.to_le_bytes()).finalize_xof().fill(&mut bytes);
            bytes
        };
        let engine = Engine::current();
        let uniform: Vec<_> = (0..n).map(uniform).collect();
        let elements = engine.encode(&engine.map_to_group(&uniform)).concat();
        let labels: Vec<u8> = (0..n).flat_map(|i| (i as u128).to_le_bytes()).collect();
        Entries { elements: elements.into(), labels: labels.into(), hidden: true }
    }

    #[test]
    fn slices_of_entries_are_the_entries() {
        for n in [1, SLICE_ELEMENTS, SLICE_ELEMENTS + 1, 4_096] {
            let entries = entries(n);
            let slices: Vec<_> = entries.slices().unwrap().collect();
            assert_eq!(slices.len(), n.div_ceil(SLICE_ELEMENTS));
            let rows: Vec<_> = slices.iter().flat_map(|slice| slice.parse().unwrap()).collect();
            assert_eq!(rows.len(), n);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(row.element.expose_bytes()[..], entries.elements[32 * i..][..32]);
                assert_eq!(row.label.0, (i as u128).to_le_bytes());
                assert!(row.hidden);
            }
        }
    }

    #[test]
    fn entries_need_a_label_each() {
        for length in [0, 15, 17, 31, 33, 48] {
            let labels = vec![0; length].into();
            let refused = Entries { labels, ..entries(2) }.slices().err();
            assert_eq!(refused, Some(DirectoryError::LabelLength), "{length}");
        }
        let none = Entries { elements: Bytes::new(), labels: Bytes::new(), hidden: false };
        assert!(matches!(none.slices().err(), Some(DirectoryError::Element(_))));
    }

    #[test]
    fn slices_join_by_epoch_and_one_refusal_is_that_of_all() {
        use crate::store::{Change, Handle};
        let change = |n: u8| Change::Remove { handle: Handle::new([n; 32]) };
        let part = |n: u8| Ok(vec![(1, vec![change(n)]), (2, vec![change(n + 100)])]);
        let all = joined(vec![part(1), part(2), part(3)]).unwrap();
        let expected = [
            (1, vec![change(1), change(2), change(3)]),
            (2, vec![change(101), change(102), change(103)]),
        ];
        assert_eq!(all, expected);
        let refused = joined(vec![part(1), Err(DirectoryError::Epoch), part(3)]);
        assert_eq!(refused.unwrap_err(), DirectoryError::Epoch);
    }
}
