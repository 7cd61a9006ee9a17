//! The manifest: what is published, under which key, signed over its exact bytes.
//!
//! A client pins the signing key. It uses nothing of a manifest before [`SignedManifest::verify`]
//! has returned a [`VerifiedManifest`], the only type from which the OPRF public key of an epoch
//! can be taken. Manifests of a tenant form a hash chain; a client that remembers a
//! [`ManifestHead`] refuses forks and rollbacks.

mod chain;
mod codec;
mod index;

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

pub use chain::{ChainError, ManifestHead};
pub use index::{SegmentIndex, SegmentInfo};

use crate::{
    keys::ManifestKey,
    limits,
    oprf::{PublicKey, TrustedKey},
    set::Universe,
};

/// Length of a digest in bytes (BLAKE3).
pub const DIGEST_BYTES: usize = 32;

/// Length of an Ed25519 signature in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// What is published of a tenant's directory at one moment: one link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The tenant whose directory this is.
    pub tenant: TenantName,
    /// Number of the manifest; rises by one with each publication.
    pub sequence: u64,
    /// Time of the last change that is included, in seconds since 1970.
    pub changed_at: u64,
    /// Digest of the previous manifest's content; zero for the first.
    pub previous: [u8; DIGEST_BYTES],
    /// What a client may ask, and what is kept of it.
    pub policy: Policy,
    /// The live epochs, oldest first: one, or two while a key rotation lasts. See
    /// [`limits::LIVE_EPOCHS_MAX`].
    pub epochs: Vec<EpochInfo>,
}

/// An epoch: its key, and the directory under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochInfo {
    /// The number of the epoch.
    pub epoch: u32,
    /// Its OPRF public key.
    pub public_key: PublicKey,
    /// Position in the change log that snapshot and overlay together include.
    pub version: u64,
    /// The immutable part.
    pub snapshot: SnapshotInfo,
    /// What changed since.
    pub overlay: OverlayInfo,
}

/// A snapshot: where it stands, how it is coded, and the digest of its [`SegmentIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Number of the snapshot; no two snapshots of a tenant have the same.
    pub number: u64,
    /// Position in the change log that the snapshot includes.
    pub version: u64,
    /// How tags are scaled and split into segments.
    pub universe: Universe,
    /// Members of the snapshot.
    pub members: u64,
    /// Length of the coded set in bytes, all segments together.
    pub set_bytes: u64,
    /// Digest of the encoded [`SegmentIndex`].
    pub index_digest: [u8; DIGEST_BYTES],
}

/// The overlay over a snapshot, by its digest: whoever has it knows the members of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverlayInfo {
    /// Length of the encoded overlay in bytes.
    pub bytes: u64,
    /// Members of the snapshot that are gone.
    pub removed: u64,
    /// Members that came since.
    pub added: u64,
    /// Digest of the encoded overlay.
    pub digest: [u8; DIGEST_BYTES],
}

/// Limits, quota and retention, as the operator promises them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Sizes to which a discovery pads its batches, in elements, ascending, at most
    /// [`limits::BATCH_ELEMENTS_MAX`].
    pub padding_classes: Vec<u32>,
    /// Elements that a rested account may evaluate at once.
    pub quota_elements: u64,
    /// Elements that come back per day.
    pub quota_refill_per_day: u64,
    /// For how long the digest of a charged batch is kept, in seconds.
    pub repeat_retention_seconds: u32,
    /// For how long a client that was away still gets a delta instead of a snapshot, in seconds.
    pub delta_retention_seconds: u32,
}

/// The name of a tenant: 1 to 32 bytes of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(String);

/// The public half of a manifest key: what an app pins.
#[derive(Clone, PartialEq, Eq)]
pub struct ManifestPin(VerifyingKey);

/// A manifest as it travels: content and signature, not yet verified.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// The exact bytes that were signed.
    pub content: Vec<u8>,
    /// Ed25519 over the content.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// A manifest whose signature was checked against a pin, with the digest of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest {
    manifest: Manifest,
    trusted_key: TrustedKey,
    digest: [u8; DIGEST_BYTES],
}

/// Why a manifest was refused. Nothing of it was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The signature is not by the pinned key.
    #[error("the manifest is not signed by the pinned key")]
    Signature,
    /// Signed, but not in a layout that this version reads.
    #[error("the manifest has a format that this version does not read: update the software")]
    Format,
    /// Signed and readable, but contradictory: the operator's mistake.
    #[error("the manifest contradicts itself or passes a limit")]
    Content,
    /// The segment index is not the one of the manifest.
    #[error("the segment index is not the one that the manifest names")]
    Digest,
}

