//! The files of a publication by name: one layout for whoever writes them and whoever reads them.
//!
//! A publication can be served as files by any web server. All but the manifest are immutable: a
//! name stands for the same bytes forever. Index, set and label files are named by their digest.
//! Deltas and ways are functions of what is published, so their names are the versions that they
//! lead from and to; they are not signed, and what they lead to is compared with the manifest.

use std::{fmt, str::FromStr};

use crate::{
    limits::{MANIFEST_BYTES_MAX, WAY_STEPS_MAX},
    manifest::{DIGEST_BYTES, ManifestError, SIGNATURE_BYTES, SignedManifest},
};

/// Length of the manifest's file in bytes: signature and content.
pub const MANIFEST_FILE_BYTES_MAX: usize = SIGNATURE_BYTES + MANIFEST_BYTES_MAX;

/// Length of a way's file in bytes.
pub const WAY_BYTES_MAX: usize = WAY_MAGIC.len() + WAY_STEPS_MAX * WAY_STEP_BYTES;

const WAY_MAGIC: [u8; 8] = *b"ACQW\x01\0\0\0";
const WAY_STEP_BYTES: usize = 16;

/// A version of a directory: the number of a snapshot, and the position in the change log up to
/// which the overlay over it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryVersion {
    /// Number of the snapshot.
    pub snapshot: u64,
    /// Position in the change log.
    pub version: u64,
}

/// A file of a publication. `Display` gives its path, with `/` between the parts; `FromStr` reads
/// that path and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// The newest signed manifest: the one file that changes.
    Manifest,
    /// A segment index, by its digest.
    Index([u8; DIGEST_BYTES]),
    /// A coded segment, by its digest.
    Set([u8; DIGEST_BYTES]),
    /// The sealed labels of a segment, by their digest.
    Labels([u8; DIGEST_BYTES]),
    /// What changed over one snapshot.
    Delta {
        /// Number of the snapshot.
        snapshot: u64,
        /// The version that it leads from.
        from: u64,
        /// The version that it leads to, above `from`.
        to: u64,
    },
    /// The steps from a version over an older snapshot to one over a newer snapshot.
    Way {
        /// Where it begins.
        from: DirectoryVersion,
        /// Where it ends.
        to: DirectoryVersion,
    },
}

/// The text is not the path of a file of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a file of a publication")]
pub struct FileNameError;

/// The bytes are not those of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a way from one version to another")]
pub struct WayError;

/// The steps of a way: what the overlay of each snapshot leads to before the next snapshot is made
/// of it. The last one is the end of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way(Vec<DirectoryVersion>);

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |digest: &[u8]| data_encoding::HEXLOWER.encode(digest);
        match self {
            Self::Manifest => f.write_str("manifest"),
            Self::Index(digest) => write!(f, "index/{}", hex(digest)),
            Self::Set(digest) => write!(f, "set/{}", hex(digest)),
            Self::Labels(digest) => write!(f, "labels/{}", hex(digest)),
            Self::Delta { snapshot, from, to } => write!(f, "delta/{snapshot}/{from}-{to}"),
            Self::Way { from, to } => {
                write!(f, "way/{}-{}-{}-{}", from.snapshot, from.version, to.snapshot, to.version)
            }
        }
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    /// Reads a path in exactly the form that `Display` writes.
    ///
    /// # Errors
    /// [`FileNameError`].
    fn from_str(path: &str) -> Result<Self, FileNameError> {
        let name = parse(path).ok_or(FileNameError)?;
        // One spelling of each name: no leading zero or sign, no other case.
        if name.to_string() == path { Ok(name) } else { Err(FileNameError) }
    }
}

fn parse(path: &str) -> Option<FileName> {
    if path == "manifest" {
        return Some(FileName::Manifest);
    }
    let (folder, rest) = path.split_once('/')?;
    match folder {
        "index" => parse_digest(rest).map(FileName::Index),
        "set" => parse_digest(rest).map(FileName::Set),
        "labels" => parse_digest(rest).map(FileName::Labels),
        "delta" => {
            let (snapshot, versions) = rest.split_once('/')?;
            let (snapshot, [from, to]) = (snapshot.parse().ok()?, parse_numbers(versions)?);
            FileName::delta(snapshot, from, to)
        }
        "way" => {
            let [from_snapshot, from_version, snapshot, version] = parse_numbers(rest)?;
            let from = DirectoryVersion { snapshot: from_snapshot, version: from_version };
            let to = DirectoryVersion { snapshot, version };
            (from.snapshot < to.snapshot).then_some(FileName::Way { from, to })
        }
        _ => None,
    }
}

