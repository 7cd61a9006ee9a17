//! A published snapshot, and how it is made from rows: a pure function of rows and keys.

use std::{fmt, ops::Range};

use acquaint_core::{
    keys::{ManifestKey, Row},
    limits::{CHUNK_BYTES, SEALED_LABEL_BYTES},
    manifest::{
        DIGEST_BYTES, Manifest, ManifestError, Policy, SegmentInfo, SignedManifest, TenantName,
    },
    oprf::PublicKey,
    set::{self, Record, SetError, Universe},
};
use bytes::Bytes;

/// Everything that clients may download of one version, ready to send.
pub struct Snapshot {
    /// The manifest as it was signed.
    pub signed: SignedManifest,
    /// The same manifest, read.
    pub manifest: Manifest,
    set: Vec<Bytes>,
    labels: Vec<Bytes>,
}

/// What a snapshot is made of, besides the rows.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tenant.
    pub tenant: TenantName,
    /// The epoch of the rows.
    pub epoch: u32,
    /// Its public key.
    pub public_key: PublicKey,
    /// The number the snapshot gets.
    pub snapshot: u64,
    /// Position in the change log that the rows include.
    pub version: u64,
    /// Time of the last change, in seconds since 1970.
    pub changed_at: u64,
    /// Digest of the manifest before; zero for the first.
    pub previous: [u8; DIGEST_BYTES],
    /// The universe of the snapshot before: kept as long as it fits.
    pub universe: Option<Universe>,
    /// What the operator promises.
    pub policy: Policy,
}

/// Why no snapshot could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// More members than a directory holds, or too many with one tag prefix.
    #[error("the directory is too large to publish")]
    Set(#[from] SetError),
    /// The manifest would be refused by clients.
    #[error("the manifest would be refused by clients")]
    Manifest(#[from] ManifestError),
}

/// Which array of a snapshot to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The coded set.
    Set,
    /// The sealed labels.
    Labels,
}

/// A piece of a segment, as it goes over the wire.
pub struct Chunk {
    /// The segment.
    pub segment: u32,
    /// Position of the first byte within the segment.
    pub offset: u32,
    /// At most [`CHUNK_BYTES`]; shares memory with the snapshot.
    pub data: Bytes,
}

/// The published form of a row; hidden rows have none.
pub fn record(epoch: u32, row: &Row) -> Option<Record> {
    (!row.hidden).then(|| {
        let tag = row.element.tag();
        let sealed_label = row.element.label_key().seal(&tag, epoch, &row.label).0;
        Record { tag: tag.expose_u64(), sealed_label }
    })
}

impl Snapshot {
    /// Builds and signs a snapshot. Deterministic; the order of the records does not matter.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn build(
        plan: Plan,
        records: &mut [Record],
        key: &ManifestKey,
    ) -> Result<Self, SnapshotError> {
        let members = records.len() as u64;
        let universe = match plan.universe.filter(|universe| universe.still_fits(members)) {
            Some(universe) => universe,
            None => Universe::for_members(members)?,
        };
        let (mut infos, mut set, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for segment in set::build(&universe, plan.snapshot, records) {
            let segment = segment?;
            infos.push(SegmentInfo {
                members: segment.count,
                set_bytes: u32::try_from(segment.bytes.len()).map_err(|_| SetError::TooLarge)?,
                set_digest: *blake3::hash(&segment.bytes).as_bytes(),
                labels_digest: *blake3::hash(&segment.labels).as_bytes(),
            });
            set.push(segment.bytes.into());
            labels.push(segment.labels.into());
        }
        let manifest = Manifest {
            tenant: plan.tenant,
            epoch: plan.epoch,
            public_key: plan.public_key,
            snapshot: plan.snapshot,
            version: plan.version,
            changed_at: plan.changed_at,
            previous: plan.previous,
            universe,
            segments: infos,
            policy: plan.policy,
        };
        Ok(Self { signed: manifest.sign(key)?, manifest, set, labels })
    }

    /// The chunks of an array from a segment on, in the order of sending; `None` past the end.
    ///
    /// An empty segment has no chunk. The chunks share the snapshot's memory.
    pub fn chunks(
        &self,
        part: Part,
        first_segment: u32,
    ) -> Option<impl Iterator<Item = Chunk> + Send + use<>> {
        let segments = match part {
            Part::Set => &self.set,
            Part::Labels => &self.labels,
        };
        // Cloning the handles, 32 bytes each, lets the stream outlive the snapshot.
        let rest = segments.get(first_segment as usize..)?.to_vec();
        let chunks = (first_segment..).zip(rest).flat_map(|(segment, bytes)| {
            chunk_ranges(bytes.len()).map(move |(offset, range)| Chunk {
                segment,
                offset,
                data: bytes.slice(range),
            })
        });
        Some(chunks)
    }

    /// Memory of the arrays in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.manifest.set_bytes() + self.manifest.members() * SEALED_LABEL_BYTES as u64
    }
}

