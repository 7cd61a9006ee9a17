//! The manifest's bytes. One layout, little endian, no optional parts: the same manifest always
//! gives the same bytes. `docs/PROTOCOL.md` has it as a table.

use super::{
    DIGEST_BYTES, EpochInfo, Manifest, ManifestError, OverlayInfo, Policy, SnapshotInfo, TenantName,
};
use crate::{
    limits::{self, BATCH_ELEMENTS_MAX, DIRECTORY_MEMBERS_MAX, LIVE_EPOCHS_MAX},
    oprf::PublicKey,
    set::Universe,
};

const MAGIC: [u8; 4] = *b"ACQM";
const FORMAT: u8 = 2;
/// ristretto255-SHA512 in mode VOPRF, tags and labels as in `crate::tag`.
const SUITE: u8 = 1;

pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    check(manifest)?;
    let mut out = Writer::default();
    out.bytes(&MAGIC);
    out.bytes(&[FORMAT, SUITE]);
    out.counted_u8(manifest.tenant.as_str().as_bytes())?;
    out.bytes(&manifest.sequence.to_le_bytes());
    out.bytes(&manifest.changed_at.to_le_bytes());
    out.bytes(&manifest.previous);
    encode_policy(&mut out, &manifest.policy)?;
    out.bytes(&[u8::try_from(manifest.epochs.len()).map_err(|_| ManifestError::Content)?]);
    for epoch in &manifest.epochs {
        encode_epoch(&mut out, epoch);
    }
    if out.0.len() > limits::MANIFEST_BYTES_MAX {
        return Err(ManifestError::Content);
    }
    Ok(out.0)
}

fn encode_policy(out: &mut Writer, policy: &Policy) -> Result<(), ManifestError> {
    let n_classes =
        u8::try_from(policy.padding_classes.len()).map_err(|_| ManifestError::Content)?;
    out.bytes(&[n_classes]);
    for class in &policy.padding_classes {
        out.bytes(&class.to_le_bytes());
    }
    out.bytes(&policy.quota_elements.to_le_bytes());
    out.bytes(&policy.quota_refill_per_day.to_le_bytes());
    out.bytes(&policy.repeat_retention_seconds.to_le_bytes());
    out.bytes(&policy.delta_retention_seconds.to_le_bytes());
    Ok(())
}

fn encode_epoch(out: &mut Writer, info: &EpochInfo) {
    out.bytes(&info.epoch.to_le_bytes());
    out.bytes(info.public_key.as_bytes());
    out.bytes(&info.version.to_le_bytes());
    let SnapshotInfo { number, version, universe, members, set_bytes, index_digest } =
        &info.snapshot;
    out.bytes(&number.to_le_bytes());
    out.bytes(&version.to_le_bytes());
    out.bytes(&universe.capacity().to_le_bytes());
    out.bytes(&[universe.segment_bits()]);
    out.bytes(&universe.segment_width().to_le_bytes());
    out.bytes(&members.to_le_bytes());
    out.bytes(&set_bytes.to_le_bytes());
    out.bytes(index_digest);
    let OverlayInfo { bytes, removed, added, digest } = &info.overlay;
    out.bytes(&bytes.to_le_bytes());
    out.bytes(&removed.to_le_bytes());
    out.bytes(&added.to_le_bytes());
    out.bytes(digest);
}

pub(super) fn decode(content: &[u8]) -> Result<Manifest, ManifestError> {
    let mut input = Reader(content);
    if input.array::<4>()? != MAGIC || input.array()? != [FORMAT, SUITE] {
        return Err(ManifestError::Format);
    }
    let tenant = decode_tenant(&mut input)?;
    let (sequence, changed_at) = (input.u64()?, input.u64()?);
    let previous = input.array::<DIGEST_BYTES>()?;
    let policy = decode_policy(&mut input)?;
    let [n_epochs] = input.array()?;
    if usize::from(n_epochs) > LIVE_EPOCHS_MAX {
        return Err(ManifestError::Content);
    }
    let epochs = (0..n_epochs).map(|_| decode_epoch(&mut input)).collect::<Result<_, _>>()?;
    if !input.0.is_empty() {
        return Err(ManifestError::Format);
    }
    let manifest = Manifest { tenant, sequence, changed_at, previous, policy, epochs };
    check(&manifest)?;
    Ok(manifest)
}

