//! From the rows of the store to a recorded publication.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use acquaint_core::{
    keys::ManifestKey,
    manifest::{
        DIGEST_BYTES, EpochInfo, Manifest, Policy, SignedManifest, TenantName, VerifiedManifest,
    },
};

use super::{
    DirectoryError,
    line::{CompactionPolicy, Line},
    lineage::{Origin, Step},
    named::Kept,
    snapshot::{Snapshot, SnapshotError},
};
use crate::store::{MetaName, Publication, Store, StoreError};

/// Ways that are kept once they have been asked for, and the bytes of all of them together.
const STEPS_CACHED_MAX: usize = 256;
const STEPS_CACHED_BYTES_MAX: usize = 32 << 20;

/// Manifests that are kept: for an auditor who comes by now and then, and for a process that starts
/// to know which versions were named.
const MANIFESTS_KEPT: u64 = 1_000;

/// What clients see: a manifest, and the files that it names.
pub struct Published {
    /// The manifest as it was signed.
    pub signed: SignedManifest,
    /// The same manifest, read.
    pub manifest: Manifest,
    /// Digest of its content.
    pub digest: [u8; DIGEST_BYTES],
    lines: Vec<Arc<Line>>,
    steps: Mutex<CachedSteps>,
}

/// Steps by where they lead from and to, each a number of a snapshot and a version.
type CachedSteps = HashMap<((u64, u64), (u64, u64)), Arc<[Step]>>;

/// What publications are made from, besides the lines.
pub(super) struct Press {
    pub(super) tenant: TenantName,
    pub(super) manifest_key: ManifestKey,
    pub(super) policy: Policy,
    pub(super) compaction: CompactionPolicy,
    pub(super) store: Arc<dyn Store>,
}

/// A publication before it is recorded.
pub(super) struct Draft {
    published: Published,
    /// `None` if it is the one recorded last.
    record: Option<Publication>,
    origins: Vec<(u32, Origin)>,
}

impl Published {
    fn new(signed: SignedManifest, manifest: Manifest, lines: Vec<Arc<Line>>) -> Self {
        let digest = signed.digest();
        Self { signed, manifest, digest, lines, steps: Mutex::default() }
    }

    /// A snapshot by number, while its files are kept.
    #[must_use]
    pub fn snapshot(&self, number: u64) -> Option<Arc<Snapshot>> {
        self.lines.iter().find_map(|line| line.snapshot(number))
    }

