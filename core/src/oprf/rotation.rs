//! Rotation of the key: from outputs under one key to those under the next, without the inputs.

use std::fmt;

use curve25519_dalek::Scalar;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{OprfElement, SecretKey};
use crate::{engine::Engine, limits::ELEMENT_BYTES};

/// `k'/k`: what turns `E = k·H(x)` into `E' = k'·H(x)`. Wiped on drop, redacted in `Debug`.
///
/// Whoever has it and one of the two keys has the other one. Make it when it is needed, and keep
/// it no longer.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RotationFactor(Scalar);

impl RotationFactor {
    /// The factor that leads from outputs under one key to those under another. Constant time.
    #[must_use]
    pub fn between(from: &SecretKey, to: &SecretKey) -> Self {
        // Never of zero: a secret key is not zero.
        let inverse = Zeroizing::new(from.0.invert());
        Self(*inverse * to.0)
    }

    /// `E'_i = (k'/k)·E_i`, in order: as many out as in. Constant time in the factor.
    ///
    /// Cost: as `blind_evaluate` without the proof.
    ///
    /// Source: RFC 9497 has no rotation; `(k'/k)·k·H(x) = k'·H(x)` because the group has prime
    /// order.
    #[must_use]
    pub fn apply(&self, elements: &[OprfElement]) -> Vec<OprfElement> {
        let mut encodings: Zeroizing<Vec<[u8; ELEMENT_BYTES]>> =
            Zeroizing::new(Vec::with_capacity(elements.len()));
        encodings.extend(elements.iter().map(|element| *element.expose_bytes()));
        let engine = Engine::current();
        let points = engine.decode(&encodings).expect("an OPRF element is a valid encoding");
        let rotated = Zeroizing::new(engine.evaluate(&self.0, &points));
        rotated.iter().copied().map(OprfElement).collect()
    }
}

impl fmt::Debug for RotationFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RotationFactor(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::Backend,
        oprf::{Mode, derive_key_pair},
    };

    fn key(number: u8) -> SecretKey {
        derive_key_pair(Mode::Voprf, &[number; 32], b"rotation").unwrap().0
    }

    /// `k·H(x)` straight from the inputs.
    fn outputs(key: &SecretKey, n: u64) -> Vec<OprfElement> {
        let uniform = |i: u64| {
            let mut bytes = [0; 64];
            blake3::Hasher::new().update(&i.to_le_bytes()).finalize_xof().fill(&mut bytes);
            bytes
        };
        let inputs: Vec<_> = (0..n).map(uniform).collect();
        let engine = Engine::current();
        let points = engine.map_to_group(&inputs);
        engine.evaluate(&key.0, &points).into_iter().map(OprfElement).collect()
    }

    fn bytes(elements: &[OprfElement]) -> Vec<[u8; ELEMENT_BYTES]> {
        elements.iter().map(|element| *element.expose_bytes()).collect()
    }

    /// K6: what was rotated is what a fresh evaluation gives, also after the next rotation, and
    /// back.
    #[test]
    fn rotated_outputs_are_those_of_the_new_key() {
        let keys = [key(1), key(2), key(3)];
        for n in [1, 2, 3, 8, 9, 1_000] {
            let mut elements = outputs(&keys[0], n);
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 2)] {
                elements = RotationFactor::between(&keys[from], &keys[to]).apply(&elements);
                assert_eq!(bytes(&elements), bytes(&outputs(&keys[to], n)), "{n}: {from} to {to}");
            }
        }
    }

    #[test]
    fn every_back_end_gives_the_same() {
        let (elements, factor) = (outputs(&key(4), 50), RotationFactor::between(&key(4), &key(5)));
        let expected = bytes(&factor.apply(&elements));
        for backend in [Backend::Ifma, Backend::Dalek] {
            let Some(engine) = Engine::with_backend(backend) else { continue };
            let points = engine.decode(&bytes(&elements)).unwrap();
            assert_eq!(engine.evaluate(&factor.0, &points), expected, "{backend}");
        }
    }

    #[test]
    fn no_elements_and_the_same_key_change_nothing() {
        let factor = RotationFactor::between(&key(6), &key(6));
        assert!(factor.apply(&[]).is_empty());
        let elements = outputs(&key(6), 5);
        assert_eq!(bytes(&factor.apply(&elements)), bytes(&elements));
    }

    #[test]
    fn debug_is_redacted() {
        let factor = RotationFactor::between(&key(1), &key(2));
        assert_eq!(format!("{factor:?}"), "RotationFactor(REDACTED)");
    }
}
