//! The curve engine: ristretto255 arithmetic over batches of points.
//!
//! Three back ends give identical bytes on every input:
//!
//! * [`Backend::Ifma`]: eight points at a time in AVX-512 IFMA registers, on machines that have
//!   the instructions;
//! * [`Backend::Avx2`]: eight points at a time in pairs of AVX2 registers, on machines that have
//!   AVX2 and fused multiply-add, but not those;
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

#[cfg(target_arch = "x86_64")]
mod avx2;
mod current;
mod dalek;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(test)]
mod tests;
#[cfg(any(test, target_arch = "x86_64"))]
mod vector;
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables, reason = "there are no values"))]
mod vectorized;

use core::fmt;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use current::{ChooseError, choose, scoped};

use self::vectorized::{Vectorized, VectorizedPoints, VectorizedTable};

/// What does the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Eight lanes of AVX-512 IFMA.
    Ifma,
    /// Eight lanes of AVX2 with fused multiply-add.
    Avx2,
    /// curve25519-dalek.
    Dalek,
}

impl Backend {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Ifma, Self::Avx2, Self::Dalek];

    /// Whether it computes with several points at a time.
    pub const fn is_vectorized(self) -> bool {
        !matches!(self, Self::Dalek)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Ifma => "ifma",
            Backend::Avx2 => "avx2",
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
    Vectorized(VectorizedPoints),
    Dalek(Vec<RistrettoPoint>),
}

impl Points {
    /// The number of points.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Vectorized(points) => points.len(),
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
            Form::Vectorized(points) => Form::Vectorized(points.select(positions)),
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
            Form::Vectorized(_) => {}
            Form::Dalek(points) => points.zeroize(),
        }
    }
}

impl ZeroizeOnDrop for Points {}

/// Multiples of a fixed point, for every back end of the engine that made it.
pub struct FixedBase {
    dalek: Box<RistrettoBasepointTable>,
    vectorized: Option<VectorizedTable>,
}

impl fmt::Debug for FixedBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FixedBase").field(&self.dalek.basepoint().compress()).finish()
    }
}

/// The engine: a choice of back end.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    vectorized: Option<Vectorized>,
}

impl Engine {
    /// The engine with the fastest back end this machine supports.
    pub fn detect() -> Self {
        Self { vectorized: Vectorized::detect() }
    }

    /// The engine with a certain back end, if this machine supports it.
    pub fn with_backend(backend: Backend) -> Option<Self> {
        let vectorized = Vectorized::with_backend(backend);
        (vectorized.is_some() || backend == Backend::Dalek).then_some(Self { vectorized })
    }

    /// The back end for batches above the crossover; below it, it is always dalek.
    pub fn backend(&self) -> Backend {
        self.vectorized.map_or(Backend::Dalek, Vectorized::backend)
    }

    /// The vector back end, if there is one and a batch of `len` points is worth it.
    fn vectorized_for(&self, len: usize) -> Option<Vectorized> {
        self.vectorized.filter(|vectorized| len >= vectorized.min_points())
    }

    /// Decodes a batch. Accepts exactly what `CompressedRistretto::decompress` accepts, the
    /// identity included.
    pub fn decode(&self, encodings: &[[u8; 32]]) -> Result<Points, InvalidEncoding> {
        let decoded = match self.vectorized_for(encodings.len()) {
            Some(vectorized) => vectorized.decode(encodings).map(Form::Vectorized),
            None => dalek::decode(encodings).map(Form::Dalek),
        };
        decoded.map(Points).map_err(|index| InvalidEncoding { index })
    }

    /// The encodings of the points.
    pub fn encode(&self, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            Form::Vectorized(points) => points.encode(),
            Form::Dalek(points) => dalek::encode(points),
        }
    }

    /// The encodings of 2·P_i, a fraction of the cost of [`Engine::encode`]. Constant time.
    pub fn encode_doubled(&self, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            Form::Vectorized(points) => points.encode_doubled(),
            Form::Dalek(points) => dalek::encode_doubled(points),
        }
    }

    /// The encodings of k·P_i. Constant time in k.
    pub fn evaluate(&self, k: &Scalar, points: &Points) -> Vec<[u8; 32]> {
        match &points.0 {
            Form::Vectorized(points) => points.evaluate(k),
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
            Form::Vectorized(points) => points.multiply_each(scalars),
            Form::Dalek(points) => dalek::multiply_each(scalars, points),
        }
    }

    /// The group elements of uniform strings, by the one-way map of RFC 9496: what
    /// `RistrettoPoint::from_uniform_bytes` makes of each. Constant time.
    pub fn map_to_group(&self, uniform: &[[u8; 64]]) -> Points {
        Points(match self.vectorized_for(uniform.len()) {
            Some(vectorized) => Form::Vectorized(vectorized.map_to_group(uniform)),
            None => Form::Dalek(dalek::map_to_group(uniform)),
        })
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
            Form::Vectorized(points) => dalek_point(&points.linear_combination(scalars)),
            Form::Dalek(points) => dalek::linear_combination(scalars, points),
        }
    }

    /// A table for the base point with a certain encoding, or `None` if it is invalid. Building
    /// it takes on the order of a millisecond.
    pub fn fixed_base(&self, base: &[u8; 32]) -> Option<FixedBase> {
        let point = CompressedRistretto(*base).decompress()?;
        let dalek = Box::new(RistrettoBasepointTable::create(&point));
        let vectorized = match self.vectorized {
            Some(vectorized) => Some(vectorized.fixed_table(base)?),
            None => None,
        };
        Some(FixedBase { dalek, vectorized })
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
            Form::Vectorized(points) => table
                .vectorized
                .as_ref()
                .and_then(|table| points.add_fixed(scalars, table, subtract))
                .unwrap_or_else(|| {
                    // A table of another engine than the points: correct, if slow.
                    let points: Vec<_> = points.encode().iter().map(dalek_point).collect();
                    let points = Zeroizing::new(points);
                    dalek::add_fixed(&points, scalars, &table.dalek, subtract)
                }),
            Form::Dalek(points) => dalek::add_fixed(points, scalars, &table.dalek, subtract),
        }
    }
}

/// The point of an encoding that the engine made itself.
fn dalek_point(encoding: &[u8; 32]) -> RistrettoPoint {
    CompressedRistretto(*encoding).decompress().expect("the engine encodes only group elements")
}
