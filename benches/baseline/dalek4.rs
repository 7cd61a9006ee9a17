//! Mode VOPRF written for curve25519-dalek 4.1.3 as fast as that crate allows.
//!
//! Multiplication by half of the scalar and `double_and_compress_batch` share one inversion in
//! encoding; the proof's sums are variable-time multiscalar multiplications; blinds are inverted
//! together; the client keeps its blinded points, so that it need not decode them again.

use curve25519_dalek_4::{
    RistrettoPoint, Scalar, ristretto::CompressedRistretto, traits::VartimeMultiscalarMul as _,
};
use sha2::{Digest as _, Sha512};

use super::{Answer, Blinded, Implementation, Stream, Verifiable, voprf::key_bytes, xmd::Expander};

/// curve25519-dalek 4.1.3, the version that the `voprf` crate uses.
pub struct Dalek4 {
    key: Scalar,
    public: RistrettoPoint,
    /// `1/2`; this version has no public halving.
    half: Scalar,
}

impl Dalek4 {
    /// With the key of all baselines.
    pub fn new() -> Self {
        let key = Scalar::from_canonical_bytes(key_bytes()).unwrap();
        let half = Scalar::from(2_u8).invert();
        Self { key, public: RistrettoPoint::mul_base(&key), half }
    }

    fn multiply(&self, points: &[RistrettoPoint]) -> Vec<u8> {
        let half = self.key * self.half;
        encode_doubled(&points.iter().map(|point| point * half).collect::<Vec<_>>())
    }
}

/// Decodes a batch.
pub fn decode(bytes: &[u8]) -> Vec<RistrettoPoint> {
    let decode = |bytes| CompressedRistretto::from_slice(bytes).unwrap().decompress().unwrap();
    bytes.chunks(32).map(decode).collect()
}

/// Encodes the double of each point.
pub fn encode_doubled(points: &[RistrettoPoint]) -> Vec<u8> {
    let encodings = RistrettoPoint::double_and_compress_batch(points);
    encodings.iter().map(|encoding| encoding.to_bytes()).collect::<Vec<_>>().concat()
}

/// `HashToGroup` of each input.
pub fn hash_to_group(inputs: &[&[u8]]) -> Vec<RistrettoPoint> {
    let expander = Expander::new("HashToGroup-");
    let hash = |input: &&[u8]| RistrettoPoint::from_uniform_bytes(&expander.expand(&[input]));
    inputs.iter().map(hash).collect()
}

impl Implementation for Dalek4 {
    fn name(&self) -> &'static str {
        "dalek4"
    }

    fn evaluate(&self, blinded: &[u8]) -> Vec<u8> {
        self.multiply(&decode(blinded))
    }

    fn verifiable(&self) -> Option<&dyn Verifiable> {
        Some(self)
    }
}

impl Verifiable for Dalek4 {
    fn evaluate_with_proof(&self, blinded: &[u8], rng: &mut Stream) -> Answer {
        let points = decode(blinded);
        let elements = self.multiply(&points);
        let weights = weights(&self.public, blinded, &elements);
        let m = RistrettoPoint::vartime_multiscalar_mul(&weights, &points);
        let nonce = Scalar::from_bytes_mod_order_wide(&rng.wide());
        let commitments = [RistrettoPoint::mul_base(&nonce), nonce * m];
        let c = challenge(&self.public, [m, self.key * m, commitments[0], commitments[1]]);
        let response = nonce - c * self.key;
        let mut proof = [0; 64];
        proof[..32].copy_from_slice(c.as_bytes());
        proof[32..].copy_from_slice(response.as_bytes());
        Answer { elements, proof }
    }

    fn blind(&self, inputs: &[&[u8]], rng: &mut Stream) -> Box<dyn Blinded> {
        let hashed = hash_to_group(inputs);
        let draw = |_| Scalar::from_bytes_mod_order_wide(&rng.wide());
        let blinds: Vec<_> = (0..inputs.len()).map(draw).collect();
        let pairs = blinds.iter().zip(&hashed);
        let halves: Vec<_> = pairs.map(|(r, point)| point * (r * self.half)).collect();
        let elements = encode_doubled(&halves);
        Box::new(Dalek4Blinded { blinds, halves, elements, public: self.public })
    }
}

