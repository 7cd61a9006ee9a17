//! The `voprf` crate 0.5 (curve25519-dalek 4, stock), through its batch calls.

use voprf::{
    BlindedElement, EvaluationElement, Mode, OprfServer, Proof, Ristretto255, VoprfClient,
    VoprfServer,
};

use super::{Answer, Blinded, Implementation, KEY_INFO, KEY_SEED, Stream, Verifiable};

/// The key of all baselines as a canonical scalar.
pub fn key_bytes() -> [u8; 32] {
    voprf::derive_key::<Ristretto255>(&KEY_SEED, KEY_INFO, Mode::Voprf).unwrap().to_bytes()
}

/// The `voprf` crate.
pub struct Voprf {
    oprf: OprfServer<Ristretto255>,
    voprf: VoprfServer<Ristretto255>,
}

impl Voprf {
    /// With the key of all baselines.
    pub fn new() -> Self {
        let key = key_bytes();
        Self {
            oprf: OprfServer::new_with_key(&key).unwrap(),
            voprf: VoprfServer::new_with_key(&key).unwrap(),
        }
    }
}

fn parse(blinded: &[u8]) -> impl Iterator<Item = BlindedElement<Ristretto255>> {
    blinded.chunks(32).map(|bytes| BlindedElement::deserialize(bytes).unwrap())
}

/// Joins serialized pieces.
fn concat(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    pieces.for_each(|piece| bytes.extend_from_slice(piece.as_ref()));
    bytes
}

impl Implementation for Voprf {
    fn name(&self) -> &'static str {
        "voprf"
    }

    /// The crate has no batch call in mode OPRF.
    fn evaluate(&self, blinded: &[u8]) -> Vec<u8> {
        concat(parse(blinded).map(|b| self.oprf.blind_evaluate(&b).serialize()))
    }

    fn verifiable(&self) -> Option<&dyn Verifiable> {
        Some(self)
    }
}

impl Verifiable for Voprf {
    fn evaluate_with_proof(&self, blinded: &[u8], rng: &mut Stream) -> Answer {
        let blinded: Vec<_> = parse(blinded).collect();
        let result = self.voprf.batch_blind_evaluate(rng, &blinded).unwrap();
        Answer {
            elements: concat(result.messages.iter().map(EvaluationElement::serialize)),
            proof: result.proof.serialize().into(),
        }
    }

    fn blind(&self, inputs: &[&[u8]], rng: &mut Stream) -> Box<dyn Blinded> {
        let blind = |input: &&[u8]| VoprfClient::<Ristretto255>::blind(input, rng).unwrap();
        let (clients, messages) =
            inputs.iter().map(blind).map(|result| (result.state, result.message)).unzip();
        Box::new(VoprfBlinded { clients, messages, server: self.voprf.clone() })
    }
}

struct VoprfBlinded {
    clients: Vec<VoprfClient<Ristretto255>>,
    messages: Vec<BlindedElement<Ristretto255>>,
    /// For its public key, whose type the crate does not name.
    server: VoprfServer<Ristretto255>,
}

impl Blinded for VoprfBlinded {
    fn elements(&self) -> Vec<u8> {
        concat(self.messages.iter().map(BlindedElement::serialize))
    }

    fn finalize(&self, inputs: &[&[u8]], answer: &Answer) -> Vec<u8> {
        let parse = |bytes| EvaluationElement::deserialize(bytes).unwrap();
        let messages: Vec<_> = answer.elements.chunks(32).map(parse).collect();
        let proof = Proof::deserialize(&answer.proof).unwrap();
        let inputs = inputs.to_vec();
        let public = self.server.get_public_key();
        let outputs =
            VoprfClient::batch_finalize(&inputs, &self.clients, &messages, &proof, public);
        concat(outputs.unwrap().map(Result::unwrap))
    }
}
