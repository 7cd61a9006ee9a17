//! Random points and scalars, extreme scalars, every batch length.

use super::support::*;
use crate::engine::Engine;
use crate::engine::vector::batch;
use crate::engine::vector::emulated::EmulatedKernels;
use crate::engine::vector::kernels::Kernels;
use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};

/// One scalar per point, and everything the engine does with them, against dalek.
fn compare_all(engine: &Engine, count: usize, seed: u64) {
    let rng = &mut rng(seed);
    let (points, encodings) = points(rng, count);
    let scalars = scalars(rng, count);
    let k = Scalar::random(rng);
    let uniform = uniform_strings(rng, count);
    let batch = engine.decode(&encodings).unwrap();
    assert_eq!(batch.len(), count);
    assert_eq!(engine.encode(&batch), encodings);

    let expected: Vec<_> = points.iter().map(|point| point * k).collect();
    assert_eq!(engine.evaluate(&k, &batch), compress_all(&expected));

    let pairs = points.iter().zip(&scalars);
    let expected: Vec<_> = pairs.map(|(point, scalar)| point * scalar).collect();
    assert_eq!(engine.multiply_each(&scalars, &batch), compress_all(&expected));

    let expected = RistrettoPoint::vartime_multiscalar_mul(&scalars, &points);
    assert_eq!(engine.linear_combination(&scalars, &batch), expected);

    let mapped: Vec<_> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
    let mapped_batch = engine.map_to_group(&uniform);
    assert_eq!(engine.encode(&mapped_batch), compress_all(&mapped));
    let expected: Vec<_> = mapped.iter().map(|point| point * k).collect();
    assert_eq!(engine.evaluate(&k, &mapped_batch), compress_all(&expected));
}

/// Additive blinding and unblinding, against dalek.
fn compare_additive(engine: &Engine, count: usize, seed: u64) {
    let rng = &mut rng(seed);
    let (points, encodings) = points(rng, count);
    let r = scalars(rng, count);
    let batch = engine.decode(&encodings).unwrap();
    for base in [RISTRETTO_BASEPOINT_POINT, RistrettoPoint::random(rng)] {
        let table = engine.fixed_base(&base.compress().0).unwrap();
        let pairs = || points.iter().zip(&r);
        let sums: Vec<_> = pairs().map(|(point, r)| point + r * base).collect();
        assert_eq!(engine.blind_additive(&batch, &r, &table), compress_all(&sums));
        let differences: Vec<_> = pairs().map(|(point, r)| point - r * base).collect();
        assert_eq!(engine.unblind_additive(&batch, &r, &table), compress_all(&differences));
    }
}

#[test]
fn every_back_end_agrees_with_dalek() {
    for engine in engines() {
        compare_all(&engine, 3_000, 1);
        compare_additive(&engine, 1_000, 2);
    }
}

#[test]
fn ten_thousand_points_agree() {
    let rng = &mut rng(3);
    let (points, encodings) = points(rng, 10_000);
    let k = Scalar::random(rng);
    let expected: Vec<_> = points.iter().map(|point| point * k).collect();
    let expected = compress_all(&expected);
    for engine in engines() {
        let batch = engine.decode(&encodings).unwrap();
        assert!(engine.evaluate(&k, &batch) == expected, "{}", engine.backend());
    }
}

#[test]
#[ignore = "takes about a minute"]
fn a_million_points_agree() {
    let vector_engines = engines().into_iter().filter(|e| e.backend().is_vectorized());
    vector_engines.for_each(|engine| a_million_points_agree_on(&engine));
}

fn a_million_points_agree_on(engine: &Engine) {
    let rng = &mut rng(4);
    let step = Scalar::random(rng) * RISTRETTO_BASEPOINT_POINT;
    let mut point = RistrettoPoint::random(rng);
    for _ in 0..16 {
        let k = Scalar::random(rng);
        let (half, half_k) = (k.div_by_2(), Scalar::ONE.div_by_2());
        let points: Vec<_> = (0..62_500)
            .map(|_| {
                point += step;
                point
            })
            .collect();
        let halves: Vec<_> = points.iter().map(|point| point * half_k).collect();
        let encodings: Vec<_> = RistrettoPoint::double_and_compress_batch(&halves)
            .into_iter()
            .map(|encoding| encoding.0)
            .collect();
        let products: Vec<_> = points.iter().map(|point| point * half).collect();
        let expected = RistrettoPoint::double_and_compress_batch(&products);
        let got = engine.evaluate(&k, &engine.decode(&encodings).unwrap());
        assert!(got.iter().zip(&expected).all(|(got, expected)| *got == expected.0));
    }
}

#[test]
fn every_batch_length_agrees() {
    for engine in engines() {
        for count in (0..=40).chain(1023..=1025) {
            compare_all(&engine, count, count as u64);
        }
        for count in [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 33] {
            compare_additive(&engine, count, count as u64);
        }
    }
}

#[test]
fn blocks_of_a_long_batch_agree() {
    // More than one block of the shared inversion, and a partial last one.
    for engine in engines() {
        compare_all(&engine, 512 + 13, 5);
    }
}

