//! The OPRF seeds of a key directory: one file for each epoch that lives, a note for each that was.
//!
//! | file | holds |
//! |---|---|
//! | `oprf.seed` | the seed of epoch 1 |
//! | `oprf-<epoch>.seed` | the seed of a later epoch |
//! | `oprf-<epoch>.new` | a seed that is being written: nobody uses it yet |
//! | `oprf-<epoch>.destroying` | a seed that is being destroyed: nobody uses it any more |
//! | `oprf-<epoch>.destroyed` | the public key of a seed that is gone |
//!
//! A process may be killed between any two steps; doing the same again does the rest.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use acquaint_core::{keys::OprfSeed, oprf::PublicKey};
use data_encoding::HEXLOWER;
use rand::CryptoRng;

use super::{
    KeyFileError,
    files::{io_error, read_private, shred, sync_directory, write_private, write_text},
};

/// The epoch of a directory that was never rotated.
pub const FIRST_EPOCH: u32 = 1;

/// A seed for each epoch whose key is not destroyed: one, or two while a rotation lasts.
#[derive(Clone, Debug)]
pub struct EpochSeeds(BTreeMap<u32, OprfSeed>);

impl EpochSeeds {
    /// The seed of the first epoch alone.
    #[must_use]
    pub fn first(seed: OprfSeed) -> Self {
        Self(BTreeMap::from([(FIRST_EPOCH, seed)]))
    }

    /// The seed of an epoch, if there is one.
    #[must_use]
    pub fn get(&self, epoch: u32) -> Option<&OprfSeed> {
        self.0.get(&epoch)
    }

    /// Epochs and seeds, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &OprfSeed)> {
        self.0.iter().map(|(epoch, seed)| (*epoch, seed))
    }

    /// The newest epoch that has a seed; of a directory that was loaded, there is one.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.0.keys().next_back().copied()
    }
}

/// What a key directory tells of the key of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The epoch.
    pub epoch: u32,
    /// Its public key.
    pub public_key: PublicKey,
    /// Whether its seed is gone for good.
    pub destroyed: bool,
}

/// The way to the seeds in a key directory. Its methods block for some milliseconds.
#[derive(Clone, Debug)]
pub struct SeedFiles {
    directory: PathBuf,
}

/// What a file of a seed is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Seed,
    Destroying,
    Destroyed,
}

/// The name of the file that holds the seed of an epoch.
pub(super) fn seed_name(epoch: u32) -> String {
    if epoch == FIRST_EPOCH { "oprf.seed".to_owned() } else { format!("oprf-{epoch}.seed") }
}

impl SeedFiles {
    /// The seeds in a key directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Reads all seeds that are in use.
    ///
    /// # Errors
    /// [`KeyFileError`], but never `Exists`; `Io` with the file of the first epoch if there is
    /// none at all.
    pub fn load(&self) -> Result<EpochSeeds, KeyFileError> {
        let mut epochs = self.epochs(Kind::Seed)?;
        if epochs.is_empty() {
            // So that the error names a file.
            epochs.push(FIRST_EPOCH);
        }
        let seeds = epochs.into_iter().map(|epoch| Ok((epoch, self.read(&seed_name(epoch))?)));
        seeds.collect::<Result<_, _>>().map(EpochSeeds)
    }