fn chunk_ranges(length: usize) -> impl Iterator<Item = (u32, Range<usize>)> + Send {
    (0..length).step_by(CHUNK_BYTES).map(move |start| {
        let offset = u32::try_from(start).expect("a segment is at most a few megabytes");
        (offset, start..(start + CHUNK_BYTES).min(length))
    })
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("snapshot", &self.manifest.snapshot)
            .field("members", &self.manifest.members())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.data.len())
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::keys::OprfSeed;

    use super::*;

    fn plan() -> Plan {
        Plan {
            tenant: "test".parse().unwrap(),
            epoch: 1,
            public_key: OprfSeed::from_bytes([1; 32]).epoch_key(1).unwrap().1,
            snapshot: 1,
            version: 9,
            changed_at: 3,
            previous: [0; DIGEST_BYTES],
            universe: None,
            policy: Policy {
                padding_classes: vec![16],
                quota_elements: 1,
                quota_refill_per_day: 1,
                repeat_retention_seconds: 600,
            },
        }
    }

    fn records(n: u64) -> Vec<Record> {
        let spread = 0x9e37_79b9_7f4a_7c15_u64;
        (0..n)
            .map(|i| Record { tag: i.wrapping_mul(spread), sealed_label: [i.to_le_bytes()[0]; 32] })
            .collect()
    }

    #[test]
    fn publication_does_not_depend_on_order() {
        let key = ManifestKey::from_bytes([2; 32]);
        let mut forward = records(40_000);
        let mut backward: Vec<_> = records(40_000).into_iter().rev().collect();
        let a = Snapshot::build(plan(), &mut forward, &key).unwrap();
        let b = Snapshot::build(plan(), &mut backward, &key).unwrap();
        assert_eq!(a.signed, b.signed);
        assert_eq!((a.set, a.labels), (b.set, b.labels));
    }

    #[test]
    fn chunks_reassemble_to_the_segments_that_the_manifest_names() {
        let key = ManifestKey::from_bytes([2; 32]);
        let snapshot = Snapshot::build(plan(), &mut records(60_000), &key).unwrap();
        for part in [Part::Set, Part::Labels] {
            let mut segments = vec![Vec::new(); snapshot.manifest.segments.len()];
            for chunk in snapshot.chunks(part, 0).unwrap() {
                let segment = &mut segments[chunk.segment as usize];
                assert_eq!(segment.len(), chunk.offset as usize);
                assert!((1..=CHUNK_BYTES).contains(&chunk.data.len()));
                segment.extend_from_slice(&chunk.data);
            }
            for (info, segment) in snapshot.manifest.segments.iter().zip(&segments) {
                let digest = match part {
                    Part::Set => info.set_digest,
                    Part::Labels => info.labels_digest,
                };
                assert_eq!(*blake3::hash(segment).as_bytes(), digest);
            }
        }
        let n = snapshot.manifest.universe.segment_count();
        assert!(snapshot.chunks(Part::Set, n).unwrap().next().is_none());
        assert!(snapshot.chunks(Part::Set, n + 1).is_none());
    }

    #[test]
    fn a_universe_that_fits_is_kept() {
        let key = ManifestKey::from_bytes([2; 32]);
        let universe = Universe::for_members(40_000).unwrap();
        let keep = |n: u64| {
            let plan = Plan { universe: Some(universe), ..plan() };
            Snapshot::build(plan, &mut records(n), &key).unwrap().manifest.universe == universe
        };
        assert!(keep(40_000) && keep(59_000) && keep(21_000));
        assert!(!keep(61_000) && !keep(19_000));
    }
}
