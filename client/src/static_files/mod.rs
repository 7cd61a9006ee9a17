//! What is published, as files of any web server: fetched whole, in pieces if connections break.
//!
//! Nothing of it is believed for where it came from. This module bounds what is read; whether it
//! is what the manifest names is decided by the code that decides it for the server's own answers.

mod http;

use std::{fmt, future::Future, time::Duration};

use acquaint_core::publication::FileName;
use tokio::time;

use crate::{
    error::{ClientError, Misbehavior},
    fault::Fault,
    retry::RetryPolicy,
    traffic::Meter,
};

pub(crate) use http::Http;
use http::{Answer, Content};

/// A place where a publication is served as files.
pub(crate) struct StaticFiles {
    http: Http,
    retries: RetryPolicy,
    /// From asking to the answer, and from each piece to the next.
    timeout: Duration,
}

/// How long a file may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// This many bytes, as something verified says.
    Exactly(usize),
    /// As many bytes as a limit of the protocol allows.
    AtMost(usize),
}

impl Length {
    const fn most(self) -> usize {
        match self {
            Self::Exactly(bytes) | Self::AtMost(bytes) => bytes,
        }
    }
}

impl StaticFiles {
    pub(crate) fn new(http: Http, retries: RetryPolicy, timeout: Duration) -> Self {
        Self { http, retries, timeout }
    }

    /// Fetches a file; `None` if there is none. A broken transfer goes on where it broke.
    ///
    /// # Errors
    /// [`ClientError`]; after a broken transfer only if nothing new came through within the time
    /// for retries.
    pub(crate) async fn fetch(
        &self,
        name: &FileName,
        length: Length,
        meter: &Meter,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let mut retry = self.retries.start();
        let (mut bytes, mut most) = (Vec::new(), 0);
        loop {
            // The one file that changes is short: two halves of it might not belong together.
            if *name == FileName::Manifest {
                bytes.clear();
            }
            let fault = match self.attempt(name, length, &mut bytes, meter).await {
                Ok(found) => return Ok(found.then_some(bytes)),
                Err(fault) => fault,
            };
            // Bytes that came before are no progress: who sends them anew must not keep us busy.
            if bytes.len() > most {
                most = bytes.len();
                retry.progressed();
            }
            retry.after(fault).await?;
        }
    }

    /// Reads on after `bytes`. Whether there is such a file.
    async fn attempt(
        &self,
        name: &FileName,
        length: Length,
        bytes: &mut Vec<u8>,
        meter: &Meter,
    ) -> Result<bool, Fault> {
        if matches!(length, Length::Exactly(all) if all == bytes.len()) {
            return Ok(true);
        }
        let mut answer: Answer<'_> = self.in_time(self.http.get(name, bytes.len())).await?;
        match answer.content(bytes.len())? {
            Content::Missing => return Ok(false),
            Content::Rest => {}
            Content::Whole => bytes.clear(),
            Content::PastEnd => {
                bytes.clear();
                return Err(Fault::TIMEOUT);
            }
        }
        while let Some(piece) = self.in_time(answer.next()).await? {
            meter.add_down(piece.len());
            if piece.len() > length.most() - bytes.len() {
                return Err(Misbehavior::ChunkSequence.into());
            }
            bytes.extend_from_slice(&piece);
        }
        answer.end();
        match length {
            Length::Exactly(all) if bytes.len() < all => Err(Misbehavior::Truncated.into()),
            _ => Ok(true),
        }
    }

    async fn in_time<T>(&self, part: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        time::timeout(self.timeout, part).await.unwrap_or(Err(Fault::TIMEOUT))
    }
}

impl fmt::Debug for StaticFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticFiles").field("http", &self.http).finish_non_exhaustive()
    }
}
