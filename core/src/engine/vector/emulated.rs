//! The vector word as eight `u64`, with the exact semantics of the instructions.
//!
//! Its operations are not inlined: the kernels inline everything else, and eight lanes of plain
//! integers for each operation would take the compiler many minutes.

use super::decode::{self, Strings};
use super::digits::SharedDigits;
use super::elligator::{self, UniformStrings};
use super::encode::{self, Doubled};
use super::fixed::{self, FixedTable, MULTIPLES};
use super::kernels::Kernels;
use super::ladder::{self, LaneWork, Table};
use super::limbs;
use super::point::{AffineCached, Extended};
use super::straus::{self, PublicWork};
use super::word::{LANES, Word};
use core::array;
use zeroize::Zeroize;

/// Eight lanes in plain integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Emulated([u64; LANES]);

impl Zeroize for Emulated {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Emulated {
    fn map2(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Emulated(array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }

    /// The 104-bit products of the low 52 bits.
    fn product_52(a: Self, b: Self) -> [u128; LANES] {
        let low = (1 << 52) - 1;
        array::from_fn(|lane| u128::from(a.0[lane] & low) * u128::from(b.0[lane] & low))
    }
}

impl Word for Emulated {
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
    fn mul(self, other: Self) -> Self {
        self.map2(other, u64::wrapping_mul)
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
        limbs::product::<Self, BIAS>(a, b)
    }
    #[inline(never)]
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5] {
        limbs::square::<Self, BIAS>(a)
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

/// The kernels over [`Emulated`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmulatedKernels;

impl Kernels for EmulatedKernels {
    type Word = Emulated;

    fn decode<const N: usize>(
        self,
        strings: [&Strings; N],
        out: &mut [Extended<Emulated>; N],
    ) -> [u8; N] {
        decode::decode(strings, out)
    }
    fn ladder_shared(
        self,
        table: &mut Table<Emulated>,
        digits: &SharedDigits,
        point: &Extended<Emulated>,
        out: &mut Extended<Emulated>,
    ) {
        ladder::ladder_shared(table, digits, point, out);
    }
    fn ladder_lanes(
        self,
        work: &mut LaneWork<Emulated>,
        scalars: &Strings,
        point: &Extended<Emulated>,
        out: &mut Extended<Emulated>,
    ) {
        ladder::ladder_lanes(work, scalars, point, out);
    }
    fn encode_double(
        self,
        points: &[Extended<Emulated>],
        work: &mut [Doubled<Emulated>],
        out: &mut [Strings],
    ) {
        encode::encode_double(points, work, out);
    }
    fn encode<const N: usize>(self, points: [&Extended<Emulated>; N], out: &mut [Strings; N]) {
        encode::encode(points, out);
    }

    fn map_to_group(self, uniform: &UniformStrings, out: &mut Extended<Emulated>) {
        elligator::map_to_group(uniform, out);
    }
    fn odd_multiples(
        self,
        point: &Extended<Emulated>,
        out: &mut [AffineCached<Emulated>; MULTIPLES],
    ) {
        fixed::odd_multiples(point, out);
    }
    fn add_multiple(
        self,
        table: &FixedTable<Emulated>,
        scalars: &Strings,
        subtract: bool,
        sum: &mut Extended<Emulated>,
    ) {
        fixed::add_multiple(table, scalars, subtract, sum);
    }
    fn add_combination(
        self,
        work: &mut [PublicWork<Emulated>],
        scalars: &[Strings],
        points: &[Extended<Emulated>],
        sum: &mut Extended<Emulated>,
    ) {
        straus::add_combination(work, scalars, points, sum);
    }
    fn sum_lanes(self, point: &mut Extended<Emulated>) {
        straus::sum_lanes(point);
    }
}
