//! The curve engine: ristretto255 arithmetic over batches of points.
//!
//! Two back ends give identical bytes on every input:
//!
//! * [`Backend::Ifma`]: eight points at a time in AVX-512 IFMA registers, on machines that have
//!   the instructions;
//! * [`Backend::Dalek`]: curve25519-dalek in its best batch form, everywhere, and for batches so
//!   small that eight lanes do not pay.
//!
//! [`Engine::detect`] chooses at run time.
//!
//! # Constant time
//!
//! [`Engine::evaluate`], [`Engine::multiply_each`], [`Engine::map_to_group`],
//! [`Engine::blind_additive`] and [`Engine::unblind_additive`] take secrets; neither a branch nor
//! an address depends on them. The length of a batch is public. [`Engine::decode`] and
//! [`Engine::linear_combination`] are for public inputs.
//!
//! # Wiping
//!
//! Scalars, their digits, tables of multiples, products and [`Points`] are wiped when they go out
//! of use, on unwinding too, and so is the stack below a driver. What the processor's registers
//! hold after a call is not wiped, nor what the operating system saved of them, nor the stack
//! that curve25519-dalek used on the portable path.

mod current;
mod dalek;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(test)]
mod tests;
#[cfg(any(test, target_arch = "x86_64"))]
mod vector;

use core::fmt;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use current::{ChooseError, choose, scoped};

#[cfg(target_arch = "x86_64")]
use self::ifma::{Ifma, Zmm};
#[cfg(target_arch = "x86_64")]
use self::vector::{batch, fixed::FixedTable};

/// The smallest batch for which eight lanes beat dalek, whose own vector back end, compiled in on
/// request only, moves the point from two to three.
#[cfg(target_arch = "x86_64")]
const IFMA_MIN_POINTS: usize = if cfg!(curve25519_dalek_backend = "avx512") { 3 } else { 2 };

/// What does the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Eight lanes of AVX-512 IFMA.
    Ifma,
    /// curve25519-dalek.
    Dalek,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Ifma => "ifma",
            Backend::Dalek => "dalek",
        })
    }
}

/// A batch holds an encoding that curve25519-dalek would not accept either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEncoding {
    /// The index of the first invalid encoding.
    pub index: usize,
}

impl fmt::Display for InvalidEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "element {} is not a ristretto255 encoding", self.index)
    }
}

impl core::error::Error for InvalidEncoding {}

/// A batch of group elements in the form of the back end that made it. Wiped on drop.
pub struct Points(Form);

enum Form {
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma, batch::Batch<Zmm>),
    Dalek(Vec<RistrettoPoint>),
}

impl Points {
    /// The number of points.
    pub fn len(&self) -> usize {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(_, batch) => batch.len(),
            Form::Dalek(points) => points.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points at some positions, in the order of the positions. Positions are public.
    ///
    /// # Panics
    ///
    /// If a position is past the end.
    pub fn select(&self, positions: &[usize]) -> Self {
        Points(match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => Form::Ifma(*ifma, batch.select(positions)),
            Form::Dalek(points) => Form::Dalek(dalek::select(points, positions)),
        })
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On a client the points are derived from secrets: no coordinates here.
        f.debug_struct("Points").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        match &mut self.0 {
            // The batch wipes itself.
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(..) => {}
            Form::Dalek(points) => points.zeroize(),
        }
    }
}

impl ZeroizeOnDrop for Points {}

/// Multiples of a fixed point, for every back end of the engine that made it.
pub struct FixedBase {
    dalek: Box<RistrettoBasepointTable>,
    #[cfg(target_arch = "x86_64")]
    ifma: Option<FixedTable<Zmm>>,
}

impl fmt::Debug for FixedBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FixedBase").field(&self.dalek.basepoint().compress()).finish()
    }
}

/// The engine: a choice of back end.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    #[cfg(target_arch = "x86_64")]
    ifma: Option<Ifma>,
}