fn parse_digest(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn parse_numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let numbers: Result<Vec<u64>, _> = text.split('-').map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

impl FileName {
    /// The delta between two versions over one snapshot; `None` if they are the same or in the
    /// wrong order, for which there is no file.
    #[must_use]
    pub fn delta(snapshot: u64, from: u64, to: u64) -> Option<Self> {
        (from < to).then_some(Self::Delta { snapshot, from, to })
    }

    /// Whether a file has the digest that its name states; `true` for names that state none.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Index(digest) | Self::Set(digest) | Self::Labels(digest) => {
                blake3::hash(bytes).as_bytes() == digest
            }
            Self::Manifest | Self::Delta { .. } | Self::Way { .. } => true,
        }
    }
}

impl Way {
    /// A way of at least one step and at most [`WAY_STEPS_MAX`].
    ///
    /// # Errors
    /// [`WayError`] for another number of steps.
    pub fn new(steps: Vec<DirectoryVersion>) -> Result<Self, WayError> {
        if (1..=WAY_STEPS_MAX).contains(&steps.len()) { Ok(Self(steps)) } else { Err(WayError) }
    }

    /// The steps, in the order of going.
    #[must_use]
    pub fn steps(&self) -> &[DirectoryVersion] {
        &self.0
    }

    /// The bytes of the file: a magic of eight bytes, then snapshot and version of each step,
    /// eight bytes each, little endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = WAY_MAGIC.to_vec();
        for step in &self.0 {
            bytes.extend_from_slice(&step.snapshot.to_le_bytes());
            bytes.extend_from_slice(&step.version.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`WayError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WayError> {
        let fields = bytes.strip_prefix(&WAY_MAGIC).ok_or(WayError)?;
        let (steps, rest) = fields.as_chunks::<WAY_STEP_BYTES>();
        if !rest.is_empty() {
            return Err(WayError);
        }
        let step = |bytes: &[u8; WAY_STEP_BYTES]| {
            let (snapshot, version) = bytes.split_first_chunk()?;
            Some(DirectoryVersion {
                snapshot: u64::from_le_bytes(*snapshot),
                version: u64::from_le_bytes(*version.first_chunk()?),
            })
        };
        Self::new(steps.iter().filter_map(step).collect())
    }
}

impl SignedManifest {
    /// The bytes of the manifest's file: the signature, then the content.
    #[must_use]
    pub fn to_file(&self) -> Vec<u8> {
        [&self.signature[..], &self.content].concat()
    }

    /// Takes a manifest's file apart; whether the signature holds is for [`Self::verify`].
    ///
    /// # Errors
    /// [`ManifestError::Format`] if it is shorter than a signature, or too long.
    pub fn from_file(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_FILE_BYTES_MAX {
            return Err(ManifestError::Format);
        }
        let (signature, content) = bytes.split_first_chunk().ok_or(ManifestError::Format)?;
        Ok(Self { content: content.to_vec(), signature: *signature })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn version(snapshot: u64, version: u64) -> DirectoryVersion {
        DirectoryVersion { snapshot, version }
    }

    fn names() -> impl Strategy<Value = FileName> {
        use FileName as F;
        prop_oneof![
            Just(F::Manifest),
            any::<[u8; 32]>().prop_map(F::Index),
            any::<[u8; 32]>().prop_map(F::Set),
            any::<[u8; 32]>().prop_map(F::Labels),
            (any::<u64>(), 0..u64::MAX).prop_flat_map(|(snapshot, from)| {
                (from + 1..=u64::MAX).prop_map(move |to| F::Delta { snapshot, from, to })
            }),
            (0..u64::MAX, any::<u64>(), any::<u64>()).prop_map(|(snapshot, a, b)| F::Way {
                from: version(snapshot, a),
                to: version(snapshot + 1, b)
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_name_reads_as_it_was_written(name in names()) {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn what_reads_as_a_name_is_its_one_spelling(path in "[a-z]{0,6}/?[0-9a-f+-]{0,9}/?[0-9-]{0,9}") {
            if let Ok(name) = path.parse::<FileName>() {
                prop_assert_eq!(name.to_string(), path);
            }
        }
    }

    #[test]
    fn names_are_these_paths() {
        let digest = [0xAB; 32];
        let hex = "ab".repeat(32);
        let way = FileName::Way { from: version(1, 7), to: version(3, 12) };
        for (name, path) in [
            (FileName::Manifest, "manifest".to_owned()),
            (FileName::Index(digest), format!("index/{hex}")),
            (FileName::Set(digest), format!("set/{hex}")),
            (FileName::Labels(digest), format!("labels/{hex}")),
            (FileName::Delta { snapshot: 2, from: 7, to: 10 }, "delta/2/7-10".to_owned()),
            (way, "way/1-7-3-12".to_owned()),
        ] {
            assert_eq!(name.to_string(), path);
            assert_eq!(path.parse(), Ok(name));
        }
    }

    #[test]
    fn other_paths_are_no_names() {
        let hex = "ab".repeat(32);
        for path in [
            "",
            "Manifest",
            "/manifest",
            "manifest/",
            "../manifest",
            ".exports",
            "set/",
            "set/ab",
            "delta/1/2-2",
            "delta/1/3-2",
            "delta/1/2-03",
            "delta/+1/2-3",
            "delta/1/2-3/",
            "delta/1/2-3-4",
            "delta/1/2-18446744073709551616",
            "way/1-2-1-3",
            "way/2-2-1-3",
            "way/1-2-3",
            "way/1-2-3-4-5",
        ] {
            assert_eq!(path.parse::<FileName>(), Err(FileNameError), "{path}");
        }
        for path in [format!("set/{}", hex.to_uppercase()), format!("set/{hex}0")] {
            assert_eq!(path.parse::<FileName>(), Err(FileNameError), "{path}");
        }
    }

    #[test]
    fn content_addressed_files_fit_their_names_only() {
        let digest = *blake3::hash(b"segment").as_bytes();
        for name in [FileName::Index(digest), FileName::Set(digest), FileName::Labels(digest)] {
            assert!(name.fits(b"segment") && !name.fits(b"segmenT"));
        }
        assert!(FileName::Manifest.fits(b"anything"));
    }

    #[test]
    fn ways_read_as_they_were_written_up_to_the_limit() {
        let most: Vec<_> = (0..WAY_STEPS_MAX as u64).map(|i| version(i, i * i)).collect();
        let way = Way::new(most.clone()).unwrap();
        assert_eq!(way.encode().len(), WAY_BYTES_MAX);
        assert_eq!(Way::decode(&way.encode()), Ok(way));
        assert_eq!(Way::new([most, vec![version(99, 99)]].concat()), Err(WayError));
        assert_eq!(Way::new(vec![]), Err(WayError));
    }

    #[test]
    fn malformed_ways_are_refused() {
        let way = Way::new(vec![version(1, 2), version(3, 4)]).unwrap().encode();
        assert_eq!(way.len(), 40);
        for length in (0..way.len()).filter(|length| *length != 24) {
            assert_eq!(Way::decode(&way[..length]), Err(WayError), "{length}");
        }
        for at in 0..8 {
            let mut other = way.clone();
            other[at] ^= 1;
            assert_eq!(Way::decode(&other), Err(WayError), "byte {at}");
        }
        let long = [way.clone(), vec![0; 16 * WAY_STEPS_MAX]].concat();
        assert_eq!(Way::decode(&long), Err(WayError));
    }

    #[test]
    fn a_manifest_file_is_signature_and_content() {
        let signed = SignedManifest { content: vec![1, 2, 3], signature: [7; 64] };
        let file = signed.to_file();
        assert_eq!((file.len(), file[63], file[64]), (67, 7, 1));
        assert_eq!(SignedManifest::from_file(&file), Ok(signed));
        assert_eq!(SignedManifest::from_file(&[0; 63]), Err(ManifestError::Format));
        assert!(SignedManifest::from_file(&[0; MANIFEST_FILE_BYTES_MAX]).is_ok());
        let long = [0; MANIFEST_FILE_BYTES_MAX + 1];
        assert_eq!(SignedManifest::from_file(&long), Err(ManifestError::Format));
    }
}
