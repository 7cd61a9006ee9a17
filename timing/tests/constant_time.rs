//! Timing of everything that takes a secret, on every back end of this machine: calls with one
//! fixed secret against calls with random ones, compared by `tacet`.
//!
//! ```text
//! cd timing && cargo test --release -- --ignored --nocapture --test-threads 1
//! ```
//!
//! Ignored in the ordinary suite, because it wants a quiet machine and takes about ten minutes.
//! Points, keys and lengths are the same in both classes; inputs are made before the clock
//! starts. A case has three ends:
//!
//! * `pass`: the probability that the classes differ by more than the threshold is below 5 %, and
//!   the machine is quiet enough to tell;
//! * `LEAK`: it is above 95 %;
//! * `INCONCLUSIVE`: neither within the time limit, or the machine is too noisy.
//!
//! Only the first is a success. The canaries leak on purpose and go through the same harness with
//! the same settings: while one of them is not reported, a `pass` of its group means nothing.
//!
//! A case takes 16 seconds as a rule, and a minute at most; `ACQUAINT_TIMING_SECONDS` replaces the
//! 16, for instance on a noisy machine.
//!
//! A clock sees what a secret does to the time, not which cache lines it touches: for that there
//! is `core/tests/disassembly.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement: it prints its results, and aborts when something is wrong"
)]

use std::{
    env,
    hint::black_box,
    ops::{Range, RangeInclusive},
    slice,
    time::{Duration, Instant},
};

use acquaint_core::{
    credential::{Claims, Credential, CredentialVerifier, Pseudonym, Scope},
    engine::{Backend, Engine, FixedBase, Points},
    keys::CredentialKey,
};
use curve25519_dalek::{
    constants::{RISTRETTO_BASEPOINT_COMPRESSED, RISTRETTO_BASEPOINT_POINT},
    ristretto::RistrettoPoint,
    scalar::Scalar,
};
use data_encoding::BASE64URL_NOPAD;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tacet::{AttackerModel, InputPair, Outcome, TimingOracle};

/// Points per call: one group of lanes, and one point for dalek, which takes them one by one.
const LANES: usize = 8;
/// Time for one pair of classes to learn the noise. The decision comes at once as a rule.
const SECONDS: u64 = 16;
/// Samples of each class in the first part, if the time is enough for them. Without many of them
/// tacet decides early, and against a threshold far above the one asked for.
const CALIBRATION_SAMPLES: RangeInclusive<usize> = 5_000..=150_000;
/// Pairs of inputs: at most so many, and so many bytes of them.
const POOL: RangeInclusive<usize> = 16..=128;
const POOL_BYTES: usize = 64 * 1_024;
/// Most time for a decision, in multiples of the first part. With less, tacet gives up before it
/// looks: it takes 100 times the samples at hand for needed, and compares the time with this.
const PATIENCE: u64 = 3;
/// How likely tacet must find a difference above the threshold to call it one: its own default.
const LEAK_PROBABILITY: f64 = 0.95;
/// A call takes 10 to 50 µs: this is at most two of the 63 additions in a ladder of eight lanes,
/// and what a busy machine lets one see.
const GROUP_THRESHOLD_NS: f64 = 250.0;
/// Credentials that are checked between two readings of the clock. It has steps of ten nanoseconds
/// on some machines: with one check in between, two classes of the same making now and then came
/// out 10 to 20 ns apart.
const CREDENTIALS: usize = 16;
/// Checking a credential takes about a microsecond; a comparison that stops at the first
/// difference gives away some tens of nanoseconds over 32 bytes.
const MAC_THRESHOLD_NS: f64 = 10.0 * CREDENTIALS as f64;
/// A MAC that is not computed is missed by most of the microsecond. Finding a key or not is a
/// branch on what the sender wrote, and may show.
const KEY_ID_THRESHOLD_NS: f64 = 50.0 * CREDENTIALS as f64;

// ---- harness

/// What the harness made of one pair of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Leak,
    Inconclusive,
}