impl Engine {
    /// The engine with the fastest back end this machine supports.
    pub fn detect() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            ifma: Ifma::detect(),
        }
    }

    /// The engine with a certain back end, if this machine supports it.
    pub fn with_backend(backend: Backend) -> Option<Self> {
        let detected = Self::detect();
        match backend {
            Backend::Dalek => Some(Self {
                #[cfg(target_arch = "x86_64")]
                ifma: None,
            }),
            other => (detected.backend() == other).then_some(detected),
        }
    }

    /// The back end for batches above the crossover; below it, it is always dalek.
    pub fn backend(&self) -> Backend {
        #[cfg(target_arch = "x86_64")]
        if self.ifma.is_some() {
            return Backend::Ifma;
        }
        Backend::Dalek
    }

    /// The vector back end, if there is one and a batch of `len` points is worth it.
    #[cfg(target_arch = "x86_64")]
    fn ifma_for(&self, len: usize) -> Option<Ifma> {
        self.ifma.filter(|_| len >= IFMA_MIN_POINTS)
    }

    /// Decodes a batch. Accepts exactly what `CompressedRistretto::decompress` accepts, the
    /// identity included.
    pub fn decode(&self, encodings: &[[u8; 32]]) -> Result<Points, InvalidEncoding> {
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = self.ifma_for(encodings.len()) {
            return match batch::decode(ifma, encodings) {
                Ok(batch) => Ok(Points(Form::Ifma(ifma, batch))),
                Err(index) => Err(InvalidEncoding { index }),
            };
        }
        match dalek::decode(encodings) {
            Ok(points) => Ok(Points(Form::Dalek(points))),
            Err(index) => Err(InvalidEncoding { index }),
        }
    }

    /// The encodings of the points.
    pub fn encode(&self, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => batch::encode(*ifma, batch),
            Form::Dalek(points) => dalek::encode(points),
        }
    }

    /// The encodings of 2·P_i, a fraction of the cost of [`Engine::encode`]. Constant time.
    pub fn encode_doubled(&self, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => batch::encode_doubled(*ifma, batch),
            Form::Dalek(points) => dalek::encode_doubled(points),
        }
    }

    /// The encodings of k·P_i. Constant time in k.
    pub fn evaluate(&self, k: &Scalar, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => batch::evaluate(*ifma, k, batch),
            Form::Dalek(points) => dalek::evaluate(k, points),
        }
    }

    /// The encodings of s_i·P_i. Constant time in the scalars.
    ///
    /// # Panics
    ///
    /// If there are not as many scalars as points.
    pub fn multiply_each(&self, scalars: &[Scalar], points: &Points) -> Vec<[u8; 32]> {
        assert_eq!(scalars.len(), points.len(), "one scalar for each point");
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => batch::multiply_each(*ifma, scalars, batch),
            Form::Dalek(points) => dalek::multiply_each(scalars, points),
        }
    }

    /// The group elements of uniform strings, by the one-way map of RFC 9496: what
    /// `RistrettoPoint::from_uniform_bytes` makes of each. Constant time.
    pub fn map_to_group(&self, uniform: &[[u8; 64]]) -> Points {
        #[cfg(target_arch = "x86_64")]
        if let Some(ifma) = self.ifma_for(uniform.len()) {
            return Points(Form::Ifma(ifma, batch::map_to_group(ifma, uniform)));
        }
        Points(Form::Dalek(dalek::map_to_group(uniform)))
    }

    /// Σ s_i·P_i, the identity for an empty batch. Variable time: scalars and points must be
    /// public.
    ///
    /// # Panics
    ///
    /// If there are not as many scalars as points.
    pub fn linear_combination(&self, scalars: &[Scalar], points: &Points) -> RistrettoPoint {
        assert_eq!(scalars.len(), points.len(), "one scalar for each point");
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => {
                dalek_point(&batch::linear_combination(*ifma, scalars, batch))
            }
            Form::Dalek(points) => dalek::linear_combination(scalars, points),
        }
    }

    /// A table for the base point with a certain encoding, or `None` if it is invalid. Building
    /// it takes on the order of a millisecond.
    pub fn fixed_base(&self, base: &[u8; 32]) -> Option<FixedBase> {
        let point = CompressedRistretto(*base).decompress()?;
        let dalek = Box::new(RistrettoBasepointTable::create(&point));
        #[cfg(target_arch = "x86_64")]
        let ifma = match self.ifma {
            Some(ifma) => Some(batch::fixed_table(ifma, &batch::decode(ifma, &[*base]).ok()?)),
            None => None,
        };
        Some(FixedBase {
            dalek,
            #[cfg(target_arch = "x86_64")]
            ifma,
        })
    }

    /// The encodings of P_i + r_i·G for the base G of a table. Constant time in all arguments.
    ///
    /// # Panics
    ///
    /// If there are not as many scalars as points.
    pub fn blind_additive(
        &self,
        points: &Points,
        r: &[Scalar],
        g_table: &FixedBase,
    ) -> Vec<[u8; 32]> {
        self.add_fixed(points, r, g_table, false)
    }

    /// The encodings of Z_i − r_i·pk for the base pk of a table. Constant time in all arguments.
    ///
    /// Additive unblinding of an *unverified* Z is not safe; the protocol must have checked the
    /// proof over the whole batch before.
    ///
    /// # Panics
    ///
    /// If there are not as many scalars as points.
    pub fn unblind_additive(
        &self,
        points: &Points,
        r: &[Scalar],
        pk_table: &FixedBase,
    ) -> Vec<[u8; 32]> {
        self.add_fixed(points, r, pk_table, true)
    }

    fn add_fixed(
        &self,
        points: &Points,
        scalars: &[Scalar],
        table: &FixedBase,
        subtract: bool,
    ) -> Vec<[u8; 32]> {
        assert_eq!(scalars.len(), points.len(), "one scalar for each point");
        match &points.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Ifma(ifma, batch) => match &table.ifma {
                Some(table) => batch::add_fixed(*ifma, batch, scalars, table, subtract),
                None => {
                    // A table of a dalek engine with points of this one: correct, if slow.
                    let points = zeroize::Zeroizing::new(
                        batch::encode(*ifma, batch).iter().map(dalek_point).collect::<Vec<_>>(),
                    );
                    dalek::add_fixed(&points, scalars, &table.dalek, subtract)
                }
            },
            Form::Dalek(points) => dalek::add_fixed(points, scalars, &table.dalek, subtract),
        }
    }
}

/// The point of an encoding that the engine made itself.
#[cfg(target_arch = "x86_64")]
fn dalek_point(encoding: &[u8; 32]) -> RistrettoPoint {
    CompressedRistretto(*encoding).decompress().expect("the engine encodes only group elements")
}
