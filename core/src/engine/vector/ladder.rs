//! Variable-base multiplication by secret scalars: fixed windows of four bits.
//!
//! The table holds 1P..8P. For every digit *all* its entries are read in full, whatever the
//! digit is, and combined under masks, so that neither an address nor a branch depends on a
//! scalar. An address computed from the digit would serve (the lanes share it) and would show
//! the digit to code that shares the cache. Windows of five bits are slower: the doubled scan
//! and table cost more than the thirteen additions they save.

use super::decode::{Strings, load_words};
use super::digits::{DIGITS, DigitSource, ENTRIES, LaneDigits, SharedDigits};
use super::point::{Cached, Extended};
use super::word::Word;
use zeroize::Zeroize;

/// The multiples 1P..8P of each lane's point.
pub(crate) struct Table<W> {
    entries: [Cached<W>; ENTRIES],
}

impl<W: Word> Zeroize for Table<W> {
    fn zeroize(&mut self) {
        self.entries.zeroize();
    }
}

impl<W: Word> Table<W> {
    /// A table of identities.
    #[inline(always)]
    pub(crate) fn identity() -> Self {
        Self { entries: [Cached::identity(); ENTRIES] }
    }

    /// The multiples.
    pub(crate) fn entries(&self) -> &[Cached<W>; ENTRIES] {
        &self.entries
    }

    /// Fills the table: even multiples by doubling, odd ones by adding P.
    #[inline(always)]
    pub(crate) fn fill(&mut self, p: &Extended<W>) {
        let p1 = p.cached();
        let p2 = p.projective().double().extended();
        let p3 = p2.add(&p1).extended();
        let p4 = p2.projective().double().extended();
        let p6 = p3.projective().double().extended();
        let [e1, e2, e3, e4, e5, e6, e7, e8] = &mut self.entries;
        *e1 = p1;
        *e2 = p2.cached();
        *e3 = p3.cached();
        *e4 = p4.cached();
        *e5 = p4.add(&p1).extended().cached();
        *e6 = p6.cached();
        *e7 = p6.add(&p1).extended().cached();
        *e8 = p4.projective().double().extended().cached();
    }

    /// The entry of each lane's magnitude at `position`, the identity for magnitude 0.
    ///
    /// In two passes of two coordinates each, because twenty accumulators beside the running
    /// point do not fit the registers.
    #[inline(always)]
    pub(crate) fn scan(&self, digits: &impl DigitSource<W>, position: usize) -> Cached<W> {
        let zero = W::splat(0);
        // The identity's nonzero limbs are 1, 1 and 2.
        let one = zero.scan(W::splat(1), digits.entry_mask(position, 0));
        let mut plus = [one, zero, zero, zero, zero];
        let mut minus = plus;
        for (entry, magnitude) in self.entries.iter().zip(1u64..) {
            let mask = digits.entry_mask(position, magnitude);
            for limb in 0..5 {
                plus[limb] = plus[limb].scan(entry.plus.0[limb], mask);
                minus[limb] = minus[limb].scan(entry.minus.0[limb], mask);
            }
        }
        let two = zero.scan(W::splat(2), digits.entry_mask(position, 0));
        let mut z2 = [two, zero, zero, zero, zero];
        let mut t2d = [zero; 5];
        for (entry, magnitude) in self.entries.iter().zip(1u64..) {
            let mask = digits.entry_mask(position, magnitude);
            for limb in 0..5 {
                z2[limb] = z2[limb].scan(entry.z2.0[limb], mask);
                t2d[limb] = t2d[limb].scan(entry.t2d.0[limb], mask);
            }
        }
        Cached { plus: plus.into(), minus: minus.into(), z2: z2.into(), t2d: t2d.into() }
    }
}

/// The product of each lane's point with its scalar: 252 doublings, 63 additions.
#[inline(always)]
fn multiply<W: Word>(
    table: &mut Table<W>,
    digits: &impl DigitSource<W>,
    point: &Extended<W>,
) -> Extended<W> {
    table.fill(point);
    let mut q = table.scan(digits, DIGITS - 1).projective();
    let mut position = DIGITS - 1;
    loop {
        position -= 1;
        q.double_times(3);
        let q16 = q.double().extended();
        let entry = table.scan(digits, position);
        let sum = q16.add_or_subtract(&entry, digits.sign_mask(position));
        if position == 0 {
            return sum.extended();
        }
        q = sum.projective();
    }
}

/// Multiplies a group by one scalar.
#[inline(always)]
pub(crate) fn ladder_shared<W: Word>(
    table: &mut Table<W>,
    digits: &SharedDigits,
    point: &Extended<W>,
    out: &mut Extended<W>,
) {
    *out = multiply(table, digits, point);
}

/// Table and digits of one group.
pub(crate) struct LaneWork<W> {
    table: Table<W>,
    digits: LaneDigits<W>,
}

impl<W: Word> Zeroize for LaneWork<W> {
    fn zeroize(&mut self) {
        self.table.zeroize();
        self.digits.zeroize();
    }
}

impl<W: Word> LaneWork<W> {
    /// Work space that holds nothing yet.
    pub(crate) fn new() -> Self {
        Self { table: Table::identity(), digits: LaneDigits::zero() }
    }
}

/// Multiplies each point of a group by its own scalar.
#[inline(always)]
pub(crate) fn ladder_lanes<W: Word>(
    work: &mut LaneWork<W>,
    scalars: &Strings,
    point: &Extended<W>,
    out: &mut Extended<W>,
) {
    work.digits.recode(&load_words(scalars));
    *out = multiply(&mut work.table, &work.digits, point);
}

#[cfg(test)]
mod tests {
    use super::super::emulated::Emulated;
    use super::*;

    #[test]
    fn work_space_can_be_wiped() {
        let mut work = LaneWork::<Emulated<false>>::new();
        let mut out = Extended::identity();
        ladder_lanes(&mut work, &[[0x35; 32]; 8], &Extended::identity(), &mut out);
        work.zeroize();
        out.zeroize();
        let zero = Emulated::<false>::splat(0);
        for entry in work.table.entries {
            for limbs in [entry.plus, entry.minus, entry.z2, entry.t2d] {
                assert_eq!(limbs.0, [zero; 5]);
            }
        }
        for limbs in [out.x, out.y, out.z, out.t] {
            assert_eq!(limbs.0, [zero; 5]);
        }
        assert_eq!(work.digits.magnitudes(0), [0; 8]);
    }
}