/// Times `operation` on inputs of two classes in random order, and prints one line.
///
/// The inputs of both classes alternate in one small array that stays in the cache. In arrays of
/// their own, as long as the run, the classes differ by tens of nanoseconds in how quickly their
/// inputs can be read; `control` would report it.
fn compare<T>(
    name: &str,
    threshold_ns: f64,
    mut fixed: impl FnMut() -> T,
    mut random: impl FnMut() -> T,
    mut operation: impl FnMut(&T),
) -> Verdict {
    let start = Instant::now();
    let (least, most) = POOL.into_inner();
    let n_pairs = (POOL_BYTES / size_of::<[T; 2]>()).clamp(least, most) as u8;
    let pool: Vec<[T; 2]> = (0..n_pairs).map(|_| [fixed(), random()]).collect();
    let samples = calibration_samples(&pool[0][0], &mut operation);
    let turns = |class| {
        let mut pairs = (0..n_pairs).cycle();
        move || [pairs.next().unwrap(), class]
    };
    let input = |[pair, class]: &[u8; 2]| &pool[usize::from(*pair)][usize::from(*class)];
    let outcome = TimingOracle::for_attacker(AttackerModel::Custom { threshold_ns })
        .time_budget_secs(PATIENCE * seconds())
        .calibration_samples(samples)
        .fail_threshold(LEAK_PROBABILITY)
        .test(InputPair::new(turns(0), turns(1)), |turn| operation(input(turn)));
    let why = match &outcome {
        Outcome::Pass { .. } | Outcome::Fail { .. } => String::new(),
        Outcome::Inconclusive { reason, .. } => format!("; {reason}"),
        other => format!("; {other}"),
    };
    let verdict = match &outcome {
        Outcome::Pass { .. } => Verdict::Pass,
        // Whatever else tacet says about the conditions: noise may raise an alarm, not lower one.
        other if other.leak_probability() > Some(LEAK_PROBABILITY) => Verdict::Leak,
        _ => Verdict::Inconclusive,
    };
    let word = match verdict {
        Verdict::Pass => "pass",
        Verdict::Leak => "LEAK",
        Verdict::Inconclusive => "INCONCLUSIVE",
    };
    let figures = match (outcome.leak_probability(), outcome.effect()) {
        (Some(probability), Some(effect)) => format!(
            "P(above {threshold_ns:.0} ns) {:.1} %, difference {:.1} ns (95 %: {:.1} to {:.1})",
            100.0 * probability,
            effect.max_effect_ns,
            effect.credible_interval_ns.0,
            effect.credible_interval_ns.1,
        ),
        _ => "not measured".to_owned(),
    };
    let samples = outcome.samples_used().unwrap_or(0);
    let seconds = start.elapsed().as_secs();
    println!("{word:<12} {name}: {figures}, {samples} samples, {seconds} s{why}");
    verdict
}

/// The time of a part, which the environment may change.
fn seconds() -> u64 {
    env::var("ACQUAINT_TIMING_SECONDS").map_or(SECONDS, |text| text.parse().unwrap())
}

/// As many samples as the first part of a case's time allows.
fn calibration_samples<T>(input: &T, operation: &mut impl FnMut(&T)) -> usize {
    let start = Instant::now();
    let mut calls = 0;
    // Long enough to see the processor shared with others.
    while start.elapsed() < Duration::from_millis(500) {
        operation(input);
        calls += 1;
    }
    let (low, high) = CALIBRATION_SAMPLES.into_inner();
    let samples = Duration::from_secs(seconds()).as_nanos() * calls / start.elapsed().as_nanos();
    usize::try_from(samples / 2).unwrap_or(high).clamp(low, high)
}

/// Fails unless every case passed.
fn require_pass(cases: Vec<(String, Verdict)>) {
    let others: Vec<_> = cases.iter().filter(|(_, verdict)| *verdict != Verdict::Pass).collect();
    assert!(others.is_empty(), "to be looked at: {others:?}");
}

