//! Batches of blinded elements: read and evaluated slice by slice, on the evaluator's pool.

use std::{fmt, sync::Arc};

use acquaint_core::oprf::{self, BlindedSlice, Evaluation, SecretKey};
use bytes::Bytes;

use super::{Directory, DirectoryError};
use crate::{admission::Charged, evaluator::Reservation};

/// The key of an epoch that is served. Whoever has it may finish what was begun under it.
pub struct EpochKey(Arc<SecretKey>);

/// A batch of blinded elements, decoded.
#[derive(Debug)]
pub struct Batch {
    slices: Vec<BlindedSlice>,
}

impl Batch {
    /// Number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.slices.iter().map(BlindedSlice::len).sum()
    }

    async fn parse(reservation: &Reservation, elements: &Bytes) -> Result<Self, DirectoryError> {
        let parse = |(first, range)| {
            let bytes = elements.slice(range);
            move || BlindedSlice::parse(first, &bytes)
        };
        let slices = reservation.run_all(oprf::slices(elements.len())?.map(parse)).await?;
        Ok(Self { slices: slices.into_iter().collect::<Result<_, _>>()? })
    }

    async fn evaluate(
        self,
        reservation: &Reservation,
        secret: Arc<SecretKey>,
    ) -> Result<Evaluation, DirectoryError> {
        let evaluate = |slice: BlindedSlice| {
            let secret = Arc::clone(&secret);
            move || slice.evaluate(&secret)
        };
        let slices = reservation.run_all(self.slices.into_iter().map(evaluate)).await?;
        let join = move || Evaluation::join(&slices, &secret, &mut rand::rng());
        Ok(reservation.run(join).await?)
    }
}

impl Directory {
    /// The key of an epoch.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`] if it is not served.
    pub fn key(&self, epoch: u32) -> Result<EpochKey, DirectoryError> {
        Ok(EpochKey(Arc::clone(&self.lines.load().served(epoch)?.secret)))
    }

    /// Reads a batch of blinded elements, on the evaluator's pool.
    ///
    /// # Errors
    /// [`DirectoryError::Element`], [`DirectoryError::Evaluator`].
    pub async fn parse_batch(
        &self,
        reservation: &Reservation,
        elements: Bytes,
    ) -> Result<Batch, DirectoryError> {
        Batch::parse(reservation, &elements).await
    }

    /// Evaluates a batch under an epoch's key, with its proof, on the evaluator's pool.
    ///
    /// Nothing is evaluated that was not charged: only a gate makes a [`Charged`].
    ///
    /// # Errors
    /// [`DirectoryError::Evaluator`].
    pub async fn evaluate(
        &self,
        reservation: &Reservation,
        EpochKey(secret): EpochKey,
        batch: Batch,
        _charged: &Charged,
    ) -> Result<Evaluation, DirectoryError> {
        let n_elements = batch.len() as u64;
        let evaluation = batch.evaluate(reservation, secret).await?;
        self.evaluator.count_evaluated(n_elements);
        Ok(evaluation)
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochKey(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::{
        limits::{BATCH_ELEMENTS_MAX, SLICE_ELEMENTS},
        oprf::{BlindedBatch, ElementError, Mode, Padding, blind, blind_evaluate, derive_key_pair},
    };

    use super::*;
    use crate::evaluator::Evaluator;

    /// The path of one job, as the oracle; the proof is checked as clients do.
    #[tokio::test]
    async fn a_batch_in_slices_is_answered_as_a_whole_one() {
        let evaluator = Evaluator::start(2, 4_096).unwrap();
        let (secret, public) = derive_key_pair(Mode::Voprf, &[5; 32], b"test").unwrap();
        let secret = Arc::new(secret);
        for n in [1, SLICE_ELEMENTS, SLICE_ELEMENTS + 1, BATCH_ELEMENTS_MAX] {
            let inputs: Vec<_> = (0..n).map(|i| format!("tel:+999{i:09}").into_bytes()).collect();
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let blinding = blind(Mode::Voprf, &inputs, Padding::None, &mut rand::rng()).unwrap();
            let bytes = Bytes::from(blinding.to_bytes());

            let reservation = evaluator.reserve(u32::try_from(n).unwrap()).unwrap();
            let batch = Batch::parse(&reservation, &bytes).await.unwrap();
            assert_eq!((batch.len(), batch.slices.len()), (n, n.div_ceil(SLICE_ELEMENTS)));
            let answer = batch.evaluate(&reservation, Arc::clone(&secret)).await.unwrap();

            let whole = BlindedBatch::try_from(&bytes[..]).unwrap();
            let oracle = blind_evaluate(Mode::Voprf, &secret, &whole, &mut rand::rng());
            assert_eq!(answer.elements, oracle.elements, "{n}");
            let proof = answer.proof.unwrap().to_bytes();
            blinding.verify(&public, &answer.elements.concat(), &proof).unwrap();
        }
    }

    #[tokio::test]
    async fn one_bad_element_of_any_slice_refuses_the_batch() {
        let evaluator = Evaluator::start(2, 4_096).unwrap();
        let inputs = vec![&b"tel:+999000000000"[..]; 2 * SLICE_ELEMENTS];
        let blinding = blind(Mode::Voprf, &inputs, Padding::None, &mut rand::rng()).unwrap();
        let reservation = evaluator.reserve(4_096).unwrap();
        for bad in [0, SLICE_ELEMENTS - 1, SLICE_ELEMENTS, 2 * SLICE_ELEMENTS - 1] {
            let mut bytes = blinding.to_bytes();
            bytes[bad * 32..][..32].fill(0xff);
            let refused = Batch::parse(&reservation, &bytes.into()).await.unwrap_err();
            assert_eq!(refused, DirectoryError::Element(ElementError::InvalidElement));
        }
        let refused = Batch::parse(&reservation, &Bytes::new()).await.unwrap_err();
        assert_eq!(refused, DirectoryError::Element(ElementError::BatchSize));
    }
}
