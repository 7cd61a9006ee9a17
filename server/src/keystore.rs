//! The key directory: one file a secret, apart from the store and its backups.
//!
//! A file holds 64 hexadecimal digits and a newline, mode 0600; the directory has mode 0700. A key
//! file that others may read is refused, not repaired: who read it cannot be undone.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use acquaint_core::keys::{CredentialKey, KEY_BYTES, ManifestKey, OprfSeed, StorageKey};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// The id of the one credential key that a key directory holds.
pub const CREDENTIAL_KEY_ID: u32 = 1;

const OPRF_SEED: &str = "oprf.seed";
const STORAGE: &str = "storage.key";
const MANIFEST: &str = "manifest.key";
const CREDENTIAL: &str = "credential.key";

/// The secrets of a tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    /// From which the OPRF key of each epoch is derived.
    pub oprf_seed: OprfSeed,
    /// Under which rows are found and sealed.
    pub storage: StorageKey,
    /// Which signs manifests.
    pub manifest: ManifestKey,
    /// Which authenticates credentials.
    pub credential: CredentialKey,
}

/// Why keys could not be read or written.
#[derive(Debug, thiserror::Error)]
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
            oprf_seed: OprfSeed::generate(rng),
            storage: StorageKey::generate(rng),
            manifest: ManifestKey::generate(rng),
            credential: CredentialKey::generate(rng),
        }
    }

    /// Writes the keys into a directory, which is made if it is missing.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] if any of the files is there; nothing is written then.
    /// [`KeyFileError::Io`].
    pub fn create(&self, directory: &Path) -> Result<(), KeyFileError> {
        if let Some(path) =
            self.files().iter().map(|(name, _)| directory.join(name)).find(|path| path.exists())
        {
            return Err(KeyFileError::Exists { path });
        }
        make_private_directory(directory).map_err(io_error(directory))?;
        for (name, key) in self.files() {
            write_private(&directory.join(name), key)?;
        }
        Ok(())
    }

    /// Reads the keys from a directory.
    ///
    /// # Errors
    /// [`KeyFileError`], but never `Exists`.
    pub fn load(directory: &Path) -> Result<Self, KeyFileError> {
        let read = |name: &str| read_private(&directory.join(name));
        Ok(Self {
            oprf_seed: OprfSeed::from_bytes(*read(OPRF_SEED)?),
            storage: StorageKey::from_bytes(*read(STORAGE)?),
            manifest: ManifestKey::from_bytes(*read(MANIFEST)?),
            credential: CredentialKey::from_bytes(*read(CREDENTIAL)?),
        })
    }

    /// Reads the credential key alone: what minting needs.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub fn load_credential_key(directory: &Path) -> Result<CredentialKey, KeyFileError> {
        Ok(CredentialKey::from_bytes(*read_private(&directory.join(CREDENTIAL))?))
    }

    /// Reads the manifest key alone: what telling the pin needs.
    ///
    /// # Errors
    /// As [`Keys::load`].
    pub fn load_manifest_key(directory: &Path) -> Result<ManifestKey, KeyFileError> {
        Ok(ManifestKey::from_bytes(*read_private(&directory.join(MANIFEST))?))
    }

    fn files(&self) -> [(&'static str, &[u8; KEY_BYTES]); 4] {
        [
            (OPRF_SEED, self.oprf_seed.expose_bytes()),
            (STORAGE, self.storage.expose_bytes()),
            (MANIFEST, self.manifest.expose_bytes()),
            (CREDENTIAL, self.credential.expose_bytes()),
        ]
    }
}

const DIGITS: usize = 2 * KEY_BYTES;

fn write_private(path: &Path, key: &[u8; KEY_BYTES]) -> Result<(), KeyFileError> {
    let mut text = Zeroizing::new([b'\n'; DIGITS + 1]);
    let (digits, _newline) = text.split_at_mut(DIGITS);
    HEXLOWER.encode_mut(key, digits);
    let mut file = private_options().create_new(true).open(path).map_err(io_error(path))?;
    file.write_all(&*text).and_then(|()| file.sync_all()).map_err(io_error(path))
}

fn read_private(path: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyFileError> {
    if is_open_to_others(path).map_err(io_error(path))? {
        return Err(KeyFileError::Permissions { path: path.to_owned() });
    }
    let text = Zeroizing::new(fs::read(path).map_err(io_error(path))?);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let digits = text.trim_ascii_end();
    let decoded =
        digits.len() == DIGITS && HEXLOWER_PERMISSIVE.decode_mut(digits, &mut *key).is_ok();
    if decoded { Ok(key) } else { Err(KeyFileError::Malformed { path: path.to_owned() }) }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    let path = path.to_owned();
    move |error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.clone() },
        kind => KeyFileError::Io { path: path.clone(), kind },
    }
}

#[cfg(unix)]
fn private_options() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(unix)]
fn make_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn private_options() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    options
}

#[cfg(not(unix))]
fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> io::Result<bool> {
    // No portable way to ask; the installation guide says who may read the directory.
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

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
            Keys::load_credential_key(&directory).unwrap().expose_bytes(),
            keys.credential.expose_bytes()
        );
        assert_eq!(Keys::load_manifest_key(&directory).unwrap().pin(), keys.manifest.pin());
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        for (name, _) in keys.files() {
            let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn keys_are_never_overwritten() {
        let (_temporary, directory, keys) = created();
        let others = Keys::generate(&mut rand::rng());
        assert!(matches!(others.create(&directory), Err(KeyFileError::Exists { .. })));
        assert_eq!(Keys::load(&directory).unwrap().files(), keys.files());
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
