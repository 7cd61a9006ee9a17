//! Drivers: whole batches through the kernels of a back end.
//!
//! A batch of any length is padded to whole groups with identities, whose results are dropped;
//! the length is public. Long batches go through the kernels in blocks, so that the work space
//! stays in the cache.
//!
//! Everything secret that a driver keeps in memory lives in a guard that wipes it, on return and
//! on unwinding alike, and [`StackGuard`] wipes the stack below the driver.

use super::decode::Strings;
use super::digits::SharedDigits;
use super::encode::Doubled;
use super::field::Fe;
use super::fixed::{self, FixedTable, MULTIPLES, POSITIONS};
use super::kernels::Kernels;
use super::ladder::{LaneWork, Table};
use super::point::{AffineCached, Extended};
use super::straus::PublicWork;
use super::word::{LANES, Word};
use curve25519_dalek::scalar::Scalar;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing, zeroize_stack};

/// Groups per block of a shared inversion: 512 points, which makes the inversion's share
/// negligible and keeps the work space at 240 KiB.
const BLOCK: usize = 64;
/// Groups of a linear combination that share their doublings. Their tables, 450 KiB, fit the
/// second-level cache; half as many groups are a tenth slower, twice as many a twentieth.
const STRAUS_BLOCK: usize = 32;

/// Wipes the stack that kernels and helpers used, when it goes out of scope.
///
/// Best effort: the kernels' frames, in which the compiler spills registers, lie below the
/// driver's, and the largest with secrets takes 22 KiB, besides 2 KiB of what it calls.
struct StackGuard;

impl Drop for StackGuard {
    fn drop(&mut self) {
        zeroize_stack::<{ 32 * 1024 }>();
    }
}

/// A batch of points in groups of eight, the last one padded with identities. Wiped on drop: on
/// a client its points are derived from secrets.
pub(crate) struct Batch<W: Word> {
    groups: Vec<Extended<W>>,
    len: usize,
}

impl<W: Word> Drop for Batch<W> {
    fn drop(&mut self) {
        self.groups.iter_mut().zeroize();
    }
}

impl<W: Word> ZeroizeOnDrop for Batch<W> {}

impl<W: Word> Batch<W> {
    /// Points in the batch.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The points at some positions, which are public.
    pub(crate) fn select(&self, positions: &[usize]) -> Self {
        let mut selected = Self::identities(positions.len());
        for (chosen, group) in positions.chunks(LANES).zip(&mut selected.groups) {
            for (lane, position) in chosen.iter().enumerate() {
                let source = self.groups.get(position / LANES);
                let source = source.expect("the caller names its own points");
                group.set_lane(lane, source, position % LANES);
            }
        }
        selected
    }

    /// A batch of identities.
    fn identities(len: usize) -> Self {
        Self { groups: vec![Extended::identity(); len.div_ceil(LANES)], len }
    }
}

/// Strings padded with zeros to whole groups. Zeros encode the identity, the scalar 0, and a
/// field element: all valid.
fn padded<const LENGTH: usize>(strings: &[[u8; LENGTH]]) -> Vec<[[u8; LENGTH]; LANES]> {
    let (whole, rest) = strings.as_chunks::<LANES>();
    let mut groups = Vec::with_capacity(strings.len().div_ceil(LANES));
    groups.extend_from_slice(whole);
    if !rest.is_empty() {
        let mut last = [[0; LENGTH]; LANES];
        for (padded, string) in last.iter_mut().zip(rest) {
            *padded = *string;
        }
        groups.push(last);
    }
    groups
}

/// The first `len` strings.
fn unpadded(groups: Vec<Strings>, len: usize) -> Vec<[u8; 32]> {
    let mut strings = groups.into_flattened();
    strings.truncate(len);
    strings
}

