//! The vector back ends as one: which of them this machine has, and dispatch to its kernels.
//!
//! On architectures without one, [`Vectorized`] and its companions have no values, and everything
//! that would take one is compiled away.

use curve25519_dalek::scalar::Scalar;

use super::Backend;
#[cfg(target_arch = "x86_64")]
use super::{
    avx2::{Avx2, Ymm},
    ifma::{Ifma, Zmm},
    vector::{
        batch::{self, Batch},
        fixed::FixedTable,
    },
};

/// A vector back end that this machine can run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Vectorized {
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
}

/// A batch of points in groups of lanes. Wiped on drop.
pub(super) enum VectorizedPoints {
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma, Batch<Zmm>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, Batch<Ymm>),
}

/// Multiples of a fixed point.
pub(super) enum VectorizedTable {
    #[cfg(target_arch = "x86_64")]
    Ifma(FixedTable<Zmm>),
    #[cfg(target_arch = "x86_64")]
    Avx2(FixedTable<Ymm>),
}

/// `$value` for whichever back end `$self` belongs to, with `$name`s for what it holds. With
/// `as $make`, `$make` is the variant of `$enum` for that back end.
macro_rules! dispatch {
    (
        $self:ident: $from:ident($($name:ident),+) $(, $enum:ident as $make:ident)? => $value:expr
    ) => {
        match *$self {
            #[cfg(target_arch = "x86_64")]
            $from::Ifma($(ref $name),+) => {
                $(let $make = $enum::Ifma;)?
                $value
            }
            #[cfg(target_arch = "x86_64")]
            $from::Avx2($(ref $name),+) => {
                $(let $make = $enum::Avx2;)?
                $value
            }
        }
    };
}

impl Vectorized {
    /// The fastest one, if there is any.
    pub(super) fn detect() -> Option<Self> {
        Backend::ALL.into_iter().find_map(Self::with_backend)
    }

    /// A certain one, if this machine can run it and it is a vector back end.
    pub(super) fn with_backend(backend: Backend) -> Option<Self> {
        match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma => Ifma::detect().map(Self::Ifma),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => Avx2::detect().map(Self::Avx2),
            _ => None,
        }
    }

    /// Its name.
    pub(super) fn backend(self) -> Backend {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => Backend::Ifma,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Backend::Avx2,
        }
    }

    /// The smallest batch for which its lanes beat dalek.
    pub(super) fn min_points(self) -> usize {
        match self {
            // Dalek's own vector back end, compiled in on request only, moves the point.
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) if cfg!(curve25519_dalek_backend = "avx512") => 3,
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => 2,
            // Four for an evaluation alone; the sum for a proof over one group is dearer.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 6,
        }
    }

    /// Decodes a batch, or returns the index of the first invalid encoding.
    pub(super) fn decode(&self, encodings: &[[u8; 32]]) -> Result<VectorizedPoints, usize> {
        dispatch!(self: Vectorized(kernels), VectorizedPoints as points => {
            batch::decode(*kernels, encodings).map(|batch| points(*kernels, batch))
        })
    }

    /// The points of uniform strings.
    pub(super) fn map_to_group(&self, uniform: &[[u8; 64]]) -> VectorizedPoints {
        dispatch!(self: Vectorized(kernels), VectorizedPoints as points => {
            points(*kernels, batch::map_to_group(*kernels, uniform))
        })
    }

    /// A table for the base point with a certain encoding, or `None` if it is invalid.
    pub(super) fn fixed_table(&self, base: &[u8; 32]) -> Option<VectorizedTable> {
        dispatch!(self: Vectorized(kernels), VectorizedTable as table => {
            let base = batch::decode(*kernels, &[*base]).ok()?;
            Some(table(batch::fixed_table(*kernels, &base)))
        })
    }
}

impl VectorizedPoints {
    /// The number of points.
    pub(super) fn len(&self) -> usize {
        dispatch!(self: VectorizedPoints(_kernels, batch) => batch.len())
    }

    /// The points at some positions, which are public.
    pub(super) fn select(&self, positions: &[usize]) -> Self {
        dispatch!(self: VectorizedPoints(kernels, batch), VectorizedPoints as points => {
            points(*kernels, batch.select(positions))
        })
    }

    /// The encodings of the points.
    pub(super) fn encode(&self) -> Vec<[u8; 32]> {
        dispatch!(self: VectorizedPoints(kernels, batch) => batch::encode(*kernels, batch))
    }

    /// The encodings of twice the points.
    pub(super) fn encode_doubled(&self) -> Vec<[u8; 32]> {
        dispatch!(self: VectorizedPoints(kernels, batch) => batch::encode_doubled(*kernels, batch))
    }

    /// The encodings of the points times k.
    pub(super) fn evaluate(&self, k: &Scalar) -> Vec<[u8; 32]> {
        dispatch!(self: VectorizedPoints(kernels, batch) => batch::evaluate(*kernels, k, batch))
    }

    /// The encodings of each point times its own scalar.
    pub(super) fn multiply_each(&self, scalars: &[Scalar]) -> Vec<[u8; 32]> {
        dispatch!(self: VectorizedPoints(kernels, batch) => {
            batch::multiply_each(*kernels, scalars, batch)
        })
    }

    /// The encoding of Σ s_i·P_i, in variable time.
    pub(super) fn linear_combination(&self, scalars: &[Scalar]) -> [u8; 32] {
        dispatch!(self: VectorizedPoints(kernels, batch) => {
            batch::linear_combination(*kernels, scalars, batch)
        })
    }

    /// The encodings of P_i + s_i·B, or of P_i − s_i·B, for the base B of a table; `None` if the
    /// table is another back end's.
    pub(super) fn add_fixed(
        &self,
        scalars: &[Scalar],
        table: &VectorizedTable,
        subtract: bool,
    ) -> Option<Vec<[u8; 32]>> {
        match (self, table) {
            #[cfg(target_arch = "x86_64")]
            (Self::Ifma(kernels, batch), VectorizedTable::Ifma(table)) => {
                Some(batch::add_fixed(*kernels, batch, scalars, table, subtract))
            }
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2(kernels, batch), VectorizedTable::Avx2(table)) => {
                Some(batch::add_fixed(*kernels, batch, scalars, table, subtract))
            }
            _ => None,
        }
    }
}
