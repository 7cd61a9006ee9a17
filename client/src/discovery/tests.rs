//! Whole lookups against a server in memory, honest and not.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use acquaint_core::manifest::{ChainError, ManifestError};
use acquaint_proto::Reason;

use crate::{
    AddressBook, Client, ClientError, CredentialFuture, CredentialProvider, Misbehavior, Progress,
    SyncOutcome,
    testing::{Fake, Lie, label, user},
};

/// Users `range` as an address book; those below the fake's size are registered.
fn book(range: std::ops::Range<u32>) -> AddressBook {
    AddressBook::from_identifiers(range.map(|i| (format!("user {i}"), user(i))))
}

fn client(fake: &Arc<Fake>) -> Client {
    fake.complete(Client::builder("https://fake.test")).build_over(fake.channel())
}

async fn sync(fake: &Arc<Fake>, book: &AddressBook) -> Result<SyncOutcome, ClientError> {
    client(fake).sync(book, |_| ()).await
}

/// Registered are `0..n_users`; contact `i` of the book is user `first + i`.
fn assert_matches(outcome: &SyncOutcome, first: u32, n_matches: u32) {
    assert_eq!(outcome.matches.len(), n_matches as usize);
    for (i, found) in (0..).zip(&outcome.matches) {
        assert_eq!(found.contact, i as usize);
        assert_eq!(found.label, label(first + i));
    }
}

#[tokio::test]
async fn a_lookup_finds_the_registered_contacts_and_no_others() {
    let fake = Fake::new(300);
    let seen = Mutex::new(Vec::new());
    let client = client(&fake);
    let outcome =
        client.sync(&book(250..350), |progress| seen.lock().unwrap().push(progress)).await.unwrap();
    assert_matches(&outcome, 250, 50);
    assert_eq!(outcome.quota.unwrap().remaining, 7);
    assert_eq!(client.last_seen().unwrap(), outcome.head);

    let report = outcome.report;
    assert_eq!((report.users, report.contacts), (300, 100));
    assert_eq!((report.batches, report.elements), (4, 128));
    assert_eq!(report.labels_bytes, 300 * 32);
    let sent = fake.evaluated.lock().unwrap().clone();
    assert!(sent.iter().all(|batch| batch.len() == 32 * 32));
    assert_eq!(report.blinded_sample.len(), 3);
    let all = sent.concat();
    assert!(report.blinded_sample.iter().all(|b| all.as_chunks().0.contains(b)));
    assert!(report.set.bytes_down > report.set_bytes);
    assert!(report.labels.bytes_down > report.labels_bytes);
    assert!(report.evaluate.bytes_up > 4 * 32 * 32 && report.manifest.bytes_up == 5);

    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], Progress::Manifest);
    assert!(seen.contains(&Progress::Evaluate { done: 100, total: 100 }));
    assert!(seen.contains(&Progress::Labels { bytes: 9_600, total: 9_600 }));
    assert!(fake.authorizations.lock().unwrap().iter().all(|entry| entry == "Bearer c2VjcmV0"));
}

#[tokio::test]
async fn labels_are_downloaded_whole_whether_or_not_anything_matches() {
    for range in [0..20, 500..520] {
        let fake = Fake::new(300);
        sync(&fake, &book(range)).await.unwrap();
        assert_eq!(fake.n_label_bytes.load(SeqCst), 300 * 32);
    }
}

