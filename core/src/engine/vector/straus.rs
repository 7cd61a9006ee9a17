//! Linear combinations with public coefficients, by Straus's method.
//!
//! Each lane has its own points and coefficients; the groups of a block share the doublings, and
//! the eight lane sums are added at the end.
//!
//! Digits are public here, so a lane's entry is loaded from an address that depends on its digit,
//! where the secret ladders scan whole tables. The tables of a block do not fit the first-level
//! cache, and a scan of one takes as long as half an addition. An entry is a row of memory for
//! its lane; eight of them are transposed into words on loading.

use super::decode::{Strings, load_words};
use super::digits::{DIGITS, DigitSource, ENTRIES, LaneDigits};
use super::ladder::Table;
use super::point::{Cached, Extended};
use super::word::{LANES, Word};

/// Words of an entry of one lane: twenty limbs, and four lanes of nothing.
const ROWS: usize = 3;

/// Digits and multiples of one group, for public coefficients.
pub(crate) struct PublicWork<W> {
    digits: LaneDigits<W>,
    /// For each lane the multiples 0P..8P.
    lanes: [[[W; ROWS]; ENTRIES + 1]; LANES],
}

impl<W: Word> PublicWork<W> {
    /// Work space that holds nothing yet.
    pub(crate) fn new() -> Self {
        let lanes = [[[W::splat(0); ROWS]; ENTRIES + 1]; LANES];
        Self { digits: LaneDigits::zero(), lanes }
    }

    /// Recodes a group's coefficients and makes its multiples, by way of `table`.
    #[inline(always)]
    fn fill(&mut self, table: &mut Table<W>, scalars: &Strings, point: &Extended<W>) {
        self.digits.recode(&load_words(scalars));
        table.fill(point);
        self.store(0, &Cached::identity());
        for (magnitude, entry) in (1..).zip(table.entries()) {
            self.store(magnitude, entry);
        }
    }

    #[inline(always)]
    fn store(&mut self, magnitude: usize, entry: &Cached<W>) {
        let [p0, p1, p2, p3, p4] = entry.plus.0;
        let [m0, m1, m2, m3, m4] = entry.minus.0;
        let [z0, z1, z2, z3, z4] = entry.z2.0;
        let [t0, t1, t2, t3, t4] = entry.t2d.0;
        let none = W::splat(0);
        let columns = [
            [p0, p1, p2, p3, p4, m0, m1, m2],
            [m3, m4, z0, z1, z2, z3, z4, t0],
            [t1, t2, t3, t4, none, none, none, none],
        ];
        for (row, columns) in columns.into_iter().enumerate() {
            for (lane, word) in self.lanes.iter_mut().zip(W::transpose(columns)) {
                lane[magnitude][row] = word;
            }
        }
    }

    /// The entry of each lane's magnitude at `position`.
    #[inline(always)]
    fn load(&self, position: usize) -> Cached<W> {
        let magnitudes = self.digits.magnitudes(position);
        let mut rows = [[W::splat(0); LANES]; ROWS];
        for (lane, (entries, magnitude)) in self.lanes.iter().zip(magnitudes).enumerate() {
            // The remainder changes nothing; it spares a bounds check that could panic.
            let entry = &entries[magnitude % (ENTRIES + 1)];
            for (row, word) in rows.iter_mut().zip(entry) {
                row[lane] = *word;
            }
        }
        let [p0, p1, p2, p3, p4, m0, m1, m2] = W::transpose(rows[0]);
        let [m3, m4, z0, z1, z2, z3, z4, t0] = W::transpose(rows[1]);
        let [t1, t2, t3, t4, ..] = W::transpose(rows[2]);
        Cached {
            plus: [p0, p1, p2, p3, p4].into(),
            minus: [m0, m1, m2, m3, m4].into(),
            z2: [z0, z1, z2, z3, z4].into(),
            t2d: [t0, t1, t2, t3, t4].into(),
        }
    }
}

/// Adds Σ s_i·P_i over a block of groups to `sum`, lane by lane. The slices are equally long.
#[inline(always)]
pub(crate) fn add_combination<W: Word>(
    work: &mut [PublicWork<W>],
    scalars: &[Strings],
    points: &[Extended<W>],
    sum: &mut Extended<W>,
) {
    let mut table = Table::identity();
    for ((work, scalars), point) in work.iter_mut().zip(scalars).zip(points) {
        work.fill(&mut table, scalars, point);
    }
    let mut q = Extended::identity();
    for position in (0..DIGITS).rev() {
        let mut p = q.projective();
        p.double_times(3);
        q = p.double().extended();
        for work in work.iter() {
            let negative = work.digits.sign_mask(position);
            q = q.add_or_subtract(&work.load(position), negative).extended();
        }
    }
    *sum = sum.add(&q.cached()).extended();
}

/// Puts the sum of all eight lanes into every lane.
#[inline(always)]
pub(crate) fn sum_lanes<W: Word>(point: &mut Extended<W>) {
    for distance in [1, 2, 4] {
        let mut rotated = *point;
        for coordinate in [&mut rotated.x, &mut rotated.y, &mut rotated.z, &mut rotated.t] {
            for limb in &mut coordinate.0 {
                let lanes = limb.to_lanes();
                *limb =
                    W::from_lanes(core::array::from_fn(|lane| lanes[(lane + distance) % LANES]));
            }
        }
        *point = point.add(&rotated.cached()).extended();
    }
}