/// An engine for each back end of this machine; the absent ones are named.
fn engines() -> Vec<Engine> {
    let engine = |backend| {
        let engine = Engine::with_backend(backend);
        if engine.is_none() {
            println!("SKIPPED      {backend}: this machine lacks the instructions");
        }
        engine
    };
    Backend::ALL.into_iter().filter_map(engine).collect()
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Points of a call.
fn batch(engine: &Engine) -> usize {
    if engine.backend() == Backend::Dalek { 1 } else { LANES }
}

/// The same points for both classes.
fn points(engine: &Engine) -> Points {
    let mut rng = rng(1);
    let encodings: Vec<_> =
        (0..batch(engine)).map(|_| RistrettoPoint::random(&mut rng).compress().0).collect();
    engine.decode(&encodings).unwrap()
}

/// A scalar with equal bytes but for the first and the last.
fn pattern(first: u8, middle: u8, last: u8) -> Scalar {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    Option::from(Scalar::from_canonical_bytes(bytes)).unwrap()
}

/// Fixed scalars for the ladders, which recode k/2 into digits from −8 to 7: no addend at all, a
/// single one, the same entry every time, at the end of the table and with either sign.
fn ladder_scalars() -> [(&'static str, Scalar); 4] {
    let eights = pattern(0x78, 0x77, 0x07);
    let sevens = pattern(0x77, 0x77, 0x07);
    [
        ("0", Scalar::ZERO),
        ("1", Scalar::ONE),
        ("all digits -8", eights + eights),
        ("all digits 7", sevens + sevens),
    ]
}

/// Fixed scalars for the fixed base, whose digits are odd, from −31 to 31.
fn fixed_base_scalars() -> [(&'static str, Scalar); 3] {
    [
        ("0", Scalar::ZERO),
        ("all digits -31", Scalar::ONE),
        ("all digits 31", pattern(0xff, 0xff, 0x07)),
    ]
}

/// Times an operation that has a secret scalar per point: all equal, against all random.
fn compare_each(
    engine: &Engine,
    operation_name: &str,
    classes: &[(&str, Scalar)],
    mut operation: impl FnMut(&[Scalar]),
) -> Vec<(String, Verdict)> {
    let mut rng = rng(2);
    let mut case = |(class, fixed): &(&str, Scalar)| {
        let name = format!("{operation_name}/{}, {class}", engine.backend());
        let random = || [(); LANES].map(|()| Scalar::random(&mut rng));
        let verdict = compare(
            &name,
            GROUP_THRESHOLD_NS,
            || [*fixed; LANES],
            random,
            |scalars| {
                operation(&scalars[..batch(engine)]);
            },
        );
        (name, verdict)
    };
    classes.iter().map(&mut case).collect()
}

// ---- the engine

#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn evaluate() {
    let mut cases = Vec::new();
    for engine in engines() {
        let points = points(&engine);
        let mut rng = rng(2);
        for (class, fixed) in ladder_scalars() {
            let name = format!("evaluate/{}, {class}", engine.backend());
            let random = || Scalar::random(&mut rng);
            let verdict = compare(
                &name,
                GROUP_THRESHOLD_NS,
                || fixed,
                random,
                |k| {
                    black_box(engine.evaluate(k, &points));
                },
            );
            cases.push((name, verdict));
        }
    }
    require_pass(cases);
}

#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn multiply_each() {
    let mut cases = Vec::new();
    for engine in engines() {
        let points = points(&engine);
        cases.extend(compare_each(&engine, "multiply_each", &ladder_scalars(), |scalars| {
            black_box(engine.multiply_each(scalars, &points));
        }));
    }
    require_pass(cases);
}

#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn blind_additive() {
    let mut cases = Vec::new();
    for engine in engines() {
        let points = points(&engine);
        let table: FixedBase = engine.fixed_base(&RISTRETTO_BASEPOINT_COMPRESSED.0).unwrap();
        cases.extend(compare_each(&engine, "blind_additive", &fixed_base_scalars(), |r| {
            black_box(engine.blind_additive(&points, r, &table));
        }));
    }
    require_pass(cases);
}

#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn map_to_group() {
    let mut cases = Vec::new();
    for engine in engines() {
        let mut rng = rng(3);
        let mut some = [0; 64];
        rng.fill_bytes(&mut some);
        // Both halves of a string are field elements.
        for (class, fixed) in [("0", [0; 64]), ("one string", some)] {
            let name = format!("map_to_group/{}, {class}", engine.backend());
            let random = || {
                let mut strings = [[0; 64]; LANES];
                rng.fill_bytes(strings.as_flattened_mut());
                strings
            };
            let fixed = || [fixed; LANES];
            let verdict = compare(&name, GROUP_THRESHOLD_NS, fixed, random, |strings| {
                black_box(engine.map_to_group(&strings[..batch(&engine)]));
            });
            cases.push((name, verdict));
        }
    }
    require_pass(cases);
}

// ---- credentials

const NOW: u64 = 1_800_000_000;
const MAC_BYTES: usize = 32;
/// Where the key id is.
const KEY_ID: Range<usize> = 1..5;
const KNOWN_KEY_ID: u32 = 1;

