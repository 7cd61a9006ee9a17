//! The AVX2 back end: the vector kernels over pairs of 256-bit registers.
//!
//! `unsafe` is for the same two reasons as in `ifma`, under the same conditions: intrinsics of
//! [`Ymm`] and [`Quad`], which are private to this file and to the kernels compiled here; and
//! kernels, which only the methods of [`Avx2`] call, a proof that the machine has the
//! instructions.
//!
//! A word has two registers, and a product takes one after the other: with its operands, columns
//! and constants it just fits sixteen (`vector::fma`). Compiled into the kernels like the rest, it
//! would not: the compiler keeps values of other products alive beside it, and a ladder takes twice
//! as long. So products, and the ends of the point formulas, are functions of their own here, which
//! take addresses of field elements. They have neither a branch nor a call.

#![allow(unsafe_code, reason = "intrinsics and functions with target features, see above")]

use super::vector::field::{Cols, Fe};
use super::vector::fma::{self, Float, Half, Halves, TAG};
use super::vector::kernels::{implement_kernels, target_kernel};
use super::vector::point::{self, Completed};
use super::vector::word::{LANES, Word};
use core::arch::{asm, x86_64::*};
use core::hint::black_box;
use core::mem::transmute;
use zeroize::Zeroize;

/// Proof that the processor and the operating system support the instructions of this file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if the machine has what it takes.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2");
        found.then_some(Self(()))
    }
}

/// Four lanes in one register.
#[derive(Clone, Copy)]
pub(crate) struct Quad(__m256i);

/// Four doubles in one register.
#[derive(Clone, Copy)]
pub(crate) struct QuadFloat(__m256d);

/// Eight lanes in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Ymm([__m256i; 2]);

impl Zeroize for Ymm {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// A call of an intrinsic.
///
/// SAFETY of every use: as in `ifma`. Values of the three types are made and used in kernels
/// alone; the drivers copy a `Ymm` and call `splat`, which compiles to baseline instructions.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: see the macro.
        unsafe { $call }
    };
}

/// An intrinsic on either register.
macro_rules! both {
    ($intrinsic:ident $(::<$n:ident>)?, $($operand:expr),+) => {
        Ymm([
            intrinsic!($intrinsic$(::<$n>)?($($operand.0[0]),+)),
            intrinsic!($intrinsic$(::<$n>)?($($operand.0[1]),+)),
        ])
    };
}

impl Float for QuadFloat {
    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self(intrinsic!(_mm256_set1_pd(value)))
    }
    #[inline(always)]
    fn fma(self, factor: Self, addend: Self) -> Self {
        Self(intrinsic!(_mm256_fmadd_pd(self.0, factor.0, addend.0)))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_sub_pd(self.0, other.0)))
    }
}

impl Half for Quad {
    type Float = QuadFloat;

    #[inline(always)]
    fn splat(value: u64) -> Self {
        let [register, _] = Ymm::splat(value).0;
        Self(register)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(intrinsic!(_mm256_add_epi64(self.0, other.0)))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        let [register, _] = Ymm([self.0; 2]).shl::<N>().0;
        Self(register)
    }
    #[inline(always)]
    fn to_float(self) -> QuadFloat {
        let tagged = intrinsic!(_mm256_or_si256(self.0, Self::splat(TAG).0));
        fma::untag(QuadFloat(intrinsic!(_mm256_castsi256_pd(tagged))))
    }
    #[inline(always)]
    fn splitter() -> QuadFloat {
        QuadFloat::splat(fma::SPLITTER)
    }
    #[inline(always)]
    fn split(a: QuadFloat, b: QuadFloat, splitter: QuadFloat) -> (Self, Self) {
        let (high, low) = fma::split(a, b, splitter);
        let high = intrinsic!(_mm256_castpd_si256(high.0));
        (Self(high), Self(intrinsic!(_mm256_castpd_si256(low.0))))
    }
    #[inline(always)]
    fn in_order(low: Self, high: Self, splitter: QuadFloat) -> (Self, Self, QuadFloat) {
        let (low, high, splitter) = intrinsic!(opaque_registers(low.0, high.0, splitter.0));
        (Self(low), Self(high), QuadFloat(splitter))
    }
}