/// Decodes a batch, or returns the index of the first invalid encoding.
pub(crate) fn decode<K: Kernels>(
    kernels: K,
    encodings: &[[u8; 32]],
) -> Result<Batch<K::Word>, usize> {
    let mut batch = Batch::identities(encodings.len());
    let strings = padded(encodings);
    let (string_pairs, last_strings) = strings.as_chunks::<2>();
    let (pairs, last) = batch.groups.as_chunks_mut::<2>();
    let mut first_bad = None;
    let mut check = |group: usize, valid: u8| {
        if valid != u8::MAX && first_bad.is_none() {
            // Trailing ones: the valid lanes before the first invalid one.
            first_bad = Some(group * LANES + valid.trailing_ones() as usize);
        }
    };
    for (index, ([a, b], out)) in string_pairs.iter().zip(pairs).enumerate() {
        let [valid_a, valid_b] = kernels.decode([a, b], out);
        check(2 * index, valid_a);
        check(2 * index + 1, valid_b);
    }
    for (strings, out) in last_strings.iter().zip(last) {
        let [valid] = kernels.decode([strings], core::array::from_mut(out));
        check(2 * string_pairs.len(), valid);
    }
    match first_bad {
        None => Ok(batch),
        Some(index) => Err(index),
    }
}

/// The encodings of the points times k, the same secret scalar for all.
pub(crate) fn evaluate<K: Kernels>(
    kernels: K,
    k: &Scalar,
    batch: &Batch<K::Word>,
) -> Vec<[u8; 32]> {
    let _stack = StackGuard;
    // The encoder doubles.
    let half = Zeroizing::new(k.div_by_2());
    let digits = SharedDigits::new(half.as_bytes());
    let mut table = Box::new(Zeroizing::new(Table::identity()));
    multiply_and_encode(kernels, batch, |_, point, out| {
        kernels.ladder_shared(&mut table, &digits, point, out);
    })
}

/// The encodings of each point times its own secret scalar.
pub(crate) fn multiply_each<K: Kernels>(
    kernels: K,
    scalars: &[Scalar],
    batch: &Batch<K::Word>,
) -> Vec<[u8; 32]> {
    let _stack = StackGuard;
    // The encoder doubles.
    let mut halves = Zeroizing::new(vec![[0; 32]; scalars.len()]);
    for (half, scalar) in halves.iter_mut().zip(scalars) {
        *half = Zeroizing::new(scalar.div_by_2()).to_bytes();
    }
    let halves = Secret(padded(&halves));
    let mut work = Box::new(Zeroizing::new(LaneWork::new()));
    multiply_and_encode(kernels, batch, |group, point, out| {
        kernels.ladder_lanes(&mut work, &halves.0[group], point, out);
    })
}

/// Strings that are wiped on drop.
struct Secret<const LENGTH: usize>(Vec<[[u8; LENGTH]; LANES]>);

impl<const LENGTH: usize> Drop for Secret<LENGTH> {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
    }
}

/// The encodings of twice the products that `multiply` makes, a group at a time.
fn multiply_and_encode<K: Kernels>(
    kernels: K,
    batch: &Batch<K::Word>,
    mut multiply: impl FnMut(usize, &Extended<K::Word>, &mut Extended<K::Word>),
) -> Vec<[u8; 32]> {
    let block_len = BLOCK.min(batch.groups.len());
    let mut products = Batch::<K::Word>::identities(block_len * LANES);
    let mut work = DoubledBlock(vec![Doubled::zero(); block_len]);
    let mut strings = vec![[[0; 32]; LANES]; batch.groups.len()];
    let blocks = batch.groups.chunks(BLOCK).zip(strings.chunks_mut(BLOCK));
    for (block, (points, strings)) in blocks.enumerate() {
        let products = &mut products.groups[..points.len()];
        for (index, (point, product)) in points.iter().zip(&mut *products).enumerate() {
            multiply(block * BLOCK + index, point, product);
        }
        kernels.encode_double(products, &mut work.0[..points.len()], strings);
    }
    unpadded(strings, batch.len)
}

/// Work space of a block's encoding, wiped on drop.
struct DoubledBlock<W: Word>(Vec<Doubled<W>>);

impl<W: Word> Drop for DoubledBlock<W> {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
    }
}

/// The encodings of twice the points.
pub(crate) fn encode_doubled<K: Kernels>(kernels: K, batch: &Batch<K::Word>) -> Vec<[u8; 32]> {
    let _stack = StackGuard;
    multiply_and_encode(kernels, batch, |_, point, out| *out = *point)
}