/// The text of a credential.
type Text = [u8; 124];
/// Those that are checked together.
type Texts = [Text; CREDENTIALS];

fn credential_verifier() -> CredentialVerifier {
    let key = CredentialKey::from_bytes([7; 32]);
    let tenant = ("demo".parse().unwrap(), vec![(KNOWN_KEY_ID, key)]);
    CredentialVerifier::new("acquaint".parse().unwrap(), [tenant])
}

/// An authentic credential of some account, decoded: its MAC is what a forger looks for.
fn authentic(rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut pseudonym = Pseudonym([0; 16]);
    rng.fill_bytes(&mut pseudonym.0);
    let claims = Claims {
        tenant: "demo".parse().unwrap(),
        audience: "acquaint".parse().unwrap(),
        pseudonym,
        scope: Scope::Discover,
        class: 0,
        issued_at: NOW - 1,
        expires_at: NOW + 1,
        account_since: 0,
        key_id: KNOWN_KEY_ID,
    };
    let credential = Credential::mint(&CredentialKey::from_bytes([7; 32]), &claims);
    BASE64URL_NOPAD.decode(credential.expose_text().as_bytes()).unwrap()
}

fn to_text(bytes: &[u8]) -> Text {
    BASE64URL_NOPAD.encode(bytes).as_bytes().try_into().unwrap()
}

/// The check of forged credentials.
fn refuse(verifier: &CredentialVerifier, texts: &[Text]) {
    for text in texts {
        let text = str::from_utf8(text).unwrap();
        assert!(black_box(verifier.verify(text, NOW)).is_err());
    }
}

fn several(mut text: impl FnMut() -> Text) -> impl FnMut() -> Texts {
    move || [(); CREDENTIALS].map(|()| text())
}

/// Credentials whose MAC is right but for one byte of it.
fn wrong_at(position: usize, seed: u64) -> impl FnMut() -> Text {
    let mut rng = rng(seed);
    move || {
        let mut bytes = authentic(&mut rng);
        let mac_start = bytes.len() - MAC_BYTES;
        bytes[mac_start + position] ^= 1;
        to_text(&bytes)
    }
}

/// Credentials whose MAC is right but for its last byte.
fn nearly_authentic() -> impl FnMut() -> Text {
    wrong_at(MAC_BYTES - 1, 5)
}

/// Credentials with random MACs: as a rule the first byte is wrong. The texts look as random as
/// the other ones: only the comparison can tell.
fn forgeries(seed: u64) -> impl FnMut() -> Text {
    forgeries_of_key(KNOWN_KEY_ID, seed)
}

/// The same, of a key id that the server may not know.
fn forgeries_of_key(key_id: u32, seed: u64) -> impl FnMut() -> Text {
    let mut rng = rng(seed);
    move || {
        let mut bytes = authentic(&mut rng);
        bytes[KEY_ID].copy_from_slice(&key_id.to_be_bytes());
        let mac_start = bytes.len() - MAC_BYTES;
        rng.fill_bytes(&mut bytes[mac_start..]);
        to_text(&bytes)
    }
}

#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn credential_mac() {
    let verifier = credential_verifier();
    let mut cases = Vec::new();
    let mut case = |name: &str, verdict: Verdict| cases.push((name.to_owned(), verdict));

    let name = "credential MAC, 31 bytes right";
    let refused = |texts: &Texts| refuse(&verifier, texts);
    let (near, random) = (several(nearly_authentic()), several(forgeries(4)));
    case(name, compare(name, MAC_THRESHOLD_NS, near, random, refused));
    let name = "credential MAC, first byte wrong against last";
    let (first, last) = (several(wrong_at(0, 7)), several(wrong_at(MAC_BYTES - 1, 8)));
    case(name, compare(name, MAC_THRESHOLD_NS, first, last, refused));
    require_pass(cases);
}

/// Whether there is a key cannot be told from a refusal: a decoy takes its place.
#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn credential_key_id() {
    let verifier = credential_verifier();
    let name = "credential, unknown key id against known".to_owned();
    let unknown = several(forgeries_of_key(9, 9));
    let known = several(forgeries_of_key(KNOWN_KEY_ID, 10));
    let verdict = compare(&name, KEY_ID_THRESHOLD_NS, unknown, known, |texts| {
        refuse(&verifier, texts);
    });
    require_pass(vec![(name, verdict)]);
}