    /// Makes the seed of an epoch, durably. One that is there, and that nobody ever used, is
    /// destroyed first.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn replace_unused(
        &self,
        epoch: u32,
        rng: &mut impl CryptoRng,
    ) -> Result<OprfSeed, KeyFileError> {
        let (new, path) = (self.path(epoch, "new"), self.directory.join(seed_name(epoch)));
        shred(&new, rng)?;
        shred(&path, rng)?;
        let seed = OprfSeed::generate(rng);
        write_private(&new, seed.expose_bytes())?;
        fs::rename(&new, &path).map_err(io_error(&path))?;
        sync_directory(&self.directory)?;
        Ok(seed)
    }

    /// Destroys the seed of an epoch: a note of its public key stays, the file is overwritten with
    /// random bytes and removed. A seed that is destroyed already stays so.
    ///
    /// # Errors
    /// [`KeyFileError`]; another call does the rest.
    pub fn destroy(&self, epoch: u32, rng: &mut impl CryptoRng) -> Result<(), KeyFileError> {
        let path = self.directory.join(seed_name(epoch));
        let (going, note) = (self.path(epoch, "destroying"), self.path(epoch, "destroyed"));
        // Under its new name it is no seed any more, whatever is in it: overwriting may stop at
        // any byte.
        if path.exists() {
            fs::rename(&path, &going).map_err(io_error(&going))?;
            sync_directory(&self.directory)?;
        }
        if going.exists() && !note.exists() {
            self.note(epoch, &going, &note, rng)?;
        }
        shred(&going, rng)?;
        sync_directory(&self.directory)
    }

    /// Every epoch that the directory knows of, ascending. A key that is being destroyed is not
    /// destroyed yet.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn list(&self) -> Result<Vec<ListedKey>, KeyFileError> {
        let going = self.epochs(Kind::Destroying)?;
        let destroyed = self.epochs(Kind::Destroyed)?.into_iter().map(|epoch| {
            let public_key = self.read_note(&self.path(epoch, "destroyed"))?;
            Ok(ListedKey { epoch, public_key, destroyed: !going.contains(&epoch) })
        });
        let mut listed = destroyed.collect::<Result<Vec<_>, KeyFileError>>()?;
        for epoch in self.epochs(Kind::Seed)? {
            let public_key = self.public_key(epoch, &self.read(&seed_name(epoch))?)?;
            listed.push(ListedKey { epoch, public_key, destroyed: false });
        }
        listed.sort_by_key(|key| key.epoch);
        Ok(listed)
    }

    /// Writes the public key of a seed into a note, whole or not at all.
    fn note(
        &self,
        epoch: u32,
        going: &Path,
        note: &Path,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyFileError> {
        let seed = OprfSeed::from_bytes(*read_private(going)?);
        let public_key = self.public_key(epoch, &seed)?;
        let new = self.path(epoch, "new");
        shred(&new, rng)?;
        write_text(&new, format!("{}\n", HEXLOWER.encode(public_key.as_bytes())).as_bytes())?;
        fs::rename(&new, note).map_err(io_error(note))?;
        sync_directory(&self.directory)
    }

    fn read_note(&self, path: &Path) -> Result<PublicKey, KeyFileError> {
        let malformed = |_| KeyFileError::Malformed { path: path.to_owned() };
        PublicKey::try_from(&*read_private(path)?).map_err(malformed)
    }

    fn public_key(&self, epoch: u32, seed: &OprfSeed) -> Result<PublicKey, KeyFileError> {
        let pair = seed.epoch_key(epoch);
        Ok(pair.map_err(|_| KeyFileError::Seed { path: self.directory.clone() })?.1)
    }

    fn read(&self, name: &str) -> Result<OprfSeed, KeyFileError> {
        Ok(OprfSeed::from_bytes(*read_private(&self.directory.join(name))?))
    }

    fn path(&self, epoch: u32, extension: &str) -> PathBuf {
        self.directory.join(format!("oprf-{epoch}.{extension}"))
    }

    /// The epochs of which there is a file of a kind, ascending.
    fn epochs(&self, kind: Kind) -> Result<Vec<u32>, KeyFileError> {
        let failed = io_error(&self.directory);
        let mut epochs = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let found = name.to_str().and_then(parse_name).filter(|(found, _)| *found == kind);
            epochs.extend(found.map(|(_, epoch)| epoch));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }
}

