//! Carries and reduction on bare limbs. `field` gives them types and states the bounds; products
//! depend on the multiplier and are in `madd52` and `fma`.
//!
//! The code calls these functions through [`Word`], whose test instances do not inline them.

use super::word::Word;

/// The low 51 bits.
pub(crate) const LOW_51: u64 = (1 << 51) - 1;
/// Limb 0 of p; its other limbs are `LOW_51`.
pub(crate) const P0: u64 = (1 << 51) - 19;

/// One parallel carry pass, which restores the invariant of `Fe`.
#[inline(always)]
pub(crate) fn carry<W: Word>(columns: &[W; 5]) -> [W; 5] {
    let [c0, c1, c2, c3, c4] = *columns;
    let (c0, c1, c2, c3, c4) = (c0.column(), c1.column(), c2.column(), c3.column(), c4.column());
    let mask = W::splat(LOW_51);
    [
        c0.and(mask).add_19_times(c4.shr::<51>()).carried_limb(),
        c1.and(mask).add(c0.shr::<51>()).carried_limb(),
        c2.and(mask).add(c1.shr::<51>()).carried_limb(),
        c3.and(mask).add(c2.shr::<51>()).carried_limb(),
        c4.and(mask).add(c3.shr::<51>()).carried_limb(),
    ]
}

/// The canonical value, below p.
#[inline(always)]
pub(crate) fn freeze<W: Word>(limbs: &[W; 5]) -> [W; 5] {
    let [x0, x1, x2, x3, x4] = *limbs;
    let mask = W::splat(LOW_51);
    // The value is below 2p, so q = floor((x + 19) / 2^255) is 1 exactly if it is p or more.
    let q = x0.add(W::splat(19)).shr::<51>();
    let q = q.add(x1).shr::<51>();
    let q = q.add(x2).shr::<51>();
    let q = q.add(x3).shr::<51>();
    let q = q.add(x4).shr::<51>();
    // x − qp = x + 19q − 2^255·q, and the last mask drops 2^255·q.
    let y0 = x0.add_19_times(q);
    let y1 = x1.add(y0.shr::<51>());
    let y2 = x2.add(y1.shr::<51>());
    let y3 = x3.add(y2.shr::<51>());
    let y4 = x4.add(y3.shr::<51>());
    [y0.and(mask), y1.and(mask), y2.and(mask), y3.and(mask), y4.and(mask)]
}