    /// The snapshots whose files are kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = Arc<Snapshot>> + '_ {
        self.lines.iter().flat_map(|line| line.kept())
    }

    /// The way from one version to another, step by step; `None` if there is none. Blocks for a
    /// while: to be called on the evaluator's pool.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn steps(
        &self,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<Option<Arc<[Step]>>, DirectoryError> {
        if let Some(steps) = self.cached().get(&(from, to)) {
            return Ok(Some(Arc::clone(steps)));
        }
        for line in &self.lines {
            if let Some(steps) = line.steps(from, to)? {
                let steps: Arc<[Step]> = steps.into();
                let mut cached = self.cached();
                let bytes =
                    |steps: &[Step]| steps.iter().map(|step| step.delta.len()).sum::<usize>();
                let all = cached.values().map(|steps| bytes(steps)).sum::<usize>() + bytes(&steps);
                if cached.len() < STEPS_CACHED_MAX && all <= STEPS_CACHED_BYTES_MAX {
                    cached.insert((from, to), Arc::clone(&steps));
                }
                return Ok(Some(steps));
            }
        }
        Ok(None)
    }

    /// The smallest version that is published in any epoch.
    pub(super) fn version(&self) -> u64 {
        self.manifest.epochs.iter().map(|info| info.version).min().unwrap_or(0)
    }

    /// A map is changed as a whole, so that a panic elsewhere cannot have left half of it.
    fn cached(&self) -> std::sync::MutexGuard<'_, CachedSteps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Press {
    /// Rebuilds what was published before the process started, as far as rows and log allow.
    ///
    /// # Errors
    /// [`DirectoryError::ForeignKeys`] if the last manifest is not by these keys.
    pub(super) fn restore(&self, lines: &[Arc<Line>]) -> Result<(), DirectoryError> {
        let Some((_, last)) = self.last_manifest(lines)? else { return Ok(()) };
        let known = decode_origins(&self.store.meta(MetaName::Snapshots)?.unwrap_or_default());
        let manifests = self.kept_manifests(last.clone())?;
        for line in lines {
            let Some(info) = last.epoch(line.epoch) else { continue };
            let of_line = known.iter().filter(|(epoch, _)| *epoch == line.epoch);
            let published = |origin: &Origin| origin.number <= info.snapshot.number;
            let origins: Vec<_> = of_line.map(|(_, origin)| *origin).filter(published).collect();
            let version = |manifest: &VerifiedManifest| Some(manifest.epoch(line.epoch)?.version);
            let named = manifests.iter().map(|manifest| (manifest.sequence, version(manifest)));
            line.restore(info, &origins, &Kept::of(named))?;
        }
        Ok(())
    }

    /// Takes in what changed and signs it. Blocks for as long as that takes.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub(super) fn draft(&self, lines: &[Arc<Line>], now_s: u64) -> Result<Draft, DirectoryError> {
        let last = self.last_manifest(lines)?;
        let (mut epochs, mut changed_at) = (Vec::new(), 0);
        let mut number = next_number(lines, last.as_ref().map(|(_, manifest)| &**manifest));
        for line in lines {
            let updated = line.update(&self.compaction, number, now_s)?;
            number = number.max(updated.info.snapshot.number + 1);
            changed_at = changed_at.max(updated.changed_at);
            epochs.push(updated.info);
        }
        let origins = lines
            .iter()
            .flat_map(|line| line.origins().into_iter().map(|origin| (line.epoch, origin)))
            .collect();
        let (published, record) = self.sign(lines, last, epochs, changed_at)?;
        Ok(Draft { published, record, origins })
    }

    /// The last manifest again if it says the same, else its successor.
    fn sign(
        &self,
        lines: &[Arc<Line>],
        last: Option<(SignedManifest, VerifiedManifest)>,
        epochs: Vec<EpochInfo>,
        changed_at: u64,
    ) -> Result<(Published, Option<Publication>), DirectoryError> {
        let mut manifest = Manifest {
            tenant: self.tenant.clone(),
            sequence: 1,
            changed_at,
            previous: [0; DIGEST_BYTES],
            policy: self.policy.clone(),
            epochs,
        };
        if let Some((signed, last)) = last {
            (manifest.sequence, manifest.previous) = (last.sequence, last.previous);
            if manifest == *last {
                return Ok((Published::new(signed, manifest, lines.to_vec()), None));
            }
            (manifest.sequence, manifest.previous) = (last.sequence + 1, signed.digest());
        }
        let signed = manifest.sign(&self.manifest_key).map_err(SnapshotError::from)?;
        let record = Publication {
            sequence: manifest.sequence,
            version: manifest.current().version,
            manifest: signed.content.clone(),
            signature: signed.signature,
        };
        Ok((Published::new(signed, manifest, lines.to_vec()), Some(record)))
    }

    /// Records a draft durably before anybody can see it: the chain of manifests never forks,
    /// whenever the process dies.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub(super) async fn record(&self, draft: Draft) -> Result<Published, DirectoryError> {
        let Draft { published, record, origins } = draft;
        let Some(record) = record else { return Ok(published) };
        // First: snapshots that no manifest names are passed over, ones that are missing are not.
        let encoded = encode_origins(&origins);
        if self.store.meta(MetaName::Snapshots)?.as_ref() != Some(&encoded) {
            self.store.set_meta(MetaName::Snapshots, encoded).await?;
        }
        self.store.record_publication(record).await?;
        Ok(published)
    }

    /// Forgets what no client needs any more.
    ///
    /// # Errors
    /// [`DirectoryError::Store`]; nothing is lost but room.
    pub(super) async fn prune(&self, published: &Published) -> Result<(), DirectoryError> {
        let origins = published.lines.iter().flat_map(|line| line.origins());
        if let Some(oldest) = origins.map(|origin| origin.version).min() {
            self.store.prune_log(oldest).await?;
        }
        let oldest = published.manifest.sequence.saturating_sub(MANIFESTS_KEPT);
        if oldest > 0 && published.manifest.sequence.is_multiple_of(MANIFESTS_KEPT / 10) {
            self.store.prune_publications(oldest).await?;
        }
        Ok(())
    }

    /// The newest epoch of the manifest recorded last.
    ///
    /// # Errors
    /// As [`Press::restore`].
    pub(super) fn last_epoch(&self) -> Result<Option<u32>, DirectoryError> {
        Ok(self.last_manifest(&[])?.map(|(_, manifest)| manifest.current().epoch))
    }

    /// The manifests that are kept, in their order up to the last one; of what cannot be read nothing
    /// is known, nor of what was before it.
    fn kept_manifests(
        &self,
        last: VerifiedManifest,
    ) -> Result<Vec<VerifiedManifest>, DirectoryError> {
        let pin = self.manifest_key.pin();
        let kept = match self.store.publications_after(0) {
            Err(StoreError::Corrupt) => Vec::new(),
            kept => kept?,
        };
        let (newest, mut manifests) = (last.sequence, vec![last]);
        let before = kept.into_iter().rev().filter(|kept| kept.sequence < newest);
        let read = before.map_while(|Publication { manifest: content, signature, .. }| {
            SignedManifest { content, signature }.verify(&pin).ok()
        });
        manifests.extend(read);
        manifests.reverse();
        Ok(manifests)
    }

    /// The manifest recorded last, checked against our own keys.
    fn last_manifest(
        &self,
        lines: &[Arc<Line>],
    ) -> Result<Option<(SignedManifest, VerifiedManifest)>, DirectoryError> {
        let Some(last) = self.store.last_publication()? else { return Ok(None) };
        let signed = SignedManifest { content: last.manifest, signature: last.signature };
        let manifest =
            signed.verify(&self.manifest_key.pin()).map_err(|_| DirectoryError::ForeignKeys)?;
        let ours = |line: &Arc<Line>| {
            manifest.epoch(line.epoch).is_none_or(|info| info.public_key == line.public)
        };
        if manifest.tenant != self.tenant || !lines.iter().all(ours) {
            return Err(DirectoryError::ForeignKeys);
        }
        Ok(Some((signed, manifest)))
    }
}