/// The same values, about which the compiler knows nothing but that they are in registers, and
/// takes each to depend on all.
#[target_feature(enable = "avx2")]
#[inline]
fn opaque_registers(mut a: __m256i, mut b: __m256i, mut c: __m256d) -> (__m256i, __m256i, __m256d) {
    // SAFETY: no instruction at all.
    unsafe {
        asm!("/* {} {} {} */", inout(ymm_reg) a, inout(ymm_reg) b, inout(ymm_reg) c,
            options(pure, nomem, nostack, preserves_flags));
    }
    (a, b, c)
}

impl Halves for Ymm {
    type Half = Quad;

    #[inline(always)]
    fn halves(self) -> [Quad; 2] {
        let [a, b] = self.0;
        [Quad(a), Quad(b)]
    }
    #[inline(always)]
    fn from_halves([a, b]: [Quad; 2]) -> Self {
        Self([a.0, b.0])
    }
}

/// The transpose of four rows of four lanes.
#[inline(always)]
fn transpose_quads([r0, r1, r2, r3]: [__m256i; 4]) -> [__m256i; 4] {
    let even01 = intrinsic!(_mm256_unpacklo_epi64(r0, r1));
    let even23 = intrinsic!(_mm256_unpacklo_epi64(r2, r3));
    let odd01 = intrinsic!(_mm256_unpackhi_epi64(r0, r1));
    let odd23 = intrinsic!(_mm256_unpackhi_epi64(r2, r3));
    // 0x20 takes the lower halves of both operands, 0x31 the upper ones.
    [
        intrinsic!(_mm256_permute2x128_si256::<0x20>(even01, even23)),
        intrinsic!(_mm256_permute2x128_si256::<0x20>(odd01, odd23)),
        intrinsic!(_mm256_permute2x128_si256::<0x31>(even01, even23)),
        intrinsic!(_mm256_permute2x128_si256::<0x31>(odd01, odd23)),
    ]
}

/// In each lane, entry `index` (0..16) of the values that four registers hold.
#[inline(always)]
fn lookup_quad(table: [__m256i; 4], index: __m256i) -> __m256i {
    // The two 32-bit halves of entry i mod 4 are those at 2(i mod 4) and the next.
    let (three, odd) = (Quad::splat(3).0, Quad::splat(1 << 32).0);
    let even = intrinsic!(_mm256_slli_epi64::<1>(_mm256_and_si256(index, three)));
    let even = intrinsic!(_mm256_or_si256(even, _mm256_slli_epi64::<32>(even)));
    let pair = intrinsic!(_mm256_or_si256(even, odd));
    let [a, b, c, d] = table;
    let a = intrinsic!(_mm256_castsi256_pd(_mm256_permutevar8x32_epi32(a, pair)));
    let b = intrinsic!(_mm256_castsi256_pd(_mm256_permutevar8x32_epi32(b, pair)));
    let c = intrinsic!(_mm256_castsi256_pd(_mm256_permutevar8x32_epi32(c, pair)));
    let d = intrinsic!(_mm256_castsi256_pd(_mm256_permutevar8x32_epi32(d, pair)));
    // A blend looks at the sign of its mask: bits 2 and 3 of the index.
    let bit2 = intrinsic!(_mm256_castsi256_pd(_mm256_slli_epi64::<61>(index)));
    let bit3 = intrinsic!(_mm256_castsi256_pd(_mm256_slli_epi64::<60>(index)));
    let ab = intrinsic!(_mm256_blendv_pd(a, b, bit2));
    let cd = intrinsic!(_mm256_blendv_pd(c, d, bit2));
    intrinsic!(_mm256_castpd_si256(_mm256_blendv_pd(ab, cd, bit3)))
}

