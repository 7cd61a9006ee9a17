//! `expand_message_xmd` with SHA-512 for the baselines that bring only a group.
//!
//! 64 bytes out, tags of RFC 9497, mode VOPRF. As lean as in `acquaint_core`: the all-zero first
//! block is hashed once.

use sha2::{Digest, Sha512};

/// Hashes under one domain separation tag.
pub struct Expander {
    after_zero_block: Sha512,
    dst_prime: Vec<u8>,
}

impl Expander {
    /// The tag `prefix ‖ contextString`, for instance with `HashToGroup-`.
    pub fn new(prefix: &str) -> Self {
        let mut dst_prime = [prefix.as_bytes(), b"OPRFV1-\x01-ristretto255-SHA512"].concat();
        dst_prime.push(u8::try_from(dst_prime.len()).unwrap());
        Self { after_zero_block: Sha512::new_with_prefix([0; 128]), dst_prime }
    }

    /// 64 uniform bytes for the concatenation of the parts.
    pub fn expand(&self, parts: &[&[u8]]) -> [u8; 64] {
        let mut hash = self.after_zero_block.clone();
        parts.iter().for_each(|part| hash.update(part));
        hash.update([0, 64, 0]);
        hash.update(&self.dst_prime);
        let mut second = Sha512::new_with_prefix(hash.finalize());
        second.update([1]);
        second.update(&self.dst_prime);
        second.finalize().into()
    }
}
