//! Reading little-endian fields and sections off the front of bytes.

use super::OverlayError;

/// What is left of the bytes of an overlay or a delta.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], OverlayError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(OverlayError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, OverlayError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, OverlayError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next four numbers.
    pub(super) fn four(&mut self) -> Result<[u32; 4], OverlayError> {
        Ok([self.u32()?, self.u32()?, self.u32()?, self.u32()?])
    }

    /// The next `length` bytes.
    pub(super) fn section(&mut self, length: u64) -> Result<&'a [u8], OverlayError> {
        let length = usize::try_from(length).map_err(|_| OverlayError::Truncated)?;
        let (section, rest) = self.0.split_at_checked(length).ok_or(OverlayError::Truncated)?;
        self.0 = rest;
        Ok(section)
    }

    /// Checks that nothing is left.
    pub(super) fn finish(self) -> Result<(), OverlayError> {
        check(self.0.is_empty(), OverlayError::TrailingBytes)
    }
}

pub(super) fn check(holds: bool, otherwise: OverlayError) -> Result<(), OverlayError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