#[test]
fn extreme_scalars_agree() {
    let rng = &mut rng(6);
    let (points, encodings) = points(rng, 9);
    let extreme = extreme_scalars();
    for engine in engines() {
        let batch = engine.decode(&encodings).unwrap();
        for k in &extreme {
            let expected: Vec<_> = points.iter().map(|point| point * k).collect();
            assert_eq!(engine.evaluate(k, &batch), compress_all(&expected), "{k:?}");
        }
        // All of them side by side in the lanes.
        let cycled: Vec<_> = points.iter().cycle().take(extreme.len()).collect();
        let batch = encodings.iter().copied().cycle().take(extreme.len()).collect::<Vec<_>>();
        let batch = engine.decode(&batch).unwrap();
        let expected: Vec<_> = cycled.iter().zip(&extreme).map(|(p, k)| *p * k).collect();
        assert_eq!(engine.multiply_each(&extreme, &batch), compress_all(&expected));
        let expected: RistrettoPoint = expected.iter().sum();
        assert_eq!(engine.linear_combination(&extreme, &batch), expected);
        let base = RistrettoPoint::random(rng);
        let table = engine.fixed_base(&base.compress().0).unwrap();
        let sums: Vec<_> = cycled.iter().zip(&extreme).map(|(p, k)| *p + k * base).collect();
        assert_eq!(engine.blind_additive(&batch, &extreme, &table), compress_all(&sums));
    }
}

#[test]
fn the_identity_and_equal_points_need_no_care() {
    let rng = &mut rng(7);
    let point = RistrettoPoint::random(rng);
    let points: Vec<_> =
        (0..21).map(|i| if i % 3 == 0 { RistrettoPoint::identity() } else { point }).collect();
    let encodings = compress_all(&points);
    let k = Scalar::random(rng);
    for engine in engines() {
        let batch = engine.decode(&encodings).unwrap();
        let expected: Vec<_> = points.iter().map(|point| point * k).collect();
        assert_eq!(engine.evaluate(&k, &batch), compress_all(&expected));
        // Sums that pass through the identity and through doublings.
        let table = engine.fixed_base(&point.compress().0).unwrap();
        for r in [-Scalar::ONE, Scalar::ONE, Scalar::ZERO, -Scalar::from(2u8), k] {
            let scalars = vec![r; points.len()];
            let expected: Vec<_> = points.iter().map(|p| p + r * point).collect();
            assert_eq!(engine.blind_additive(&batch, &scalars, &table), compress_all(&expected));
        }
        let mut cancelling = vec![Scalar::ONE; points.len()];
        cancelling[1] = -Scalar::from(13u8);
        let sum = engine.linear_combination(&cancelling, &batch);
        assert_eq!(sum, RistrettoPoint::identity());
    }
    for base in [RistrettoPoint::identity(), point] {
        for engine in engines() {
            let table = engine.fixed_base(&base.compress().0).unwrap();
            let batch = engine.decode(&encodings).unwrap();
            let scalars = vec![k; points.len()];
            let expected: Vec<_> = points.iter().map(|p| p - k * base).collect();
            assert_eq!(engine.unblind_additive(&batch, &scalars, &table), compress_all(&expected));
        }
    }
}

#[test]
fn tables_and_points_of_different_engines_mix() {
    let engines = engines();
    let rng = &mut rng(8);
    let (points, encodings) = points(rng, 11);
    let r = scalars(rng, 11);
    let base = RISTRETTO_BASEPOINT_POINT;
    let expected: Vec<_> = points.iter().zip(&r).map(|(point, r)| point + r * base).collect();
    let expected = compress_all(&expected);
    for a in &engines {
        for b in &engines {
            let table = a.fixed_base(&base.compress().0).unwrap();
            let batch = b.decode(&encodings).unwrap();
            assert_eq!(a.blind_additive(&batch, &r, &table), expected);
        }
    }
}

/// The vector code on machines without the instructions, with either multiplier.
#[test]
fn emulated_lanes_agree() {
    check_kernels(EmulatedKernels::<false>);
    check_kernels(EmulatedKernels::<true>);
}

fn check_kernels(kernels: impl Kernels) {
    let rng = &mut rng(9);
    for count in [0, 1, 3, 8, 9, 17, 40] {
        let (points, encodings) = points(rng, count);
        let k = Scalar::random(rng);
        let s = scalars(rng, count);
        let batch = batch::decode(kernels, &encodings).unwrap_or_else(|_| unreachable!());
        assert_eq!(batch.len(), count);
        assert_eq!(batch::encode(kernels, &batch), encodings);
        let expected: Vec<_> = points.iter().map(|point| point * k).collect();
        assert_eq!(batch::evaluate(kernels, &k, &batch), compress_all(&expected));
        let expected: Vec<_> = points.iter().zip(&s).map(|(point, s)| point * s).collect();
        assert_eq!(batch::multiply_each(kernels, &s, &batch), compress_all(&expected));
        let sum: RistrettoPoint = expected.iter().sum();
        assert_eq!(batch::linear_combination(kernels, &s, &batch), sum.compress().0);
        let uniform = uniform_strings(rng, count);
        let mapped: Vec<_> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
        let mapped_batch = batch::map_to_group(kernels, &uniform);
        assert_eq!(batch::encode(kernels, &mapped_batch), compress_all(&mapped));
        let base = RISTRETTO_BASEPOINT_POINT;
        let Ok(base_batch) = batch::decode(kernels, &[base.compress().0]) else { unreachable!() };
        let table = batch::fixed_table(kernels, &base_batch);
        let expected: Vec<_> = points.iter().zip(&s).map(|(point, s)| point - s * base).collect();
        let got = batch::add_fixed(kernels, &batch, &s, &table, true);
        assert_eq!(got, compress_all(&expected));
    }
    let mut bad = vec![[0; 32]; 20];
    bad[17] = [255; 32];
    assert_eq!(batch::decode(kernels, &bad).err(), Some(17));
}
