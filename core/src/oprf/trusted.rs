//! A public key that may be relied on: the condition of additive blinding.
//!
//! Additive blinding sends `B = H(x) + r·G` and outputs `E = Z − r·pk`. With fixed-base tables it
//! costs a third of `B = r·H(x)`, `E = r⁻¹·Z`. It is also more fragile. Jarecki, Krawczyk and Xu
//! ("On the (In)Security of the Diffie-Hellman Oblivious PRF with Multiplicative Blinding",
//! PKC 2021, ePrint 2021/273) show that where `pk` is not authenticated a server can make outputs
//! of different inputs collide in ways that exponential blinding excludes, and warn against it for
//! inputs of low entropy. Phone numbers are of low entropy.
//!
//! The attacks need a `pk` of the attacker's choice, or a `Z` that is not `k·B`. So here:
//!
//! 1. additive blinding takes a [`TrustedKey`], which only a verified manifest hands out (or the
//!    secret key itself);
//! 2. unblinding takes a [`VerifiedBatch`](super::VerifiedBatch), which only a proof over the whole
//!    batch under that very key constructs; then `Z = k·B`, `pk = k·G`, and
//!    `E = k·H(x) + r·k·G − r·k·G = k·H(x)`: the same output as exponential blinding, or none;
//! 3. there is no fallback that unblinds otherwise.
//!
//! On the wire both blindings are one uniform element; a server cannot tell which was used.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;

use super::{PublicKey, SecretKey};
use crate::engine::{Engine, FixedBase};

/// A public key out of a verified manifest. Cheap to clone; clones share its table of multiples.
#[derive(Clone)]
pub struct TrustedKey {
    public: PublicKey,
    table: Arc<OnceLock<FixedBase>>,
}

impl TrustedKey {
    /// Only for callers that have verified where the key comes from.
    pub(crate) fn vouched_for(public: PublicKey) -> Self {
        Self { public, table: Arc::new(OnceLock::new()) }
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Multiples of the key, made at first use.
    pub(super) fn table(&self) -> &FixedBase {
        self.table.get_or_init(|| table(self.public.as_bytes()))
    }
}

impl PartialEq for TrustedKey {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for TrustedKey {}

impl SecretKey {
    /// The public key, relied on by whoever holds the secret one.
    #[must_use]
    pub fn trusted_key(&self) -> TrustedKey {
        TrustedKey::vouched_for(self.public_key())
    }
}

/// Multiples of the generator, made at first use.
pub(super) fn generator_table() -> &'static FixedBase {
    static TABLE: OnceLock<FixedBase> = OnceLock::new();
    TABLE.get_or_init(|| table(RISTRETTO_BASEPOINT_COMPRESSED.as_bytes()))
}

fn table(base: &[u8; 32]) -> FixedBase {
    Engine::current().fixed_base(base).expect("a parsed key and the generator are valid encodings")
}

impl fmt::Debug for TrustedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrustedKey").field(&self.public).finish()
    }
}
