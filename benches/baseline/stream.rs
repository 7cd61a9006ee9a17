//! Randomness with a fixed seed, for both generations of the `rand_core` traits.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A stream of bytes that depends on its number only.
pub struct Stream(pub ChaCha20Rng);

impl Stream {
    /// The stream of a number, from its start.
    pub fn new(number: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(number))
    }

    /// 64 bytes, as both generations of dalek draw a scalar.
    pub fn wide(&mut self) -> [u8; 64] {
        let mut bytes = [0; 64];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

impl rand_core_06::RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dst: &mut [u8]) {
        self.0.fill_bytes(dst);
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.fill_bytes(dst);
        Ok(())
    }
}

impl rand_core_06::CryptoRng for Stream {}
