//! When a failed attempt is repeated: the one place that decides and waits.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use rand::RngExt;
use tokio::time::{self, Instant};

use crate::{
    error::ClientError,
    fault::{Fault, Remedy},
};

/// First and largest upper end of a random delay.
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(10);

/// How long failed attempts are repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// From the start of the call, or the last progress, to giving up.
    pub(crate) time_max: Duration,
}

/// The repetitions of one call.
pub(crate) struct Retry {
    policy: RetryPolicy,
    since: Instant,
    ceilings: ExponentialBackoff,
    /// Whether this call has used its one refreshed credential.
    is_refreshed: bool,
    /// Whether the next attempt needs another credential.
    wants_refresh: bool,
}

impl RetryPolicy {
    pub(crate) fn start(self) -> Retry {
        Retry {
            policy: self,
            since: Instant::now(),
            ceilings: ceilings(),
            is_refreshed: false,
            wants_refresh: false,
        }
    }
}

impl Retry {
    /// Waits for as long as makes another attempt worthwhile.
    ///
    /// Full jitter: a random part of an exponentially growing ceiling, so that the clients of a
    /// server that comes back do not return at once. A delay that the server demands comes on
    /// top, for the same reason. Dropping the future is safe at any time.
    ///
    /// # Errors
    /// The fault's error if no attempt is worthwhile, or not within the time that is left.
    pub(crate) async fn after(&mut self, fault: Fault) -> Result<(), ClientError> {
        match fault.remedy {
            Remedy::None => Err(fault.error),
            Remedy::RefreshCredential if self.is_refreshed => Err(fault.error),
            Remedy::RefreshCredential => {
                self.is_refreshed = true;
                self.wants_refresh = true;
                Ok(())
            }
            Remedy::Repeat { not_before } => {
                let ceiling = self.ceilings.next().unwrap_or(DELAY_MAX);
                let delay = not_before.saturating_add(full_jitter(ceiling));
                if self.since.elapsed().saturating_add(delay) > self.policy.time_max {
                    return Err(fault.error);
                }
                time::sleep(delay).await;
                Ok(())
            }
        }
    }

    /// Whether the attempt that begins now needs a credential other than the last one; true once.
    pub(crate) fn takes_refresh(&mut self) -> bool {
        std::mem::take(&mut self.wants_refresh)
    }

    /// Notes that the attempt got somewhere: time and delays start over.
    ///
    /// For downloads and registrations that are resumed. They end, because progress does.
    pub(crate) fn progressed(&mut self) {
        self.since = Instant::now();
        self.ceilings = ceilings();
        self.is_refreshed = false;
    }
}

fn ceilings() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .without_max_times()
        .build()
}

fn full_jitter(ceiling: Duration) -> Duration {
    rand::rng().random_range(Duration::ZERO..=ceiling)
}

#[cfg(test)]
mod tests {
    use acquaint_proto::{Reason, Refusal};
    use tonic::Status;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy { time_max: Duration::from_secs(60) };

    fn fault(reason: Reason, retry_after: Duration) -> Fault {
        Status::from(Refusal::new(reason).retry_after(retry_after)).into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_is_given_up_when_the_time_is_over() {
        let start = Instant::now();
        let mut retry = POLICY.start();
        let mut n_attempts = 0;
        while retry.after(Fault::TIMEOUT).await.is_ok() {
            n_attempts += 1;
        }
        let elapsed = start.elapsed();
        assert!((Duration::from_secs(49)..=POLICY.time_max).contains(&elapsed), "{elapsed:?}");
        assert!((8..200).contains(&n_attempts), "{n_attempts} attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_demanded_delay_is_kept_and_a_little_more() {
        for _ in 0..100 {
            let start = Instant::now();
            POLICY.start().after(fault(Reason::QueueFull, Duration::from_secs(5))).await.unwrap();
            let range = Duration::from_secs(5)..=Duration::from_secs(5) + DELAY_MIN * 2;
            assert!(range.contains(&start.elapsed()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_past_the_time_left_is_reported_at_once() {
        let start = Instant::now();
        let retry_after = Duration::from_secs(61);
        let error =
            POLICY.start().after(fault(Reason::StoreUnavailable, retry_after)).await.unwrap_err();
        assert_eq!(error, ClientError::Busy { retry_after: Some(retry_after) });
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn faults_and_exhausted_quotas_are_never_repeated() {
        for reason in [Reason::Internal, Reason::QuotaExhausted, Reason::InvalidElement] {
            let start = Instant::now();
            assert!(POLICY.start().after(fault(reason, Duration::from_secs(1))).await.is_err());
            assert_eq!(start.elapsed(), Duration::ZERO, "{}", reason.as_str());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_is_refreshed_once() {
        let expired = fault(Reason::CredentialExpired, Duration::ZERO);
        let mut retry = POLICY.start();
        assert!(!retry.takes_refresh());
        retry.after(expired).await.unwrap();
        assert!(retry.takes_refresh());
        assert!(!retry.takes_refresh());
        assert_eq!(retry.after(expired).await, Err(ClientError::CredentialExpired));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_starts_the_time_over() {
        let mut retry = POLICY.start();
        for _ in 0..10 {
            time::sleep(Duration::from_secs(59)).await;
            retry.progressed();
            retry.after(Fault::TIMEOUT).await.unwrap();
        }
    }
}
