//! Rows at rest: found by a keyed hash, sealed under a key that is not in the store.
//!
//! A stolen store shows how many rows there are and when they changed; without this key it yields
//! neither identifiers nor OPRF outputs nor accounts.

use std::fmt;

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit, Nonce,
    aead::{AeadInOut, inout::InOutBuf},
};
use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{KEY_BYTES, secret_key};
use crate::{
    limits::{ELEMENT_BYTES, LABEL_BYTES, SEAL_BYTES},
    oprf::OprfElement,
    tag::Label,
};

/// Length of a row's handle in bytes.
pub const HANDLE_BYTES: usize = 32;

/// Length of an opened row in bytes: element, label, flags.
const ROW_BYTES: usize = ELEMENT_BYTES + LABEL_BYTES + 1;

/// Length of a sealed row in bytes.
pub const SEALED_ROW_BYTES: usize = ROW_BYTES + SEAL_BYTES;

const HANDLE_CONTEXT: &str = "acquaint v1 storage handle";
const SEAL_CONTEXT: &str = "acquaint v1 storage seal";
const CHECK_CONTEXT: &str = "acquaint v1 storage check";
const HIDDEN: u8 = 1;

secret_key! {
    /// The key under which rows are found and sealed. Kept apart from the store and its backups.
    StorageKey
}

/// The content of a row.
#[derive(Clone, Debug)]
pub struct Row {
    /// `E = k·H(x)` under the row's epoch.
    pub element: OprfElement,
    /// What a match yields.
    pub label: Label,
    /// Kept, but not published.
    pub hidden: bool,
}

/// A row does not open: another storage key, another handle, or a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored row does not open: the storage key is another one, or the store is damaged")]
pub struct RowError;

/// Finds and seals rows: the storage key with its derived keys. Make one and keep it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Vault {
    handle_key: [u8; 32],
    #[zeroize(skip)]
    cipher: SealCipher,
}

/// The cipher wipes its own key schedule on drop (feature `zeroize` of the crate).
struct SealCipher(Aes256GcmSiv);

impl StorageKey {
    /// Derives the keys of the vault.
    #[must_use]
    pub fn vault(&self) -> Vault {
        let seal_key = Zeroizing::new(blake3::derive_key(SEAL_CONTEXT, self.expose_bytes()));
        Vault {
            handle_key: blake3::derive_key(HANDLE_CONTEXT, self.expose_bytes()),
            cipher: SealCipher(Aes256GcmSiv::new(&(*seal_key).into())),
        }
    }

    /// A value that tells two storage keys apart and reveals neither: a store keeps it, so that
    /// opening it with another key fails at once.
    #[must_use]
    pub fn check_value(&self) -> [u8; 32] {
        blake3::derive_key(CHECK_CONTEXT, self.expose_bytes())
    }
}

impl Vault {
    /// Where the row of an element is found: `BLAKE3-keyed(handle key, E)`.
    #[must_use]
    pub fn handle(&self, element: &OprfElement) -> [u8; HANDLE_BYTES] {
        *blake3::keyed_hash(&self.handle_key, element.expose_bytes()).as_bytes()
    }

    /// Seals a row: AES-256-GCM-SIV (RFC 8452), the handle's first 12 bytes as nonce, epoch and
    /// handle as associated data.
    ///
    /// A row that changes is another message under the same nonce; this mode then shows no more
    /// than whether two versions of the row are equal.
    #[must_use]
    pub fn seal(&self, epoch: u32, handle: &[u8; HANDLE_BYTES], row: &Row) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(SEALED_ROW_BYTES);
        sealed.extend_from_slice(row.element.expose_bytes());
        sealed.extend_from_slice(&row.label.0);
        sealed.push(if row.hidden { HIDDEN } else { 0 });
        let mac = self
            .cipher
            .0
            .encrypt_inout_detached(
                &nonce(handle),
                &aad(epoch, handle),
                InOutBuf::from(&mut sealed[..]),
            )
            .expect("49 bytes are below the length limit of the mode");
        sealed.extend_from_slice(&mac);
        sealed
    }

    /// Opens a row.
    ///
    /// # Errors
    /// [`RowError`] if key, epoch, handle or content differ from those of sealing.
    pub fn open(
        &self,
        epoch: u32,
        handle: &[u8; HANDLE_BYTES],
        sealed: &[u8],
    ) -> Result<Row, RowError> {
        let (body, mac) = sealed.split_at_checked(ROW_BYTES).ok_or(RowError)?;
        let mac = mac.try_into().map_err(|_| RowError)?;
        let mut opened = Zeroizing::new([0; ROW_BYTES]);
        opened.copy_from_slice(body);
        self.cipher
            .0
            .decrypt_inout_detached(
                &nonce(handle),
                &aad(epoch, handle),
                InOutBuf::from(&mut opened[..]),
                &mac,
            )
            .map_err(|_| RowError)?;
        Ok(parse(&opened))
    }
}