/// The encodings of the points.
pub(crate) fn encode<K: Kernels>(kernels: K, batch: &Batch<K::Word>) -> Vec<[u8; 32]> {
    let _stack = StackGuard;
    let mut strings = vec![[[0; 32]; LANES]; batch.groups.len()];
    let (pairs, last) = batch.groups.as_chunks::<2>();
    let (string_pairs, last_strings) = strings.as_chunks_mut::<2>();
    for ([a, b], out) in pairs.iter().zip(string_pairs) {
        kernels.encode([a, b], out);
    }
    for (point, out) in last.iter().zip(last_strings) {
        kernels.encode([point], core::array::from_mut(out));
    }
    unpadded(strings, batch.len)
}

/// The points of uniform strings, by the one-way map of RFC 9496.
pub(crate) fn map_to_group<K: Kernels>(kernels: K, uniform: &[[u8; 64]]) -> Batch<K::Word> {
    let _stack = StackGuard;
    let mut batch = Batch::identities(uniform.len());
    let strings = Secret(padded(uniform));
    for (strings, out) in strings.0.iter().zip(&mut batch.groups) {
        kernels.map_to_group(strings, out);
    }
    batch
}

/// A table of the multiples of `base`, which must be the only point of its batch.
pub(crate) fn fixed_table<K: Kernels>(kernels: K, base: &Batch<K::Word>) -> FixedTable<K::Word> {
    let mut power = Scalar::ONE;
    let mut powers = vec![[[0; 32]; LANES]; POSITIONS.div_ceil(LANES)];
    for string in powers.as_flattened_mut().iter_mut().take(POSITIONS) {
        *string = power.to_bytes();
        power *= Scalar::from(32u8);
    }
    let base = base.groups.first().map_or(Extended::identity(), |group| group.broadcast());
    let mut work = Box::new(LaneWork::new());
    let mut point = Extended::identity();
    let zero = Fe::zero();
    let empty = AffineCached { plus: zero, minus: zero, t2d: zero };
    let mut multiples = vec![[empty; MULTIPLES]; powers.len()];
    for (scalars, multiples) in powers.iter().zip(&mut multiples) {
        kernels.ladder_lanes(&mut work, scalars, &base, &mut point);
        kernels.odd_multiples(&point, multiples);
    }
    FixedTable::new(&multiples)
}

/// The encodings of P_i + s_i·B, or of P_i − s_i·B, for secret s_i and the base B of a table.
pub(crate) fn add_fixed<K: Kernels>(
    kernels: K,
    batch: &Batch<K::Word>,
    scalars: &[Scalar],
    table: &FixedTable<K::Word>,
    subtract: bool,
) -> Vec<[u8; 32]> {
    let _stack = StackGuard;
    let mut odd = Zeroizing::new(vec![[0; 32]; scalars.len()]);
    for (odd, scalar) in odd.iter_mut().zip(scalars) {
        *odd = fixed::make_odd(scalar.as_bytes());
    }
    // Padding lanes have the even scalar 0, and a meaningless result, which is dropped.
    let scalars = Secret(padded(&odd));
    let mut sums = Batch::<K::Word>::identities(batch.len);
    for ((sum, point), scalars) in sums.groups.iter_mut().zip(&batch.groups).zip(&scalars.0) {
        *sum = *point;
        kernels.add_multiple(table, scalars, subtract, sum);
    }
    encode(kernels, &sums)
}

/// The encoding of Σ s_i·P_i. Scalars and points are public.
pub(crate) fn linear_combination<K: Kernels>(
    kernels: K,
    scalars: &[Scalar],
    batch: &Batch<K::Word>,
) -> [u8; 32] {
    let scalars: Vec<_> = scalars.iter().map(Scalar::to_bytes).collect();
    let scalars = padded(&scalars);
    let block_len = STRAUS_BLOCK.min(batch.groups.len());
    let mut work: Vec<_> = (0..block_len).map(|_| PublicWork::<K::Word>::new()).collect();
    let mut sum = Extended::identity();
    for (points, scalars) in batch.groups.chunks(STRAUS_BLOCK).zip(scalars.chunks(STRAUS_BLOCK)) {
        kernels.add_combination(&mut work[..points.len()], scalars, points, &mut sum);
    }
    kernels.sum_lanes(&mut sum);
    let mut strings = [[[0; 32]; LANES]];
    kernels.encode([&sum], &mut strings);
    let [[first, ..]] = strings;
    first
}
