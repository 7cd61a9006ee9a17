//! The vector word as eight `u64`, with the exact semantics of the instructions.
//!
//! Its operations are not inlined: the kernels inline everything else, and eight lanes of plain
//! integers for each operation would take the compiler many minutes.

use super::fma::{self, Float, Half, Halves, TAG};
use super::kernels::implement_kernels;
use super::limbs;
use super::madd52::{self, WideMultiply};
use super::word::{LANES, Word};
use core::array;
use zeroize::Zeroize;

/// Eight lanes in plain integers. `FMA` says how they multiply: as `fma` has it, or as `madd52`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Emulated<const FMA: bool>([u64; LANES]);

impl<const FMA: bool> Zeroize for Emulated<FMA> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<const FMA: bool> Emulated<FMA> {
    fn map2(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Emulated(array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }

    /// The 104-bit products of the low 52 bits.
    fn product_52(a: Self, b: Self) -> [u128; LANES] {
        let low = (1 << 52) - 1;
        array::from_fn(|lane| u128::from(a.0[lane] & low) * u128::from(b.0[lane] & low))
    }
}

impl<const FMA: bool> Word for Emulated<FMA> {
    #[inline(never)]
    fn splat(value: u64) -> Self {
        Emulated([value; LANES])
    }
    #[inline(never)]
    fn from_lanes(lanes: [u64; LANES]) -> Self {
        Emulated(lanes)
    }
    #[inline(never)]
    fn to_lanes(self) -> [u64; LANES] {
        self.0
    }
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        self.map2(other, u64::wrapping_add)
    }
    #[inline(never)]
    fn sub(self, other: Self) -> Self {
        self.map2(other, u64::wrapping_sub)
    }
    #[inline(never)]
    fn add_19_times(self, other: Self) -> Self {
        self.map2(other, |a, b| a.wrapping_add(19 * u64::from(b as u32)))
    }
    #[inline(never)]
    fn shl<const N: u32>(self) -> Self {
        Emulated(self.0.map(|lane| lane << N))
    }
    #[inline(never)]
    fn shr<const N: u32>(self) -> Self {
        Emulated(self.0.map(|lane| lane >> N))
    }
    #[inline(never)]
    fn and(self, other: Self) -> Self {
        self.map2(other, |a, b| a & b)
    }
    #[inline(never)]
    fn or(self, other: Self) -> Self {
        self.map2(other, |a, b| a | b)
    }
    #[inline(never)]
    fn xor(self, other: Self) -> Self {
        self.map2(other, |a, b| a ^ b)
    }
    #[inline(never)]
    fn equal_mask(self, other: Self) -> Self {
        self.map2(other, |a, b| if a == b { u64::MAX } else { 0 })
    }
    #[inline(never)]
    fn lane_bits(self) -> u8 {
        (0..LANES).map(|lane| ((self.0[lane] & 1) as u8) << lane).sum()
    }
    #[inline(never)]
    fn bit_mask(self) -> Self {
        Emulated(self.0.map(u64::wrapping_neg))
    }
    #[inline(never)]
    fn select(self, one: Self, zero: Self) -> Self {
        self.and(one).or(self.xor(Self::splat(u64::MAX)).and(zero))
    }
    #[inline(never)]
    fn scan(self, value: Self, mask: Self) -> Self {
        self.or(value.and(mask))
    }
    #[inline(never)]
    fn lookup(table: &[Self; 2], index: Self) -> Self {
        Emulated(index.0.map(|i| table[(i >> 3 & 1) as usize].0[(i & 7) as usize]))
    }

