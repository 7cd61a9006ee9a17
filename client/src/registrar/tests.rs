//! Registrations against a server in memory, with streams that break.

use std::sync::{Arc, Mutex, atomic::Ordering::SeqCst};

use acquaint_proto::Reason;

use super::*;
use crate::{
    Misbehavior,
    testing::{Fake, Lie, label, user},
};

fn registrar(fake: &Arc<Fake>) -> Registrar {
    fake.complete(Registrar::builder("https://fake.test")).build_over(fake.channel())
}

fn rows(n: u32) -> impl Iterator<Item = (Identifier, Label)> + Send {
    (0..n).map(|i| (user(i), label(i)))
}

async fn register(fake: &Arc<Fake>, n: u32) -> Result<Registered, RegisterError> {
    registrar(fake).register(rows(n), Visibility::Discoverable, |_| ()).await
}

fn assert_registered(fake: &Fake, n: u32) {
    let registered = fake.registered.lock().unwrap();
    assert_eq!(registered.len(), n as usize);
    for i in [0, n / 2, n - 1] {
        let element = fake.element(&user(i));
        assert_eq!(registered[element.expose_bytes()].0, label(i).0, "{i}");
    }
}

#[tokio::test]
async fn rows_are_registered_in_order_across_broken_streams() {
    for n_breaks in [0, 1, 3] {
        let (fake, seen) = (Fake::new(0), Mutex::new(Vec::new()));
        fake.n_breaks.store(n_breaks, SeqCst);
        let n = 3 * 4_096 + 5;
        let registered = registrar(&fake)
            .register(rows(n), Visibility::Discoverable, |rows| seen.lock().unwrap().push(rows))
            .await
            .unwrap();
        assert_eq!((registered.acknowledged, registered.added), (n.into(), n.into()));
        assert_eq!(seen.into_inner().unwrap(), [4_096, 8_192, 12_288, 12_293]);
        assert_registered(&fake, n);
    }
}

#[tokio::test]
async fn registering_again_changes_nothing_and_hiding_is_an_update() {
    let fake = Fake::new(0);
    assert_eq!(register(&fake, 10).await.unwrap().added, 10);
    let again = register(&fake, 10).await.unwrap();
    assert_eq!((again.added, again.updated), (0, 0));
    let hidden = registrar(&fake).register(rows(10), Visibility::Hidden, |_| ()).await.unwrap();
    assert_eq!((hidden.added, hidden.updated), (0, 10));
}

#[tokio::test]
async fn nothing_to_register_is_no_call() {
    let fake = Fake::new(0);
    assert_eq!(register(&fake, 0).await.unwrap(), Registered::default());
    assert!(fake.evaluated.lock().unwrap().is_empty());
}

#[tokio::test]
async fn removal_counts_what_was_there() {
    let fake = Fake::new(0);
    register(&fake, 10).await.unwrap();
    let identifiers: Vec<_> = (5..15).map(user).collect();
    assert_eq!(registrar(&fake).remove(&identifiers).await.unwrap().removed, 5);
    assert_registered(&fake, 5);
    assert_eq!(registrar(&fake).remove(&[]).await.unwrap().removed, 0);
}

#[tokio::test]
async fn failures_say_how_many_rows_are_durable() {
    let fake = Fake::new(0);
    *fake.lie.lock().unwrap() = Lie::OtherKey;
    let error = register(&fake, 10).await.unwrap_err();
    assert_eq!(error.source, Misbehavior::ProofRefuted.into());
    assert_eq!(error.acknowledged, 0);
    assert!(fake.registered.lock().unwrap().is_empty());

    *fake.lie.lock().unwrap() = Lie::RepeatedChunk;
    let error = register(&fake, 10).await.unwrap_err();
    assert_eq!(error.source, Misbehavior::Acknowledgment.into());

    *fake.lie.lock().unwrap() = Lie::None;
    *fake.refusals.lock().unwrap() = [Reason::EpochUnknown].into();
    let error = register(&fake, 10).await.unwrap_err();
    assert_eq!(error.source, ClientError::DirectoryChanged);
    assert!(error.to_string().starts_with("0 rows"));
}

#[tokio::test]
async fn look_ahead_is_bounded() {
    // The first evaluation never ends: batches in flight, and no more, are read.
    let fake = Fake::new(0);
    *fake.lie.lock().unwrap() = Lie::Silence;
    let n_read = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = rows(1_000_000).inspect({
        let n_read = Arc::clone(&n_read);
        move |_| {
            n_read.fetch_add(1, SeqCst);
        }
    });
    let registrar = registrar(&fake);
    let registration = registrar.register(counted, Visibility::Discoverable, |_| ());
    let waited = tokio::time::timeout(std::time::Duration::from_millis(500), registration).await;
    assert!(waited.is_err());
    assert_eq!(n_read.load(SeqCst), 4 * BATCH_ELEMENTS_MAX);
}

#[test]
fn registrations_can_be_spawned() {
    fn assert_send(_: &impl Send) {}
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let registrar = registrar(&Fake::new(1));
    assert_send(&registrar.register(rows(1), Visibility::Hidden, |_| ()));
    assert_send(&registrar.remove(&[]));
}
