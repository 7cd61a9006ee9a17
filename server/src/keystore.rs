//! The key directory: one file a secret, apart from the store and its backups.
//!
//! A file holds 64 hexadecimal digits and a newline, mode 0600; the directory has mode 0700. A key
//! file that others may read is refused, not repaired: who read it cannot be undone.
//!
//! Each epoch has an OPRF seed of its own, so that one can be destroyed: see [`SeedFiles`]. There
//! may be several credential keys, so that one can replace another: see [`CredentialKeyFiles`].

mod credentials;
mod files;
mod seeds;

use std::{
    io,
    path::{Path, PathBuf},
};

use acquaint_core::keys::{
    CredentialKey, KEY_BYTES, ManifestKey, OprfSeed, PseudonymKey, StorageKey,
};
use rand::CryptoRng;

pub use credentials::{CredentialKeyFiles, FIRST_CREDENTIAL_KEY_ID};
pub use seeds::{EpochSeeds, FIRST_EPOCH, ListedKey, SeedFiles};

use files::{io_error, make_private_directory, read_private, sync_directory, write_private};

const STORAGE: &str = "storage.key";
const MANIFEST: &str = "manifest.key";
const PSEUDONYM: &str = "pseudonym.key";

/// The secrets of a tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    /// From which the OPRF keys are derived: a seed for each epoch.
    pub oprf_seeds: EpochSeeds,
    /// Under which rows are found and sealed.
    pub storage: StorageKey,
    /// Which signs manifests.
    pub manifest: ManifestKey,
    /// Which authenticate credentials, with their ids, ascending: at least one.
    pub credentials: Vec<(u32, CredentialKey)>,
    /// From which the pseudonyms of accounts are derived.
    pub pseudonym: PseudonymKey,
}

/// Why keys could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file or directory cannot be read or written.
    #[error("the key file {} cannot be read or written ({kind}): check path and owner", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// There is a key already; it is never overwritten.
    #[error("the key file {} exists: keys are never overwritten, choose another directory", .path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Not 64 hexadecimal digits.
    #[error("the key file {} does not hold 64 hexadecimal digits: restore it from its backup", .path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// No key can be derived from a seed.
    #[error("the seed in the key directory {} gives no key: restore it from its backup", .path.display())]
    Seed {
        /// Which directory.
        path: PathBuf,
    },
    /// A file from before there could be several credential keys.
    #[error("the key file {} has a name of before: rename it to credential-1.key, and copy it to pseudonym.key if there is none, so that quotas stay", .path.display())]
    Former {
        /// Which file.
        path: PathBuf,
    },
    /// There is no such key to be retired.
    #[error("there is no key file {}: `acquaint credential key list` shows the ids", .path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// Without it no credential would be accepted.
    #[error("the key file {} is the only credential key: add another one before this one is retired", .path.display())]
    LastCredentialKey {
        /// Which file.
        path: PathBuf,
    },
    /// The ids are used up.
    #[error("the key directory {} has a credential key with the highest id there is: rename it to a lower one", .path.display())]
    NoId {
        /// Which directory.
        path: PathBuf,
    },
    /// Somebody else may read the key.
    #[error("the key file {} is open to others: if nobody read it, chmod 600 it; else replace the key", .path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
    },
}

