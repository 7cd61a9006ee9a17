//! What all parts of a state have in common on disk: preamble, fields, trailer.

use std::ops::Range;

use acquaint_core::manifest::TenantName;

use super::{Binding, PartBytes, StateError, binding::PinDigest};

const MAGIC: [u8; 4] = *b"ACQS";
const FORMAT: u8 = 1;
/// Length of the trailer, and of every other digest, in bytes.
pub(super) const DIGEST_BYTES: usize = 32;

/// Which part it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Core = 0,
    Snapshot = 1,
}

/// Where a layout is written to: once to count its bytes, once for real.
///
/// A buffer that grew would leave copies of secrets behind, so its length is counted first.
pub(super) trait Output {
    fn bytes(&mut self, bytes: &[u8]);

    fn u8(&mut self, n: u8) {
        self.bytes(&[n]);
    }

    fn u32(&mut self, n: u32) {
        self.bytes(&n.to_le_bytes());
    }

    fn u64(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }

    fn count_u8(&mut self, n: usize) -> Result<(), StateError> {
        self.u8(u8::try_from(n).map_err(|_| StateError::TooLarge)?);
        Ok(())
    }

    fn flag(&mut self, is_set: bool) {
        self.u8(is_set.into());
    }

    /// A length in four bytes, then the bytes.
    fn counted(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.count(bytes.len())?;
        self.bytes(bytes);
        Ok(())
    }

    fn count(&mut self, n: usize) -> Result<(), StateError> {
        self.u32(u32::try_from(n).map_err(|_| StateError::TooLarge)?);
        Ok(())
    }
}

impl Output for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

struct Counter(u64);

impl Output for Counter {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len() as u64);
    }
}

/// A body that knows its layout.
pub(super) trait Body {
    const KIND: Kind;
    const BYTES_MAX: u64;

    fn write(&self, out: &mut impl Output) -> Result<(), StateError>;
}

/// A part with preamble and trailer, in a buffer that never moved.
pub(super) fn seal(
    tenant: &TenantName,
    pin: &PinDigest,
    body: &impl Body,
) -> Result<PartBytes, StateError> {
    let length = sealed_length(tenant, pin, body)?;
    let mut out = Vec::with_capacity(length);
    write_unsealed(&mut out, tenant, pin, body)?;
    let trailer = blake3::hash(&out);
    out.bytes(trailer.as_bytes());
    debug_assert_eq!(out.len(), length, "both passes write the same");
    Ok(out.into())
}

fn sealed_length<B: Body>(
    tenant: &TenantName,
    pin: &PinDigest,
    body: &B,
) -> Result<usize, StateError> {
    let mut counter = Counter(DIGEST_BYTES as u64);
    write_unsealed(&mut counter, tenant, pin, body)?;
    within(counter.0, B::BYTES_MAX)?;
    usize::try_from(counter.0).map_err(|_| StateError::TooLarge)
}

fn write_unsealed<B: Body>(
    out: &mut impl Output,
    tenant: &TenantName,
    pin: &PinDigest,
    body: &B,
) -> Result<(), StateError> {
    let name = tenant.as_str().as_bytes();
    out.bytes(&MAGIC);
    out.bytes(&[FORMAT, B::KIND as u8]);
    out.u8(u8::try_from(name.len()).map_err(|_| StateError::TooLarge)?);
    out.bytes(name);
    out.bytes(&pin.0);
    body.write(out)
}

/// Refuses lengths past a limit.
pub(super) fn within(length: u64, length_max: u64) -> Result<(), StateError> {
    if length <= length_max { Ok(()) } else { Err(StateError::TooLarge) }
}

/// A part whose trailer and preamble have been checked: its digest, tenant, and body to be read.
pub(super) struct Opened<'a> {
    pub(super) digest: [u8; DIGEST_BYTES],
    pub(super) tenant: TenantName,
    pub(super) body: Reader<'a>,
}

/// Checks everything that all versions have in common, in this order: trailer, kind, owner,
/// version. So a foreign state is never mistaken for one that may be replaced.
pub(super) fn open<'a>(
    bytes: &'a [u8],
    kind: Kind,
    binding: &Binding,
) -> Result<Opened<'a>, StateError> {
    let (content, trailer) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(StateError::Corrupt)?;
    let mut body = Reader { rest: content, position: 0 };
    if body.array()? != MAGIC || blake3::hash(content).as_bytes() != trailer {
        return Err(StateError::Corrupt);
    }
    let [format, found_kind, name_length] = body.array()?;
    if found_kind != kind as u8 {
        return Err(StateError::Corrupt);
    }
    let name = std::str::from_utf8(body.take(name_length.into())?);
    let tenant: TenantName =
        name.ok().and_then(|name| name.parse().ok()).ok_or(StateError::Corrupt)?;
    if !binding.admits(&tenant, &PinDigest(body.array()?)) {
        return Err(StateError::Foreign);
    }
    match format {
        FORMAT => Ok(Opened { digest: *trailer, tenant, body }),
        0 => Err(StateError::Corrupt),
        _ => Err(StateError::NewerVersion),
    }
}

/// Takes fields from the front; running out is [`StateError::Corrupt`].
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes taken since the beginning of the part.
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(StateError::Corrupt)?;
        self.rest = rest;
        self.position += n;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        self.take(N)?.try_into().map_err(|_| StateError::Corrupt)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn flag(&mut self) -> Result<bool, StateError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(StateError::Corrupt),
        }
    }

    /// A length in four bytes, then the bytes.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], StateError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| StateError::Corrupt)?)
    }

    /// Like `counted`, but where in the part the bytes are.
    pub(super) fn counted_range(&mut self) -> Result<Range<usize>, StateError> {
        let length = self.counted()?.len();
        Ok(self.position - length..self.position)
    }

    /// A number of records of which each takes at least so many bytes: what is there bounds what
    /// is allocated.
    pub(super) fn count(&mut self, record_bytes: usize) -> Result<usize, StateError> {
        let n = usize::try_from(self.u32()?).map_err(|_| StateError::Corrupt)?;
        let fits = n.checked_mul(record_bytes).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(n) } else { Err(StateError::Corrupt) }
    }

    pub(super) const fn finish(self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Corrupt) }
    }
}
