//! Hashing to the group and to scalars (RFC 9380 and RFC 9497, section 4.1).

use curve25519_dalek::Scalar;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::engine::{Engine, Points};

/// The protocol variant; part of every hash of the protocol (RFC 9497, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without proof, 0x00. For the vectors of the RFC; the product never uses it.
    Oprf,
    /// With a proof for each batch, 0x01.
    Voprf,
}

/// Length of the SHA-512 output in bytes.
const HASH_BYTES: usize = 64;
/// `I2OSP(HASH_BYTES, 2) ‖ I2OSP(0, 1)`.
const OUTPUT_LENGTH: [u8; 3] = [0, 64, 0];
/// `I2OSP(ELEMENT_BYTES, 2)`.
pub(super) const ELEMENT_LENGTH: [u8; 2] = [0, 32];
/// Input block of SHA-512 in bytes.
const BLOCK_BYTES: usize = 128;

impl Mode {
    /// `contextString`: "OPRFV1-", the mode as one byte, "-", the suite.
    pub(super) fn context(self) -> &'static [u8] {
        match self {
            Self::Oprf => b"OPRFV1-\x00-ristretto255-SHA512",
            Self::Voprf => b"OPRFV1-\x01-ristretto255-SHA512",
        }
    }

    /// `HashToGroup` of many inputs, in order.
    ///
    /// Constant time in the content of the inputs, not in their lengths.
    pub(super) fn hash_to_group(self, inputs: &[&[u8]]) -> Points {
        let expander = Expander::new(b"HashToGroup-", self);
        let uniform: Zeroizing<Vec<_>> =
            Zeroizing::new(inputs.iter().map(|input| expander.expand(&[input])).collect());
        Engine::current().map_to_group(&uniform)
    }
}

/// `expand_message_xmd` of RFC 9380, section 5.3.1, with SHA-512, 64 bytes out, and one domain
/// separation tag.
///
/// The first block of every message is all zero: it is hashed once, here.
pub(super) struct Expander {
    after_zero_block: Sha512,
    /// The tag followed by its length in one byte.
    dst_prime: Vec<u8>,
}

impl Expander {
    /// An expander for the tag `prefix ‖ contextString`.
    pub(super) fn new(prefix: &[u8], mode: Mode) -> Self {
        let mut dst_prime = [prefix, mode.context()].concat();
        let length = u8::try_from(dst_prime.len()).expect("our tags are under 60 bytes");
        dst_prime.push(length);
        Self { after_zero_block: Sha512::new_with_prefix([0; BLOCK_BYTES]), dst_prime }
    }

    /// 64 uniform bytes for the concatenation of the parts.
    pub(super) fn expand(&self, parts: &[&[u8]]) -> [u8; HASH_BYTES] {
        let mut hash = self.after_zero_block.clone();
        for part in parts {
            hash.update(part);
        }
        hash.update(OUTPUT_LENGTH);
        hash.update(&self.dst_prime);
        let mut b0: [u8; HASH_BYTES] = hash.finalize().into();
        let b1 = Sha512::new()
            .chain_update(b0)
            .chain_update([1])
            .chain_update(&self.dst_prime)
            .finalize()
            .into();
        b0.zeroize();
        b1
    }

    /// `HashToScalar`: the 64 bytes as a little-endian number modulo the group order.
    pub(super) fn scalar(&self, parts: &[&[u8]]) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.expand(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9380, appendix K.3, uses SHA-512 with its own tag; one message of each length.
    #[test]
    fn expander_equals_rfc_9380() {
        let mut dst_prime = b"QUUX-V01-CS02-with-expander-SHA512-256".to_vec();
        dst_prime.push(u8::try_from(dst_prime.len()).unwrap());
        let expander = Expander { after_zero_block: Sha512::new_with_prefix([0; 128]), dst_prime };
        // len_in_bytes is part of the hash, so these are not prefixes of the 32-byte vectors of
        // the appendix: they were computed with an independent script (core/vectors/xmd.py).
        let expected = include_str!("../../vectors/xmd-sha512-64.txt");
        for (line, message) in expected.lines().zip(["", "abc", "abcdef0123456789"]) {
            let out = expander.expand(&[message.as_bytes()]);
            assert_eq!(data_encoding::HEXLOWER.encode(&out), line);
        }
    }
}
