//! A snapshot in memory, and how it is made from records: a pure function of them.

use std::{fmt, ops::Range};

use acquaint_core::{
    limits::CHUNK_BYTES,
    manifest::{ManifestError, SegmentIndex, SegmentInfo, SnapshotInfo},
    publication::FileName,
    set::{
        self, EncodedSegment, Overlay, OverlayError, Record, SetError, SnapshotSegment,
        SnapshotView, Universe,
    },
};
use bytes::Bytes;

/// The files of a snapshot, ready to send.
pub struct Snapshot {
    info: SnapshotInfo,
    segments: SegmentIndex,
    index: Bytes,
    view: SnapshotView<Bytes>,
}

/// Why no snapshot could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// More members than a directory holds, or too many with one tag prefix.
    #[error("the directory is too large to publish")]
    Set(#[from] SetError),
    /// Overlay and snapshot do not belong together, or there are too many changes.
    #[error("the changes do not fit the snapshot")]
    Overlay(#[from] OverlayError),
    /// The manifest or the index would be refused by clients.
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

/// The universe for a number of members: the one before as long as it fits.
///
/// # Errors
/// [`SetError::Capacity`] for more members than a directory holds.
pub fn universe_for(before: Option<Universe>, members: u64) -> Result<Universe, SetError> {
    match before.filter(|universe| universe.still_fits(members)) {
        Some(universe) => Ok(universe),
        None => Universe::for_members(members),
    }
}

impl Snapshot {
    /// Builds a snapshot. Deterministic; the order of the records does not matter.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn build(
        epoch: u32,
        number: u64,
        version: u64,
        universe: Universe,
        records: &mut [Record],
    ) -> Result<Self, SnapshotError> {
        let segments = set::build(&universe, number, records);
        Self::of_segments(epoch, number, version, universe, segments)
    }

    /// The next snapshot: this one with an overlay. The same bytes as building it anew.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn compact(
        &self,
        overlay: &Overlay,
        number: u64,
        version: u64,
    ) -> Result<Self, SnapshotError> {
        let identity = self.view.identity();
        let segments = set::compact(&self.view, overlay, number)?;
        Self::of_segments(identity.epoch, number, version, identity.universe, segments)
    }

    /// A snapshot of segments that are encoded one at a time.
    fn of_segments<E: Into<SnapshotError>>(
        epoch: u32,
        number: u64,
        version: u64,
        universe: Universe,
        segments: impl Iterator<Item = Result<EncodedSegment, E>>,
    ) -> Result<Self, SnapshotError> {
        let (mut infos, mut files) = (Vec::new(), Vec::new());
        for segment in segments {
            let EncodedSegment { count, bytes, labels } = segment.map_err(Into::into)?;
            infos.push(SegmentInfo::of(count, &bytes, &labels)?);
            files.push(SnapshotSegment { count, bytes: bytes.into(), labels: labels.into() });
        }
        let index = SegmentIndex::new(infos)?;
        let info = SnapshotInfo {
            number,
            version,
            universe,
            members: index.members(),
            set_bytes: index.set_bytes(),
            index_digest: index.digest(),
        };
        let view = SnapshotView::new(&universe, epoch, number, files)?;
        Ok(Self { info, index: index.encode().into(), segments: index, view })
    }

    /// What a manifest says about it.
    #[must_use]
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// The encoded segment index.
    #[must_use]
    pub fn index(&self) -> Bytes {
        self.index.clone()
    }

    /// Names and lengths of its files: the index, and each segment's set and labels. An empty
    /// label file is none.
    pub fn files(&self) -> impl Iterator<Item = (FileName, u64)> + '_ {
        let index = (FileName::Index(self.info.index_digest), self.index.len() as u64);
        let files = self.segments.segments().iter().flat_map(|segment| {
            let set = (FileName::Set(segment.set_digest), u64::from(segment.set_bytes));
            [set, (FileName::Labels(segment.labels_digest), segment.labels_bytes())]
        });
        std::iter::once(index).chain(files).filter(|(_, bytes)| *bytes > 0)
    }

    /// A file of it by name.
    #[must_use]
    pub fn file(&self, name: &FileName) -> Option<Bytes> {
        let segment = |has: &dyn Fn(&SegmentInfo) -> bool| {
            self.view.segments().get(self.segments.segments().iter().position(has)?)
        };
        match name {
            FileName::Index(digest) => {
                (*digest == self.info.index_digest).then(|| self.index.clone())
            }
            FileName::Set(digest) => {
                segment(&|info| info.set_digest == *digest).map(|segment| segment.bytes.clone())
            }
            FileName::Labels(digest) => {
                segment(&|info| info.labels_digest == *digest).map(|segment| segment.labels.clone())
            }
            FileName::Manifest | FileName::Delta { .. } | FileName::Way { .. } => None,
        }
    }

    /// Its files, to be searched.
    #[must_use]
    pub fn view(&self) -> &SnapshotView<Bytes> {
        &self.view
    }

    /// The chunks of an array from a position on, in the order of sending; `None` past the end of
    /// the array or of the segment.
    ///
    /// An empty segment has no chunk. The chunks share the snapshot's memory.
    pub fn chunks(
        &self,
        part: Part,
        first_segment: u32,
        first_offset: u32,
    ) -> Option<impl Iterator<Item = Chunk> + Send + use<>> {
        let file = |segment: &SnapshotSegment<Bytes>| match part {
            Part::Set => segment.bytes.clone(),
            Part::Labels => segment.labels.clone(),
        };
        // Cloning the handles, 32 bytes each, lets the stream outlive the snapshot.
        let rest = self.view.segments().get(first_segment as usize..)?;
        let rest: Vec<Bytes> = rest.iter().map(file).collect();
        if first_offset as usize > rest.first().map_or(0, Bytes::len) {
            return None;
        }
        let chunks = (first_segment..).zip(rest).flat_map(move |(segment, bytes)| {
            let passed_over = if segment == first_segment { first_offset as usize } else { 0 };
            chunk_ranges(passed_over..bytes.len()).map(move |(offset, range)| Chunk {
                segment,
                offset,
                data: bytes.slice(range),
            })
        });
        Some(chunks)
    }

    /// Memory of the files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.info.set_bytes + self.info.labels_bytes()
    }
}