/// Kind and epoch of a file, by its name.
fn parse_name(name: &str) -> Option<(Kind, u32)> {
    if name == seed_name(FIRST_EPOCH) {
        return Some((Kind::Seed, FIRST_EPOCH));
    }
    let (epoch, extension) = name.strip_prefix("oprf-")?.split_once('.')?;
    let number = epoch.parse().ok().filter(|number: &u32| number.to_string() == epoch)?;
    let kind = match extension {
        "seed" if number > FIRST_EPOCH => Kind::Seed,
        "destroying" => Kind::Destroying,
        "destroyed" => Kind::Destroyed,
        _ => return None,
    };
    Some((kind, number))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::keystore::Keys;

    struct Place {
        _temporary: tempfile::TempDir,
        directory: PathBuf,
        files: SeedFiles,
        first: OprfSeed,
    }

    fn place() -> Place {
        let temporary = tempfile::tempdir().unwrap();
        let directory = temporary.path().join("keys");
        let keys = Keys::generate(&mut rand::rng());
        keys.create(&directory).unwrap();
        let first = keys.oprf_seeds.get(1).unwrap().clone();
        Place { files: SeedFiles::new(&directory), _temporary: temporary, directory, first }
    }

    fn epochs(seeds: &EpochSeeds) -> Vec<u32> {
        seeds.iter().map(|(epoch, _)| epoch).collect()
    }

    /// All bytes of the directory, names included.
    fn everything(directory: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            all.extend(entry.file_name().into_encoded_bytes());
            all.extend(fs::read(entry.path()).unwrap());
        }
        all
    }

    fn contains(all: &[u8], part: &[u8]) -> bool {
        all.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_seed_comes_is_loaded_and_goes() {
        let Place { directory, files, first, .. } = &place();
        let second = files.replace_unused(2, &mut rand::rng()).unwrap();
        let seeds = files.load().unwrap();
        assert_eq!(epochs(&seeds), [1, 2]);
        assert_eq!(seeds.newest(), Some(2));
        assert_eq!(seeds.get(1).unwrap().expose_bytes(), first.expose_bytes());
        assert_eq!(seeds.get(2).unwrap().expose_bytes(), second.expose_bytes());
        let mode = fs::metadata(directory.join("oprf-2.seed")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let digits = HEXLOWER.encode(first.expose_bytes());
        assert!(contains(&everything(directory), digits.as_bytes()));
        for _ in 0..2 {
            files.destroy(1, &mut rand::rng()).unwrap();
            assert_eq!(epochs(&files.load().unwrap()), [2]);
            assert_eq!(epochs(&Keys::load(directory).unwrap().oprf_seeds), [2]);
            let all = everything(directory);
            assert!(!contains(&all, digits.as_bytes()) && !contains(&all, first.expose_bytes()));
            assert!(!directory.join("oprf.seed").exists());
        }
        let listed = files.list().unwrap();
        let key = |seed: &OprfSeed, epoch| seed.epoch_key(epoch).unwrap().1;
        assert_eq!(
            listed,
            [
                ListedKey { epoch: 1, public_key: key(first, 1), destroyed: true },
                ListedKey { epoch: 2, public_key: key(&second, 2), destroyed: false },
            ]
        );
    }

    #[test]
    fn an_unused_seed_is_replaced() {
        let Place { directory, files, .. } = &place();
        let unused = files.replace_unused(2, &mut rand::rng()).unwrap();
        fs::write(directory.join("oprf-2.new"), "left by a kill").unwrap();
        let used = files.replace_unused(2, &mut rand::rng()).unwrap();
        assert_ne!(unused.expose_bytes(), used.expose_bytes());
        let loaded = files.load().unwrap();
        assert_eq!(loaded.get(2).unwrap().expose_bytes(), used.expose_bytes());
        assert!(!contains(
            &everything(directory),
            HEXLOWER.encode(unused.expose_bytes()).as_bytes()
        ));
        assert!(!directory.join("oprf-2.new").exists());
    }

    /// Whatever a kill leaves behind, another call does the rest.
    #[test]
    fn destruction_is_finished_from_any_step() {
        for step in 0..4 {
            let Place { directory, files, first, .. } = &place();
            files.replace_unused(2, &mut rand::rng()).unwrap();
            let (seed, going) = (directory.join("oprf.seed"), directory.join("oprf-1.destroying"));
            fs::rename(&seed, &going).unwrap();
            if step > 0 {
                files
                    .note(1, &going, &directory.join("oprf-1.destroyed"), &mut rand::rng())
                    .unwrap();
            }
            if step > 1 {
                let mut bytes = fs::read(&going).unwrap();
                bytes[..20].fill(0xff);
                fs::write(&going, bytes).unwrap();
                fs::set_permissions(&going, fs::Permissions::from_mode(0o600)).unwrap();
            }
            if step > 2 {
                fs::remove_file(&going).unwrap();
            }
            // What is being destroyed is no seed any more.
            assert_eq!(epochs(&files.load().unwrap()), [2], "step {step}");
            let half = files.list().unwrap();
            assert!(half.iter().all(|key| !key.destroyed || step > 2), "step {step}");
            files.destroy(1, &mut rand::rng()).unwrap();
            let listed = files.list().unwrap();
            assert!(listed[0].destroyed && listed[0].epoch == 1, "step {step}");
            assert_eq!(listed[0].public_key, first.epoch_key(1).unwrap().1);
            assert!(!going.exists());
        }
    }

    #[test]
    fn only_exact_names_are_seeds() {
        let Place { directory, files, .. } = &place();
        for name in ["oprf-1.seed", "oprf-02.seed", "oprf-+2.seed", "oprf-.seed", "oprf-2.seed~"] {
            fs::write(directory.join(name), "nothing").unwrap();
        }
        assert_eq!(epochs(&files.load().unwrap()), [1]);
        fs::remove_file(directory.join("oprf.seed")).unwrap();
        let error = files.load().unwrap_err();
        assert!(matches!(&error, KeyFileError::Io { path, .. } if path.ends_with("oprf.seed")));
    }
}
