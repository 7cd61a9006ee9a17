//! The rpcs: admission, then the directory, then the answer. No rpc computes anything itself.

mod admin;
mod discovery;
mod registry;
mod watch;

use acquaint_core::{
    credential::Claims,
    limits::{BATCH_ELEMENTS_MAX, ELEMENT_BYTES},
};
use acquaint_proto::{Reason, Refusal};
use bytes::Bytes;

pub use admin::AdminRpc;
pub use discovery::DiscoveryRpc;
pub use registry::RegistryRpc;

use crate::{
    admission::{Charged, store_refusal},
    directory::DirectoryError,
    evaluator::{Evaluator, EvaluatorError, Reservation},
    store::StoreError,
    tenant::Tenant,
};

/// Room in the evaluator's queue that the making of a delta takes, in elements: at least so much,
/// and one more for so many entries of the overlay, which it reads. Up to the largest batch: then
/// it has to wait like one.
const DELTA_COST_ELEMENTS: u32 = 64;
const ENTRIES_PER_ELEMENT: u64 = 256;

/// An evaluated batch as it goes over the wire.
struct Evaluated {
    elements: Bytes,
    proof: Bytes,
}

/// Evaluates a batch for a caller, of either service: cheap refusals first, then the charge, then
/// the work.
async fn evaluate_batch(
    tenant: &Tenant,
    caller: &Claims,
    epoch: u32,
    blinded_elements: Bytes,
) -> Result<(Evaluated, Charged), Refusal> {
    let directory = tenant.directory();
    let refused = |error| directory_refusal(&error, "blinded_elements");
    let key = directory.key(epoch).map_err(refused)?;
    let n_elements = batch_length("blinded_elements", &blinded_elements)?;
    let (reservation, _held) =
        tenant.reserve(caller, n_elements).map_err(|error| evaluator_refusal(&error))?;
    let batch =
        directory.parse_batch(&reservation, blinded_elements.clone()).await.map_err(refused)?;
    let successor = (epoch, directory.is_successor(epoch));
    let charged =
        tenant.gate().charge(caller, successor, &blinded_elements, n_elements.into()).await?;
    let evaluation =
        directory.evaluate(&reservation, key, batch, &charged).await.map_err(refused)?;
    let proof = evaluation.proof.ok_or_else(|| Refusal::new(Reason::Internal))?;
    tracing::debug!(n_elements, charged = charged.elements(), "evaluated");
    let elements = evaluation.elements.concat().into();
    Ok((Evaluated { elements, proof: proof.to_bytes().to_vec().into() }, charged))
}

/// Reserves room for the elements of a packed field, after a look at its length: what is refused
/// here has cost nothing.
fn reserve(
    evaluator: &Evaluator,
    field: &'static str,
    bytes: &[u8],
) -> Result<Reservation, Refusal> {
    let n_elements = batch_length(field, bytes)?;
    evaluator.reserve(n_elements).map_err(|error| evaluator_refusal(&error))
}

/// The number of elements of a packed field.
fn batch_length(field: &'static str, bytes: &[u8]) -> Result<u32, Refusal> {
    let n_elements = bytes.len() / ELEMENT_BYTES;
    let whole = bytes.len().is_multiple_of(ELEMENT_BYTES);
    if !whole || !(1..=BATCH_ELEMENTS_MAX).contains(&n_elements) {
        return Err(Refusal::new(Reason::BatchSize).field(field));
    }
    Ok(u32::try_from(n_elements).expect("at most BATCH_ELEMENTS_MAX"))
}

/// Reserves room for the making of a delta.
fn reserve_for_delta(tenant: &Tenant) -> Result<Reservation, Refusal> {
    let published = tenant.directory().published();
    let overlay = &published.manifest.current().overlay;
    let entries = (overlay.removed + overlay.added) / ENTRIES_PER_ELEMENT;
    let largest = u64::try_from(BATCH_ELEMENTS_MAX).unwrap_or(u64::MAX);
    let cost = entries.saturating_add(DELTA_COST_ELEMENTS.into()).min(largest);
    let cost = u32::try_from(cost).expect("at most BATCH_ELEMENTS_MAX");
    tenant.evaluator().reserve(cost).map_err(|error| evaluator_refusal(&error))
}

fn evaluator_refusal(error: &EvaluatorError) -> Refusal {
    match error {
        EvaluatorError::QueueFull { retry_after } => {
            Refusal::new(Reason::QueueFull).retry_after(*retry_after)
        }
        EvaluatorError::Panicked => {
            tracing::error!("a job of the evaluator panicked");
            Refusal::new(Reason::Internal)
        }
    }
}

/// The one mapping of directory errors to refusals; `field` is the field that holds elements.
fn directory_refusal(error: &DirectoryError, field: &'static str) -> Refusal {
    match error {
        DirectoryError::Epoch | DirectoryError::Store(StoreError::EpochDropped) => {
            Refusal::new(Reason::EpochUnknown).field("epoch")
        }
        DirectoryError::Element(error) => Refusal::from(*error).field(field),
        DirectoryError::LabelLength => Refusal::new(Reason::LabelLength).field("labels"),
        DirectoryError::Full => Refusal::new(Reason::DirectoryFull),
        DirectoryError::RotationRunning => Refusal::new(Reason::RotationRunning),
        DirectoryError::Evaluator(error) => evaluator_refusal(error),
        DirectoryError::Store(error) => store_refusal(error),
        DirectoryError::Row(_)
        | DirectoryError::Snapshot(_)
        | DirectoryError::Overlay(_)
        | DirectoryError::ForeignKeys
        | DirectoryError::Phase
        | DirectoryError::KeyFile(_)
        | DirectoryError::Key(_) => {
            tracing::error!(%error, "the directory failed");
            Refusal::new(Reason::Internal)
        }
    }
}
