use std::collections::HashSet;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};

use super::*;
use crate::{admission::bucket::QuotaPolicy, config::Config};

const BATCH: u64 = BATCH_ELEMENTS_MAX as u64;

/// One account, all its quota at once, and not a day more.
const ATTACK: Attack = Attack {
    accounts: 1,
    days: 0,
    account_age_days: None,
    class: 0,
    rotations: 0,
    grace_s: 7 * DAY_S,
};

fn policy(capacity: u64, refill_per_day: u64) -> QuotaPolicy {
    QuotaPolicy { capacity, refill_per_day }
}

fn quotas(capacity: u64, refill_per_day: u64) -> Quotas {
    Quotas::new(policy(capacity, refill_per_day))
}

fn population(numbers: u64, registered: u64) -> Population {
    Population::draw(numbers, registered, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
}

/// Elements granted to each account, against more numbers than anybody could try.
async fn granted(quotas: &Quotas, attack: Attack) -> u64 {
    let findings = simulate(quotas.clone(), &attack, &population(1 << 27, 0)).await.unwrap();
    assert_eq!((findings.tried, findings.all_tried_after_ms), (findings.granted, None));
    assert!(findings.calls > 0);
    let accounts = u64::from(attack.accounts);
    assert_eq!(findings.granted % accounts, 0, "all accounts are alike");
    let each = findings.granted / accounts;
    let (most, largest) = (attack.elements_max(quotas), BATCH.min(quotas.ordinary().capacity));
    println!("{attack:?}: {each} of {most} by arithmetic, {} calls", findings.calls);
    assert!(each <= most && most <= each + largest);
    each
}

#[tokio::test]
async fn an_account_gets_its_quota_and_what_comes_back_and_nothing_else() {
    let default = Config::default().check().unwrap().tenants.remove(0).quotas;
    for (quotas, accounts, days, expected) in [
        (&default, 1, 0, 20_480),
        (&default, 1, 1, 22_528),
        (&default, 40, 30, 81_920),
        (&quotas(20_481, 7), 3, 30, 20_691),
        (&quotas(BATCH, 1), 2, 365, 4_461),
        (&quotas(3_000, 100_000), 2, 3, 303_000),
        (&quotas(16, 1), 1, 30, 46),
        (&quotas(5_000, 0), 2, 30, 5_000),
    ] {
        let attack = Attack { accounts, days, ..ATTACK };
        assert_eq!(granted(quotas, attack).await, expected, "{attack:?}");
    }
}

#[tokio::test]
async fn what_is_found_is_what_is_both_tried_and_registered() {
    let population = population(30_000, 9_000);
    let attack = Attack { accounts: 2, days: 3, ..ATTACK };
    let findings = simulate(quotas(5_000, 1_000), &attack, &population).await.unwrap();
    let registered: HashSet<u64> = (0..30_000).filter(|&n| population.is_registered(n)).collect();
    let tried: HashSet<u64> = (0..findings.tried).collect();
    assert_eq!((registered.len(), tried.len()), (9_000, 16_000));
    assert_eq!(findings.found, registered.intersection(&tried).count() as u64);
    assert_eq!(findings, simulate(quotas(5_000, 1_000), &attack, &population).await.unwrap());
}

#[tokio::test]
async fn an_attack_ends_when_there_is_no_other_number() {
    let attack = Attack { accounts: 10, days: 30, ..ATTACK };
    let population = population(60_000, 777);
    let findings = simulate(quotas(5_000, 1_000), &attack, &population).await.unwrap();
    // 50,000 at once, and 10,000 more a day.
    assert_eq!((findings.tried, findings.found), (60_000, 777));
    let days = findings.all_tried_after_ms.unwrap() as f64 / (DAY_S * 1_000) as f64;
    assert!((1.0..=5.0).contains(&days), "{days}");
    assert!(findings.granted < 60_000 + 10 * BATCH);
}

#[tokio::test]
async fn young_accounts_learn_less() {
    let ramp = quotas(20_000, 1_000).ramp(40 * DAY_S, 25);
    let aged = |days| Attack { days: 10, account_age_days: days, ..ATTACK };
    // What is left of the ramp at the end: 25 % and 75 % over 40 days.
    for (age, capacity) in [(Some(0), 8_750), (Some(10), 12_500), (Some(30), 20_000)] {
        assert_eq!(granted(&ramp, aged(age)).await, capacity + 10_000, "{age:?}");
    }
    assert_eq!(granted(&ramp, aged(None)).await, 30_000);
    assert_eq!(granted(&quotas(20_000, 1_000), aged(Some(0))).await, 30_000);
}

#[tokio::test]
async fn a_class_has_its_own_quota() {
    let quotas = quotas(20_000, 0).class(3, policy(6_000, 10));
    let of_class = |class| Attack { class, days: 2, ..ATTACK };
    assert_eq!(granted(&quotas, of_class(3)).await, 6_020);
    assert_eq!(granted(&quotas, of_class(4)).await, 20_000);
}

#[tokio::test]
async fn a_rotation_gives_one_quota_more_and_no_second_one() {
    let quotas = quotas(20_000, 1_000);
    for (rotations, grace_s) in [(1, 7 * DAY_S), (4, 7 * DAY_S), (4, 1), (28, 0), (1, 28 * DAY_S)] {
        let attack = Attack { accounts: 2, days: 28, rotations, grace_s, ..ATTACK };
        let expected = 20_000 + 28_000 + u64::from(rotations) * 20_000;
        assert_eq!(granted(&quotas, attack).await, expected, "{attack:?}");
    }
    // The credit grows with the account, for as long as it may be used.
    let ramp = quotas.ramp(40 * DAY_S, 50);
    let attack = Attack { account_age_days: Some(0), days: 20, rotations: 1, ..ATTACK };
    assert_eq!(granted(&ramp, attack).await, 15_000 + 20_000 + 11_750);
}

#[tokio::test]
async fn a_clock_that_goes_back_gives_nothing() {
    let scene = Scene::new(quotas(10_000, 1_000), 1 << 30).unwrap();
    let [period, next] = [1, 2].map(|epoch| Period {
        start_ms: START_S * 1_000,
        end_ms: START_S * 1_000,
        epoch,
        is_successor: false,
    });
    let accounts = scene.play(vec![ATTACK.account(1)], period).await.unwrap();
    assert_eq!(scene.tried(), 10_000);
    let earlier = |days: u64| {
        let at_ms = (START_S - days * DAY_S) * 1_000;
        Period { start_ms: at_ms, end_ms: at_ms, ..next }
    };
    // Back by a day, back by ten years, and to the beginning again.
    let accounts = scene.play(accounts, earlier(1)).await.unwrap();
    let accounts = scene.play(accounts, earlier(3_650)).await.unwrap();
    let accounts = scene.play(accounts, next).await.unwrap();
    assert_eq!(scene.tried(), 10_000);
    // Only what passes after the last charge counts.
    let later = (START_S + DAY_S) * 1_000;
    scene.play(accounts, Period { start_ms: later, end_ms: later, ..next }).await.unwrap();
    assert_eq!(scene.tried(), 11_000);
}

#[tokio::test]
async fn what_cannot_be_simulated_is_refused() {
    let few = population(1_000, 0);
    let refused =
        async |attack: Attack| simulate(quotas(4_096, 4_096), &attack, &few).await.unwrap_err();
    for (days, rotations, grace_s) in [(0, 1, 0), (28, 4, 7 * DAY_S + 1), (1, 1, u64::MAX)] {
        let attack = Attack { days, rotations, grace_s, ..ATTACK };
        assert_eq!(refused(attack).await, SimulationError::Rotations, "{attack:?}");
    }
    // At the limit by the estimate, and one past it: two calls for each batch, six for the end.
    let accounts = u32::try_from(CALLS_MAX / 8).unwrap();
    let calls = |accounts| Attack { accounts, ..ATTACK }.calls(&quotas(16, 1), 1, NUMBERS_MAX);
    assert_eq!(calls(accounts), CALLS_MAX);
    let attack = Attack { accounts: accounts + 1, ..ATTACK };
    let refused = simulate(quotas(16, 1), &attack, &population(NUMBERS_MAX, 0)).await;
    assert_eq!(refused, Err(SimulationError::TooLong));
}

#[test]
fn as_many_are_drawn_as_were_asked_for() {
    for (numbers, registered) in [(1, 0), (1, 1), (64, 64), (65, 33), (1_000, 1), (1_000, 999)] {
        let drawn = population(numbers, registered);
        assert_eq!((drawn.numbers(), drawn.registered()), (numbers, registered));
        assert_eq!(drawn.registered_among(numbers), registered);
        assert_eq!(drawn.registered_among(u64::from(u16::MAX)), registered);
        assert!(!drawn.is_registered(numbers) && !drawn.is_registered(u64::MAX));
    }
    let half = |seed| {
        let drawn = Population::draw(10_000, 5_000, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        drawn.registered_among(5_000)
    };
    assert!(half(1) != half(2) && (2_300..2_700).contains(&half(1)), "{}", half(1));
    let error = |numbers, registered| {
        Population::draw(numbers, registered, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err()
    };
    assert_eq!(error(0, 0), SimulationError::Numbers);
    assert_eq!(error(NUMBERS_MAX + 1, 0), SimulationError::Numbers);
    assert_eq!(error(10, 11), SimulationError::Registered);
    assert_eq!(population(NUMBERS_MAX, 0).numbers(), NUMBERS_MAX);
}
