//! The test vectors of RFC 9497, byte for byte, modes OPRF and VOPRF (K1).

use std::{collections::VecDeque, convert::Infallible};

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

use crate::engine::{Backend, scoped};

use super::{BlindedBatch, Mode, Padding, blind, blind_evaluate, derive_key_pair, finalize};

/// Hands out the scalars of a vector: 32 bytes of scalar and 32 zero bytes, which reduce to it.
struct Script(VecDeque<Vec<u8>>);

impl TryRng for Script {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("the protocol draws scalars only")
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("the protocol draws scalars only")
    }
    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        let scalar = self.0.pop_front().expect("no more randomness than the vector lists");
        dst.fill(0);
        dst[..32].copy_from_slice(&scalar);
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn hex(value: &Value) -> Vec<u8> {
    HEX.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn hex_list(value: &Value) -> Vec<Vec<u8>> {
    let decode = |text: &str| HEX.decode(text.as_bytes()).unwrap();
    value.as_str().unwrap().split(',').map(decode).collect()
}

#[test]
fn rfc_9497_through_every_back_end() {
    for backend in Backend::ALL {
        // On a machine without the instructions there is nothing to test.
        assert!(scoped(backend, rfc_9497).is_some() || backend.is_vectorized());
    }
}

fn rfc_9497() {
    let suites: Value =
        serde_json::from_str(include_str!("../../vectors/rfc9497-ristretto255-sha512.json"))
            .unwrap();
    let mut seen = (0, 0);
    for suite in suites.as_array().unwrap() {
        let mode = match suite["mode"].as_u64().unwrap() {
            0 => Mode::Oprf,
            1 => Mode::Voprf,
            _ => continue,
        };
        assert_eq!(suite["identifier"], "ristretto255-SHA512");
        let seed: [u8; 32] = hex(&suite["seed"]).try_into().unwrap();
        let (secret, public) = derive_key_pair(mode, &seed, &hex(&suite["keyInfo"])).unwrap();
        assert_eq!(secret.0.as_bytes().to_vec(), hex(&suite["skSm"]));
        if mode == Mode::Voprf {
            assert_eq!(public.as_bytes().to_vec(), hex(&suite["pkSm"]));
        }
        for vector in suite["vectors"].as_array().unwrap() {
            let inputs = hex_list(&vector["Input"]);
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let mut rng = Script(hex_list(&vector["Blind"]).into());
            if mode == Mode::Voprf {
                rng.0.push_back(hex(&vector["Proof"]["r"]));
            }

            let blinding = blind(mode, &inputs, Padding::None, &mut rng).unwrap();
            assert_eq!(blinding.to_bytes(), hex_list(&vector["BlindedElement"]).concat());

            let batch = BlindedBatch::try_from(&blinding.to_bytes()[..]).unwrap();
            let evaluation = blind_evaluate(mode, &secret, &batch, &mut rng);
            let evaluated = evaluation.elements.concat();
            assert_eq!(evaluated, hex_list(&vector["EvaluationElement"]).concat());
            assert!(rng.0.is_empty(), "all randomness of the vector was used");

            let verified = if let Some(proof) = evaluation.proof {
                assert_eq!(proof.to_bytes().to_vec(), hex(&vector["Proof"]["proof"]));
                blinding.verify(&public, &evaluated, &proof.to_bytes()).unwrap()
            } else {
                blinding.skip_proof_for_vectors(&evaluated)
            };
            for ((input, element), output) in
                inputs.iter().zip(verified.unblind()).zip(hex_list(&vector["Output"]))
            {
                assert_eq!(finalize(input, &element).to_vec(), output);
                match mode {
                    Mode::Oprf => seen.0 += 1,
                    Mode::Voprf => seen.1 += 1,
                }
            }
        }
    }
    assert_eq!(seen, (2, 4), "two OPRF vectors, three VOPRF vectors of which one has two inputs");
}