impl Word for Ymm {
    #[inline(always)]
    fn splat(value: u64) -> Self {
        Self::from_lanes([value; LANES])
    }
    #[inline(always)]
    fn from_lanes(lanes: [u64; LANES]) -> Self {
        // SAFETY: both types are 64 bytes without padding, and every bit pattern is valid.
        Ymm(unsafe { transmute::<[u64; LANES], [__m256i; 2]>(lanes) })
    }
    #[inline(always)]
    fn to_lanes(self) -> [u64; LANES] {
        // SAFETY: both types are 64 bytes without padding, and every bit pattern is valid.
        unsafe { transmute::<[__m256i; 2], [u64; LANES]>(self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        both!(_mm256_add_epi64, self, other)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        both!(_mm256_sub_epi64, self, other)
    }
    #[inline(always)]
    fn add_19_times(self, other: Self) -> Self {
        self.add(both!(_mm256_mul_epu32, other, Self::splat(19)))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        let count = intrinsic!(_mm_cvtsi64_si128(i64::from(N)));
        let [low, high] = self.0;
        Ymm([intrinsic!(_mm256_sll_epi64(low, count)), intrinsic!(_mm256_sll_epi64(high, count))])
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        let count = intrinsic!(_mm_cvtsi64_si128(i64::from(N)));
        let [low, high] = self.0;
        Ymm([intrinsic!(_mm256_srl_epi64(low, count)), intrinsic!(_mm256_srl_epi64(high, count))])
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        both!(_mm256_and_si256, self, other)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        both!(_mm256_or_si256, self, other)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        both!(_mm256_xor_si256, self, other)
    }
    #[inline(always)]
    fn equal_mask(self, other: Self) -> Self {
        both!(_mm256_cmpeq_epi64, self, other)
    }
    #[inline(always)]
    fn lane_bits(self) -> u8 {
        let [low, high] = self.0;
        let low = intrinsic!(_mm256_movemask_pd(_mm256_castsi256_pd(low)));
        let high = intrinsic!(_mm256_movemask_pd(_mm256_castsi256_pd(high)));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "eight bits")]
        let bits = (low | high << 4) as u8;
        bits
    }
    #[inline(always)]
    fn bit_mask(self) -> Self {
        Self::splat(0).sub(self)
    }
    #[inline(always)]
    fn select(self, one: Self, zero: Self) -> Self {
        self.and(one).or(both!(_mm256_andnot_si256, self, zero))
    }
    #[inline(always)]
    fn scan(self, value: Self, mask: Self) -> Self {
        self.or(value.and(mask))
    }
    #[inline(always)]
    fn lookup(table: &[Self; 2], index: Self) -> Self {
        let [Ymm([a, b]), Ymm([c, d])] = *table;
        let [low, high] = index.0;
        Ymm([lookup_quad([a, b, c, d], low), lookup_quad([a, b, c, d], high)])
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [Ymm(r0), Ymm(r1), Ymm(r2), Ymm(r3), Ymm(r4), Ymm(r5), Ymm(r6), Ymm(r7)] = rows;
        let [a0, a1, a2, a3] = transpose_quads([r0[0], r1[0], r2[0], r3[0]]);
        let [b0, b1, b2, b3] = transpose_quads([r4[0], r5[0], r6[0], r7[0]]);
        let [a4, a5, a6, a7] = transpose_quads([r0[1], r1[1], r2[1], r3[1]]);
        let [b4, b5, b6, b7] = transpose_quads([r4[1], r5[1], r6[1], r7[1]]);
        [
            Ymm([a0, b0]),
            Ymm([a1, b1]),
            Ymm([a2, b2]),
            Ymm([a3, b3]),
            Ymm([a4, b4]),
            Ymm([a5, b5]),
            Ymm([a6, b6]),
            Ymm([a7, b7]),
        ]
    }
    #[inline(always)]
    fn product<const BIAS: u32>(a: &[Self; 5], b: &[Self; 5]) -> [Self; 5] {
        intrinsic!(product::<BIAS>(a, b))
    }
    #[inline(always)]
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5] {
        intrinsic!(square::<BIAS>(a))
    }
    #[inline(always)]
    fn product_carried(a: &Fe<Self>, b: &Fe<Self>) -> Fe<Self> {
        intrinsic!(product_carried(a, b))
    }
    #[inline(always)]
    fn square_carried(a: &Fe<Self>) -> Fe<Self> {
        intrinsic!(square_carried(a))
    }
    #[inline(always)]
    fn square_assign(a: &mut Fe<Self>) {
        intrinsic!(square_assign(a));
    }
    #[inline(always)]
    fn complete_double(
        xx: &Cols<Self>,
        yy: &Cols<Self>,
        zz: &Cols<Self>,
        sum_squared: &Cols<Self>,
    ) -> Completed<Self> {
        intrinsic!(complete_double(xx, yy, zz, sum_squared))
    }
    #[inline(always)]
    fn complete_add(
        [p, q]: [&Cols<Self>; 2],
        c: &Cols<Self>,
        [d_plus, d_minus]: [&Cols<Self>; 2],
        negative: Option<Self>,
    ) -> Completed<Self> {
        match negative {
            None => intrinsic!(complete_add(p, q, c, d_plus, d_minus)),
            Some(mask) => intrinsic!(complete_add_signed(p, q, c, d_plus, d_minus, &mask)),
        }
    }
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn complete_double(
    xx: &Cols<Ymm>,
    yy: &Cols<Ymm>,
    zz: &Cols<Ymm>,
    sum_squared: &Cols<Ymm>,
) -> Completed<Ymm> {
    point::complete_double(xx, yy, zz, sum_squared)
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn complete_add(
    p: &Cols<Ymm>,
    q: &Cols<Ymm>,
    c: &Cols<Ymm>,
    d_plus: &Cols<Ymm>,
    d_minus: &Cols<Ymm>,
) -> Completed<Ymm> {
    point::complete_add([p, q], c, [d_plus, d_minus], None)
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn complete_add_signed(
    p: &Cols<Ymm>,
    q: &Cols<Ymm>,
    c: &Cols<Ymm>,
    d_plus: &Cols<Ymm>,
    d_minus: &Cols<Ymm>,
    negative: &Ymm,
) -> Completed<Ymm> {
    point::complete_add([p, q], c, [d_plus, d_minus], Some(*negative))
}

// Functions of their own; see the top of the file. Each is what the method of its name says.

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn product<const BIAS: u32>(a: &[Ymm; 5], b: &[Ymm; 5]) -> [Ymm; 5] {
    fma::product::<Ymm, BIAS>(a, b)
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn square<const BIAS: u32>(a: &[Ymm; 5]) -> [Ymm; 5] {
    fma::square::<Ymm, BIAS>(a)
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn product_carried(a: &Fe<Ymm>, b: &Fe<Ymm>) -> Fe<Ymm> {
    Fe(Ymm::carry(&fma::product::<Ymm, 0>(&a.0, &b.0)))
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn square_carried(a: &Fe<Ymm>) -> Fe<Ymm> {
    Fe(Ymm::carry(&fma::square::<Ymm, 0>(&a.0)))
}

#[target_feature(enable = "avx2,fma,bmi2")]
#[inline(never)]
fn square_assign(a: &mut Fe<Ymm>) {
    a.0 = Ymm::carry(&fma::square::<Ymm, 0>(&a.0));
}

/// Makes the compiler align the calling kernel's stack frame to 32 bytes: spilled registers that
/// straddle cache lines cost speed.
#[inline(always)]
fn align_frame() {
    black_box(Ymm::splat(0));
}

implement_kernels!([] Avx2, Ymm, target_kernel["avx2,fma,bmi2", align_frame]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vector::field_tests::check_field;

    #[test]
    fn field_in_registers_agrees_with_big_integers() {
        if Avx2::detect().is_some() {
            check_field::<Ymm>(40_000 / LANES);
        }
    }
}
