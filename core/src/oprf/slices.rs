//! A batch in slices: several threads may share it, and none is held for a whole batch.
//!
//! Each slice is decoded, multiplied and weighted for the proof on its own; what is left for the
//! batch as a whole is a sum and a few multiplications. The answer does not depend on how a batch
//! was sliced: with the same randomness it is that of [`blind_evaluate`](super::blind_evaluate),
//! bit for bit.

use std::{fmt, iter, ops::Range};

use curve25519_dalek::RistrettoPoint;
use rand_core::CryptoRng;

use super::{BlindedBatch, ElementError, Evaluation, Mode, SecretKey, proof};
use crate::{
    engine::Engine,
    limits::{BATCH_ELEMENTS_MAX, ELEMENT_BYTES, SLICE_ELEMENTS},
};

/// Blinded elements of a batch from a position on.
pub struct BlindedSlice {
    first: usize,
    batch: BlindedBatch,
}

/// A slice, evaluated, with its share of the proof.
pub struct EvaluatedSlice {
    first: usize,
    elements: Vec<[u8; ELEMENT_BYTES]>,
    /// `Σ d_i·B_i` over the slice.
    composite: RistrettoPoint,
}

/// Where the slices of a batch of so many bytes lie: each with the position of its first element.
///
/// # Errors
/// [`ElementError::BatchSize`], as for a [`BlindedBatch`].
pub fn slices(n_bytes: usize) -> Result<impl Iterator<Item = (usize, Range<usize>)>, ElementError> {
    let n_elements = n_bytes / ELEMENT_BYTES;
    let whole = n_bytes.is_multiple_of(ELEMENT_BYTES);
    if !whole || !(1..=BATCH_ELEMENTS_MAX).contains(&n_elements) {
        return Err(ElementError::BatchSize);
    }
    let slice = move |first: usize| {
        let end = n_elements.min(first + SLICE_ELEMENTS);
        (first, first * ELEMENT_BYTES..end * ELEMENT_BYTES)
    };
    Ok((0..n_elements).step_by(SLICE_ELEMENTS).map(slice))
}

impl BlindedSlice {
    /// Reads a slice whose first element has a position in the batch.
    ///
    /// # Errors
    /// [`ElementError`], as for a [`BlindedBatch`].
    pub fn parse(first: usize, bytes: &[u8]) -> Result<Self, ElementError> {
        let batch = BlindedBatch::try_from(bytes)?;
        // The position goes into the proof, in two bytes.
        if first > BATCH_ELEMENTS_MAX - batch.len() {
            return Err(ElementError::BatchSize);
        }
        Ok(Self { first, batch })
    }

    /// Number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a slice is never empty")]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Multiplies the slice by a key, and prepares the proof.
    ///
    /// Constant time in the key; the elements are public.
    #[must_use]
    pub fn evaluate(&self, key: &SecretKey) -> EvaluatedSlice {
        let batch = &self.batch.0;
        let elements = Engine::current().evaluate(&key.0, &batch.points);
        let composite =
            proof::composite(Mode::Voprf, &key.public_key(), self.first, batch, &elements);
        EvaluatedSlice { first: self.first, elements, composite }
    }
}

impl Evaluation {
    /// Joins all slices of a batch, in order, and proves the batch (mode VOPRF). The key must be
    /// the one that the slices were evaluated under.
    ///
    /// # Panics
    /// If a slice is missing or out of order.
    #[must_use]
    pub fn join(slices: &[EvaluatedSlice], key: &SecretKey, rng: &mut impl CryptoRng) -> Self {
        let ends = slices.iter().scan(0, |end, slice| {
            *end += slice.elements.len();
            Some(*end)
        });
        let in_order = iter::once(0).chain(ends).zip(slices).all(|(end, s)| end == s.first);
        assert!(in_order, "all slices of a batch are joined, in order");
        let composite = slices.iter().map(|slice| slice.composite).sum();
        let proof = proof::prove_composite(Mode::Voprf, key, &composite, rng);
        let elements = slices.iter().flat_map(|slice| slice.elements.iter().copied()).collect();
        Self { elements, proof: Some(proof) }
    }
}

impl fmt::Debug for BlindedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlindedSlice({} from {} REDACTED)", self.len(), self.first)
    }
}

