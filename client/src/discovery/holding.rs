//! What a client holds of a directory: a snapshot, and the overlay of what changed since.

use std::sync::Arc;

use acquaint_core::{
    manifest::{DIGEST_BYTES, EpochInfo, SegmentIndex, SegmentInfo},
    set::{Delta, DeltaVersions, Overlay, SnapshotSegment, SnapshotView, compact},
};
use bytes::Bytes;

use super::delta::Step;
use crate::error::Misbehavior;

/// One version of an epoch's directory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Holding {
    view: Arc<SnapshotView<Bytes>>,
    /// Digest of the index of the snapshot's files: numbers alone do not identify a snapshot, a
    /// restored server may use one again.
    index_digest: [u8; DIGEST_BYTES],
    overlay: Arc<Overlay>,
    /// Position in the change log that the snapshot includes.
    snapshot_version: u64,
    /// Position in the change log that snapshot and overlay together include.
    version: u64,
}

impl Holding {
    /// The files of the snapshot that a manifest names, without overlay yet. They must have the
    /// digests of the index.
    ///
    /// # Errors
    /// [`Misbehavior::SetMalformed`] if the operator published what is no snapshot.
    pub(super) fn of_snapshot(
        info: &EpochInfo,
        index: &SegmentIndex,
        set: Vec<Bytes>,
        labels: Vec<Bytes>,
    ) -> Result<Self, Misbehavior> {
        let files = index.segments().iter().zip(set).zip(labels);
        let segment = |((info, bytes), labels): ((&SegmentInfo, Bytes), Bytes)| SnapshotSegment {
            count: info.members,
            bytes,
            labels,
        };
        let (universe, number) = (&info.snapshot.universe, info.snapshot.number);
        let view = SnapshotView::new(universe, info.epoch, number, files.map(segment).collect())
            .map_err(|_| Misbehavior::SetMalformed)?;
        Ok(Self::new(view, info.snapshot.index_digest, info.snapshot.version))
    }

    fn new(view: SnapshotView<Bytes>, index_digest: [u8; DIGEST_BYTES], version: u64) -> Self {
        let overlay = Arc::new(Overlay::empty(*view.identity()));
        let view = Arc::new(view);
        Self { view, index_digest, overlay, snapshot_version: version, version }
    }

    /// What an earlier lookup left. The overlay must be one of the snapshot. `None` if the files
    /// are none of a snapshot.
    pub(super) fn kept(
        view: SnapshotView<Bytes>,
        overlay: Overlay,
        snapshot_version: u64,
        version: u64,
    ) -> Option<Self> {
        let infos = view.segments().iter().map(|s| SegmentInfo::of(s.count, &s.bytes, &s.labels));
        let index = SegmentIndex::new(infos.collect::<Result<_, _>>().ok()?).ok()?;
        let (view, overlay) = (Arc::new(view), Arc::new(overlay));
        Some(Self { view, index_digest: index.digest(), overlay, snapshot_version, version })
    }

    /// Digest of the index of the snapshot's files.
    pub(super) fn index_digest(&self) -> [u8; DIGEST_BYTES] {
        self.index_digest
    }

    /// Whether it may lead to what a manifest names: an older snapshot of the epoch, or the very
    /// same.
    pub(super) fn fits(&self, info: &EpochInfo) -> bool {
        let same_number = self.snapshot() == info.snapshot.number;
        self.epoch() == info.epoch
            && (!same_number || self.index_digest == info.snapshot.index_digest)
    }

    pub(super) fn snapshot_version(&self) -> u64 {
        self.snapshot_version
    }

    pub(super) fn view(&self) -> &SnapshotView<Bytes> {
        &self.view
    }

    pub(super) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn snapshot(&self) -> u64 {
        self.view.identity().number
    }

    pub(super) fn epoch(&self) -> u32 {
        self.view.identity().epoch
    }

    /// Whether it is the version that a manifest names, by its numbers.
    pub(super) fn is_at(&self, info: &EpochInfo) -> bool {
        (self.epoch(), self.snapshot(), self.version)
            == (info.epoch, info.snapshot.number, info.version)
    }

    /// Whether the overlay is the one that a manifest names.
    ///
    /// # Errors
    /// [`Misbehavior::DigestMismatch`].
    pub(super) fn check_overlay(&self, info: &EpochInfo) -> Result<(), Misbehavior> {
        let bytes = self.overlay.encode();
        let same = self.is_at(info) && *blake3::hash(&bytes).as_bytes() == info.overlay.digest;
        if same { Ok(()) } else { Err(Misbehavior::DigestMismatch) }
    }

    /// Follows the steps of a server to the version that a manifest names. Between two steps it
    /// compacts. What the server sends is not signed: what it leads to is compared with the
    /// manifest.
    ///
    /// # Errors
    /// [`Misbehavior`]; nothing of the result is to be used then.
    pub(super) fn follow(mut self, steps: &[Step], info: &EpochInfo) -> Result<Self, Misbehavior> {
        for (i, step) in steps.iter().enumerate() {
            if i > 0 {
                self = self.compacted(step.snapshot, info)?;
            }
            self.apply(step)?;
        }
        self.check_overlay(info)?;
        Ok(self)
    }

    fn apply(&mut self, step: &Step) -> Result<(), Misbehavior> {
        if step.snapshot != self.snapshot() {
            return Err(Misbehavior::DeltaMalformed);
        }
        let versions = DeltaVersions { from: self.version, to: step.version };
        if versions.from == versions.to && step.delta.is_empty() {
            return Ok(());
        }
        let delta = Delta::decode(self.view.identity(), versions, &step.delta)
            .map_err(|_| Misbehavior::DeltaMalformed)?;
        let overlay = delta.apply(&self.overlay).map_err(|_| Misbehavior::DeltaMalformed)?;
        self.overlay = Arc::new(overlay);
        self.version = step.version;
        Ok(())
    }

    /// Snapshot and overlay as the next snapshot. If it is the one that the manifest names, it is
    /// compared with it: its files then have the digests that the server would have sent.
    fn compacted(&self, number: u64, info: &EpochInfo) -> Result<Self, Misbehavior> {
        let malformed = |_| Misbehavior::DeltaMalformed;
        let mut segments = Vec::new();
        let mut infos = Vec::new();
        for segment in compact(&self.view, &self.overlay, number).map_err(malformed)? {
            let segment = segment.map_err(malformed)?;
            let entry = SegmentInfo::of(segment.count, &segment.bytes, &segment.labels);
            infos.push(entry.map_err(|_| Misbehavior::DeltaMalformed)?);
            segments.push(SnapshotSegment {
                count: segment.count,
                bytes: segment.bytes.into(),
                labels: segment.labels.into(),
            });
        }
        let index = SegmentIndex::new(infos).map_err(|_| Misbehavior::DeltaMalformed)?;
        let index_digest = index.digest();
        if number == info.snapshot.number && index_digest != info.snapshot.index_digest {
            return Err(Misbehavior::DigestMismatch);
        }
        let universe = self.view.identity().universe;
        let view = SnapshotView::new(&universe, self.epoch(), number, segments);
        Ok(Self::new(view.map_err(malformed)?, index_digest, self.version))
    }
}
