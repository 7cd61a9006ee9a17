//! Golomb–Rice codes of gaps: a bit writer and a bit reader.
//!
//! A gap with parameter `p` is `gap >> p` one-bits, a zero-bit, then the `p` low bits, least
//! significant first. Bits fill bytes from the least significant end; the last byte is padded
//! with zeros. The parameter is an argument because the lists of a delta use others.

use super::SetError;

/// Bits that are always valid in a 64-bit window loaded at a byte and shifted by up to 7 bits.
const WINDOW_BITS: u32 = 57;

/// Most bits that one push takes, so that no shift reaches 64.
const PUSH_BITS: u32 = 63;

/// Writes codes into a growing buffer.
pub(super) struct RiceWriter {
    bytes: Vec<u8>,
    pending: u64,
    /// Valid bits of `pending`, below 64; the others are zero.
    pending_bits: u32,
}

impl RiceWriter {
    /// Continues `bytes`, for example after a header.
    pub(super) fn append_to(bytes: Vec<u8>) -> Self {
        Self { bytes, pending: 0, pending_bits: 0 }
    }

    /// Writes one gap with parameter `p <= 56`.
    #[inline]
    pub(super) fn write(&mut self, gap: u64, p: u32) {
        let mut ones = gap >> p;
        // A run too long for one push with the rest. Rare: with parameter 20 at the planned
        // spacing, one gap in 10^12 has a quotient above 42.
        while ones > u64::from(PUSH_BITS - 1 - p) {
            let run = ones.min(32);
            self.push(mask(run as u32), run as u32);
            ones -= run;
        }
        let ones = u32::try_from(ones).expect("at most PUSH_BITS");
        self.push(mask(ones) | ((gap & mask(p)) << (ones + 1)), ones + 1 + p);
    }

    /// Pads the last byte with zeros and returns all bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let rest = self.pending_bits.div_ceil(8) as usize;
        self.bytes.extend(self.pending.to_le_bytes().iter().take(rest));
        self.bytes
    }

    /// Appends `count <= PUSH_BITS` bits; `bits` has no others.
    #[inline]
    fn push(&mut self, bits: u64, count: u32) {
        self.pending |= bits << self.pending_bits;
        let total = self.pending_bits + count;
        if total < 64 {
            self.pending_bits = total;
            return;
        }
        self.bytes.extend_from_slice(&self.pending.to_le_bytes());
        // As `count < 64 <= total`, some bits were pending and the shift is below 64.
        self.pending = bits >> (64 - self.pending_bits);
        self.pending_bits = total - 64;
    }
}

/// Reads codes from a slice, which the caller has bounded (positions are counted in bits).
pub(super) struct RiceReader<'a> {
    bytes: &'a [u8],
    position_bits: usize,
}

impl<'a> RiceReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position_bits: 0 }
    }

    /// Reads one gap with parameter `p <= 56`.
    ///
    /// # Errors
    /// [`SetError::Truncated`] if the code does not end within the bytes;
    /// [`SetError::ValueRange`] if the gap exceeds 64 bits.
    #[inline]
    pub(super) fn read(&mut self, p: u32) -> Result<u64, SetError> {
        let window = self.window();
        let ones = window.trailing_ones();
        let length = ones + 1 + p;
        if length > WINDOW_BITS {
            return self.read_long(p);
        }
        self.advance(length as usize)?;
        Ok((u64::from(ones) << p) | ((window >> (ones + 1)) & mask(p)))
    }

    /// Checks that nothing but the zero padding of the last byte is left.
    ///
    /// # Errors
    /// [`SetError::TrailingBytes`] for 8 bits or more, [`SetError::Padding`] for a one-bit.
    pub(super) fn finish(self) -> Result<(), SetError> {
        if self.bytes.len() * 8 - self.position_bits >= 8 {
            return Err(SetError::TrailingBytes);
        }
        if self.window() != 0 {
            return Err(SetError::Padding);
        }
        Ok(())
    }

    /// A code longer than the window: the run of ones piece by piece, then the low bits.
    #[cold]
    fn read_long(&mut self, p: u32) -> Result<u64, SetError> {
        let mut quotient = 0u64;
        loop {
            let run = self.window().trailing_ones().min(WINDOW_BITS);
            quotient += u64::from(run);
            self.advance(run as usize)?;
            if run < WINDOW_BITS {
                break;
            }
        }
        self.advance(1)?;
        let low = self.window() & mask(p);
        self.advance(p as usize)?;
        quotient.checked_mul(1 << p).map(|high| high | low).ok_or(SetError::ValueRange)
    }

    #[inline]
    fn advance(&mut self, bits: usize) -> Result<(), SetError> {
        self.position_bits += bits;
        if self.position_bits > self.bytes.len() * 8 {
            return Err(SetError::Truncated);
        }
        Ok(())
    }

    /// The next bits, at least [`WINDOW_BITS`] of them; zeros past the end.
    #[inline]
    fn window(&self) -> u64 {
        let rest = self.bytes.get(self.position_bits / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => last_word(rest),
        };
        word >> (self.position_bits % 8)
    }
}

/// Fewer than eight bytes as a little-endian number.
#[cold]
fn last_word(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

/// The `bits < 64` lowest bits set.
#[inline]
fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}
