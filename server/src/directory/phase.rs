//! How far a rotation of the key has come: what the store keeps of it across restarts.

use std::fmt;

use acquaint_core::limits::ELEMENT_BYTES;

use super::DirectoryError;
use crate::store::Handle;

/// The two epochs of a rotation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// The epoch whose key is to be destroyed.
    pub from: u32,
    /// The epoch after it.
    pub to: u32,
    /// The public key of `to`, encoded: another seed than the one that rows were moved to is
    /// noticed before anything is done with it.
    pub to_key: [u8; ELEMENT_BYTES],
}

/// The phase of a rotation. Each follows the one before it, and the first follows the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No rotation: one epoch is served.
    Settled,
    /// Rows are being moved to the next epoch, which nobody sees yet. Changes go to both.
    Moving {
        /// Which epochs.
        epochs: Epochs,
        /// The last row of `from` that is known to have been moved; those before it have been,
        /// too.
        after: Option<Handle>,
    },
    /// Both epochs are served; changes go to both.
    Grace {
        /// Which epochs.
        epochs: Epochs,
        /// When the grace period began, in seconds since 1970.
        since_s: u64,
    },
    /// Only `to` is served; rows and key of `from` are being destroyed.
    Retiring {
        /// Which epochs.
        epochs: Epochs,
    },
}

const FORMAT: u8 = 1;
const MOVING: u8 = 1;
const GRACE: u8 = 2;
const RETIRING: u8 = 3;

impl Phase {
    /// The epochs of the rotation, if there is one.
    #[must_use]
    pub const fn epochs(&self) -> Option<&Epochs> {
        match self {
            Self::Settled => None,
            Self::Moving { epochs, .. }
            | Self::Grace { epochs, .. }
            | Self::Retiring { epochs } => Some(epochs),
        }
    }

    /// The phase as it is kept: nothing if there is no rotation. Else a version, the phase, both
    /// epochs and the public key of the second; then the handle, if there is one, or the time.
    /// Integers are big endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (number, rest) = match self {
            Self::Settled => return Vec::new(),
            Self::Moving { after, .. } => {
                (MOVING, after.map(|handle| handle.as_bytes().to_vec()).unwrap_or_default())
            }
            Self::Grace { since_s, .. } => (GRACE, since_s.to_be_bytes().to_vec()),
            Self::Retiring { .. } => (RETIRING, Vec::new()),
        };
        let mut bytes = vec![FORMAT, number];
        if let Some(Epochs { from, to, to_key }) = self.epochs() {
            bytes.extend([from.to_be_bytes(), to.to_be_bytes()].as_flattened());
            bytes.extend(to_key);
        }
        bytes.extend(rest);
        bytes
    }

    /// Reads what was kept.
    ///
    /// # Errors
    /// [`DirectoryError::Phase`] for anything that [`Phase::encode`] does not give.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DirectoryError> {
        if bytes.is_empty() {
            return Ok(Self::Settled);
        }
        let (&[format, number], rest) = bytes.split_first_chunk().ok_or(DirectoryError::Phase)?;
        let (from, rest) = rest.split_first_chunk().ok_or(DirectoryError::Phase)?;
        let (to, rest) = rest.split_first_chunk().ok_or(DirectoryError::Phase)?;
        let (to_key, rest) = rest.split_first_chunk().ok_or(DirectoryError::Phase)?;
        let (from, to) = (u32::from_be_bytes(*from), u32::from_be_bytes(*to));
        if format != FORMAT || from.checked_add(1) != Some(to) {
            return Err(DirectoryError::Phase);
        }
        let epochs = Epochs { from, to, to_key: *to_key };
        match (number, rest) {
            (MOVING, []) => Ok(Self::Moving { epochs, after: None }),
            (MOVING, handle) => {
                let handle = handle.try_into().map_err(|_| DirectoryError::Phase)?;
                Ok(Self::Moving { epochs, after: Some(Handle::new(handle)) })
            }
            (GRACE, since_s) => {
                let since_s = since_s.try_into().map_err(|_| DirectoryError::Phase)?;
                Ok(Self::Grace { epochs, since_s: u64::from_be_bytes(since_s) })
            }
            (RETIRING, []) => Ok(Self::Retiring { epochs }),
            _ => Err(DirectoryError::Phase),
        }
    }
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settled => "settled",
            Self::Moving { .. } => "moving",
            Self::Grace { .. } => "grace",
            Self::Retiring { .. } => "retiring",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases() -> Vec<Phase> {
        let epochs = Epochs { from: 7, to: 8, to_key: [0xAB; 32] };
        vec![
            Phase::Settled,
            Phase::Moving { epochs, after: None },
            Phase::Moving { epochs, after: Some(Handle::new([0x5A; 32])) },
            Phase::Grace { epochs, since_s: 1_700_000_000 },
            Phase::Retiring { epochs },
        ]
    }

    #[test]
    fn what_is_kept_is_read() {
        for phase in phases() {
            assert_eq!(Phase::decode(&phase.encode()).unwrap(), phase);
        }
    }

    #[test]
    fn the_layout_is_fixed() {
        let [_, _, _, grace, _] = &phases()[..] else { panic!("five phases") };
        let mut expected = vec![1, 2, 0, 0, 0, 7, 0, 0, 0, 8];
        expected.extend([0xAB; 32]);
        expected.extend(1_700_000_000_u64.to_be_bytes());
        assert_eq!(grace.encode(), expected);
    }

    #[test]
    fn anything_else_is_refused() {
        let refused = |bytes: &[u8]| {
            assert_eq!(Phase::decode(bytes), Err(DirectoryError::Phase), "{bytes:?}");
        };
        for phase in phases() {
            let bytes = phase.encode();
            for length in 1..bytes.len() {
                // A moving phase without its handle is one that has moved nothing yet.
                if !(matches!(phase, Phase::Moving { .. }) && length == 42) {
                    refused(&bytes[..length]);
                }
            }
            if phase != Phase::Settled && !matches!(phase, Phase::Moving { after: None, .. }) {
                refused(&[&bytes[..], &[0]].concat());
            }
        }
        let [_, moving, ..] = &phases()[..] else { panic!("five phases") };
        for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 4), (5, 8), (9, 9)] {
            let mut bytes = moving.encode();
            bytes[at] = value;
            refused(&bytes);
        }
    }
}
