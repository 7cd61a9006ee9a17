//! `acquaint_core::oprf` with the best back end of this machine.

use acquaint_core::oprf::{
    BlindedBatch, Blinding, Mode, Padding, PublicKey, SecretKey, TrustedKey, blind_evaluate,
    blind_for, derive_key_pair, finalize,
};

use super::{Answer, Blinded, Implementation, KEY_INFO, KEY_SEED, Stream, Verifiable};

/// Our own implementation.
pub struct Acquaint {
    secret: SecretKey,
    /// As a client has it from a verified manifest. Its tables are made once, by the first use.
    trusted: TrustedKey,
}

impl Acquaint {
    /// With the key of all baselines.
    pub fn new() -> Self {
        let (secret, _) = derive_key_pair(Mode::Voprf, &KEY_SEED, KEY_INFO).unwrap();
        let trusted = secret.trusted_key();
        Self { secret, trusted }
    }
}

impl Implementation for Acquaint {
    fn name(&self) -> &'static str {
        "acquaint"
    }

    fn evaluate(&self, blinded: &[u8]) -> Vec<u8> {
        let batch = BlindedBatch::try_from(blinded).unwrap();
        blind_evaluate(Mode::Oprf, &self.secret, &batch, &mut Stream::new(0).0).elements.concat()
    }

    fn verifiable(&self) -> Option<&dyn Verifiable> {
        Some(self)
    }
}

impl Verifiable for Acquaint {
    fn evaluate_with_proof(&self, blinded: &[u8], rng: &mut Stream) -> Answer {
        let batch = BlindedBatch::try_from(blinded).unwrap();
        let evaluation = blind_evaluate(Mode::Voprf, &self.secret, &batch, &mut rng.0);
        Answer {
            elements: evaluation.elements.concat(),
            proof: evaluation.proof.unwrap().to_bytes(),
        }
    }

    fn blind(&self, inputs: &[&[u8]], rng: &mut Stream) -> Box<dyn Blinded> {
        let blinding = blind_for(&self.trusted, inputs, Padding::None, &mut rng.0).unwrap();
        Box::new(AcquaintBlinded { blinding, public: *self.trusted.public() })
    }
}

struct AcquaintBlinded {
    blinding: Blinding,
    public: PublicKey,
}

impl Blinded for AcquaintBlinded {
    fn elements(&self) -> Vec<u8> {
        self.blinding.to_bytes()
    }

    fn finalize(&self, inputs: &[&[u8]], answer: &Answer) -> Vec<u8> {
        let verified = self.blinding.verify(&self.public, &answer.elements, &answer.proof).unwrap();
        let elements = verified.unblind();
        let outputs = inputs.iter().zip(&elements).map(|(input, element)| finalize(input, element));
        outputs.collect::<Vec<_>>().concat()
    }
}
