//! The quota at system level: charged exactly, once, durably, and by nobody's clock but forward.

use std::{collections::HashMap, sync::Arc, time::Duration};

use acquaint_client::{Client, ClientError, MemoryStateStore, Quota, StaticCredential};
use acquaint_core::{
    credential::{Claims, Credential, Scope},
    oprf::{self, Mode, Padding},
};
use acquaint_proto::{
    Reason, Received,
    v1::{
        self, EvaluateRequest, EvaluateResponse, GetQuotaRequest, RegistryServiceEvaluateRequest,
    },
};
use acquaint_server::{
    clock::ManualClock,
    config::{ClassQuota, RegistrarQuota},
    store::REPEAT_FREE_MS,
};
use bytes::Bytes;
use futures_util::future::join_all;
use rand_chacha::rand_core::Rng as _;
use tonic::{Code, Status};

use crate::world::{
    Site, World, authorized, book, elements, found, label, number, oracle, seeded, users,
};

/// A time in milliseconds since 1970, before any at which the harness mints credentials.
const NOW_MS: u64 = 1_700_000_000_000;

const DAY_MS: u64 = 86_400_000;

/// One element a second, so that waiting times can be told by eye.
const ONE_A_SECOND: u64 = 86_400;

/// A world whose clock stands, with a quota.
async fn world(capacity: u64, refill_per_day: u64) -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let world = site(capacity, refill_per_day);
    (world.start_with_clock(Arc::<ManualClock>::clone(&clock)).await, clock)
}

fn site(capacity: u64, refill_per_day: u64) -> Site {
    let mut site = Site::new();
    site.config.quota.elements = capacity;
    site.config.quota.refill_per_day = refill_per_day;
    site.config.publication.delay_ms = 3_600_000;
    // Many calls at once in one name are the subject here, not a fault.
    site.config.transport.calls_per_account = 256;
    site.config.transport.connections_per_account = 256;
    site.config.evaluator.account_elements = 1 << 20;
    site
}

/// Valid for as long as the clock of a test may run.
fn client(world: &World, account: &str) -> Client {
    let credential = world.site.credential_until(account, Scope::Discover, u64::MAX);
    world.client_builder(account).credentials(StaticCredential::new(credential)).build().unwrap()
}

async fn state(world: &World, account: &str) -> v1::Quota {
    let credential = world.site.credential_until(account, Scope::Discover, u64::MAX);
    let request = authorized(&credential, GetQuotaRequest {});
    world.discovery().get_quota(request).await.unwrap().into_inner().quota.unwrap()
}

async fn remaining(world: &World, account: &str) -> u64 {
    state(world, account).await.remaining
}

/// The batch of a number: batches of different numbers have no element in common.
fn batch(number: u64, n_elements: u64) -> Bytes {
    elements(number * n_elements..(number + 1) * n_elements).into()
}

async fn evaluate(world: &World, account: &str, batch: Bytes) -> Result<EvaluateResponse, Status> {
    let credential = world.site.credential_until(account, Scope::Discover, u64::MAX);
    let message = EvaluateRequest { epoch: 1, blinded_elements: batch };
    let answer = world.discovery().evaluate(authorized(&credential, message)).await?;
    Ok(answer.into_inner())
}

fn charged(answer: &EvaluateResponse) -> u64 {
    answer.quota.unwrap().charged
}

/// Exhausted, with the time until the same batch fits.
#[track_caller]
fn wait_of(status: &Status) -> Duration {
    let received = Received::from(status);
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(received.reason, Some(Reason::QuotaExhausted));
    assert_eq!(status.message(), Reason::QuotaExhausted.text());
    received.retry_after.unwrap()
}

/// T9: what is charged is what the server sees: the padded elements, and nothing else.
#[tokio::test]
async fn the_charge_is_the_padded_elements() {
    let (world, _clock) = world(1 << 20, 0).await;
    let client = client(&world, "account");
    let mut left = 1 << 20;
    for (n_contacts, cost) in [(0, 0), (1, 16), (16, 16), (17, 32), (1_024, 1_024), (1_025, 2_048)]
    {
        let outcome = client.sync(&book(0..n_contacts), |_| {}).await.unwrap();
        assert_eq!(outcome.report.elements as u64, cost);
        left -= cost;
        assert_eq!(outcome.quota.map_or(left, |quota| quota.remaining), left, "{n_contacts}");
        let Quota { remaining, capacity, refill_per_day, full_in_seconds, .. } =
            client.quota().await.unwrap();
        assert_eq!((remaining, capacity, refill_per_day), (left, 1 << 20, 0));
        assert_eq!(full_in_seconds, (cost == 0).then_some(0), "nothing ever comes back");
    }
}

