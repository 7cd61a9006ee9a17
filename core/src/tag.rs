//! From an OPRF output to what is published: the tag, and the label that only its key opens.

use std::fmt;

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{AeadInOut, inout::InOutBuf},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    limits::{LABEL_BYTES, SEALED_LABEL_BYTES},
    oprf::OprfElement,
};

/// Key derivation contexts; changing one changes every tag and label.
const TAG_CONTEXT: &str = "acquaint v1 tag";
const LABEL_CONTEXT: &str = "acquaint v1 label";

/// The first 64 bits of a hash of an OPRF output: what the published set holds, coded.
///
/// Tags of members are public; the tag of somebody looked up is as secret as the OPRF output. So
/// a tag is redacted in `Debug` and wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Tag([u8; 8]);

/// The key that opens one label. Wiped on drop, redacted.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LabelKey([u8; 32]);

/// What a match yields: the tenant's account id. Redacted in `Debug`, wiped on drop.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct Label(pub [u8; LABEL_BYTES]);

/// A label sealed for whoever evaluates the member's identifier. Published.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedLabel(pub [u8; SEALED_LABEL_BYTES]);

/// A label did not open: the tag matched by chance, or the label was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the label does not open under this key, tag and epoch")]
pub struct LabelError;

impl OprfElement {
    /// `BLAKE3-derive_key("acquaint v1 tag", E)[..8]`.
    #[must_use]
    pub fn tag(&self) -> Tag {
        let hash = Zeroizing::new(blake3::derive_key(TAG_CONTEXT, self.expose_bytes()));
        let (first, _) = hash.as_chunks();
        Tag(first.first().copied().unwrap_or_default())
    }

    /// `BLAKE3-derive_key("acquaint v1 label", E)`.
    #[must_use]
    pub fn label_key(&self) -> LabelKey {
        LabelKey(blake3::derive_key(LABEL_CONTEXT, self.expose_bytes()))
    }
}

impl Tag {
    /// The tag as a number, big endian: segments are prefixes of it.
    #[must_use]
    pub const fn expose_u64(&self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl Tag {
    /// A tag that was kept: 8 bytes, big endian.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The 8 bytes, big endian, to be kept on the device that evaluated it.
    #[must_use]
    pub const fn expose_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl LabelKey {
    /// A label key that was kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, to be kept on the device that evaluated it.
    #[must_use]
    pub const fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals a label: AES-256-GCM-SIV (RFC 8452), zero nonce, tag and epoch as associated data.
    ///
    /// Deterministic, as everything published must be. The key serves one identifier; a label
    /// that changes under it is a second message under the same nonce, which this mode tolerates:
    /// it shows no more than whether two labels are equal.
    #[must_use]
    pub fn seal(&self, tag: &Tag, epoch: u32, label: &Label) -> SealedLabel {
        let mut sealed = [0; SEALED_LABEL_BYTES];
        let (body, mac) = sealed.split_at_mut(LABEL_BYTES);
        body.copy_from_slice(&label.0);
        let computed = self
            .cipher()
            .encrypt_inout_detached(&Nonce::default(), &aad(tag, epoch), InOutBuf::from(body))
            .expect("16 bytes are below the length limit of the mode");
        mac.copy_from_slice(&computed);
        SealedLabel(sealed)
    }

    /// Opens a label.
    ///
    /// # Errors
    /// [`LabelError`] if key, tag, epoch or content differ from those of sealing in any bit.
    pub fn open(&self, tag: &Tag, epoch: u32, sealed: &SealedLabel) -> Result<Label, LabelError> {
        let (body, mac) = sealed.0.split_at(LABEL_BYTES);
        let mut label = Label([0; LABEL_BYTES]);
        label.0.copy_from_slice(body);
        let mac = mac.try_into().map_err(|_| LabelError)?;
        self.cipher()
            .decrypt_inout_detached(
                &Nonce::default(),
                &aad(tag, epoch),
                InOutBuf::from(&mut label.0[..]),
                &mac,
            )
            .map_err(|_| LabelError)?;
        Ok(label)
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new(&self.0.into())
    }
}

/// Associated data of a label: tag, then epoch, little endian.
fn aad(tag: &Tag, epoch: u32) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(&tag.0);
    aad[8..].copy_from_slice(&epoch.to_le_bytes());
    aad
}

impl ConstantTimeEq for Tag {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(REDACTED)")
    }
}

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey(REDACTED)")
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(REDACTED)")
    }
}

impl fmt::Debug for SealedLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedLabel(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(byte: u8) -> OprfElement {
        let engine = crate::engine::Engine::current();
        let encoding = engine.encode(&engine.map_to_group(&[[byte; 64]])).concat();
        OprfElement::parse_batch(&encoding).unwrap().remove(0)
    }

    #[test]
    fn labels_open_for_their_own_element_only() {
        let (e, other) = (element(1), element(2));
        let label = Label([5; LABEL_BYTES]);
        let sealed = e.label_key().seal(&e.tag(), 7, &label);
        assert_eq!(e.label_key().open(&e.tag(), 7, &sealed).unwrap(), label);

        assert_eq!(other.label_key().open(&e.tag(), 7, &sealed), Err(LabelError));
        assert_eq!(e.label_key().open(&other.tag(), 7, &sealed), Err(LabelError));
        assert_eq!(e.label_key().open(&e.tag(), 8, &sealed), Err(LabelError));
        for bit in 0..SEALED_LABEL_BYTES * 8 {
            let mut forged = sealed;
            forged.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(e.label_key().open(&e.tag(), 7, &forged), Err(LabelError), "bit {bit}");
        }
    }

    #[test]
    fn derivations_are_the_documented_ones() {
        let e = element(3);
        let tag = blake3::derive_key("acquaint v1 tag", e.expose_bytes());
        assert_eq!(e.tag().expose_u64().to_be_bytes(), tag[..8]);
        assert_eq!(e.label_key().0, blake3::derive_key("acquaint v1 label", e.expose_bytes()));
    }

    #[test]
    fn debug_is_redacted() {
        let e = element(4);
        let label = Label([5; LABEL_BYTES]);
        let sealed = e.label_key().seal(&e.tag(), 7, &label);
        let all = format!("{:?} {:?} {label:?} {sealed:?}", e.tag(), e.label_key());
        assert_eq!(all, "Tag(REDACTED) LabelKey(REDACTED) Label(REDACTED) SealedLabel(REDACTED)");
    }
}
