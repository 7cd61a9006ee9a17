//! The manifest's bytes. One layout, little endian, no optional parts: the same manifest always
//! gives the same bytes. `docs/PROTOCOL.md` has it as a table.

use super::{DIGEST_BYTES, Manifest, ManifestError, Policy, SegmentInfo, TenantName};
use crate::{
    limits::{self, BATCH_ELEMENTS_MAX, DIRECTORY_MEMBERS_MAX, SEGMENT_BYTES_MAX},
    oprf::PublicKey,
    set::Universe,
};

const MAGIC: [u8; 4] = *b"ACQM";
const FORMAT: u8 = 1;
/// ristretto255-SHA512 in mode VOPRF, tags and labels as in `crate::tag`.
const SUITE: u8 = 1;

pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    check(manifest)?;
    let mut out = Writer::default();
    out.bytes(&MAGIC);
    out.bytes(&[FORMAT, SUITE]);
    out.counted_u8(manifest.tenant.as_str().as_bytes())?;
    out.bytes(&manifest.epoch.to_le_bytes());
    out.bytes(manifest.public_key.as_bytes());
    out.bytes(&manifest.snapshot.to_le_bytes());
    out.bytes(&manifest.version.to_le_bytes());
    out.bytes(&manifest.changed_at.to_le_bytes());
    out.bytes(&manifest.previous);
    out.bytes(&manifest.universe.capacity().to_le_bytes());
    out.bytes(&[manifest.universe.segment_bits()]);
    out.bytes(&manifest.universe.segment_width().to_le_bytes());
    encode_policy(&mut out, &manifest.policy)?;
    let n_segments = u32::try_from(manifest.segments.len()).map_err(|_| ManifestError::Content)?;
    out.bytes(&n_segments.to_le_bytes());
    for segment in &manifest.segments {
        out.bytes(&segment.members.to_le_bytes());
        out.bytes(&segment.set_bytes.to_le_bytes());
        out.bytes(&segment.set_digest);
        out.bytes(&segment.labels_digest);
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
    Ok(())
}

pub(super) fn decode(content: &[u8]) -> Result<Manifest, ManifestError> {
    let mut input = Reader(content);
    if input.array::<4>()? != MAGIC || input.array()? != [FORMAT, SUITE] {
        return Err(ManifestError::Format);
    }
    let tenant = decode_tenant(&mut input)?;
    let epoch = input.u32()?;
    let public_key = PublicKey::try_from(&input.array()?).map_err(|_| ManifestError::Content)?;
    let (snapshot, version, changed_at) = (input.u64()?, input.u64()?, input.u64()?);
    let previous = input.array::<DIGEST_BYTES>()?;
    let (capacity, [k], u) = (input.u64()?, input.array()?, input.u64()?);
    let universe = Universe::from_parts(capacity, k, u).map_err(|_| ManifestError::Content)?;
    let policy = decode_policy(&mut input)?;
    let n_segments = input.u32()?;
    if n_segments != universe.segment_count() {
        return Err(ManifestError::Content);
    }
    let segments = (0..n_segments).map(|_| decode_segment(&mut input)).collect::<Result<_, _>>()?;
    if !input.0.is_empty() {
        return Err(ManifestError::Format);
    }
    let manifest = Manifest {
        tenant,
        epoch,
        public_key,
        snapshot,
        version,
        changed_at,
        previous,
        universe,
        segments,
        policy,
    };
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
    })
}

fn decode_segment(input: &mut Reader<'_>) -> Result<SegmentInfo, ManifestError> {
    Ok(SegmentInfo {
        members: input.u32()?,
        set_bytes: input.u32()?,
        set_digest: input.array()?,
        labels_digest: input.array()?,
    })
}

/// What both sides demand of a manifest beyond its layout.
fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let classes = &manifest.policy.padding_classes;
    let ascending = classes.is_sorted_by(|a, b| a < b);
    let in_range =
        classes.iter().all(|&class| (1..=BATCH_ELEMENTS_MAX).contains(&(class as usize)));
    let segments_fit =
        manifest.segments.iter().all(|segment| segment.set_bytes as usize <= SEGMENT_BYTES_MAX);
    let consistent = !classes.is_empty()
        && ascending
        && in_range
        && segments_fit
        && manifest.members() <= DIRECTORY_MEMBERS_MAX
        && manifest.segments.len() == manifest.universe.segment_count() as usize;
    if consistent { Ok(()) } else { Err(ManifestError::Content) }
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
