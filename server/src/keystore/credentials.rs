//! The credential keys of a key directory, several at a time so that one can replace another.
//!
//! | file | holds |
//! |---|---|
//! | `credential-<id>.key` | a key that the server accepts; ids begin at 1 |
//! | `credential-<id>.new` | a key that is being written: nobody uses it yet |
//! | `credential-<id>.retiring` | a key that is being destroyed: nobody uses it any more |
//! | `credential-<id>.retired` | nothing: there was a key, and its id is not given again |
//!
//! A process may be killed between any two steps; doing the same again does the rest. Whoever
//! changes the files locks the directory meanwhile.

use std::{
    fs,
    path::{Path, PathBuf},
};

use acquaint_core::keys::CredentialKey;
use rand::CryptoRng;

use super::{
    KeyFileError,
    files::{io_error, read_private, shred, sync_directory, write_private},
};

/// The id of the first credential key of a directory.
pub const FIRST_CREDENTIAL_KEY_ID: u32 = 1;

/// The one credential key of a directory before there could be several.
const FORMER: &str = "credential.key";

/// The way to the credential keys in a key directory. Its methods block for some milliseconds.
#[derive(Clone, Debug)]
pub struct CredentialKeyFiles {
    directory: PathBuf,
}

/// Endings of names: see the table above.
const KEY: &str = "key";
const RETIRING: &str = "retiring";
const RETIRED: &str = "retired";

/// The name of the file that holds the key with an id.
pub(super) fn key_name(id: u32) -> String {
    file_name(id, KEY)
}

fn file_name(id: u32, ending: &str) -> String {
    format!("credential-{id}.{ending}")
}

impl CredentialKeyFiles {
    /// The credential keys in a key directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Reads all keys with their ids, ascending: at least one.
    ///
    /// # Errors
    /// [`KeyFileError`], but never `Exists`; `Io` with the file of the first key if there is none
    /// at all, `Former` if the directory holds a file from before there could be several.
    pub fn load(&self) -> Result<Vec<(u32, CredentialKey)>, KeyFileError> {
        self.refuse_former()?;
        let mut ids = self.ids()?;
        if ids.is_empty() {
            // So that the error names a file.
            ids.push(FIRST_CREDENTIAL_KEY_ID);
        }
        let read = |id| Ok((id, CredentialKey::from_bytes(*read_private(&self.path(id))?)));
        ids.into_iter().map(read).collect()
    }

    /// The ids of all keys, ascending, without reading them.
    ///
    /// # Errors
    /// [`KeyFileError::Io`].
    pub fn ids(&self) -> Result<Vec<u32>, KeyFileError> {
        self.ids_of(&[KEY])
    }

