//! Whose state it is: the digest of the pin, and the tenant.

use acquaint_core::manifest::{ManifestPin, TenantName};

/// Key derivation context of the digest of a pin; changing it makes every state foreign.
const PIN_CONTEXT: &str = "acquaint v1 state pin";

/// Whose state is expected: that of the pinned operator and, once it is known, of the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub(super) pin: PinDigest,
    pub(super) tenant: Option<TenantName>,
}

/// Digest of a manifest pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PinDigest(pub(super) [u8; 32]);

impl Binding {
    /// Any tenant of the operator that this pin belongs to.
    #[must_use]
    pub fn new(pin: &ManifestPin) -> Self {
        Self { pin: PinDigest::of(pin), tenant: None }
    }

    /// This tenant only.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantName) -> Self {
        self.tenant = Some(tenant);
        self
    }

    pub(super) fn admits(&self, tenant: &TenantName, pin: &PinDigest) -> bool {
        self.pin == *pin && self.tenant.as_ref().is_none_or(|expected| expected == tenant)
    }
}

impl PinDigest {
    pub(super) fn of(pin: &ManifestPin) -> Self {
        Self(blake3::derive_key(PIN_CONTEXT, pin.to_string().as_bytes()))
    }
}