fn decode_tenant(input: &mut Reader<'_>) -> Result<TenantName, ManifestError> {
    let [length] = input.array()?;
    let name = std::str::from_utf8(input.take(length.into())?);
    name.ok().and_then(|name| name.parse().ok()).ok_or(ManifestError::Content)
}

fn decode_policy(input: &mut Reader<'_>) -> Result<Policy, ManifestError> {
    let [n_classes] = input.array()?;
    let padding_classes = (0..n_classes).map(|_| input.u32()).collect::<Result<_, _>>()?;
    Ok(Policy {
        padding_classes,
        quota_elements: input.u64()?,
        quota_refill_per_day: input.u64()?,
        repeat_retention_seconds: input.u32()?,
        delta_retention_seconds: input.u32()?,
    })
}

fn decode_epoch(input: &mut Reader<'_>) -> Result<EpochInfo, ManifestError> {
    Ok(EpochInfo {
        epoch: input.u32()?,
        public_key: PublicKey::try_from(&input.array()?).map_err(|_| ManifestError::Content)?,
        version: input.u64()?,
        snapshot: decode_snapshot(input)?,
        overlay: OverlayInfo {
            bytes: input.u64()?,
            removed: input.u64()?,
            added: input.u64()?,
            digest: input.array()?,
        },
    })
}

fn decode_snapshot(input: &mut Reader<'_>) -> Result<SnapshotInfo, ManifestError> {
    let (number, version) = (input.u64()?, input.u64()?);
    let (capacity, [k], u) = (input.u64()?, input.array()?, input.u64()?);
    let universe = Universe::from_parts(capacity, k, u).map_err(|_| ManifestError::Content)?;
    let (members, set_bytes) = (input.u64()?, input.u64()?);
    Ok(SnapshotInfo { number, version, universe, members, set_bytes, index_digest: input.array()? })
}

/// What both sides demand of a manifest beyond its layout.
fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let classes = &manifest.policy.padding_classes;
    let ascending = classes.is_sorted_by(|a, b| a < b);
    let in_range =
        classes.iter().all(|&class| (1..=BATCH_ELEMENTS_MAX).contains(&(class as usize)));
    let epochs = &manifest.epochs;
    let consistent = !classes.is_empty()
        && ascending
        && in_range
        && (1..=LIVE_EPOCHS_MAX).contains(&epochs.len())
        && epochs.is_sorted_by(|a, b| a.epoch.checked_add(1) == Some(b.epoch))
        && epochs.iter().all(is_consistent);
    if consistent { Ok(()) } else { Err(ManifestError::Content) }
}

fn is_consistent(info: &EpochInfo) -> bool {
    let EpochInfo { snapshot, overlay, .. } = info;
    snapshot.version <= info.version
        && snapshot.members <= DIRECTORY_MEMBERS_MAX
        && overlay.removed <= snapshot.members
        && overlay.added <= DIRECTORY_MEMBERS_MAX
        && info.members() <= DIRECTORY_MEMBERS_MAX
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn counted_u8(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        self.0.push(u8::try_from(bytes.len()).map_err(|_| ManifestError::Content)?);
        self.bytes(bytes);
        Ok(())
    }
}

/// Takes fields from the front; running out is [`ManifestError::Format`].
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], ManifestError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(ManifestError::Format)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ManifestError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ManifestError::Format)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, ManifestError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ManifestError> {
        self.array().map(u64::from_le_bytes)
    }
}
