use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use super::{BUCKET_BYTES, Bucket, QuotaPolicy, QuotaState, Shortfall, UNITS, USED_MAX};

const DAY_MS: u64 = 86_400_000;
const POLICY: QuotaPolicy = QuotaPolicy { capacity: 5_000, refill_per_day: 200 };

/// An exact fraction in lowest terms, without the fixed denominator of the code under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    numerator: i128,
    denominator: i128,
}

impl Fraction {
    fn new(numerator: i128, denominator: i128) -> Self {
        let divisor = gcd(numerator.abs(), denominator).max(1);
        Self { numerator: numerator / divisor, denominator: denominator / divisor }
    }

    fn plus(self, other: Self) -> Self {
        Self::new(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )
    }

    fn minus(self, other: Self) -> Self {
        self.plus(Self { numerator: -other.numerator, ..other })
    }

    fn or_zero(self) -> Self {
        if self.numerator < 0 { Self::new(0, 1) } else { self }
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The quota in rational numbers: elements, days, and nothing else.
#[derive(Clone, Copy, Debug)]
struct Model {
    used: Fraction,
    latest_ms: u64,
}

impl Model {
    fn at(self, policy: &QuotaPolicy, now_ms: u64) -> Self {
        let days =
            Fraction::new(i128::from(now_ms.max(self.latest_ms) - self.latest_ms), 86_400_000);
        let leaked =
            Fraction::new(days.numerator * i128::from(policy.refill_per_day), days.denominator);
        Self { used: self.used.minus(leaked).or_zero(), latest_ms: now_ms.max(self.latest_ms) }
    }

    fn charge(self, policy: &QuotaPolicy, now_ms: u64, cost: u64) -> Option<Self> {
        let now = self.at(policy, now_ms);
        let used = now.used.plus(Fraction::new(i128::from(cost), 1));
        let over = used.minus(Fraction::new(i128::from(policy.capacity), 1));
        (cost == 0 || over.numerator <= 0).then_some(Self { used, ..now })
    }

    fn remaining(self, policy: &QuotaPolicy, now_ms: u64) -> i128 {
        let free =
            Fraction::new(i128::from(policy.capacity), 1).minus(self.at(policy, now_ms).used);
        free.or_zero().numerator.div_euclid(free.or_zero().denominator)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Charge(u64),
    Pass(u64),
    Back(u64),
    Policy(QuotaPolicy),
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Charge),
        2 => (0_u64..100).prop_map(Step::Pass),
        2 => (0_u64..2 * DAY_MS).prop_map(Step::Pass),
        1 => (0_u64..10 * DAY_MS).prop_map(Step::Back),
        1 => (0_u64..6_000, 0_u64..3_000).prop_map(|(capacity, refill_per_day)| {
            Step::Policy(QuotaPolicy { capacity, refill_per_day })
        }),
        1 => Just(Step::Reload),
    ]
}

/// Runs bucket and model side by side.
fn follow(steps: impl IntoIterator<Item = Step>) -> Result<(), TestCaseError> {
    let (mut bucket, mut policy, mut now_ms) = (Bucket::default(), POLICY, 30_000 * DAY_MS);
    let mut model = Model { used: Fraction::new(0, 1), latest_ms: 0 };
    for step in steps {
        match step {
            Step::Pass(ms) => now_ms += ms,
            Step::Back(ms) => now_ms -= ms.min(now_ms),
            Step::Policy(new) => policy = new,
            Step::Reload => bucket = Bucket::decode(&bucket.encode()).unwrap(),
            Step::Charge(cost) => {
                let expected = model.charge(&policy, now_ms, cost);
                match (bucket.charge(&policy, now_ms, cost), expected) {
                    (Ok(charged), Some(expected)) => (bucket, model) = (charged, expected),
                    (Err(Shortfall { wait_ms: Some(wait_ms) }), None) => {
                        // Exactly that long: it fits then, and not a millisecond earlier.
                        prop_assert!(wait_ms > 0);
                        let then_ms = now_ms + wait_ms;
                        prop_assert!(model.charge(&policy, then_ms, cost).is_some());
                        prop_assert!(model.charge(&policy, then_ms - 1, cost).is_none());
                    }
                    (Err(Shortfall { wait_ms: None }), None) => {
                        prop_assert!(cost > policy.capacity || policy.refill_per_day == 0);
                    }
                    (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
                }
            }
        }
        compare(&bucket, &model, &policy, now_ms)?;
    }
    Ok(())
}

fn compare(
    bucket: &Bucket,
    model: &Model,
    policy: &QuotaPolicy,
    now_ms: u64,
) -> Result<(), TestCaseError> {
    let scaled = i128::try_from(bucket.used_scaled).unwrap();
    prop_assert_eq!(Fraction::new(scaled, 86_400_000), model.used);
    let state = bucket.state(policy, now_ms);
    prop_assert_eq!(i128::from(state.remaining), model.remaining(policy, now_ms));
    let Some(seconds) = state.full_in_seconds else {
        prop_assert_eq!(policy.refill_per_day, 0);
        return Ok(());
    };
    let used_in = |seconds: u64| model.at(policy, now_ms + seconds * 1_000).used;
    prop_assert_eq!(used_in(seconds), Fraction::new(0, 1));
    prop_assert!(seconds == 0 || used_in(seconds - 1).numerator > 0);
    Ok(())
}

/// T2: one account over a long life, a million operations on one bucket.
#[test]
fn a_million_operations_agree_with_the_rational_model() {
    let seed = std::env::var("ACQUAINT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(rand::random);
    println!("a_million_operations: ACQUAINT_TEST_SEED={seed}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let steps = std::iter::repeat_with(|| match rng.random_range(0..20) {
        0..10 => Step::Charge(rng.random_range(0..3_000)),
        10..14 => Step::Pass(rng.random_range(0..100)),
        14..18 => Step::Pass(rng.random_range(0..2 * DAY_MS)),
        18 => Step::Reload,
        _ if rng.random_bool(0.5) => Step::Back(rng.random_range(0..DAY_MS)),
        _ => Step::Policy(QuotaPolicy {
            capacity: rng.random_range(0..6_000),
            refill_per_day: rng.random_range(0..3_000),
        }),
    });
    follow(steps.take(1_000_000)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_rational_model(steps in prop::collection::vec(step(), 1..400)) {
        follow(steps)?;
    }

    #[test]
    fn extremes_neither_panic_nor_leave_the_range(
        capacity: u64, refill_per_day: u64, costs: Vec<u64>, times: [u64; 8],
    ) {
        let policy = QuotaPolicy { capacity, refill_per_day };
        let mut bucket = Bucket::default();
        for (cost, now_ms) in costs.iter().zip(times.iter().cycle()) {
            if let Ok(charged) = bucket.charge(&policy, *now_ms, *cost) {
                bucket = charged;
            }
            prop_assert!(bucket.used_scaled <= u128::from(capacity) * UNITS);
            prop_assert!(bucket.state(&policy, *now_ms).remaining <= capacity);
            prop_assert_eq!(Bucket::decode(&bucket.encode()), Some(bucket));
        }
    }
}

#[test]
fn a_rested_account_may_use_its_capacity_and_not_one_more() {
    let rested = Bucket::default();
    assert_eq!(rested.state(&POLICY, 9), QuotaState { remaining: 5_000, full_in_seconds: Some(0) });
    assert_eq!(rested.charge(&POLICY, 9, 5_001), Err(Shortfall { wait_ms: None }));
    let full = rested.charge(&POLICY, 9, 5_000).unwrap();
    let state = full.state(&POLICY, 9);
    assert_eq!(state, QuotaState { remaining: 0, full_in_seconds: Some(25 * 86_400) });
    // 200 a day are one in 432 seconds.
    assert_eq!(full.charge(&POLICY, 9, 1), Err(Shortfall { wait_ms: Some(432_000) }));
    assert!(full.charge(&POLICY, 9 + 431_999, 1).is_err());
    assert!(full.charge(&POLICY, 9 + 432_000, 1).is_ok());
    assert_eq!(full.charge(&POLICY, 9, 0), Ok(full));
}

#[test]
fn a_clock_that_runs_backward_refills_nothing() {
    let full = Bucket::default().charge(&POLICY, 100 * DAY_MS, 5_000).unwrap();
    for now_ms in [0, 90 * DAY_MS, 100 * DAY_MS - 1] {
        assert_eq!(full.state(&POLICY, now_ms).remaining, 0);
        let behind_ms = 100 * DAY_MS - now_ms;
        let wait_ms = Some(432_000 + behind_ms);
        assert_eq!(full.charge(&POLICY, now_ms, 1), Err(Shortfall { wait_ms }));
    }
    // Back and forth does not help either.
    assert_eq!(full.charge(&POLICY, 0, 0).unwrap().state(&POLICY, 100 * DAY_MS).remaining, 0);
}

#[test]
fn a_leap_forward_refills_one_bucket_at_most() {
    let full = Bucket::default().charge(&POLICY, 0, 5_000).unwrap();
    assert_eq!(full.state(&POLICY, u64::MAX).remaining, 5_000);
    let again = full.charge(&POLICY, u64::MAX, 5_000).unwrap();
    assert!(again.charge(&POLICY, u64::MAX, 1).is_err());
    assert!(again.charge(&POLICY, 0, 1).is_err());
}

#[test]
fn a_lowered_policy_leaves_no_room_and_does_not_underflow() {
    let used = Bucket::default().charge(&POLICY, 0, 4_000).unwrap();
    let lower = QuotaPolicy { capacity: 1_000, refill_per_day: 100 };
    let state = used.state(&lower, 0);
    assert_eq!(state, QuotaState { remaining: 0, full_in_seconds: Some(40 * 86_400) });
    assert_eq!(used.charge(&lower, 0, 0), Ok(used));
    let wait_ms = Some(30 * DAY_MS + DAY_MS / 100);
    assert_eq!(used.charge(&lower, 0, 1), Err(Shortfall { wait_ms }));
    let closed = QuotaPolicy { capacity: 0, refill_per_day: 0 };
    assert_eq!(used.state(&closed, 7), QuotaState { remaining: 0, full_in_seconds: None });
    assert_eq!(used.charge(&closed, 7, 1), Err(Shortfall { wait_ms: None }));
}

#[test]
fn asking_often_gains_nothing() {
    // One millisecond at a time for an hour, a refused attempt each, against one leap.
    let full = Bucket::default().charge(&POLICY, 0, 5_000).unwrap();
    let mut often = full;
    for now_ms in 1..=3_600_000 {
        often = often.charge(&POLICY, now_ms, 0).unwrap();
    }
    assert_eq!(often.state(&POLICY, 3_600_000), full.state(&POLICY, 3_600_000));
    assert_eq!(often, full.charge(&POLICY, 3_600_000, 0).unwrap());
}

#[test]
fn only_possible_levels_decode() {
    let encode = |used: u128| {
        let mut bytes = [0; BUCKET_BYTES];
        bytes[..16].copy_from_slice(&used.to_be_bytes());
        bytes
    };
    assert!(Bucket::decode(&encode(0)).is_some());
    assert!(Bucket::decode(&encode(USED_MAX)).is_some());
    assert!(Bucket::decode(&encode(USED_MAX + 1)).is_none());
    assert!(Bucket::decode(&[0xff; BUCKET_BYTES]).is_none());
}
