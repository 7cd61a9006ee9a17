//! Wire messages to core types and back: the only place that meets both.

use acquaint_core::{manifest, oprf::ElementError};

use crate::{Reason, Refusal, v1};

/// A peer's message lacks a part or has one of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent a message that lacks a part or has one of the wrong length")]
pub struct Malformed;

impl From<manifest::SignedManifest> for v1::SignedManifest {
    fn from(signed: manifest::SignedManifest) -> Self {
        Self { content: signed.content.into(), signature: signed.signature.to_vec().into() }
    }
}

impl TryFrom<v1::SignedManifest> for manifest::SignedManifest {
    type Error = Malformed;

    /// Takes the parts; whether the signature holds is for
    /// [`verify`](manifest::SignedManifest::verify).
    ///
    /// # Errors
    /// [`Malformed`] if the signature does not have 64 bytes.
    fn try_from(wire: v1::SignedManifest) -> Result<Self, Malformed> {
        let signature = wire.signature.as_ref().try_into().map_err(|_| Malformed)?;
        Ok(Self { content: wire.content.into(), signature })
    }
}

impl From<ElementError> for Refusal {
    fn from(error: ElementError) -> Self {
        match error {
            ElementError::InvalidElement => Self::new(Reason::InvalidElement),
            // The enum may grow; a size is what else can be wrong with a batch.
            _ => Self::new(Reason::BatchSize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_cross_the_wire_unchanged() {
        let signed = manifest::SignedManifest { content: vec![1, 2, 3], signature: [7; 64] };
        let wire = v1::SignedManifest::from(signed.clone());
        assert_eq!(manifest::SignedManifest::try_from(wire), Ok(signed));
    }

    #[test]
    fn signatures_of_another_length_are_malformed() {
        for length in [0, 63, 65] {
            let wire = v1::SignedManifest {
                content: Vec::new().into(),
                signature: vec![0; length].into(),
            };
            assert_eq!(manifest::SignedManifest::try_from(wire), Err(Malformed), "{length}");
        }
    }

    #[test]
    fn element_errors_have_their_reasons() {
        let reason = |error| Refusal::from(error).reason();
        assert_eq!(reason(ElementError::BatchSize), Reason::BatchSize);
        assert_eq!(reason(ElementError::InvalidElement), Reason::InvalidElement);
    }
}