/// A number that no snapshot had before, published or not.
fn next_number(lines: &[Arc<Line>], last: Option<&Manifest>) -> u64 {
    let published = last.into_iter().flat_map(|manifest| &manifest.epochs);
    let numbers = published.map(|info| info.snapshot.number);
    let unpublished = lines.iter().flat_map(|line| line.origins());
    numbers.chain(unpublished.map(|origin| origin.number)).max().unwrap_or(0) + 1
}

/// Epoch, number, version and time of each snapshot, eight bytes each, big endian.
fn encode_origins(origins: &[(u32, Origin)]) -> Vec<u8> {
    let fields = |(epoch, origin): &(u32, Origin)| {
        [u64::from(*epoch), origin.number, origin.version, origin.made_at].map(u64::to_be_bytes)
    };
    origins.iter().flat_map(fields).flatten().collect()
}

/// The opposite of [`encode_origins`]. What cannot be read is as good as not kept: clients then
/// download a snapshot.
fn decode_origins(bytes: &[u8]) -> Vec<(u32, Origin)> {
    let (fields, _) = bytes.as_chunks::<8>();
    let (records, _) = fields.as_chunks::<4>();
    let decode = |record: &[[u8; 8]; 4]| {
        let [epoch, number, version, made_at] = record.map(u64::from_be_bytes);
        Some((u32::try_from(epoch).ok()?, Origin { number, version, made_at }))
    };
    records.iter().filter_map(decode).collect()
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("sequence", &self.manifest.sequence)
            .field("members", &self.manifest.current().members())
            .finish_non_exhaustive()
    }
}
