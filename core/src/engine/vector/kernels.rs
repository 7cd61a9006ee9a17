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

/// Implements [`Kernels`] for a token by the generic functions, one call of `$kernel!` for each.
///
/// `$kernel!` makes a method of `[$options] name as path, (argument: Type, ...) -> Result`.
macro_rules! implement_kernels {
    ([$($generics:tt)*] $token:ty, $word:ty, $kernel:ident $options:tt) => {
        const _: () = {
            use $crate::engine::vector::decode::{self, Strings};
            use $crate::engine::vector::digits::SharedDigits;
            use $crate::engine::vector::elligator::{self, UniformStrings};
            use $crate::engine::vector::encode::{self, Doubled};
            use $crate::engine::vector::fixed::{self, FixedTable, MULTIPLES};
            use $crate::engine::vector::ladder::{self, LaneWork, Table};
            use $crate::engine::vector::point::{AffineCached, Extended};
            use $crate::engine::vector::straus::{self, PublicWork};

            impl<$($generics)*> $crate::engine::vector::kernels::Kernels for $token {
                type Word = $word;

                $kernel!($options <const N> decode as decode::decode,
                    (strings: [&Strings; N], out: &mut [Extended<$word>; N]) -> [u8; N]);
                $kernel!($options ladder_shared as ladder::ladder_shared,
                    (table: &mut Table<$word>, digits: &SharedDigits, point: &Extended<$word>,
                     out: &mut Extended<$word>));
                $kernel!($options ladder_lanes as ladder::ladder_lanes,
                    (work: &mut LaneWork<$word>, scalars: &Strings, point: &Extended<$word>,
                     out: &mut Extended<$word>));
                $kernel!($options encode_double as encode::encode_double,
                    (points: &[Extended<$word>], work: &mut [Doubled<$word>],
                     out: &mut [Strings]));
                $kernel!($options <const N> encode as encode::encode,
                    (points: [&Extended<$word>; N], out: &mut [Strings; N]));
                $kernel!($options map_to_group as elligator::map_to_group,
                    (uniform: &UniformStrings, out: &mut Extended<$word>));
                $kernel!($options odd_multiples as fixed::odd_multiples,
                    (point: &Extended<$word>, out: &mut [AffineCached<$word>; MULTIPLES]));
                $kernel!($options add_multiple as fixed::add_multiple,
                    (table: &FixedTable<$word>, scalars: &Strings, subtract: bool,
                     sum: &mut Extended<$word>));
                $kernel!($options add_combination as straus::add_combination,
                    (work: &mut [PublicWork<$word>], scalars: &[Strings],
                     points: &[Extended<$word>], sum: &mut Extended<$word>));
                $kernel!($options sum_lanes as straus::sum_lanes, (point: &mut Extended<$word>));
            }
        };
    };
}

/// A method of [`Kernels`] as a call of the generic function compiled with some instructions.
///
/// The function begins with a call of `$prologue`. The method is sound if a value of the token
/// proves that the machine has all the features.
#[cfg(target_arch = "x86_64")]
macro_rules! target_kernel {
    (
        [$features:literal, $prologue:path] $(<const $n:ident>)? $name:ident as $path:path,
        ($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)?
    ) => {
        fn $name$(<const $n: usize>)?(self, $($arg: $type),*) $(-> $result)? {
            #[target_feature(enable = $features)]
            fn kernel$(<const $n: usize>)?($($arg: $type),*) $(-> $result)? {
                $prologue();
                $path($($arg),*)
            }
            // SAFETY: `self` proves that the machine has all the features that `kernel` enables.
            unsafe { kernel($($arg),*) }
        }
    };
}

pub(crate) use implement_kernels;
#[cfg(target_arch = "x86_64")]
pub(crate) use target_kernel;