/// The text or bytes are not what they should be: a tenant name or a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not a tenant name.
    #[error("a tenant name has 1 to 32 characters of a-z, 0-9 and -")]
    Tenant,
    /// Not a pin.
    #[error("a pin has 64 hexadecimal digits and is an Ed25519 public key")]
    Pin,
}

impl Manifest {
    /// Encodes and signs the manifest. Deterministic.
    ///
    /// # Errors
    /// [`ManifestError::Content`] if it would not pass [`SignedManifest::verify`].
    pub fn sign(&self, key: &ManifestKey) -> Result<SignedManifest, ManifestError> {
        let content = codec::encode(self)?;
        let signature = SigningKey::from_bytes(key.expose_bytes()).sign(&content).to_bytes();
        Ok(SignedManifest { content, signature })
    }

    /// The newest epoch: the one under which a client evaluates.
    #[must_use]
    pub fn current(&self) -> &EpochInfo {
        self.epochs.last().expect("neither `sign` nor `verify` lets a manifest without epoch pass")
    }

    /// An epoch by number, if it is live.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> Option<&EpochInfo> {
        self.epochs.iter().find(|info| info.epoch == epoch)
    }
}

impl EpochInfo {
    /// Members of the version: of the snapshot, less those gone, and those that came.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.snapshot.members - self.overlay.removed + self.overlay.added
    }
}

impl SnapshotInfo {
    /// Length of the label array in bytes.
    #[must_use]
    pub fn labels_bytes(&self) -> u64 {
        self.members * limits::SEALED_LABEL_BYTES as u64
    }
}

impl SignedManifest {
    /// Checks the signature against the pin, then reads the content.
    ///
    /// # Errors
    /// [`ManifestError`]. Nothing of the content is looked at before the signature holds.
    pub fn verify(&self, pin: &ManifestPin) -> Result<VerifiedManifest, ManifestError> {
        if self.content.len() > limits::MANIFEST_BYTES_MAX {
            return Err(ManifestError::Content);
        }
        pin.0
            .verify_strict(&self.content, &Signature::from_bytes(&self.signature))
            .map_err(|_| ManifestError::Signature)?;
        let manifest = codec::decode(&self.content)?;
        let trusted_key = TrustedKey::vouched_for(manifest.current().public_key);
        Ok(VerifiedManifest { manifest, trusted_key, digest: self.digest() })
    }

    /// Digest of the content: what the next manifest names as previous.
    #[must_use]
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        *blake3::hash(&self.content).as_bytes()
    }
}

impl VerifiedManifest {
    /// The OPRF public key of the newest epoch, to be relied on: the signature over it has been
    /// verified.
    #[must_use]
    pub const fn trusted_key(&self) -> &TrustedKey {
        &self.trusted_key
    }

    /// What a client remembers of this manifest to recognize forks and rollbacks.
    #[must_use]
    pub fn head(&self) -> ManifestHead {
        ManifestHead {
            tenant: self.manifest.tenant.clone(),
            sequence: self.manifest.sequence,
            epoch: self.manifest.current().epoch,
            version: self.manifest.current().version,
            digest: self.digest,
        }
    }
}

impl std::ops::Deref for VerifiedManifest {
    type Target = Manifest;

    fn deref(&self) -> &Manifest {
        &self.manifest
    }
}

impl fmt::Debug for SignedManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedManifest({} bytes)", self.content.len())
    }
}

impl ManifestKey {
    /// The public half, for apps to pin.
    #[must_use]
    pub fn pin(&self) -> ManifestPin {
        ManifestPin(SigningKey::from_bytes(self.expose_bytes()).verifying_key())
    }
}

impl fmt::Display for ManifestPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for ManifestPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManifestPin({self})")
    }
}

impl std::str::FromStr for ManifestPin {
    type Err = NameError;

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`NameError::Pin`], also for keys of small order.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.trim().as_bytes())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(NameError::Pin)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NameError::Pin)?;
        if key.is_weak() { Err(NameError::Pin) } else { Ok(Self(key)) }
    }
}

impl TenantName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for TenantName {
    type Err = NameError;

    /// Reads a name.
    ///
    /// # Errors
    /// [`NameError::Tenant`].
    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let well_formed =
            (1..=limits::TENANT_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(NameError::Tenant) }
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
