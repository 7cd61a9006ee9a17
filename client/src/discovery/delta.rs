//! The way from one version to another, as a server sends it.

use acquaint_core::limits::DELTA_BYTES_MAX;
use acquaint_proto::v1;
use tonic::Streaming;

use crate::{
    connection::Connection,
    error::{ClientError, Misbehavior},
    fault::Fault,
    retry::Retry,
    traffic::Meter,
};

/// Steps of one answer: an honest server keeps the way over a few snapshots.
const STEPS_MAX: usize = 64;

/// What changed over one snapshot. Not signed, and not checked yet.
pub(super) struct Step {
    pub(super) snapshot: u64,
    pub(super) version: u64,
    /// Empty if nothing changed.
    pub(super) delta: Vec<u8>,
}

/// Fetches all steps; a stream that breaks is asked for again.
///
/// # Errors
/// [`ClientError::DirectoryChanged`] if the server does not know the way.
pub(super) async fn fetch(
    connection: &Connection,
    request: v1::FetchDeltaRequest,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Vec<Step>, ClientError> {
    let mut retry = connection.retries.start();
    loop {
        match read(connection, &mut retry, request, meter, progress).await {
            Ok(steps) => return Ok(steps),
            Err(fault) => retry.after(fault).await?,
        }
    }
}

async fn read(
    connection: &Connection,
    retry: &mut Retry,
    request: v1::FetchDeltaRequest,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Vec<Step>, Fault> {
    let open = |request| {
        let mut client = connection.discovery();
        async move { client.fetch_delta(request).await }
    };
    let mut stream: Streaming<v1::FetchDeltaResponse> =
        connection.open(retry, request, meter, open).await?;
    let mut steps = Steps::default();
    while let Some(message) = connection.next(&mut stream, meter).await? {
        steps.accept(&message)?;
        progress(steps.bytes);
    }
    Ok(steps.finish()?)
}

/// Puts the pieces of an answer together. Memory: what has come in, up to the limit.
#[derive(Default)]
struct Steps {
    complete: Vec<Step>,
    /// The step that is coming in, and its length.
    current: Option<(Step, u64)>,
    bytes: u64,
}

impl Steps {
    fn accept(&mut self, message: &v1::FetchDeltaResponse) -> Result<(), Misbehavior> {
        let v1::FetchDeltaResponse { snapshot, version, delta_bytes, offset, data } = message;
        let new = || (Step { snapshot: *snapshot, version: *version, delta: vec![] }, *delta_bytes);
        let (mut step, length) = self.current.take().unwrap_or_else(new);
        self.bytes += data.len() as u64;
        let continues = (step.snapshot, step.version, length)
            == (*snapshot, *version, *delta_bytes)
            && *offset == step.delta.len() as u64
            && offset.checked_add(data.len() as u64).is_some_and(|end| end <= length)
            && (!data.is_empty() || length == 0);
        if !continues || self.bytes > DELTA_BYTES_MAX as u64 || self.complete.len() == STEPS_MAX {
            return Err(Misbehavior::ChunkSequence);
        }
        step.delta.extend_from_slice(data);
        if step.delta.len() as u64 == length {
            self.complete.push(step);
        } else {
            self.current = Some((step, length));
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Step>, Misbehavior> {
        let whole = self.current.is_none() && !self.complete.is_empty();
        if whole { Ok(self.complete) } else { Err(Misbehavior::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(snapshot: u64, length: u64, offset: u64, data: &[u8]) -> v1::FetchDeltaResponse {
        v1::FetchDeltaResponse {
            snapshot,
            version: 7,
            delta_bytes: length,
            offset,
            data: data.to_vec().into(),
        }
    }

    fn assembled(pieces: &[v1::FetchDeltaResponse]) -> Result<Vec<(u64, Vec<u8>)>, Misbehavior> {
        let mut steps = Steps::default();
        pieces.iter().try_for_each(|piece| steps.accept(piece))?;
        let steps = steps.finish()?.into_iter();
        Ok(steps.map(|step| (step.snapshot, step.delta)).collect())
    }

    #[test]
    fn steps_come_in_pieces() {
        let pieces = [
            piece(1, 3, 0, b"ab"),
            piece(1, 3, 2, b"c"),
            piece(2, 0, 0, b""),
            piece(3, 1, 0, b"d"),
        ];
        let expected = vec![(1, b"abc".to_vec()), (2, vec![]), (3, b"d".to_vec())];
        assert_eq!(assembled(&pieces), Ok(expected));
    }

    #[test]
    fn anything_else_is_refused() {
        use Misbehavior::{ChunkSequence, Truncated};
        assert_eq!(assembled(&[]), Err(Truncated));
        assert_eq!(assembled(&[piece(1, 3, 0, b"ab")]), Err(Truncated));
        assert_eq!(assembled(&[piece(1, 3, 1, b"ab")]), Err(ChunkSequence));
        assert_eq!(assembled(&[piece(1, 3, 0, b"abcd")]), Err(ChunkSequence));
        assert_eq!(assembled(&[piece(1, 3, 0, b"")]), Err(ChunkSequence));
        for second in [
            piece(1, 3, 1, b"c"),
            piece(1, 4, 2, b"c"),
            piece(2, 3, 2, b"c"),
            piece(1, 3, 2, b"cd"),
            piece(1, 3, u64::MAX, b"c"),
        ] {
            assert_eq!(assembled(&[piece(1, 3, 0, b"ab"), second]), Err(ChunkSequence));
        }
        let most = vec![piece(1, 0, 0, b""); STEPS_MAX];
        assert!(assembled(&most).is_ok());
        assert_eq!(assembled(&vec![piece(1, 0, 0, b""); STEPS_MAX + 1]), Err(ChunkSequence));
    }
}
