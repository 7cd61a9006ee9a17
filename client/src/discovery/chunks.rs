//! Pieces of a download, put in order: nothing is missing, repeated, moved or too long.

use crate::error::Misbehavior;

/// Takes the segments that an [`Assembler`] has found to be in order.
pub(super) trait Sink {
    /// The next bytes of the current segment, whose complete length is given.
    fn append(&mut self, data: &[u8], segment_bytes: u32);

    /// The current segment is complete.
    ///
    /// # Errors
    /// [`Misbehavior::DigestMismatch`] if it is not the one of the manifest.
    fn complete(&mut self, segment: u32) -> Result<(), Misbehavior>;
}

/// One message of a download.
pub(super) struct Chunk<'a> {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) data: &'a [u8],
}

/// Checks the order of the chunks of a download whose segments have known lengths.
///
/// Only what fits the lengths reaches the sink, so that a server cannot make it grow.
pub(super) struct Assembler<S> {
    lengths: Vec<u32>,
    /// The first segment that is not complete.
    segment: u32,
    /// Bytes of it that are there.
    offset: u32,
    /// Bytes of the complete segments.
    bytes_before: u64,
    sink: S,
}

impl<S: Sink> Assembler<S> {
    pub(super) fn new(lengths: Vec<u32>, sink: S) -> Self {
        Self { lengths, segment: 0, offset: 0, bytes_before: 0, sink }
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// [`Misbehavior::ChunkSequence`] unless it continues where the last one ended;
    /// [`Misbehavior::DigestMismatch`] if it completes a segment that is not the manifest's.
    pub(super) fn accept(&mut self, chunk: &Chunk<'_>) -> Result<(), Misbehavior> {
        // An empty segment may be passed over or sent as an empty chunk.
        if chunk.segment > self.segment {
            self.complete_empty()?;
        }
        let length = self.length().ok_or(Misbehavior::ChunkSequence)?;
        let data_bytes = u32::try_from(chunk.data.len()).map_err(|_| Misbehavior::ChunkSequence)?;
        let continues = chunk.segment == self.segment && chunk.offset == self.offset;
        let fits = length.checked_sub(self.offset).is_some_and(|rest| data_bytes <= rest);
        // A chunk without data would be no progress: a stream of them would never end.
        if !continues || !fits || (data_bytes == 0 && length != 0) {
            return Err(Misbehavior::ChunkSequence);
        }
        self.sink.append(chunk.data, length);
        self.offset += data_bytes;
        if self.offset == length { self.complete_segment(length) } else { Ok(()) }
    }

    /// Whether nothing is missing but segments without content.
    pub(super) fn is_complete(&self) -> bool {
        self.lengths.iter().skip(self.segment as usize).all(|length| *length == 0)
    }

    /// Bytes accepted so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_before + u64::from(self.offset)
    }

    /// The segment that is not complete, and how many of its bytes are there: where a new stream
    /// goes on. A server only has to send bytes that are new, so that it cannot keep a client
    /// busy with the same ones.
    pub(super) fn position(&self) -> (u32, u32) {
        (self.segment, self.offset)
    }

    /// Ends the download.
    ///
    /// # Errors
    /// [`Misbehavior::Truncated`] if something is missing.
    pub(super) fn finish(mut self) -> Result<S, Misbehavior> {
        if !self.is_complete() {
            return Err(Misbehavior::Truncated);
        }
        self.complete_empty()?;
        Ok(self.sink)
    }

    fn length(&self) -> Option<u32> {
        self.lengths.get(self.segment as usize).copied()
    }

    fn complete_empty(&mut self) -> Result<(), Misbehavior> {
        while self.length() == Some(0) {
            self.complete_segment(0)?;
        }
        Ok(())
    }