impl fmt::Debug for EvaluatedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvaluatedSlice({} from {} REDACTED)", self.elements.len(), self.first)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

    use super::*;
    use crate::{
        engine::{Backend, scoped},
        oprf::{blind_evaluate, derive_key_pair},
    };

    fn elements(n: usize) -> Vec<u8> {
        let uniform = |i: usize| {
            let mut bytes = [7; 64];
            bytes[..8].copy_from_slice(&(i as u64).to_le_bytes());
            bytes
        };
        let engine = Engine::current();
        let uniform: Vec<_> = (0..n).map(uniform).collect();
        engine.encode(&engine.map_to_group(&uniform)).concat()
    }

    fn sliced(bytes: &[u8], key: &SecretKey, seed: u64) -> Evaluation {
        let evaluate = |(first, range): (usize, Range<usize>)| {
            BlindedSlice::parse(first, &bytes[range]).unwrap().evaluate(key)
        };
        let evaluated: Vec<_> = slices(bytes.len()).unwrap().map(evaluate).collect();
        Evaluation::join(&evaluated, key, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn slices_give_what_the_whole_batch_gives_bit_for_bit() {
        let (key, _) = derive_key_pair(Mode::Voprf, &[3; 32], b"test").unwrap();
        let same = || {
            for n in [1, 2, SLICE_ELEMENTS - 1, SLICE_ELEMENTS, SLICE_ELEMENTS + 1, 1_000] {
                let bytes = elements(n);
                let whole = BlindedBatch::try_from(&bytes[..]).unwrap();
                let mut rng = ChaCha20Rng::seed_from_u64(n as u64);
                let whole = blind_evaluate(Mode::Voprf, &key, &whole, &mut rng);
                let sliced = sliced(&bytes, &key, n as u64);
                assert_eq!(sliced.elements, whole.elements, "{n}");
                assert_eq!(sliced.proof, whole.proof, "{n}");
            }
        };
        for backend in Backend::ALL {
            // On a machine without the instructions there is nothing to test.
            assert!(scoped(backend, same).is_some() || backend.is_vectorized());
        }
    }

    #[test]
    fn slices_cover_a_batch_and_hold_its_limits() {
        for n in [1, SLICE_ELEMENTS, SLICE_ELEMENTS + 1, BATCH_ELEMENTS_MAX] {
            let mut end = 0;
            for (first, range) in slices(n * ELEMENT_BYTES).unwrap() {
                assert_eq!((first * ELEMENT_BYTES, range.start), (end, end));
                assert!(range.len() <= SLICE_ELEMENTS * ELEMENT_BYTES);
                end = range.end;
            }
            assert_eq!(end, n * ELEMENT_BYTES);
        }
        for n_bytes in [0, 31, 33, (BATCH_ELEMENTS_MAX + 1) * ELEMENT_BYTES] {
            assert_eq!(slices(n_bytes).map(Iterator::count), Err(ElementError::BatchSize));
        }
        let bytes = elements(2);
        assert!(BlindedSlice::parse(BATCH_ELEMENTS_MAX - 2, &bytes).is_ok());
        for first in [BATCH_ELEMENTS_MAX - 1, usize::MAX] {
            let error = BlindedSlice::parse(first, &bytes).unwrap_err();
            assert_eq!(error, ElementError::BatchSize);
        }
        let error = BlindedSlice::parse(0, &[0; 32]).unwrap_err();
        assert_eq!(error, ElementError::InvalidElement);
    }

    #[test]
    #[should_panic = "in order"]
    fn slices_out_of_order_are_not_joined() {
        let (key, _) = derive_key_pair(Mode::Voprf, &[3; 32], b"test").unwrap();
        let slice = |first| BlindedSlice::parse(first, &elements(1)).unwrap().evaluate(&key);
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        drop(Evaluation::join(&[slice(1), slice(0)], &key, rng));
    }

    #[test]
    fn debug_is_redacted() {
        let (key, _) = derive_key_pair(Mode::Voprf, &[3; 32], b"test").unwrap();
        let slice = BlindedSlice::parse(5, &elements(1)).unwrap();
        assert_eq!(format!("{slice:?}"), "BlindedSlice(1 from 5 REDACTED)");
        let evaluated = format!("{:?}", slice.evaluate(&key));
        assert_eq!(evaluated, "EvaluatedSlice(1 from 5 REDACTED)");
    }
}
