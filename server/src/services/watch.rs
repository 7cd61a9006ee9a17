//! One log line a call: rpc, code, duration. Never who asked or for what.

use std::{future::Future, time::Instant};

use tonic::{Code, Status};

/// Runs a call and logs how it went.
pub(super) async fn watched<T>(
    rpc: &'static str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let started = Instant::now();
    let result = call.await;
    let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::info!(rpc, ?code, elapsed_us, "call");
    result
}