// ---- canaries

/// One wrong turn after a call in constant time: the additions of the four lowest digits are left
/// out where a digit is 0, one sixteenth of what a multiplication that skips zeros would show.
#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn canary_skipped_additions() {
    for engine in engines() {
        let points = points(&engine);
        let mut rng = rng(2);
        let name = format!("canary: skipped additions/{}", engine.backend());
        let random = || Scalar::random(&mut rng);
        let verdict = compare(
            &name,
            GROUP_THRESHOLD_NS,
            || Scalar::ZERO,
            random,
            |k| {
                black_box(engine.evaluate(k, &points));
                let mut sum = RISTRETTO_BASEPOINT_POINT;
                for byte in &k.as_bytes()[..2] {
                    for digit in [byte & 15, byte >> 4] {
                        if black_box(digit) != 0 {
                            sum = black_box(sum + RISTRETTO_BASEPOINT_POINT);
                        }
                    }
                }
                black_box(sum);
            },
        );
        assert_eq!(verdict, Verdict::Leak, "the harness does not see what it is for");
    }
}

/// A table lookup at an address that the secret decides, in a table larger than the cache.
#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn canary_table_lookup() {
    let table: Vec<usize> = (0..1 << 23).rev().collect();
    for engine in engines() {
        let points = points(&engine);
        let mut rng = rng(2);
        let name = format!("canary: table lookup/{}", engine.backend());
        let random = || Scalar::random(&mut rng);
        let verdict = compare(
            &name,
            GROUP_THRESHOLD_NS,
            || Scalar::ONE,
            random,
            |k| {
                black_box(engine.evaluate(k, &points));
                let mut sum = 0;
                for digits in k.as_bytes().as_chunks::<4>().0 {
                    // Each lookup waits for the one before it.
                    let index = u32::from_le_bytes(*digits) as usize ^ (sum & 1);
                    sum = table[index % table.len()];
                }
                black_box(sum);
            },
        );
        assert_eq!(verdict, Verdict::Leak, "the harness does not see what it is for");
    }
}

/// A comparison that stops at the first difference, after the one in constant time.
#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn canary_early_exit() {
    let verifier = credential_verifier();
    let name = "canary: early exit";
    // Beside each text the bytes that it should have had.
    let mut nearly = nearly_authentic();
    let mut expected = rng(5);
    let fixed = || [(); CREDENTIALS].map(|()| (nearly(), authentic(&mut expected)));
    let mut forged = rng(4);
    let mut forge = || {
        let right = authentic(&mut forged);
        let mut bytes = right.clone();
        forged.fill_bytes(&mut bytes[right.len() - MAC_BYTES..]);
        (to_text(&bytes), right)
    };
    let random = || [(); CREDENTIALS].map(|()| forge());
    let verdict = compare(name, MAC_THRESHOLD_NS, fixed, random, |texts| {
        for (text, expected) in texts {
            refuse(&verifier, slice::from_ref(text));
            let sent = BASE64URL_NOPAD.decode(text).unwrap();
            let mut equal = true;
            for (sent, expected) in sent.iter().zip(expected) {
                if black_box(*sent) != black_box(*expected) {
                    equal = false;
                    break;
                }
            }
            black_box(equal);
        }
    });
    assert_eq!(verdict, Verdict::Leak, "the harness does not see what it is for");
}

/// Two classes that are the same: what the harness says of them is noise.
#[test]
#[ignore = "takes minutes and wants a quiet machine; see the top of the file"]
fn control() {
    let verifier = credential_verifier();
    let name = "control: forgeries and forgeries".to_owned();
    let (one, other) = (several(forgeries(6)), several(forgeries(4)));
    let verdict = compare(&name, MAC_THRESHOLD_NS, one, other, |texts| refuse(&verifier, texts));
    let mut cases = vec![(name, verdict)];
    for engine in engines() {
        let points = points(&engine);
        let (mut one, mut other) = (rng(2), rng(3));
        let name = format!("control: random and random/{}", engine.backend());
        let fixed = || Scalar::random(&mut one);
        let random = || Scalar::random(&mut other);
        let verdict = compare(&name, GROUP_THRESHOLD_NS, fixed, random, |k| {
            black_box(engine.evaluate(k, &points));
        });
        cases.push((name, verdict));
    }
    require_pass(cases);
}