    /// The ids in the names of files with certain endings, ascending.
    fn ids_of(&self, endings: &[&str]) -> Result<Vec<u32>, KeyFileError> {
        let failed = io_error(&self.directory);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let id = |ending: &&str| parse_name(name.to_str()?, ending);
            ids.extend(endings.iter().find_map(id));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Makes the next key, durably, and gives its id: one more than the highest there ever was.
    ///
    /// # Errors
    /// [`KeyFileError`]; `NoId` if the highest id is the last one there is.
    pub fn add(&self, rng: &mut impl CryptoRng) -> Result<u32, KeyFileError> {
        let _locked = self.lock()?;
        self.refuse_former()?;
        let id = match self.ids_of(&[KEY, RETIRING, RETIRED])?.last() {
            None => FIRST_CREDENTIAL_KEY_ID,
            Some(highest) => highest
                .checked_add(1)
                .ok_or_else(|| KeyFileError::NoId { path: self.directory.clone() })?,
        };
        let new = self.directory.join(format!("credential-{id}.new"));
        shred(&new, rng)?;
        write_private(&new, CredentialKey::generate(rng).expose_bytes())?;
        fs::rename(&new, self.path(id)).map_err(io_error(&new))?;
        sync_directory(&self.directory)?;
        Ok(id)
    }

    /// Destroys a key: its file is overwritten with random bytes and removed. Never the last one.
    ///
    /// # Errors
    /// [`KeyFileError::Missing`] if there is no such key, [`KeyFileError::LastCredentialKey`] if
    /// there is no other; after any other error, another call does the rest.
    pub fn retire(&self, id: u32, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        let _locked = self.lock()?;
        let (path, going) = (self.path(id), self.directory.join(file_name(id, RETIRING)));
        let ids = self.ids()?;
        if !ids.contains(&id) && !going.exists() {
            return Err(KeyFileError::Missing { path });
        }
        if ids == [id] {
            return Err(KeyFileError::LastCredentialKey { path });
        }
        // Under its new name it is no key any more, whatever is in it: overwriting may stop at
        // any byte.
        if path.exists() {
            fs::rename(&path, &going).map_err(io_error(&path))?;
            sync_directory(&self.directory)?;
        }
        let gone = self.directory.join(file_name(id, RETIRED));
        fs::write(&gone, []).map_err(io_error(&gone))?;
        sync_directory(&self.directory)?;
        shred(&going, rng)?;
        sync_directory(&self.directory)
    }

    /// Every file that holds a credential key, or held one before.
    pub(super) fn present(&self) -> Vec<PathBuf> {
        let ids = self.ids().unwrap_or_default().into_iter();
        ids.map(|id| self.path(id)).chain([self.directory.join(FORMER)]).collect()
    }

    /// A file of before is not a key of which anybody knows the id: it is renamed by hand.
    fn refuse_former(&self) -> Result<(), KeyFileError> {
        let path = self.directory.join(FORMER);
        if path.exists() { Err(KeyFileError::Former { path }) } else { Ok(()) }
    }

    /// Keeps other processes from changing the files; until the value is dropped.
    fn lock(&self) -> Result<fs::File, KeyFileError> {
        let failed = io_error(&self.directory);
        let directory = fs::File::open(&self.directory).map_err(&failed)?;
        directory.lock().map_err(&failed)?;
        Ok(directory)
    }

    /// The file of a key, whether or not there is one.
    #[must_use]
    pub fn path(&self, id: u32) -> PathBuf {
        self.directory.join(key_name(id))
    }
}

/// The id of a key, by the name of a file with an ending.
fn parse_name(name: &str, ending: &str) -> Option<u32> {
    let id = name.strip_prefix("credential-")?.strip_suffix(ending)?.strip_suffix('.')?;
    let id = id.parse().ok().filter(|&parsed| parsed >= FIRST_CREDENTIAL_KEY_ID)?;
    (file_name(id, ending) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, thread};

    use acquaint_core::credential::{Claims, Credential, CredentialVerifier, Pseudonym, Scope};
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::keystore::Keys;

    struct Place {
        _temporary: tempfile::TempDir,
        directory: PathBuf,
        files: CredentialKeyFiles,
    }

    fn place() -> Place {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("keys");
        Keys::generate(&mut rand::rng()).create(&directory).unwrap();
        Place { files: CredentialKeyFiles::new(&directory), _temporary: temporary, directory }
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn digits(key: &CredentialKey) -> String {
        HEXLOWER.encode(key.expose_bytes())
    }

    #[test]
    fn keys_come_overlap_and_go() {
        let Place { directory, files, .. } = &place();
        assert_eq!(files.ids().unwrap(), [1]);
        assert_eq!(files.add(&mut rand::rng()).unwrap(), 2);
        let both = files.load().unwrap();
        assert_eq!(both.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
        assert_ne!(digits(&both[0].1), digits(&both[1].1));
        let mode = fs::metadata(directory.join("credential-2.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        files.retire(1, &mut rand::rng()).unwrap();
        let left = files.load().unwrap();
        assert_eq!((left.len(), left[0].0), (1, 2));
        assert_eq!(digits(&left[0].1), digits(&both[1].1));
        let all = names(directory);
        let of_first: Vec<_> = all.iter().filter(|name| name.contains("credential-1")).collect();
        assert_eq!(of_first, ["credential-1.retired"]);
        assert_eq!(fs::read(directory.join("credential-1.retired")).unwrap(), []);
        assert_eq!(files.add(&mut rand::rng()).unwrap(), 3);
        // The newest one, too, leaves its id to nobody.
        files.retire(3, &mut rand::rng()).unwrap();
        assert_eq!(files.add(&mut rand::rng()).unwrap(), 4);
    }

    #[test]
    fn the_last_key_stays_and_a_missing_one_is_named() {
        let Place { files, .. } = &place();
        let last = files.retire(1, &mut rand::rng());
        assert!(matches!(last, Err(KeyFileError::LastCredentialKey { .. })));
        for id in [0, 2, u32::MAX] {
            let missing = files.retire(id, &mut rand::rng());
            assert!(matches!(missing, Err(KeyFileError::Missing { .. })), "{id}");
        }
        assert_eq!(files.load().unwrap().len(), 1);
    }

    /// A key rotation leaves the pseudonyms as they are, and with them the quotas.
    #[test]
    fn a_rotation_changes_no_pseudonym() {
        let Place { directory, files, .. } = &place();
        let pseudonym = || {
            let keys = Keys::load(directory).unwrap();
            Pseudonym::of_account(&keys.pseudonym, b"alice")
        };
        let before = pseudonym();
        files.add(&mut rand::rng()).unwrap();
        assert_eq!(pseudonym(), before);
        files.retire(1, &mut rand::rng()).unwrap();
        assert_eq!(pseudonym(), before);
    }

    /// What a kill leaves behind is no key, and the same call does the rest.
    #[test]
    fn interrupted_steps_are_finished() {
        let Place { directory, files, .. } = &place();
        fs::write(directory.join("credential-2.new"), "half a k").unwrap();
        assert_eq!(files.load().unwrap().len(), 1);
        assert_eq!(files.add(&mut rand::rng()).unwrap(), 2);
        assert!(!directory.join("credential-2.new").exists());

        let going = directory.join("credential-1.retiring");
        fs::rename(directory.join("credential-1.key"), &going).unwrap();
        fs::write(&going, "half overwritten").unwrap();
        assert_eq!(files.ids().unwrap(), [2]);
        files.retire(1, &mut rand::rng()).unwrap();
        assert!(!going.exists());
        assert!(matches!(files.retire(1, &mut rand::rng()), Err(KeyFileError::Missing { .. })));
        assert_eq!(files.load().unwrap().len(), 1);
    }

    #[test]
    fn a_key_of_before_is_refused_with_the_remedy() {
        let Place { directory, files, .. } = &place();
        fs::rename(directory.join("credential-1.key"), directory.join(FORMER)).unwrap();
        for error in [
            files.load().unwrap_err(),
            Keys::load(directory).unwrap_err(),
            files.add(&mut rand::rng()).unwrap_err(),
        ] {
            assert!(error.to_string().contains("rename it to credential-1.key"), "{error}");
        }
        fs::rename(directory.join(FORMER), directory.join("credential-1.key")).unwrap();
        assert_eq!(Keys::load(directory).unwrap().credentials.len(), 1);
    }

    #[test]
    fn only_exact_names_are_keys() {
        let Place { directory, files, .. } = &place();
        for id in ["0", "01", "+2", "", "2~", "4294967296", "-1"] {
            fs::write(directory.join(format!("credential-{id}.key")), "nothing").unwrap();
        }
        fs::write(directory.join("credential-2.key~"), "nothing").unwrap();
        assert_eq!(files.ids().unwrap(), [1]);
        fs::remove_file(directory.join("credential-1.key")).unwrap();
        let error = files.load().unwrap_err();
        assert!(
            matches!(&error, KeyFileError::Io { path, .. } if path.ends_with("credential-1.key"))
        );
    }

    #[test]
    fn the_highest_id_has_no_successor() {
        let Place { directory, files, .. } = &place();
        let (last, path) = (u32::MAX, directory.join("credential-1.key"));
        fs::rename(path, directory.join(format!("credential-{}.key", last - 1))).unwrap();
        assert_eq!(files.add(&mut rand::rng()).unwrap(), last);
        assert!(matches!(files.add(&mut rand::rng()), Err(KeyFileError::NoId { .. })));
    }

    /// Two operators at once: each gets a key of its own, and at the end one is left.
    #[test]
    fn parallel_changes_do_not_overwrite_each_other() {
        let Place { files, .. } = &place();
        let add = || files.add(&mut rand::rng()).unwrap();
        let ids: BTreeSet<u32> = thread::scope(|scope| {
            let threads = [(); 8].map(|()| scope.spawn(add));
            threads.map(|thread| thread.join().unwrap()).into()
        });
        assert_eq!(ids, (2..=9).collect());
        let different: BTreeSet<_> =
            files.load().unwrap().iter().map(|(_, key)| digits(key)).collect();
        assert_eq!(different.len(), 9);

        let retired = thread::scope(|scope| {
            let threads: Vec<_> =
                (1..=9).map(|id| scope.spawn(move || files.retire(id, &mut rand::rng()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!((retired, files.load().unwrap().len()), (8, 1));
    }

    /// Both keys of an overlap open, a retired one does not.
    #[test]
    fn loaded_keys_verify_what_they_minted() {
        let Place { files, .. } = &place();
        files.add(&mut rand::rng()).unwrap();
        let minted: Vec<_> = files
            .load()
            .unwrap()
            .iter()
            .map(|(id, key)| Credential::mint(key, &claims(*id)).expose_text().to_owned())
            .collect();
        let accepted = || {
            let tenants = [("demo".parse().unwrap(), files.load().unwrap())];
            let verifier = CredentialVerifier::new("acquaint".parse().unwrap(), tenants);
            minted.iter().map(|text| verifier.verify(text, 5).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(accepted(), [true, true]);
        files.retire(1, &mut rand::rng()).unwrap();
        assert_eq!(accepted(), [false, true]);
    }

    fn claims(key_id: u32) -> Claims {
        Claims {
            tenant: "demo".parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym([7; 16]),
            scope: Scope::Discover,
            class: 0,
            issued_at: 1,
            expires_at: 10,
            account_since: 0,
            key_id,
        }
    }
}
