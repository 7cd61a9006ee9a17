//! Attackers that take their time.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _, split},
    select,
    time::{sleep, timeout},
};

use super::{
    super::frames::{self, END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE},
    Attacker,
};

/// Between two bytes.
const DRIP: Duration = Duration::from_secs(1);

/// How long a slow reader stays on one connection before it asks anew.
const READING: Duration = Duration::from_secs(8);

/// What a slow reader takes at a time, of each stream.
const SIP_BYTES: u32 = 64;

/// The parts of a snapshot that are megabytes.
const FETCH: [&str; 2] =
    ["/acquaint.v1.DiscoveryService/FetchLabels", "/acquaint.v1.DiscoveryService/FetchSet"];

/// A record with a ClientHello of 508 bytes, of which only the version comes.
const CLIENT_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

impl Attacker {
    pub(super) async fn idle_tcp(&mut self) -> io::Result<()> {
        let stream = self.target.tcp(self.number).await?;
        self.sent(1);
        self.is_up();
        self.drain(stream).await
    }

    pub(super) async fn half_handshake(&mut self) -> io::Result<()> {
        let mut stream = self.target.tcp(self.number).await?;
        stream.write_all(&CLIENT_HELLO).await?;
        self.sent(1);
        self.is_up();
        self.drain(stream).await
    }

    pub(super) async fn silent_http2(&mut self) -> io::Result<()> {
        let stream = self.target.http2(self.number, &[]).await?;
        self.sent(1);
        self.is_up();
        self.drain(stream).await
    }

    pub(super) async fn slow_headers(&mut self) -> io::Result<()> {
        let (read, mut write) = split(self.target.http2(self.number, &[]).await?);
        let in_one_frame = self.number.is_multiple_of(2);
        let opening = if in_one_frame {
            frames::headers_head(1, 8_192)
        } else {
            frames::headers(1, &frames::field("slow", "yes"), 0)
        };
        write.write_all(&opening).await?;
        write.flush().await?;
        self.is_up();
        let dripping = async {
            loop {
                // Part of a field that is complete only after a thousand of them.
                let drip = if in_one_frame { vec![0] } else { frames::continuation(1, &[0]) };
                write.write_all(&drip).await?;
                write.flush().await?;
                self.sent(1);
                sleep(DRIP).await;
            }
        };
        select! {
            ended = self.drain(read) => ended,
            ended = dripping => ended,
        }
    }

    pub(super) async fn slow_reader(&mut self) -> io::Result<()> {
        let (read, mut write) = split(self.target.http2(self.number, &[]).await?);
        // Room on the connection, so that the streams stall, each with its answer begun.
        let room = frames::window_update(0, 1 << 30);
        write.write_all(&room).await?;
        self.request_parts(&mut write).await?;
        self.is_up();
        let sipping = async {
            loop {
                sleep(DRIP).await;
                let sips: Vec<u8> = self
                    .stream_ids()
                    .flat_map(|stream| frames::window_update(stream, SIP_BYTES))
                    .collect();
                write.write_all(&sips).await?;
                write.flush().await?;
            }
        };
        let reading = async {
            select! {
                ended = self.drain(read) => ended,
                ended = sipping => ended,
            }
        };
        timeout(READING, reading).await.unwrap_or(Ok(()))
    }

    pub(super) async fn zero_window(&mut self) -> io::Result<()> {
        let closed = [(INITIAL_WINDOW_SIZE, 0)];
        let (read, mut write) = split(self.target.http2(self.number, &closed).await?);
        self.request_parts(&mut write).await?;
        self.is_up();
        timeout(READING, self.drain(read)).await.unwrap_or(Ok(()))
    }

    /// Asks for megabytes on every stream.
    async fn request_parts(&self, write: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let credential = self.target.credential(self.number);
        let message = frames::message(self.target.snapshot);
        for (stream, path) in self.stream_ids().zip(FETCH.into_iter().cycle()) {
            let block = frames::call(path, Some(credential));
            write.write_all(&frames::headers(stream, &block, END_HEADERS)).await?;
            write.write_all(&frames::data(stream, &message, END_STREAM)).await?;
            self.sent(1);
        }
        write.flush().await
    }

    fn stream_ids(&self) -> impl Iterator<Item = u32> + use<> {
        (0..self.load.streams as u32).map(|i| 2 * i + 1)
    }
}
