//! From the rows of the store to a recorded publication.

use std::{ops::ControlFlow, sync::Arc};

use acquaint_core::{
    keys::RowError,
    manifest::{DIGEST_BYTES, SignedManifest, VerifiedManifest},
    set::Record,
};

use super::{
    DirectoryError, Rows,
    snapshot::{self, Plan, Snapshot},
};
use crate::{
    evaluator::Evaluator,
    store::{Head, Publication},
};

/// What the rows gave: the last publication again, or a new one that is not recorded yet.
enum Built {
    Unchanged(Snapshot),
    New(Snapshot),
}

/// Builds a snapshot of the rows on the publication thread, and records its manifest before
/// anybody can see it: the chain of manifests never forks, whenever the process dies.
pub(super) async fn publish(
    rows: &Arc<Rows>,
    evaluator: &Evaluator,
) -> Result<Snapshot, DirectoryError> {
    let shared = Arc::clone(rows);
    match evaluator.run_background(move || shared.build()).await?? {
        Built::Unchanged(snapshot) => Ok(snapshot),
        Built::New(snapshot) => {
            rows.store.record_publication(publication(&snapshot)).await?;
            Ok(snapshot)
        }
    }
}

fn publication(snapshot: &Snapshot) -> Publication {
    Publication {
        sequence: snapshot.manifest.snapshot,
        version: snapshot.manifest.version,
        manifest: snapshot.signed.content.clone(),
        signature: snapshot.signed.signature,
    }
}

impl Rows {
    /// Blocks for as long as the rows take.
    fn build(&self) -> Result<Built, DirectoryError> {
        let last = self.last_manifest()?;
        let (head, mut records) = self.records()?;
        if let Some((signed, manifest)) = &last
            && manifest.version == head.version
        {
            let again = Plan {
                snapshot: manifest.snapshot,
                previous: manifest.previous,
                ..self.plan(head, Some(manifest))
            };
            let snapshot = Snapshot::build(again, &mut records, &self.manifest_key)?;
            if snapshot.signed == *signed {
                return Ok(Built::Unchanged(snapshot));
            }
            // The operator changed the policy: the same rows under a new manifest.
        }
        let plan = match &last {
            None => self.plan(head, None),
            Some((signed, manifest)) => Plan {
                snapshot: manifest.snapshot + 1,
                previous: signed.digest(),
                ..self.plan(head, Some(manifest))
            },
        };
        Ok(Built::New(Snapshot::build(plan, &mut records, &self.manifest_key)?))
    }

    /// The plan of a first publication, in the universe of the last manifest if there is one.
    fn plan(&self, head: Head, last: Option<&VerifiedManifest>) -> Plan {
        Plan {
            tenant: self.tenant.clone(),
            epoch: self.epoch,
            public_key: self.public,
            snapshot: 1,
            version: head.version,
            changed_at: head.changed_at,
            previous: [0; DIGEST_BYTES],
            universe: last.map(|manifest| manifest.universe),
            policy: self.policy.clone(),
        }
    }

    /// The manifest recorded last, checked against our own keys.
    fn last_manifest(&self) -> Result<Option<(SignedManifest, VerifiedManifest)>, DirectoryError> {
        let Some(last) = self.store.last_publication()? else {
            return Ok(None);
        };
        let signed = SignedManifest { content: last.manifest, signature: last.signature };
        let manifest =
            signed.verify(&self.manifest_key.pin()).map_err(|_| DirectoryError::ForeignKeys)?;
        if manifest.public_key != self.public || manifest.tenant != self.tenant {
            return Err(DirectoryError::ForeignKeys);
        }
        Ok(Some((signed, manifest)))
    }

    /// The published form of every row that is not hidden, and the log position they stand for.
    fn records(&self) -> Result<(Head, Vec<Record>), DirectoryError> {
        let mut records = Vec::new();
        let mut refused: Result<(), RowError> = Ok(());
        let head = self.store.scan(self.epoch, &mut |handle, sealed| match self.vault.open(
            self.epoch,
            handle.as_bytes(),
            sealed,
        ) {
            Ok(row) => {
                records.extend(snapshot::record(self.epoch, &row));
                ControlFlow::Continue(())
            }
            Err(error) => {
                refused = Err(error);
                ControlFlow::Break(())
            }
        })?;
        refused?;
        Ok((head, records))
    }
}