/// What costs nothing must cost nothing: asking, the manifest, downloads, and refused calls.
#[tokio::test]
async fn only_evaluation_is_charged() {
    let (world, _clock) = world(1_024, 0).await;
    for _ in 0..3 {
        assert_eq!(remaining(&world, "account").await, 1_024);
    }
    client(&world, "account").sync(&book([]), |_| {}).await.unwrap();
    let manifest = world.discovery();
    for _ in 0..3 {
        let request = world.site.credential_until("account", Scope::Discover, u64::MAX);
        let request = authorized(&request, v1::GetManifestRequest::default());
        manifest.clone().get_manifest(request).await.unwrap();
    }
    evaluate(&world, "account", Bytes::new()).await.unwrap_err();
    assert_eq!(remaining(&world, "account").await, 1_024);
}

/// T4: a lost answer may be asked for again, now or after a restart, without paying twice.
#[tokio::test]
async fn a_repeated_batch_is_charged_once_also_after_a_restart() {
    let (mut world, clock) = world(100, 0).await;
    let first = evaluate(&world, "account", batch(0, 16)).await.unwrap();
    assert_eq!(charged(&first), 16);
    for restarted in [false, true] {
        if restarted {
            let clock = Arc::<ManualClock>::clone(&clock);
            world = world.stop().await.start_with_clock(clock).await;
        }
        for _ in 0..3 {
            let again = evaluate(&world, "account", batch(0, 16)).await.unwrap();
            assert_eq!(charged(&again), 0, "restarted: {restarted}");
            assert_eq!(again.evaluated_elements, first.evaluated_elements);
            assert_eq!(remaining(&world, "account").await, 84);
        }
    }
    // Not a repeat: other elements, another order, a part of the batch, another account.
    assert_eq!(charged(&evaluate(&world, "account", batch(1, 16)).await.unwrap()), 16);
    let mut turned = batch(0, 16).to_vec();
    turned.rotate_left(32);
    assert_eq!(charged(&evaluate(&world, "account", turned.into()).await.unwrap()), 16);
    let part = batch(0, 16).slice(..32 * 8);
    assert_eq!(charged(&evaluate(&world, "account", part).await.unwrap()), 8);
    assert_eq!(charged(&evaluate(&world, "other", batch(0, 16)).await.unwrap()), 16);
    assert_eq!(remaining(&world, "account").await, 100 - 16 - 16 - 16 - 8);
}

/// T4: also if the repetitions arrive together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_equal_batches_in_parallel_are_charged_once() {
    let (world, _clock) = world(40, 0).await;
    for round in 0..2 {
        let calls = (0..20).map(|_| evaluate(&world, "account", batch(round, 16)));
        let answers: Vec<_> =
            join_all(calls).await.into_iter().map(|answer| answer.unwrap()).collect();
        assert_eq!(answers.iter().map(charged).sum::<u64>(), 16);
        assert!(answers.iter().all(|a| a.evaluated_elements == answers[0].evaluated_elements));
    }
    assert_eq!(remaining(&world, "account").await, 8);
    // A repetition of what was paid for is answered even when nothing is left for others.
    wait_of(&evaluate(&world, "account", batch(2, 16)).await.unwrap_err());
    assert_eq!(charged(&evaluate(&world, "account", batch(0, 16)).await.unwrap()), 0);
}

/// A batch is free for as long as the manifest promises to remember it, and not for ever.
#[tokio::test]
async fn a_batch_is_charged_anew_when_it_is_forgotten() {
    let (world, clock) = world(100, 0).await;
    for (now_ms, expected) in [
        (NOW_MS, 16),
        (NOW_MS + REPEAT_FREE_MS, 0),
        (NOW_MS + REPEAT_FREE_MS + 1, 16),
        (NOW_MS + 2 * REPEAT_FREE_MS, 0),
    ] {
        clock.set_ms(now_ms);
        let answer = evaluate(&world, "account", batch(0, 16)).await.unwrap();
        assert_eq!(charged(&answer), expected, "after {} ms", now_ms - NOW_MS);
    }
    assert_eq!(remaining(&world, "account").await, 100 - 2 * 16);
}

