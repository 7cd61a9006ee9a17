//! libsodium's `crypto_scalarmult_ristretto255`: decode, multiply, encode, one element a call.
//!
//! Declared here, not through a `-sys` crate: development dependencies cannot be optional, so such
//! a crate would be a dependency of the product for two functions of a bench.

#![allow(unsafe_code, reason = "two functions of the C library")]

use std::ffi::c_int;

use super::{Implementation, voprf::key_bytes};

#[link(name = "sodium")]
unsafe extern "C" {
    /// Chooses implementations for this processor; negative on failure.
    fn sodium_init() -> c_int;
    /// `q = n·p`, 32 bytes each; not zero if `p` does not decode or `q` is the identity.
    fn crypto_scalarmult_ristretto255(q: *mut u8, n: *const u8, p: *const u8) -> c_int;
}

/// libsodium, as the system provides it.
pub struct Sodium {
    key: [u8; 32],
}

impl Sodium {
    /// With the key of all baselines.
    pub fn new() -> Self {
        // SAFETY: takes nothing, may be called by any thread at any time.
        assert!(unsafe { sodium_init() } >= 0, "libsodium does not start");
        Self { key: key_bytes() }
    }
}

impl Implementation for Sodium {
    fn name(&self) -> &'static str {
        "libsodium"
    }

    fn evaluate(&self, blinded: &[u8]) -> Vec<u8> {
        let mut out = vec![0; blinded.len()];
        for (q, p) in out.as_chunks_mut::<32>().0.iter_mut().zip(blinded.as_chunks::<32>().0) {
            // SAFETY: all three are arrays of 32 bytes, which the function reads or writes.
            let status = unsafe {
                crypto_scalarmult_ristretto255(q.as_mut_ptr(), self.key.as_ptr(), p.as_ptr())
            };
            assert_eq!(status, 0, "an element that does not decode");
        }
        out
    }
}