/// Splits an authenticated row: we wrote it, so its element is valid without decoding it again.
fn parse(opened: &[u8; ROW_BYTES]) -> Row {
    let mut element = [0; ELEMENT_BYTES];
    let mut label = [0; LABEL_BYTES];
    element.copy_from_slice(&opened[..ELEMENT_BYTES]);
    label.copy_from_slice(&opened[ELEMENT_BYTES..ELEMENT_BYTES + LABEL_BYTES]);
    let hidden = opened[ROW_BYTES - 1] & HIDDEN != 0;
    Row { element: OprfElement(element), label: Label(label), hidden }
}

fn nonce(handle: &[u8; HANDLE_BYTES]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce.copy_from_slice(&handle[..12]);
    nonce
}

fn aad(epoch: u32, handle: &[u8; HANDLE_BYTES]) -> [u8; 4 + HANDLE_BYTES] {
    let mut aad = [0; 4 + HANDLE_BYTES];
    aad[..4].copy_from_slice(&epoch.to_be_bytes());
    aad[4..].copy_from_slice(handle);
    aad
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(REDACTED)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hidden: bool) -> Row {
        let engine = crate::engine::Engine::current();
        let encoding = engine.encode(&engine.map_to_group(&[[1; 64]])).concat();
        let element = OprfElement::parse_batch(&encoding).unwrap().remove(0);
        Row { element, label: Label([9; LABEL_BYTES]), hidden }
    }

    #[test]
    fn rows_open_under_their_own_key_handle_and_epoch_only() {
        let vault = StorageKey::from_bytes([1; KEY_BYTES]).vault();
        let other = StorageKey::from_bytes([2; KEY_BYTES]).vault();
        for hidden in [false, true] {
            let row = row(hidden);
            let handle = vault.handle(&row.element);
            let sealed = vault.seal(3, &handle, &row);
            assert_eq!(sealed.len(), SEALED_ROW_BYTES);

            let opened = vault.open(3, &handle, &sealed).unwrap();
            assert_eq!(opened.element.expose_bytes(), row.element.expose_bytes());
            assert_eq!((&opened.label, opened.hidden), (&row.label, hidden));

            let mut elsewhere = handle;
            elsewhere[31] ^= 1;
            assert!(vault.open(3, &elsewhere, &sealed).is_err());
            assert!(vault.open(4, &handle, &sealed).is_err());
            assert!(other.open(3, &handle, &sealed).is_err());
            for i in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[i] ^= 0x10;
                assert!(vault.open(3, &handle, &damaged).is_err(), "byte {i}");
                assert!(vault.open(3, &handle, &sealed[..i]).is_err(), "length {i}");
            }
        }
    }

    #[test]
    fn handles_and_check_values_depend_on_the_key() {
        let (a, b) = (StorageKey::from_bytes([1; 32]), StorageKey::from_bytes([2; 32]));
        assert_ne!(a.vault().handle(&row(false).element), b.vault().handle(&row(false).element));
        assert_ne!(a.check_value(), b.check_value());
    }

    #[test]
    fn debug_is_redacted() {
        let key = StorageKey::from_bytes([1; KEY_BYTES]);
        assert_eq!(format!("{key:?} {:?}", key.vault()), "StorageKey(REDACTED) Vault(REDACTED)");
    }
}
