//! The AVX-512 IFMA back end: the vector kernels over 512-bit registers.
//!
//! This is the only file of the engine with `unsafe`, and there are two reasons for it here:
//!
//! * The methods of [`Zmm`] call intrinsics, which need the instructions. `Zmm` is private to
//!   this file and to the kernels compiled here, so that its methods run nowhere else.
//! * The kernels are functions with `#[target_feature]`. Only the methods of [`Ifma`] call them,
//!   and a value of `Ifma` exists only after [`Ifma::detect`] has found every feature.
//!
//! Everything below a kernel is `#[inline(always)]`, so that it is compiled inside the function
//! that enables the instructions.

#![allow(unsafe_code, reason = "intrinsics and functions with target features, see above")]

use super::vector::kernels::{implement_kernels, target_kernel};
use super::vector::madd52::{self, WideMultiply};
use super::vector::word::{LANES, Word};
use core::arch::x86_64::*;
use core::hint::black_box;
use core::mem::transmute;
use zeroize::Zeroize;

/// Proof that the processor and the operating system support the instructions of this file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ifma(());

impl Ifma {
    /// The proof, if the machine has what it takes.
    pub(crate) fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi2");
        found.then_some(Self(()))
    }
}

/// Eight lanes in one register.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512i);

impl Zeroize for Zmm {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Bodies of [`Word`]'s methods.
///
/// SAFETY of every use: the intrinsic only needs the instructions to exist. Values of `Zmm` are
/// made and used in this file's kernels alone, which run under the proof that they do; what the
/// drivers do with a `Zmm` outside of kernels is to copy it and to call `splat`, which compiles
/// to baseline instructions or to intrinsics that the same proof covers.
macro_rules! intrinsic {
    ($call:expr) => {
        // SAFETY: see the macro.
        Zmm(unsafe { $call })
    };
}

impl Zmm {
    /// The transpose of four rows of four 128-bit blocks.
    #[inline(always)]
    fn transpose_blocks(rows: [Self; 4]) -> [Self; 4] {
        let [r0, r1, r2, r3] = rows;
        // 0x88 takes blocks 0 and 2 of both operands, 0xDD blocks 1 and 3.
        let even01 = intrinsic!(_mm512_shuffle_i64x2::<0x88>(r0.0, r1.0));
        let even23 = intrinsic!(_mm512_shuffle_i64x2::<0x88>(r2.0, r3.0));
        let odd01 = intrinsic!(_mm512_shuffle_i64x2::<0xDD>(r0.0, r1.0));
        let odd23 = intrinsic!(_mm512_shuffle_i64x2::<0xDD>(r2.0, r3.0));
        [
            intrinsic!(_mm512_shuffle_i64x2::<0x88>(even01.0, even23.0)),
            intrinsic!(_mm512_shuffle_i64x2::<0x88>(odd01.0, odd23.0)),
            intrinsic!(_mm512_shuffle_i64x2::<0xDD>(even01.0, even23.0)),
            intrinsic!(_mm512_shuffle_i64x2::<0xDD>(odd01.0, odd23.0)),
        ]
    }
}

impl Word for Zmm {
    #[inline(always)]
    fn splat(value: u64) -> Self {
        Self::from_lanes([value; LANES])
    }
    #[inline(always)]
    fn from_lanes(lanes: [u64; LANES]) -> Self {
        // SAFETY: both types are 64 bytes without padding, and every bit pattern is valid.
        Zmm(unsafe { transmute::<[u64; LANES], __m512i>(lanes) })
    }
    #[inline(always)]
    fn to_lanes(self) -> [u64; LANES] {
        // SAFETY: both types are 64 bytes without padding, and every bit pattern is valid.
        unsafe { transmute::<__m512i, [u64; LANES]>(self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        intrinsic!(_mm512_add_epi64(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        intrinsic!(_mm512_sub_epi64(self.0, other.0))
    }
    #[inline(always)]
    fn add_19_times(self, other: Self) -> Self {
        self.madd_lo(other, Self::splat(19))
    }
    #[inline(always)]
    fn shl<const N: u32>(self) -> Self {
        intrinsic!(_mm512_slli_epi64::<N>(self.0))
    }
    #[inline(always)]
    fn shr<const N: u32>(self) -> Self {
        intrinsic!(_mm512_srli_epi64::<N>(self.0))
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        intrinsic!(_mm512_and_si512(self.0, other.0))
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        intrinsic!(_mm512_or_si512(self.0, other.0))
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        intrinsic!(_mm512_xor_si512(self.0, other.0))
    }
    #[inline(always)]
    fn equal_mask(self, other: Self) -> Self {
        intrinsic!(_mm512_movm_epi64(_mm512_cmpeq_epi64_mask(self.0, other.0)))
    }
    #[inline(always)]
    fn lane_bits(self) -> u8 {
        // SAFETY: see `intrinsic`.
        unsafe { _mm512_movepi64_mask(self.0) }
    }
    #[inline(always)]
    fn bit_mask(self) -> Self {
        intrinsic!(_mm512_sub_epi64(_mm512_setzero_si512(), self.0))
    }
    #[inline(always)]
    fn select(self, one: Self, zero: Self) -> Self {
        // 0xCA: the second operand where the first is set, else the third.
        intrinsic!(_mm512_ternarylogic_epi64::<0xCA>(self.0, one.0, zero.0))
    }
    #[inline(always)]
    fn scan(self, value: Self, mask: Self) -> Self {
        // 0xF8: the first operand, or the second and the third.
        intrinsic!(_mm512_ternarylogic_epi64::<0xF8>(self.0, value.0, mask.0))
    }
    #[inline(always)]
    fn lookup(table: &[Self; 2], index: Self) -> Self {
        let [low, high] = table;
        intrinsic!(_mm512_permutex2var_epi64(low.0, index.0, high.0))
    }
    #[inline(always)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
        // Pairs of rows, even columns and odd ones, then a transpose of 128-bit blocks for each.
        let [c0, c2, c4, c6] = Self::transpose_blocks([
            intrinsic!(_mm512_unpacklo_epi64(r0.0, r1.0)),
            intrinsic!(_mm512_unpacklo_epi64(r2.0, r3.0)),
            intrinsic!(_mm512_unpacklo_epi64(r4.0, r5.0)),
            intrinsic!(_mm512_unpacklo_epi64(r6.0, r7.0)),
        ]);
        let [c1, c3, c5, c7] = Self::transpose_blocks([
            intrinsic!(_mm512_unpackhi_epi64(r0.0, r1.0)),
            intrinsic!(_mm512_unpackhi_epi64(r2.0, r3.0)),
            intrinsic!(_mm512_unpackhi_epi64(r4.0, r5.0)),
            intrinsic!(_mm512_unpackhi_epi64(r6.0, r7.0)),
        ]);
        [c0, c1, c2, c3, c4, c5, c6, c7]
    }
    #[inline(always)]
    fn product<const BIAS: u32>(a: &[Self; 5], b: &[Self; 5]) -> [Self; 5] {
        madd52::product::<Self, BIAS>(a, b)
    }
    #[inline(always)]
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5] {
        madd52::square::<Self, BIAS>(a)
    }
}

impl WideMultiply for Zmm {
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        intrinsic!(_mm512_mullo_epi64(self.0, other.0))
    }
    #[inline(always)]
    fn madd_lo(self, a: Self, b: Self) -> Self {
        intrinsic!(_mm512_madd52lo_epu64(self.0, a.0, b.0))
    }
    #[inline(always)]
    fn madd_hi(self, a: Self, b: Self) -> Self {
        intrinsic!(_mm512_madd52hi_epu64(self.0, a.0, b.0))
    }
}

/// Makes the compiler align the calling kernel's stack frame to 64 bytes.
///
/// It decides on the alignment before it knows what it will spill, and registers spilled to an
/// unaligned frame straddle cache lines, which costs the ladder a tenth of its speed. A local
/// variable with that alignment decides it.
#[inline(always)]
fn align_frame() {
    black_box(Zmm::splat(0));
}

implement_kernels!([] Ifma, Zmm, target_kernel[
    "avx512f,avx512ifma,avx512dq,avx512vl,avx512bw,avx2,bmi2", align_frame
]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::vector::field_tests::check_field;

    #[test]
    fn field_in_registers_agrees_with_big_integers() {
        if Ifma::detect().is_some() {
            check_field::<Zmm>(40_000 / LANES);
        }
    }
}