#[tokio::test]
async fn an_empty_address_book_costs_no_evaluation() {
    let fake = Fake::new(10);
    let outcome = sync(&fake, &book(0..0)).await.unwrap();
    assert!(outcome.matches.is_empty() && outcome.quota.is_none());
    assert!(fake.evaluated.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_directory_matches_nobody() {
    let outcome = sync(&Fake::new(0), &book(0..5)).await.unwrap();
    assert!(outcome.matches.is_empty());
}

#[tokio::test]
async fn every_lie_is_refused() {
    for (lie, expected) in [
        (Lie::OtherKey, Misbehavior::ProofRefuted.into()),
        (Lie::PermutedAnswer, Misbehavior::ProofRefuted.into()),
        (Lie::ShortAnswer, Misbehavior::Evaluation.into()),
        (Lie::FlippedSet, Misbehavior::DigestMismatch.into()),
        (Lie::FlippedLabels, Misbehavior::DigestMismatch.into()),
        (Lie::TruncatedSet, Misbehavior::Truncated.into()),
        (Lie::RepeatedChunk, Misbehavior::ChunkSequence.into()),
        (Lie::UnsignedManifest, ClientError::UntrustedManifest(ManifestError::Signature)),
    ] {
        let fake = Fake::new(300);
        *fake.lie.lock().unwrap() = lie;
        assert_eq!(sync(&fake, &book(0..20)).await.unwrap_err(), expected, "{lie:?}");
        let n_evaluated = fake.evaluated.lock().unwrap().len();
        if lie == Lie::UnsignedManifest {
            assert_eq!(n_evaluated, 0, "nothing about the address book is sent before");
        }
    }
}

#[tokio::test]
async fn a_directory_that_goes_back_in_time_is_refused() {
    let fake = Fake::new(10);
    fake.republish(5, 1_000);
    let client = client(&fake);
    let head = client.sync(&book(0..5), |_| ()).await.unwrap().head;
    fake.republish(4, 1_000);
    let refused = ClientError::Chain(ChainError::Rollback);
    assert_eq!(client.sync(&book(0..5), |_| ()).await.unwrap_err(), refused);

    let restarted = fake
        .complete(Client::builder("https://fake.test"))
        .last_seen(head)
        .build_over(fake.channel());
    assert_eq!(restarted.sync(&book(0..5), |_| ()).await.unwrap_err(), refused);
    // A fork: the same number with other content.
    fake.republish(5, 2_000);
    let refused = ClientError::Chain(ChainError::Fork);
    assert_eq!(restarted.sync(&book(0..5), |_| ()).await.unwrap_err(), refused);
    fake.republish(7, 2_000);
    assert_matches(&restarted.sync(&book(0..5), |_| ()).await.unwrap(), 0, 5);
}

#[tokio::test]
async fn broken_downloads_are_resumed() {
    let fake = Fake::new(300);
    fake.n_breaks.store(6, SeqCst);
    let outcome = sync(&fake, &book(0..20)).await.unwrap();
    assert_matches(&outcome, 0, 20);
    assert_eq!(fake.n_breaks.load(SeqCst), 0);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_with_the_same_bytes() {
    let fake = Fake::new(10);
    *fake.refusals.lock().unwrap() = [Reason::QueueFull].into();
    assert_matches(&sync(&fake, &book(0..5)).await.unwrap(), 0, 5);
    let evaluated = fake.evaluated.lock().unwrap();
    assert_eq!(evaluated.len(), 2);
    assert_eq!(evaluated[0], evaluated[1]);
}

#[tokio::test]
async fn a_rotated_key_starts_the_lookup_over_at_most_twice() {
    let fake = Fake::new(10);
    *fake.refusals.lock().unwrap() = [Reason::EpochUnknown, Reason::EpochUnknown].into();
    assert_matches(&sync(&fake, &book(0..5)).await.unwrap(), 0, 5);
    *fake.refusals.lock().unwrap() = [Reason::EpochUnknown; 3].into();
    let error = sync(&fake, &book(0..5)).await.unwrap_err();
    assert_eq!(error, ClientError::DirectoryChanged);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_replaced_snapshot_costs_no_second_evaluation() {
    let fake = Fake::new(10);
    let client = client(&fake);
    let outcome = client
        .sync(&book(0..5), |progress| {
            // The manifest is known, nothing is downloaded yet.
            if matches!(progress, Progress::Evaluate { done: 0, .. }) {
                fake.republish(3, 1_000);
            }
        })
        .await
        .unwrap();
    assert_matches(&outcome, 0, 5);
    assert_eq!(outcome.head.sequence, 3);
    assert_eq!(fake.evaluated.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_address_book_past_the_quota_is_refused_before_it_costs_anything() {
    let fake = Fake::new(10);
    *fake.quota.lock().unwrap() = 31;
    assert_matches(&sync(&fake, &book(0..16)).await.unwrap(), 0, 10);
    assert_eq!(fake.evaluated.lock().unwrap().len(), 1);
    // The largest class of the fake's manifest is 32: this is two batches, of which it says no.
    let error = sync(&fake, &book(0..33)).await.unwrap_err();
    assert_eq!(error, ClientError::TooManyContacts { elements: 64, elements_max: 31 });
    assert_eq!(fake.evaluated.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_expired_credential_is_refreshed_once() {
    struct Refreshing;
    impl CredentialProvider for Refreshing {
        fn credential(&self, refresh: bool) -> CredentialFuture<'_> {
            let text = if refresh { "bmV3" } else { "b2xk" };
            let credential = acquaint_core::credential::Credential::from_text(text);
            Box::pin(async move { Ok(credential) })
        }
    }
    let fake = Fake::new(10);
    let client = |fake: &Arc<Fake>| {
        fake.complete(Client::builder("https://fake.test"))
            .credentials(Refreshing)
            .build_over(fake.channel())
    };
    *fake.refusals.lock().unwrap() = [Reason::CredentialExpired].into();
    client(&fake).sync(&book(0..5), |_| ()).await.unwrap();
    let sent = fake.authorizations.lock().unwrap().clone();
    assert_eq!(sent, ["Bearer b2xk", "Bearer b2xk", "Bearer bmV3"]);
    *fake.refusals.lock().unwrap() = [Reason::CredentialExpired; 2].into();
    let error = client(&fake).sync(&book(0..5), |_| ()).await.unwrap_err();
    assert_eq!(error, ClientError::CredentialExpired);
}

/// Waits until something is the case; a test that waits in vain is stopped from outside.
async fn until(is_the_case: impl Fn() -> bool) {
    while !is_the_case() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn dropping_a_lookup_stops_the_work_on_both_sides() {
    let fake = Fake::new(10);
    *fake.lie.lock().unwrap() = Lie::Silence;
    let client = client(&fake);
    let book = book(0..200);
    tokio::select! {
        _ = client.sync(&book, |_| ()) => panic!("a silent server gives no result"),
        () = until(|| fake.n_evaluating.load(SeqCst) == 4) => {}
    }
    // The reset streams end the server's work; the client itself stays usable.
    until(|| fake.n_evaluating.load(SeqCst) == 0).await;
    assert_eq!(fake.evaluated.lock().unwrap().len(), 4, "as many as may be in flight, once");
    *fake.lie.lock().unwrap() = Lie::None;
    assert_eq!(client.quota().await.unwrap().remaining, 1 << 20);
    assert_matches(&client.sync(&book, |_| ()).await.unwrap(), 0, 10);
}

#[test]
fn lookups_can_be_spawned() {
    fn assert_send(_: &impl Send) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let (client, book) = (client(&Fake::new(1)), book(0..1));
    let lookup = client.sync(&book, |_| ());
    assert_send(&lookup);
}
