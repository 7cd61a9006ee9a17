//! Attackers that do what clients do, only too much of it.

use std::{io, sync::atomic::Ordering, time::Duration};

use acquaint_core::limits::BATCH_ELEMENTS_MAX;
use acquaint_proto::{
    Received,
    v1::{EvaluateRequest, GetManifestRequest, discovery_service_client::DiscoveryServiceClient},
};
use futures_util::future::join_all;
use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};
use tonic::{Code, transport::Channel};

use super::Attacker;
use crate::{binary::authorized, world};

/// For a connection and for a call, after which an attacker begins anew.
const PATIENCE: Duration = Duration::from_secs(20);

impl Attacker {
    pub(super) async fn churn(&mut self) -> io::Result<()> {
        loop {
            let mut stream = self.target.tls(self.number).await?;
            self.sent(1);
            self.is_up();
            // It may have been closed by now.
            drop(stream.shutdown().await);
            drop(stream);
            sleep(self.load.pause).await;
        }
    }

    pub(super) async fn no_credential(&mut self) -> io::Result<()> {
        let discovery = self.discovery().await?;
        self.is_up();
        let calls = (0..self.load.streams).map(|_| async {
            let mut discovery = discovery.clone();
            while let Err(status) = discovery.get_manifest(GetManifestRequest::default()).await {
                if status.code() != Code::Unauthenticated {
                    return;
                }
                self.sent(1);
            }
        });
        join_all(calls).await;
        Ok(())
    }

    pub(super) async fn large_batches(&mut self) -> io::Result<()> {
        let mut discovery = self.discovery().await?;
        let first = (self.number * BATCH_ELEMENTS_MAX) as u64;
        let batch = EvaluateRequest {
            epoch: self.target.epoch,
            blinded_elements: world::elements(first..first + BATCH_ELEMENTS_MAX as u64).into(),
        };
        self.is_up();
        loop {
            let request = authorized(batch.clone(), self.target.credential(self.number));
            let Err(status) = in_time(discovery.evaluate(request)).await? else {
                self.sent(1);
                continue;
            };
            // As patient as a client of ours, no more: it repeats when it is told to.
            let wait = Received::from(&status).retry_after;
            sleep(wait.ok_or(io::ErrorKind::ConnectionAborted)?).await;
            self.counts.shed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn discovery(&self) -> io::Result<DiscoveryServiceClient<Channel>> {
        let channel = in_time(self.target.endpoint(self.number).connect()).await?;
        channel.map(DiscoveryServiceClient::new).map_err(io::Error::other)
    }
}

async fn in_time<T>(call: impl Future<Output = T>) -> io::Result<T> {
    Ok(timeout(PATIENCE, call).await?)
}
