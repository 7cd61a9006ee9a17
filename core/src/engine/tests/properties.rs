//! Properties of the engine over arbitrary inputs.

use super::support::*;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use proptest::collection::vec;
use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = Scalar> {
    any::<[u8; 32]>().prop_map(Scalar::from_bytes_mod_order)
}

fn uniform() -> impl Strategy<Value = [u8; 64]> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(a, b)| {
        let mut string = [0; 64];
        string[..32].copy_from_slice(&a);
        string[32..].copy_from_slice(&b);
        string
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_strings_decode_as_dalek_decodes_them(strings in vec(any::<[u8; 32]>(), 0..20)) {
        let first_bad = strings.iter().position(|string| decompress(string).is_none());
        for engine in engines() {
            prop_assert_eq!(engine.decode(&strings).err().map(|error| error.index), first_bad);
        }
    }

    #[test]
    fn evaluation_is_multiplication(k in scalar(), uniform in vec(uniform(), 0..20)) {
        let expected: Vec<_> = uniform
            .iter()
            .map(|string| (RistrettoPoint::from_uniform_bytes(string) * k).compress().0)
            .collect();
        for engine in engines() {
            let points = engine.map_to_group(&uniform);
            prop_assert_eq!(&engine.evaluate(&k, &points), &expected);
        }
    }

    #[test]
    fn additive_blinding_cancels(
        k in scalar(),
        inputs in vec((uniform(), scalar()), 0..20),
    ) {
        let (uniform, r): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
        let base = RistrettoPoint::mul_base(&Scalar::ONE);
        for engine in engines() {
            let g = engine.fixed_base(&base.compress().0).unwrap();
            let pk = engine.fixed_base(&(base * k).compress().0).unwrap();
            let points = engine.map_to_group(&uniform);
            let blinded = engine.decode(&engine.blind_additive(&points, &r, &g)).unwrap();
            let answer = engine.decode(&engine.evaluate(&k, &blinded)).unwrap();
            let outputs = engine.unblind_additive(&answer, &r, &pk);
            prop_assert_eq!(outputs, engine.evaluate(&k, &points));
        }
    }
}