fn chunk_ranges(bytes: Range<usize>) -> impl Iterator<Item = (u32, Range<usize>)> + Send {
    let end = bytes.end;
    bytes.step_by(CHUNK_BYTES).map(move |start| {
        let offset = u32::try_from(start).expect("a segment is at most a few megabytes");
        (offset, start..(start + CHUNK_BYTES).min(end))
    })
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("number", &self.info.number)
            .field("members", &self.info.members)
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
    use super::*;

    fn records(n: u64) -> Vec<Record> {
        let spread = 0x9e37_79b9_7f4a_7c15_u64;
        (0..n)
            .map(|i| Record { tag: i.wrapping_mul(spread), sealed_label: [i.to_le_bytes()[0]; 32] })
            .collect()
    }

    fn build(mut records: Vec<Record>) -> Snapshot {
        let universe = universe_for(None, records.len() as u64).unwrap();
        Snapshot::build(1, 1, 9, universe, &mut records).unwrap()
    }

    #[test]
    fn a_snapshot_does_not_depend_on_order() {
        let a = build(records(40_000));
        let b = build(records(40_000).into_iter().rev().collect());
        assert_eq!(a.info, b.info);
        assert!(a.index == b.index && a.view.segments() == b.view.segments());
    }

    #[test]
    fn chunks_reassemble_to_the_segments_that_the_index_names() {
        let snapshot = build(records(60_000));
        let index = SegmentIndex::decode(&snapshot.index(), snapshot.info()).unwrap();
        for part in [Part::Set, Part::Labels] {
            let mut segments = vec![Vec::new(); index.segments().len()];
            for chunk in snapshot.chunks(part, 0, 0).unwrap() {
                let segment = &mut segments[chunk.segment as usize];
                assert_eq!(segment.len(), chunk.offset as usize);
                assert!((1..=CHUNK_BYTES).contains(&chunk.data.len()));
                segment.extend_from_slice(&chunk.data);
            }
            for (info, segment) in index.segments().iter().zip(&segments) {
                let digest = match part {
                    Part::Set => info.set_digest,
                    Part::Labels => info.labels_digest,
                };
                assert_eq!(*blake3::hash(segment).as_bytes(), digest);
            }
        }
        let n = snapshot.info().universe.segment_count();
        assert!(snapshot.chunks(Part::Set, n, 0).unwrap().next().is_none());
        assert!(snapshot.chunks(Part::Set, n, 1).is_none());
        assert!(snapshot.chunks(Part::Set, n + 1, 0).is_none());
    }

    #[test]
    fn its_files_have_the_digests_and_lengths_of_their_names() {
        let snapshot = build(records(60_000));
        let files: Vec<_> = snapshot.files().collect();
        assert_eq!(files.len(), 1 + 2 * snapshot.info().universe.segment_count() as usize);
        for (name, bytes) in files {
            let file = snapshot.file(&name).unwrap();
            assert_eq!(file.len() as u64, bytes);
            assert!(name.fits(&file), "{name}");
        }
        assert_eq!(snapshot.file(&FileName::Set([0; 32])), None);
        // One segment without members: there is nothing to write as its labels.
        assert_eq!(build(Vec::new()).files().count(), 2);
    }

    #[test]
    fn a_download_resumes_at_any_byte() {
        let snapshot = build(records(60_000));
        let tail = |part, segment, offset| -> Option<Vec<u8>> {
            let chunks = snapshot.chunks(part, segment, offset)?;
            Some(chunks.flat_map(|chunk| chunk.data).collect())
        };
        for part in [Part::Set, Part::Labels] {
            let whole = tail(part, 1, 0).unwrap();
            let length = u32::try_from(match part {
                Part::Set => snapshot.view.segments()[1].bytes.len(),
                Part::Labels => snapshot.view.segments()[1].labels.len(),
            })
            .unwrap();
            for offset in [1, 5_000, length - 1, length] {
                assert_eq!(tail(part, 1, offset).unwrap(), whole[offset as usize..]);
            }
            assert_eq!(tail(part, 1, length + 1), None);
            let first = snapshot.chunks(part, 1, 7).unwrap().next().unwrap();
            assert_eq!((first.segment, first.offset), (1, 7));
        }
    }

    #[test]
    fn a_universe_that_fits_is_kept() {
        let universe = Universe::for_members(40_000).unwrap();
        let keeps = |n: u64| universe_for(Some(universe), n).unwrap() == universe;
        assert!(keeps(40_000) && keeps(59_000) && keeps(21_000));
        assert!(!keeps(61_000) && !keeps(19_000));
    }
}