    fn complete_segment(&mut self, length: u32) -> Result<(), Misbehavior> {
        self.sink.complete(self.segment)?;
        self.segment += 1;
        self.offset = 0;
        self.bytes_before += u64::from(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps everything, and refuses segments that contain a zero.
    #[derive(Default)]
    struct Kept {
        segments: Vec<Vec<u8>>,
        current: Vec<u8>,
    }

    impl Sink for Kept {
        fn append(&mut self, data: &[u8], segment_bytes: u32) {
            self.current.extend_from_slice(data);
            assert!(self.current.len() <= segment_bytes as usize);
        }

        fn complete(&mut self, segment: u32) -> Result<(), Misbehavior> {
            assert_eq!(segment as usize, self.segments.len());
            let segment = std::mem::take(&mut self.current);
            let is_good = !segment.contains(&0);
            self.segments.push(segment);
            if is_good { Ok(()) } else { Err(Misbehavior::DigestMismatch) }
        }
    }

    fn assembler() -> Assembler<Kept> {
        Assembler::new(vec![3, 0, 2], Kept::default())
    }

    fn run(chunks: &[(u32, u32, &[u8])]) -> Result<Vec<Vec<u8>>, Misbehavior> {
        let mut assembler = assembler();
        for &(segment, offset, data) in chunks {
            assembler.accept(&Chunk { segment, offset, data })?;
        }
        assembler.finish().map(|kept| kept.segments)
    }

    #[test]
    fn pieces_in_order_make_the_segments() {
        let whole = vec![vec![1, 2, 3], vec![], vec![4, 5]];
        assert_eq!(run(&[(0, 0, &[1, 2, 3]), (2, 0, &[4, 5])]), Ok(whole.clone()));
        let pieces: &[(u32, u32, &[u8])] =
            &[(0, 0, &[1]), (0, 1, &[2, 3]), (1, 0, &[]), (2, 0, &[4]), (2, 1, &[5])];
        assert_eq!(run(pieces), Ok(whole));
    }

    #[test]
    fn hostile_sequences_are_refused() {
        use Misbehavior as M;
        for (chunks, expected) in [
            (&[(0, 1, &[2, 3][..])][..], M::ChunkSequence),
            (&[(1, 0, &[]), (0, 0, &[1, 2, 3])], M::ChunkSequence),
            (&[(2, 0, &[4, 5])], M::ChunkSequence),
            (&[(0, 0, &[1]), (0, 2, &[3])], M::ChunkSequence),
            (&[(0, 0, &[1, 2]), (0, 1, &[2, 3])], M::ChunkSequence),
            (&[(0, 0, &[1, 2]), (0, 0, &[1, 2])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3, 4])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3]), (0, 3, &[4])], M::ChunkSequence),
            (&[(0, 0, &[])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3]), (1, 0, &[1])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3]), (1, 0, &[]), (1, 0, &[])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3]), (2, 0, &[4, 5]), (3, 0, &[6])], M::ChunkSequence),
            (&[(0, 0, &[1, 2, 3]), (2, 0, &[4, 5]), (2, 2, &[])], M::ChunkSequence),
            (&[(u32::MAX, u32::MAX, &[1])], M::ChunkSequence),
            (&[(0, 0, &[1, 0, 3])], M::DigestMismatch),
            (&[], M::Truncated),
            (&[(0, 0, &[1, 2])], M::Truncated),
            (&[(0, 0, &[1, 2, 3]), (2, 0, &[4])], M::Truncated),
        ] {
            assert_eq!(run(chunks), Err(expected), "{chunks:?}");
        }
    }

    #[test]
    fn a_download_resumes_where_it_broke() {
        let mut assembler = assembler();
        assert_eq!(assembler.position(), (0, 0));
        assembler.accept(&Chunk { segment: 0, offset: 0, data: &[1, 2, 3] }).unwrap();
        assembler.accept(&Chunk { segment: 2, offset: 0, data: &[4] }).unwrap();
        assert_eq!(assembler.bytes(), 4);
        assert_eq!(assembler.position(), (2, 1));
        let again = Chunk { segment: 2, offset: 0, data: &[4, 5] };
        assert_eq!(assembler.accept(&again), Err(Misbehavior::ChunkSequence));
        assembler.accept(&Chunk { segment: 2, offset: 1, data: &[5] }).unwrap();
        assert!(assembler.is_complete());
        let kept = assembler.finish().unwrap();
        assert_eq!(kept.segments, [vec![1, 2, 3], vec![], vec![4, 5]]);
    }

    proptest! {
        #[test]
        fn nothing_but_the_segments_in_order_passes(
            chunks in prop::collection::vec(
                (0u32..4, 0u32..4, prop::collection::vec(1u8..9, 0..4)), 0..6,
            ),
        ) {
            let borrowed: Vec<_> = chunks
                .iter()
                .map(|(segment, offset, data)| (*segment, *offset, &data[..]))
                .collect();
            if let Ok(segments) = run(&borrowed) {
                let lengths: Vec<_> = segments.iter().map(Vec::len).collect();
                prop_assert_eq!(lengths, [3, 0, 2]);
                let sent: Vec<u8> = chunks.into_iter().flat_map(|(.., data)| data).collect();
                prop_assert_eq!(segments.concat(), sent);
            }
        }
    }
}