/// T3: however many ask at once for what is left, exactly that much is granted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_batches_are_granted_exactly_the_limit() {
    let (world, _clock) = world(16 * 10 + 15, 0).await;
    let calls = (0..100).map(|i| evaluate(&world, "account", batch(i, 16)));
    let answers = join_all(calls).await;
    let granted = answers.iter().filter_map(|answer| answer.as_ref().ok());
    assert_eq!(granted.map(charged).sum::<u64>(), 160);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        wait_of(refused);
    }
    assert_eq!(remaining(&world, "account").await, 15);
    // The last permit itself: one element too many, then exactly what is left.
    wait_of(&evaluate(&world, "account", batch(100, 16)).await.unwrap_err());
    let last = evaluate(&world, "account", batch(1_000, 15)).await.unwrap();
    assert_eq!((charged(&last), last.quota.unwrap().remaining), (15, 0));
    wait_of(&evaluate(&world, "account", batch(20_000, 1)).await.unwrap_err());
}

/// The announced time is the exact one: a millisecond earlier is refused, and then granted.
#[tokio::test]
async fn an_exhausted_quota_says_exactly_when_to_return() {
    let (world, clock) = world(64, ONE_A_SECOND).await;
    evaluate(&world, "account", batch(0, 64)).await.unwrap();
    assert_eq!(state(&world, "account").await.full_in_seconds, 64);
    let asked = async || evaluate(&world, "account", batch(9, 16)).await;
    assert_eq!(wait_of(&asked().await.unwrap_err()), Duration::from_secs(16));
    clock.set_ms(NOW_MS + 15_999);
    assert_eq!(remaining(&world, "account").await, 15);
    assert_eq!(wait_of(&asked().await.unwrap_err()), Duration::from_millis(1));
    clock.set_ms(NOW_MS + 16_000);
    let granted = asked().await.unwrap();
    assert_eq!((charged(&granted), granted.quota.unwrap().remaining), (16, 0));

    // Through the SDK: typed, with the time, and granted after it.
    let (client, book) = (client(&world, "account"), book(0..5));
    let pending = client.sync(&book, |_| {}).await.unwrap().pending.unwrap();
    assert_eq!(pending.retry_after, Some(Duration::from_secs(16)));
    assert_eq!(pending.contacts, [0, 1, 2, 3, 4]);
    clock.set_ms(NOW_MS + 32_000);
    assert_eq!(client.sync(&book, |_| {}).await.unwrap().pending, None);

    // Rest fills the quota, and never past its capacity.
    clock.set_ms(NOW_MS + 365 * DAY_MS);
    assert_eq!(remaining(&world, "account").await, 64);
}

/// T1: a clock that is set back gives nothing back, neither then nor on its way to where it was.
#[tokio::test]
async fn a_backward_clock_never_refills() {
    let (world, clock) = world(64, ONE_A_SECOND).await;
    evaluate(&world, "account", batch(0, 64)).await.unwrap();
    for now_ms in [NOW_MS - 1, NOW_MS - 10 * DAY_MS, 0, NOW_MS - 5 * DAY_MS, NOW_MS] {
        clock.set_ms(now_ms);
        assert_eq!(remaining(&world, "account").await, 0, "at {now_ms}");
        let status = evaluate(&world, "account", batch(9, 16)).await.unwrap_err();
        assert!(wait_of(&status) >= Duration::from_secs(16));
    }
    clock.set_ms(NOW_MS + 16_000);
    assert_eq!(remaining(&world, "account").await, 16);
    // A charge while the clock is behind is kept as well.
    clock.set_ms(NOW_MS - DAY_MS);
    evaluate(&world, "rested", batch(0, 64)).await.unwrap();
    clock.set_ms(NOW_MS - 2 * DAY_MS);
    assert_eq!(remaining(&world, "rested").await, 0);
}

/// T3: stopping and starting the server is no way to a new quota.
#[tokio::test]
async fn a_restart_never_refills() {
    let (mut world, clock) = world(64, 0).await;
    evaluate(&world, "account", batch(0, 60)).await.unwrap();
    for _ in 0..2 {
        world = world.stop().await.start_with_clock(Arc::<ManualClock>::clone(&clock)).await;
        assert_eq!(remaining(&world, "account").await, 4);
        wait_of(&evaluate(&world, "account", batch(5, 16)).await.unwrap_err());
    }
}

