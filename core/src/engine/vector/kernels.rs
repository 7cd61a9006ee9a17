//! The vector kernels: what a back end compiles with its own instructions.
//!
//! A kernel is a loop-free or tightly looping piece of arithmetic on whole groups. Everything
//! crosses its boundary by reference, and it neither allocates nor can it panic on data. The
//! drivers in `batch` call kernels and do the rest: padding, blocks, work space, wiping.

use super::decode::Strings;
use super::digits::SharedDigits;
use super::elligator::UniformStrings;
use super::encode::Doubled;
use super::fixed::{FixedTable, MULTIPLES};
use super::ladder::{LaneWork, Table};
use super::point::{AffineCached, Extended};
use super::straus::PublicWork;
use super::word::Word;

/// A set of compiled kernels. A value of the type proves that the machine can run them.
pub(crate) trait Kernels: Copy {
    /// The words the kernels compute with.
    type Word: Word;

    /// Decodes `N` groups; the results have a bit for each valid lane. Two groups at a time are
    /// quicker than one after the other.
    fn decode<const N: usize>(
        self,
        strings: [&Strings; N],
        out: &mut [Extended<Self::Word>; N],
    ) -> [u8; N];
    /// Multiplies a group by one scalar.
    fn ladder_shared(
        self,
        table: &mut Table<Self::Word>,
        digits: &SharedDigits,
        point: &Extended<Self::Word>,
        out: &mut Extended<Self::Word>,
    );
    /// Multiplies each point of a group by its own scalar.
    fn ladder_lanes(
        self,
        work: &mut LaneWork<Self::Word>,
        scalars: &Strings,
        point: &Extended<Self::Word>,
        out: &mut Extended<Self::Word>,
    );
    /// Encodes twice the points of a block; the slices are equally long.
    fn encode_double(
        self,
        points: &[Extended<Self::Word>],
        work: &mut [Doubled<Self::Word>],
        out: &mut [Strings],
    );
    /// Encodes `N` groups. Two at a time are quicker than one after the other.
    fn encode<const N: usize>(self, points: [&Extended<Self::Word>; N], out: &mut [Strings; N]);

    /// Maps each uniform string of a group to a point.
    fn map_to_group(self, uniform: &UniformStrings, out: &mut Extended<Self::Word>);
    /// The multiples of a group's points that a fixed-base table holds.
    fn odd_multiples(
        self,
        point: &Extended<Self::Word>,
        out: &mut [AffineCached<Self::Word>; MULTIPLES],
    );
    /// Adds (or subtracts) to each point of a group its own multiple of the table's base.
    fn add_multiple(
        self,
        table: &FixedTable<Self::Word>,
        scalars: &Strings,
        subtract: bool,
        sum: &mut Extended<Self::Word>,
    );
    /// Adds a linear combination of a block of groups to `sum`, lane by lane.
    fn add_combination(
        self,
        work: &mut [PublicWork<Self::Word>],
        scalars: &[Strings],
        points: &[Extended<Self::Word>],
        sum: &mut Extended<Self::Word>,
    );
    /// Puts the sum of all eight lanes into every lane.
    fn sum_lanes(self, point: &mut Extended<Self::Word>);
}