    #[inline(never)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        array::from_fn(|column| Emulated(rows.map(|row| row.0[column])))
    }
    #[inline(never)]
    fn product<const BIAS: u32>(a: &[Self; 5], b: &[Self; 5]) -> [Self; 5] {
        if FMA { fma::product::<_, BIAS>(a, b) } else { madd52::product::<_, BIAS>(a, b) }
    }
    #[inline(never)]
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5] {
        if FMA { fma::square::<_, BIAS>(a) } else { madd52::square::<_, BIAS>(a) }
    }
    #[inline(never)]
    fn carry(columns: &[Self; 5]) -> [Self; 5] {
        limbs::carry(columns)
    }
    #[inline(never)]
    fn freeze(limbs: &[Self; 5]) -> [Self; 5] {
        limbs::freeze(limbs)
    }
}

impl<const FMA: bool> WideMultiply for Emulated<FMA> {
    #[inline(never)]
    fn mul(self, other: Self) -> Self {
        self.map2(other, u64::wrapping_mul)
    }
    #[inline(never)]
    fn madd_lo(self, a: Self, b: Self) -> Self {
        let product = Self::product_52(a, b);
        let low = (1 << 52) - 1;
        Emulated(array::from_fn(|i| self.0[i].wrapping_add((product[i] & low) as u64)))
    }
    #[inline(never)]
    fn madd_hi(self, a: Self, b: Self) -> Self {
        let product = Self::product_52(a, b);
        Emulated(array::from_fn(|i| self.0[i].wrapping_add((product[i] >> 52) as u64)))
    }
}

/// Half of the lanes.
#[derive(Clone, Copy)]
pub(crate) struct EmulatedHalf([u64; LANES / 2]);

impl EmulatedHalf {
    /// The value of each lane.
    pub(crate) fn lanes(self) -> [u64; LANES / 2] {
        self.0
    }
}

/// As many doubles.
#[derive(Clone, Copy)]
pub(crate) struct EmulatedFloat([f64; LANES / 2]);

impl Float for EmulatedFloat {
    #[inline(never)]
    fn splat(value: f64) -> Self {
        Self([value; LANES / 2])
    }
    #[inline(never)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], addend.0[lane])))
    }
    #[inline(never)]
    fn sub(self, other: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }
}

impl Half for EmulatedHalf {
    type Float = EmulatedFloat;

    #[inline(never)]
    fn splat(value: u64) -> Self {
        Self([value; LANES / 2])
    }
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        Self(array::from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }
    #[inline(never)]
    fn shl<const N: u32>(self) -> Self {
        Self(self.0.map(|lane| lane << N))
    }
    #[inline(never)]
    fn to_float(self) -> EmulatedFloat {
        fma::untag(EmulatedFloat(self.0.map(|lane| f64::from_bits(lane | TAG))))
    }
    #[inline(never)]
    fn splitter() -> EmulatedFloat {
        Float::splat(fma::SPLITTER)
    }
    #[inline(never)]
    fn split(a: EmulatedFloat, b: EmulatedFloat, splitter: EmulatedFloat) -> (Self, Self) {
        let (high, low) = fma::split(a, b, splitter);
        (Self(high.0.map(f64::to_bits)), Self(low.0.map(f64::to_bits)))
    }
}

impl<const FMA: bool> Halves for Emulated<FMA> {
    type Half = EmulatedHalf;

    #[inline(never)]
    fn halves(self) -> [EmulatedHalf; 2] {
        let (halves, _) = self.0.as_chunks();
        [EmulatedHalf(halves[0]), EmulatedHalf(halves[1])]
    }
    #[inline(never)]
    fn from_halves(halves: [EmulatedHalf; 2]) -> Self {
        Self(array::from_fn(|lane| halves[lane / 4].0[lane % 4]))
    }
}

/// The kernels over [`Emulated`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmulatedKernels<const FMA: bool>;

/// A method of `Kernels` as a call of the generic function.
macro_rules! plain_kernel {
    (
        [] $(<const $n:ident>)? $name:ident as $path:path,
        ($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)?
    ) => {
        fn $name$(<const $n: usize>)?(self, $($arg: $type),*) $(-> $result)? {
            $path($($arg),*)
        }
    };
}

implement_kernels!([const FMA: bool] EmulatedKernels<FMA>, Emulated<FMA>, plain_kernel[]);
