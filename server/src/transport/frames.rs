//! A budget for what HTTP/2 lets anybody send without end: control frames.
//!
//! A PING, SETTINGS or RST_STREAM costs a few bytes to send and some work to answer, and neither
//! the protocol nor its implementation below counts them. So the frames are counted as they are
//! read (RFC 9113, section 4.1: nine bytes of header, then the payload), without looking into any
//! payload. Honest clients send a handful.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bucket::Bucket;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

/// Seconds' worth of control frames that may come at once.
const BURST_S: u64 = 10;

/// Bytes of answers for which a peer may send one WINDOW_UPDATE or PING without it counting: more
/// often than any client that takes what it is sent, or measures how fast it comes.
const BYTES_PER_FREE_FRAME: u64 = 2_048;

/// The same for each call that it begins, however short the answer; so many are kept at most.
const FREE_FRAMES_PER_CALL: u32 = 2;
const FREE_FRAMES_MAX: u32 = 128;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;

/// What a connection may still send of control frames.
#[derive(Debug)]
pub(super) struct Budget {
    per_s: u64,
    /// In units of a frame times 1,000 milliseconds.
    bucket: Mutex<Bucket>,
}

impl Budget {
    pub(super) fn new(per_s: u32) -> Arc<Self> {
        Arc::new(Self { per_s: per_s.into(), bucket: Mutex::new(Bucket::new()) })
    }

    /// Spends some; `false` if there were not as many left, and from then on.
    pub(super) fn spend(&self, frames: u32) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.used() > self.capacity() {
            return false;
        }
        bucket.leak(self.per_s);
        bucket.add(u64::from(frames) * 1_000);
        bucket.used() <= self.capacity()
    }

    /// Whether it was overdrawn.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).used() > self.capacity()
    }

    const fn capacity(&self) -> u64 {
        self.per_s * BURST_S * 1_000
    }
}

/// Follows the frames of one direction of a connection.
#[derive(Debug)]
struct Frames {
    /// Bytes of the preface or of a payload that are still to come.
    skip: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
}

impl Frames {
    const fn new() -> Self {
        Self { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], have: 0 }
    }

    /// Calls `frame` with type, flags and length of each frame whose header ends in `bytes`.
    fn follow(&mut self, mut bytes: &[u8], mut frame: impl FnMut(u8, u8, usize)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            for slot in self.header.iter_mut().skip(self.have) {
                let Some((&byte, rest)) = bytes.split_first().filter(|_| self.skip == 0) else {
                    break;
                };
                *slot = byte;
                self.have += 1;
                bytes = rest;
            }
            if self.have == HEADER_BYTES {
                let [a, b, c, kind, flags, ..] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                frame(kind, flags, length);
                (self.skip, self.have) = (length, 0);
            }
        }
    }
}

/// A connection whose incoming frames are counted.
#[derive(Debug)]
pub(super) struct Metered<S> {
    io: S,
    frames: Frames,
    budget: Arc<Budget>,
    /// Bytes written for which no free frame came yet.
    unclaimed_bytes: u64,
    /// Frames that are free for calls that were begun.
    free_frames: u32,
}

impl<S> Metered<S> {
    pub(super) const fn new(io: S, budget: Arc<Budget>) -> Self {
        Self { io, frames: Frames::new(), budget, unclaimed_bytes: 0, free_frames: 0 }
    }