struct Dalek4Blinded {
    blinds: Vec<Scalar>,
    /// Half of each blinded point.
    halves: Vec<RistrettoPoint>,
    elements: Vec<u8>,
    public: RistrettoPoint,
}

impl Dalek4Blinded {
    fn verify(&self, evaluated: &[RistrettoPoint], answer: &Answer) {
        let weights = weights(&self.public, &self.elements, &answer.elements);
        let half_m = RistrettoPoint::vartime_multiscalar_mul(&weights, &self.halves);
        let m = half_m + half_m;
        let z = RistrettoPoint::vartime_multiscalar_mul(&weights, evaluated);
        let scalar = |half: usize| {
            let bytes = answer.proof[32 * half..][..32].try_into().unwrap();
            Scalar::from_canonical_bytes(bytes).unwrap()
        };
        let (c, s) = (scalar(0), scalar(1));
        let commitments = [
            RistrettoPoint::vartime_double_scalar_mul_basepoint(&c, &self.public, &s),
            RistrettoPoint::vartime_multiscalar_mul([s, c], [m, z]),
        ];
        assert_eq!(c, challenge(&self.public, [m, z, commitments[0], commitments[1]]));
    }
}

impl Blinded for Dalek4Blinded {
    fn elements(&self) -> Vec<u8> {
        self.elements.clone()
    }

    fn finalize(&self, inputs: &[&[u8]], answer: &Answer) -> Vec<u8> {
        let evaluated = decode(&answer.elements);
        self.verify(&evaluated, answer);
        // The inverse of 2r is half of the inverse of r.
        let mut inverses: Vec<_> = self.blinds.iter().map(|r| r + r).collect();
        Scalar::batch_invert(&mut inverses);
        let halves: Vec<_> = inverses.iter().zip(&evaluated).map(|(s, point)| s * point).collect();
        let unblinded = encode_doubled(&halves);
        let outputs = inputs.iter().zip(unblinded.chunks(32)).map(|(i, e)| finalize(i, e));
        outputs.collect::<Vec<_>>().concat()
    }
}

/// `Finalize` of the RFC.
fn finalize(input: &[u8], element: &[u8]) -> [u8; 64] {
    let length = u16::try_from(input.len()).unwrap().to_be_bytes();
    Sha512::digest([&length, input, &[0, 32], element, b"Finalize"].concat()).into()
}

/// `d_i` of `ComputeComposites`.
fn weights(public: &RistrettoPoint, blinded: &[u8], evaluated: &[u8]) -> Vec<Scalar> {
    let seed_tag = b"Seed-OPRFV1-\x01-ristretto255-SHA512";
    let tag_length = u16::try_from(seed_tag.len()).unwrap().to_be_bytes();
    let public = public.compress().to_bytes();
    let seed = Sha512::digest([&[0, 32], &public[..], &tag_length, seed_tag].concat());
    let expander = Expander::new("HashToScalar-");
    let weight = |(i, (c, d)): (u16, (&[u8], &[u8]))| {
        let index = i.to_be_bytes();
        let parts: [&[u8]; 8] = [&[0, 64], &seed, &index, &[0, 32], c, &[0, 32], d, b"Composite"];
        Scalar::from_bytes_mod_order_wide(&expander.expand(&parts))
    };
    (0..).zip(blinded.chunks(32).zip(evaluated.chunks(32))).map(weight).collect()
}

/// The challenge over public key, composites and commitments.
fn challenge(public: &RistrettoPoint, points: [RistrettoPoint; 4]) -> Scalar {
    let [m, z, t2, t3] = points.map(|point| point.compress().to_bytes());
    let public = public.compress().to_bytes();
    let mut message = Vec::new();
    for element in [public, m, z, t2, t3] {
        message.extend([0, 32]);
        message.extend(element);
    }
    message.extend(b"Challenge");
    Scalar::from_bytes_mod_order_wide(&Expander::new("HashToScalar-").expand(&[&message]))
}