/// A lookup that can never fit is told so at once, instead of waiting for ever or in halves.
#[tokio::test]
async fn an_address_book_above_the_whole_quota_is_refused_before_anything_is_evaluated() {
    let (world, _clock) = world(2_048, ONE_A_SECOND).await;
    let people = users(0..10);
    world.register(&people, acquaint_client::Visibility::Discoverable).await;
    let client = client(&world, "account");
    let error = client.sync(&book(0..2_049), |_| {}).await.unwrap_err();
    let expected = ClientError::TooManyContacts { elements: 3_072, elements_max: 2_048 };
    assert_eq!(error, expected);
    assert!(!error.is_retryable());
    assert_eq!(remaining(&world, "account").await, 2_048);
    // At the limit it fits.
    let book = book(0..2_048);
    let outcome = client.sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &people));
    assert_eq!(remaining(&world, "account").await, 0);
}

/// A lookup that the quota covers in part gives the matches of that part, says what is left and
/// when to return, and goes on from there; what was known before is not taken back.
#[tokio::test]
async fn what_the_quota_does_not_cover_is_pending_and_comes_later() {
    let mut rng = seeded("what_the_quota_does_not_cover_is_pending_and_comes_later");
    let (world, clock) = world(2_048, 2 * ONE_A_SECOND).await;
    let people: HashMap<_, _> = (0..3_072)
        .filter(|_| rng.next_u32().is_multiple_of(2))
        .map(|i| (number(i), label(i)))
        .collect();
    world.register(&people, acquaint_client::Visibility::Discoverable).await;
    let credential = world.site.credential_until("account", Scope::Discover, u64::MAX);
    let client = world
        .client_builder("account")
        .credentials(StaticCredential::new(credential))
        .state_store(MemoryStateStore::default())
        .build()
        .unwrap();
    let book = book(0..3_072);
    let mut known = 0;
    // Three batches of 1,024, two of which fit at once.
    let mut now_ms = NOW_MS;
    let ms = Duration::from_millis;
    for (elements, wait) in [(2_048, Some(ms(512_000))), (0, Some(ms(1))), (1_024, None)] {
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!(outcome.report.elements, elements);
        let pending = outcome.pending.as_ref();
        let waited: Vec<usize> = pending.map(|p| p.contacts.clone()).unwrap_or_default();
        let covered = |(contact, _): &(usize, _)| waited.binary_search(contact).is_err();
        let expected: Vec<_> = oracle(&book, &people).into_iter().filter(covered).collect();
        assert_eq!(found(&outcome), expected);
        assert_eq!(waited.len(), if wait.is_some() { 1_024 } else { 0 });
        assert!(outcome.changes.left.is_empty() && outcome.matches.len() >= known);
        known = outcome.matches.len();
        let retry_after = pending.and_then(|p| p.retry_after);
        assert_eq!(retry_after, wait);
        // Once more for nothing, a millisecond too early; then in time.
        now_ms += if elements == 0 { 1 } else { 511_999 };
        clock.set_ms(now_ms);
    }
    assert_eq!(known, people.len());
}

/// A class has the quota that the operator gives it, and a new account a part of it.
#[tokio::test]
async fn classes_and_ages_have_their_own_quotas() {
    let clock = Arc::new(ManualClock::at_ms(NOW_MS));
    let mut site = site(4_096, 0);
    let quota = &mut site.config.quota;
    (quota.ramp_days, quota.ramp_start_percent) = (10, 25);
    let trial = ClassQuota { elements: 8_192, refill_per_day: 0 };
    quota.classes.insert("7".to_owned(), trial);
    quota.registrar = Some(RegistrarQuota { elements: 4_096, refill_per_day: 0 });
    let world = site.start_with_clock(Arc::<ManualClock>::clone(&clock)).await;
    let now_s = NOW_MS / 1_000;
    let credential = |account: &str, class, account_since| {
        let claims = world.site.claims(account, Scope::Discover);
        let claims = Claims { class, account_since, expires_at: u64::MAX, ..claims };
        Credential::mint(world.site.keys.newest_credential().unwrap().1, &claims)
    };
    let capacity = async |credential: &Credential| {
        let request = authorized(credential, GetQuotaRequest {});
        world.discovery().get_quota(request).await.unwrap().into_inner().quota.unwrap().capacity
    };
    let five_days = now_s - 5 * 86_400;
    for (account, class, since, expected) in [
        ("old", 0, 0, 4_096),
        ("new", 0, now_s, 1_024),
        ("young", 0, five_days, 2_560),
        ("new of a class", 7, now_s, 2_048),
        ("old of a class", 7, 0, 8_192),
        ("of no class", 8, 0, 4_096),
    ] {
        let credential = credential(account, class, since);
        assert_eq!(capacity(&credential).await, expected, "{account}");
        // To the last element, and not one more.
        for (number, n_elements, granted) in [(1, expected - 1, true), (2, 1, true), (3, 1, false)]
        {
            let mut rest = elements(number * 10_000..number * 10_000 + n_elements);
            while !rest.is_empty() {
                let batch: Vec<u8> = rest.drain(..rest.len().min(32 * 4_096)).collect();
                let message = EvaluateRequest { epoch: 1, blinded_elements: batch.into() };
                let answer = world.discovery().evaluate(authorized(&credential, message)).await;
                assert_eq!(answer.is_ok(), granted, "{account}");
            }
        }
    }
    // The new account grows, and has used what it has used.
    let new = credential("new", 0, now_s);
    clock.set_ms(NOW_MS + 10 * DAY_MS);
    let request = authorized(&new, GetQuotaRequest {});
    let state = world.discovery().get_quota(request).await.unwrap().into_inner().quota.unwrap();
    assert_eq!((state.capacity, state.remaining), (4_096, 3_072));

    // The registrar's own limit, which the same batch again does not touch.
    let registrar = world.site.credential_until("back-end", Scope::Register, u64::MAX);
    for (number, granted) in [(1, true), (1, true), (2, false)] {
        let message =
            RegistryServiceEvaluateRequest { epoch: 1, blinded_elements: batch(number, 4_096) };
        let answer = world.registry().evaluate(authorized(&registrar, message)).await;
        assert_eq!(answer.is_ok(), granted);
        if let Err(status) = answer {
            wait_of(&status);
        }
    }
}