    /// Whether what was read is within the budget.
    fn afford(&mut self, bytes: &[u8]) -> bool {
        let Self { frames, budget, unclaimed_bytes, free_frames, .. } = self;
        let mut within = true;
        frames.follow(bytes, |kind, flags, length| {
            let free = match kind {
                HEADERS => {
                    *free_frames = (*free_frames + FREE_FRAMES_PER_CALL).min(FREE_FRAMES_MAX);
                    true
                }
                DATA => length > 0 || flags & END_STREAM != 0,
                PING | WINDOW_UPDATE if *unclaimed_bytes >= BYTES_PER_FREE_FRAME => {
                    *unclaimed_bytes -= BYTES_PER_FREE_FRAME;
                    true
                }
                PING | WINDOW_UPDATE if *free_frames > 0 => {
                    *free_frames -= 1;
                    true
                }
                _ => false,
            };
            within &= free || budget.spend(1);
        });
        within && !budget.is_overdrawn()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if self.afford(read) {
            return Poll::Ready(Ok(()));
        }
        // With an error nothing was read.
        buffer.set_filled(before);
        Poll::Ready(Err(io::Error::other("too many control frames")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.unclaimed_bytes = self.unclaimed_bytes.saturating_add(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        self.unclaimed_bytes = self.unclaimed_bytes.saturating_add(written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::advance,
    };

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// What a server reads of these bytes, and whether it ended in an error.
    async fn read(budget: &Arc<Budget>, bytes: &[u8]) -> (usize, bool) {
        let (mut client, server) = duplex(bytes.len().max(1));
        client.write_all(bytes).await.unwrap();
        drop(client);
        let mut taken = Vec::new();
        let mut server = Metered::new(server, Arc::clone(budget));
        let failed = server.read_to_end(&mut taken).await.is_err();
        (taken.len(), failed)
    }

    #[test]
    fn frames_are_followed_whatever_the_pieces() {
        let payloads: [&[u8]; 4] = [&[7; 300], &[], &[0; 8], &[1; 9]];
        let mut bytes = vec![b'P'; PREFACE_BYTES];
        for (kind, payload) in payloads.iter().enumerate() {
            bytes.extend(frame(u8::try_from(kind).unwrap(), 5, payload));
        }
        for piece in [1, 2, 8, 9, 10, 33, bytes.len()] {
            let mut seen = Vec::new();
            let mut frames = Frames::new();
            for part in bytes.chunks(piece) {
                frames.follow(part, |kind, flags, length| seen.push((kind, flags, length)));
            }
            assert_eq!(seen, [(0, 5, 300), (1, 5, 0), (2, 5, 8), (3, 5, 9)], "{piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_holds_its_burst_refuses_one_more_and_refills() {
        let budget = Budget::new(3);
        assert!((0..30).all(|_| budget.spend(1)));
        advance(Duration::from_secs(1)).await;
        assert!((0..3).all(|_| budget.spend(1)));
        assert!(!budget.is_overdrawn());
        assert!(!budget.spend(1));
        advance(Duration::from_secs(1_000)).await;
        assert!(!budget.spend(1), "an overdrawn budget stays so");
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_past_the_budget_end_the_connection() {
        let preface = vec![0; PREFACE_BYTES];
        let pings = |n: usize| [preface.clone(), frame(PING, 0, &[0; 8]).repeat(n)].concat();
        let whole = (PREFACE_BYTES + 20 * 17, false);
        assert_eq!(read(&Budget::new(2), &pings(20)).await, whole);
        assert!(read(&Budget::new(2), &pings(21)).await.1);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_free_and_empty_data_is_not() {
        let preface = vec![0; PREFACE_BYTES];
        let many = |bytes: Vec<u8>| [preface.clone(), bytes.repeat(1_000)].concat();
        for (bytes, free) in [
            (frame(HEADERS, 4, &[1; 40]), true),
            (frame(DATA, 0, &[1]), true),
            (frame(DATA, END_STREAM, &[]), true),
            (frame(DATA, 0, &[]), false),
            (frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]), false),
            (frame(9, 0, &[1; 40]), false),
            (frame(3, 0, &[0; 4]), false),
            (frame(0xff, 0, &[]), false),
        ] {
            assert_eq!(read(&Budget::new(2), &many(bytes.clone())).await.1, !free, "{bytes:?}");
        }
    }

    /// As some libraries do that measure the line: a PING and a WINDOW_UPDATE with each call.
    #[tokio::test(start_paused = true)]
    async fn calls_may_come_with_two_frames_each() {
        let ping = frame(PING, 0, &[0; 8]);
        let update = frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1]);
        let call = [frame(HEADERS, 4, &[1; 40]), ping.clone(), update].concat();
        let preface = vec![0; PREFACE_BYTES];
        let many = [preface.clone(), call.repeat(1_000)].concat();
        assert!(!read(&Budget::new(1), &many).await.1);
        let more = [preface, [call, ping].concat().repeat(1_000)].concat();
        assert!(read(&Budget::new(1), &more).await.1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_answers_may_ask_for_more() {
        let (client, server) = duplex(1 << 20);
        let mut server = Metered::new(server, Budget::new(1));
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let updates = frame(WINDOW_UPDATE, 0, &[0, 0, 8, 0]).repeat(100);
        server.write_all(&vec![0; 90 * 2_048]).await.unwrap();
        from_server.read_exact(&mut vec![0; 90 * 2_048]).await.unwrap();
        to_server.write_all(&[vec![0; PREFACE_BYTES], updates].concat()).await.unwrap();
        let mut buffer = vec![0; PREFACE_BYTES + 100 * 13];
        server.read_exact(&mut buffer).await.unwrap();
        to_server.write_all(&frame(WINDOW_UPDATE, 0, &[0, 0, 8, 0])).await.unwrap();
        assert!(server.read(&mut buffer).await.is_err(), "ninety are paid for, ten in the budget");
    }
}
