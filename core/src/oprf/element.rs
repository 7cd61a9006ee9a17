//! Bytes from the wire to batches of elements, and the unblinded output.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    engine::{Engine, Points},
    limits::{BATCH_ELEMENTS_MAX, ELEMENT_BYTES},
};

/// The one encoding of the identity.
pub(super) const IDENTITY: [u8; ELEMENT_BYTES] = [0; ELEMENT_BYTES];

/// Why bytes are not a batch of elements. The texts never repeat the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElementError {
    /// Not a whole number of elements, none, or more than [`BATCH_ELEMENTS_MAX`].
    #[error("a batch is 1 to 4096 elements of 32 bytes")]
    BatchSize,
    /// An element is not canonical, not in the group, or the identity.
    #[error("an element of the batch is not a canonical encoding, or is the identity")]
    InvalidElement,
}

/// A decoded batch with its encodings: 1 to [`BATCH_ELEMENTS_MAX`] elements, none the identity.
pub(super) struct Batch {
    pub(super) encodings: Vec<[u8; ELEMENT_BYTES]>,
    pub(super) points: Points,
}

impl Batch {
    fn parse(bytes: &[u8]) -> Result<Self, ElementError> {
        let (encodings, rest) = bytes.as_chunks::<ELEMENT_BYTES>();
        if !rest.is_empty() || !(1..=BATCH_ELEMENTS_MAX).contains(&encodings.len()) {
            return Err(ElementError::BatchSize);
        }
        // The engine accepts the identity, as RFC 9496 does; RFC 9497, section 2.1, does not.
        if encodings.contains(&IDENTITY) {
            return Err(ElementError::InvalidElement);
        }
        let points =
            Engine::current().decode(encodings).map_err(|_| ElementError::InvalidElement)?;
        Ok(Self { encodings: encodings.to_vec(), points })
    }
}

/// Blinded elements `B_i` as the server received them.
pub struct BlindedBatch(pub(super) Batch);

/// Evaluated elements `Z_i` as the client received them, not yet verified.
pub struct EvaluatedBatch(pub(super) Batch);

impl BlindedBatch {
    /// Number of elements.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.0.encodings.len()
    }
}

impl TryFrom<&[u8]> for BlindedBatch {
    type Error = ElementError;

    /// Reads elements of 32 bytes each, without separators.
    ///
    /// # Errors
    /// [`ElementError`]; a single bad element refuses the whole batch, before any multiplication.
    fn try_from(bytes: &[u8]) -> Result<Self, ElementError> {
        Batch::parse(bytes).map(Self)
    }
}

impl TryFrom<&[u8]> for EvaluatedBatch {
    type Error = ElementError;

    /// Reads elements of 32 bytes each, without separators.
    ///
    /// # Errors
    /// [`ElementError`], as for [`BlindedBatch`].
    fn try_from(bytes: &[u8]) -> Result<Self, ElementError> {
        Batch::parse(bytes).map(Self)
    }
}

impl fmt::Debug for BlindedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlindedBatch({} REDACTED)", self.0.encodings.len())
    }
}

impl fmt::Debug for EvaluatedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvaluatedBatch({} REDACTED)", self.0.encodings.len())
    }
}

/// The unblinded output `E = k·H(x)`: the secret that tag and label key are derived from.
///
/// Whoever holds it can test it against every published version of its epoch, so it is wiped on
/// drop and redacted. Only a verified batch yields it, or a registrar's message.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct OprfElement(pub(crate) [u8; ELEMENT_BYTES]);

impl OprfElement {
    /// Reads what a registrar sent: elements of 32 bytes each, without separators.
    ///
    /// # Errors
    /// [`ElementError`], as for [`BlindedBatch`].
    pub fn parse_batch(bytes: &[u8]) -> Result<Vec<Self>, ElementError> {
        let batch = Batch::parse(bytes)?;
        Ok(batch.encodings.into_iter().map(Self).collect())
    }

    /// The encoding. For the registrar's message and for sealing, nothing else.
    #[must_use]
    pub const fn expose_bytes(&self) -> &[u8; ELEMENT_BYTES] {
        &self.0
    }
}

impl fmt::Debug for OprfElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OprfElement(REDACTED)")
    }
}

impl ConstantTimeEq for OprfElement {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(n: usize) -> Vec<u8> {
        let engine = Engine::current();
        engine.encode(&engine.map_to_group(&vec![[7; 64]; n])).concat()
    }

    #[test]
    fn sizes_hold_at_the_limits_and_fail_past_them() {
        for n in [1, 2, BATCH_ELEMENTS_MAX] {
            assert_eq!(BlindedBatch::try_from(&elements(n)[..]).unwrap().len(), n);
        }
        for n in [0, BATCH_ELEMENTS_MAX + 1] {
            let error = BlindedBatch::try_from(&elements(n)[..]).unwrap_err();
            assert_eq!(error, ElementError::BatchSize);
        }
        for length in [1, 31, 33, 63, 65] {
            let error = BlindedBatch::try_from(&elements(3)[..length]).unwrap_err();
            assert_eq!(error, ElementError::BatchSize);
        }
    }

    #[test]
    fn one_bad_element_refuses_the_batch() {
        for bad in [[0; 32], [0xff; 32]] {
            let bytes = [elements(2), bad.to_vec(), elements(1)].concat();
            assert_eq!(
                EvaluatedBatch::try_from(&bytes[..]).unwrap_err(),
                ElementError::InvalidElement
            );
            assert_eq!(OprfElement::parse_batch(&bytes).unwrap_err(), ElementError::InvalidElement);
        }
    }

    #[test]
    fn debug_is_redacted() {
        let bytes = elements(1);
        let element = OprfElement::parse_batch(&bytes).unwrap().remove(0);
        assert_eq!(format!("{element:?}"), "OprfElement(REDACTED)");
        let batch = BlindedBatch::try_from(&bytes[..]).unwrap();
        assert_eq!(format!("{batch:?}"), "BlindedBatch(1 REDACTED)");
    }
}