impl Keys {
    /// New keys from the caller's randomness, in memory only.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            oprf_seeds: EpochSeeds::first(OprfSeed::generate(rng)),
            storage: StorageKey::generate(rng),
            manifest: ManifestKey::generate(rng),
            credentials: vec![(FIRST_CREDENTIAL_KEY_ID, CredentialKey::generate(rng))],
            pseudonym: PseudonymKey::generate(rng),
        }
    }

    /// Writes the keys into a directory, which is made if it is missing.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if any of the files is there; nothing is written then.
    /// [`KeyFileError::Io`].
    pub fn create(&self, directory: &Path) -> Result<(), KeyFileError> {
        let files = self.files();
        let ours = files.iter().map(|(name, _)| directory.join(name));
        // Any key would be accepted, also one that is left there with another id.
        let accepted = CredentialKeyFiles::new(directory).present();
        if let Some(path) = ours.chain(accepted).find(|path| path.exists()) {
            return Err(KeyFileError::Exists { path });
        }
        make_private_directory(directory).map_err(io_error(directory))?;
        for (name, key) in files {
            write_private(&directory.join(name), key)?;
        }
        sync_directory(directory)
    }

    /// Reads the keys from a directory.
    ///
    /// # Errors
    /// [`KeyFileError`], but never `Exists`.
    pub fn load(directory: &Path) -> Result<Self, KeyFileError> {
        let read = |name: &str| read_private(&directory.join(name));
        Ok(Self {
            oprf_seeds: SeedFiles::new(directory).load()?,
            storage: StorageKey::from_bytes(*read(STORAGE)?),
            manifest: ManifestKey::from_bytes(*read(MANIFEST)?),
            credentials: CredentialKeyFiles::new(directory).load()?,
            pseudonym: PseudonymKey::from_bytes(*read(PSEUDONYM)?),
        })
    }

    /// The credential key to mint with, and its id; of keys that were made or loaded, there is one.
    #[must_use]
    pub fn newest_credential(&self) -> Option<(u32, &CredentialKey)> {
        self.credentials.last().map(|(id, key)| (*id, key))
    }

    /// Reads the pseudonym key alone: what minting needs beside a credential key.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub fn load_pseudonym_key(directory: &Path) -> Result<PseudonymKey, KeyFileError> {
        Ok(PseudonymKey::from_bytes(*read_private(&directory.join(PSEUDONYM))?))
    }

    /// Reads the manifest key alone: what telling the pin needs.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub fn load_manifest_key(directory: &Path) -> Result<ManifestKey, KeyFileError> {
        Ok(ManifestKey::from_bytes(*read_private(&directory.join(MANIFEST))?))
    }

    fn files(&self) -> Vec<(String, &[u8; KEY_BYTES])> {
        let others = [
            (STORAGE, self.storage.expose_bytes()),
            (MANIFEST, self.manifest.expose_bytes()),
            (PSEUDONYM, self.pseudonym.expose_bytes()),
        ];
        let seeds = self.oprf_seeds.iter();
        let credentials = self.credentials.iter();
        seeds
            .map(|(epoch, seed)| (seeds::seed_name(epoch), seed.expose_bytes()))
            .chain(credentials.map(|(id, key)| (credentials::key_name(*id), key.expose_bytes())))
            .chain(others.map(|(name, key)| (name.to_owned(), key)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn created() -> (tempfile::TempDir, PathBuf, Keys) {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("keys");
        let keys = Keys::generate(&mut rand::rng());
        keys.create(&directory).unwrap();
        (temporary, directory, keys)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_temporary, directory, keys) = created();
        let loaded = Keys::load(&directory).unwrap();
        assert_eq!(loaded.files(), keys.files());
        assert_eq!(
            Keys::load_pseudonym_key(&directory).unwrap().expose_bytes(),
            keys.pseudonym.expose_bytes()
        );
        assert_eq!(Keys::load_manifest_key(&directory).unwrap().pin(), keys.manifest.pin());
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for (name, _) in keys.files() {
            let mode = fs::metadata(directory.join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn keys_are_never_overwritten() {
        let (_temporary, directory, keys) = created();
        let others = Keys::generate(&mut rand::rng());
        assert!(matches!(others.create(&directory), Err(KeyFileError::Exists { .. })));
        assert_eq!(Keys::load(&directory).unwrap().files(), keys.files());
        for name in ["credential.key", "credential-7.key"] {
            let other = tempfile::tempdir().unwrap();
            fs::write(other.path().join(name), "left there").unwrap();
            assert!(matches!(others.create(other.path()), Err(KeyFileError::Exists { .. })));
            assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn open_damaged_and_missing_files_are_refused() {
        let (_temporary, directory, _) = created();
        let path = directory.join(STORAGE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::load(&directory), Err(KeyFileError::Permissions { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63), &"0".repeat(65)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(Keys::load(&directory), Err(KeyFileError::Malformed { .. })));
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(Keys::load(&directory), Err(KeyFileError::Io { .. })));
    }
}