/// Whoever may register anybody learns nothing from evaluating: listing users is not metered.
#[tokio::test]
async fn the_registrar_charges_nobody() {
    let (world, _clock) = world(64, 0).await;
    world.register(&users(0..100), acquaint_client::Visibility::Discoverable).await;
    // Even where the registrar goes by the pseudonym of an account.
    let credential = world.site.credential_until("account", Scope::Register, u64::MAX);
    for number in 0..3 {
        let blinded_elements = batch(number, 64);
        let message = RegistryServiceEvaluateRequest { epoch: 1, blinded_elements };
        world.registry().evaluate(authorized(&credential, message)).await.unwrap();
    }
    for account in ["account", "back-end"] {
        assert_eq!(remaining(&world, account).await, 64, "{account}");
    }
    // Nor does what the registrar evaluated count as paid for by an account.
    assert_eq!(charged(&evaluate(&world, "account", batch(0, 64)).await.unwrap()), 64);
}

/// One account's lookups never use up another's quota.
#[tokio::test]
async fn accounts_are_independent() {
    let (world, _clock) = world(64, 0).await;
    evaluate(&world, "a", batch(0, 64)).await.unwrap();
    wait_of(&evaluate(&world, "a", batch(1, 1)).await.unwrap_err());
    for account in ["b", "A", "a ", ""] {
        assert_eq!(remaining(&world, account).await, 64, "{account:?}");
    }
    evaluate(&world, "b", batch(0, 32)).await.unwrap();
    assert_eq!((remaining(&world, "a").await, remaining(&world, "b").await), (0, 32));
}

/// Two credentials of one account draw on one quota: minting more buys nothing.
#[tokio::test]
async fn credentials_of_one_account_share_its_quota() {
    let (world, _clock) = world(64, 0).await;
    for (i, expires_at) in [(0, u64::MAX), (1, u64::MAX - 1), (2, NOW_MS)] {
        let credential = world.site.credential_until("account", Scope::Discover, expires_at);
        let message = EvaluateRequest { epoch: 1, blinded_elements: batch(i, 16) };
        let request = authorized(&credential, message);
        let answer = world.discovery().evaluate(request).await.unwrap().into_inner();
        assert_eq!(answer.quota.unwrap().remaining, 64 - 16 * (i + 1));
    }
}

/// A charge is for work that is delivered: the answer to a granted batch verifies.
#[tokio::test]
async fn a_charged_batch_is_answered_with_a_valid_proof() {
    let (world, _clock) = world(64, 0).await;
    let public = world.site.keys.oprf_seeds.get(1).unwrap().epoch_key(1).unwrap().1;
    let mut rng = rand::rng();
    let blinding = oprf::blind(Mode::Voprf, &[b"tel:+9990"], Padding::Class(16), &mut rng).unwrap();
    for cost in [16, 0] {
        let answer = evaluate(&world, "account", blinding.to_bytes().into()).await.unwrap();
        assert_eq!(charged(&answer), cost);
        blinding.verify(&public, &answer.evaluated_elements, &answer.proof).unwrap();
    }
}
