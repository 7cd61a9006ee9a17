//! Point formulas on the twisted Edwards curve with a = −1, eight points at a time.
//!
//! Addition is complete, because −1 is a square and d is not: the identity and repeated points
//! need no cases, and nothing here branches on data.
//!
//! A result first appears as [`Completed`], from which X, Y, Z and T are one multiplication each.
//! T costs a multiplication and only an addition reads it, so doublings in a row skip it.

use super::constants::D2;
use super::field::{Cols, Fe};
use super::word::Word;
use zeroize::Zeroize;

/// X : Y : Z.
#[derive(Clone, Copy)]
pub(crate) struct Projective<W> {
    pub(crate) x: Fe<W>,
    pub(crate) y: Fe<W>,
    pub(crate) z: Fe<W>,
}

/// X : Y : Z : T with T = XY/Z.
#[derive(Clone, Copy)]
pub(crate) struct Extended<W> {
    pub(crate) x: Fe<W>,
    pub(crate) y: Fe<W>,
    pub(crate) z: Fe<W>,
    pub(crate) t: Fe<W>,
}

/// An addend: Y+X, Y−X, 2Z, 2dT.
#[derive(Clone, Copy)]
pub(crate) struct Cached<W> {
    pub(crate) plus: Fe<W>,
    pub(crate) minus: Fe<W>,
    pub(crate) z2: Fe<W>,
    pub(crate) t2d: Fe<W>,
}

/// An addend with Z = 1: y+x, y−x, 2dxy.
#[derive(Clone, Copy)]
pub(crate) struct AffineCached<W> {
    pub(crate) plus: Fe<W>,
    pub(crate) minus: Fe<W>,
    pub(crate) t2d: Fe<W>,
}

/// X = E·F, Y = G·H, Z = F·G, T = E·H.
#[derive(Clone, Copy)]
pub(crate) struct Completed<W> {
    pub(crate) e: Fe<W>,
    pub(crate) f: Fe<W>,
    pub(crate) g: Fe<W>,
    pub(crate) h: Fe<W>,
}

impl<W: Word> Zeroize for Extended<W> {
    fn zeroize(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
        self.t.zeroize();
    }
}

impl<W: Word> Zeroize for Cached<W> {
    fn zeroize(&mut self) {
        self.plus.zeroize();
        self.minus.zeroize();
        self.z2.zeroize();
        self.t2d.zeroize();
    }
}

impl<W: Word> Projective<W> {
    /// Twice the point: 4 squarings (dbl-2008-hwcd with F and H negated).
    #[inline(always)]
    pub(crate) fn double(&self) -> Completed<W> {
        let sum = self.x.add(&self.y);
        let xx = self.x.square_cols::<0>();
        let yy = self.y.square_cols::<9>();
        let zz = self.z.square_cols::<9>();
        W::complete_double(&xx, &yy, &zz, &sum.square_cols::<10>())
    }
}

impl<W: Word> Projective<W> {
    /// Becomes twice the point, times 2^`count` in all.
    #[inline(always)]
    pub(crate) fn double_times(&mut self, count: u32) {
        for _ in 0..count {
            let Completed { e, f, g, h } = self.double();
            self.x = e.mul(&f);
            self.y = g.mul(&h);
            self.z = f.mul(&g);
        }
    }
}

impl<W: Word> Completed<W> {
    /// X : Y : Z, 3 multiplications.
    #[inline(always)]
    pub(crate) fn projective(&self) -> Projective<W> {
        Projective { x: self.e.mul(&self.f), y: self.g.mul(&self.h), z: self.f.mul(&self.g) }
    }

    /// X : Y : Z : T, 4 multiplications.
    #[inline(always)]
    pub(crate) fn extended(&self) -> Extended<W> {
        let Projective { x, y, z } = self.projective();
        Extended { x, y, z, t: self.e.mul(&self.h) }
    }
}

impl<W: Word> Extended<W> {
    /// The identity in every lane.
    #[inline(always)]
    pub(crate) fn identity() -> Self {
        Extended { x: Fe::zero(), y: Fe::one(), z: Fe::one(), t: Fe::zero() }
    }

    /// Puts one lane of another group into one lane of this group.
    pub(crate) fn set_lane(&mut self, lane: usize, source: &Self, source_lane: usize) {
        let pairs = [
            (&mut self.x, &source.x),
            (&mut self.y, &source.y),
            (&mut self.z, &source.z),
            (&mut self.t, &source.t),
        ];
        for (target, source) in pairs {
            for (target, source) in target.0.iter_mut().zip(source.0) {
                let mut lanes = target.to_lanes();
                if let (Some(lane), Some(value)) =
                    (lanes.get_mut(lane), source.to_lanes().get(source_lane))
                {
                    *lane = *value;
                }
                *target = W::from_lanes(lanes);
                lanes.zeroize();
            }
        }
    }

    /// The point of lane 0 in every lane.
    pub(crate) fn broadcast(&self) -> Self {
        let broadcast = |fe: &Fe<W>| Fe(fe.0.map(|limb| W::splat(limb.to_lanes()[0])));
        let Self { x, y, z, t } = self;
        Self { x: broadcast(x), y: broadcast(y), z: broadcast(z), t: broadcast(t) }
    }

    /// Without T.
    #[inline(always)]
    pub(crate) fn projective(&self) -> Projective<W> {
        Projective { x: self.x, y: self.y, z: self.z }
    }

    /// As an addend.
    #[inline(always)]
    pub(crate) fn cached(&self) -> Cached<W> {
        Cached {
            plus: self.y.add(&self.x),
            minus: self.y.sub(&self.x),
            z2: self.z.add(&self.z),
            t2d: self.t.mul(&Fe::splat(D2)),
        }
    }

    /// The sum: 4 multiplications.
    #[inline(always)]
    pub(crate) fn add(&self, other: &Cached<W>) -> Completed<W> {
        self.add_signed(other, None)
    }

    /// The sum, or the difference in the lanes of `negative`: 4 multiplications.
    #[inline(always)]
    pub(crate) fn add_or_subtract(&self, other: &Cached<W>, negative: W) -> Completed<W> {
        self.add_signed(other, Some(negative))
    }

    #[inline(always)]
    fn add_signed(&self, other: &Cached<W>, negative: Option<W>) -> Completed<W> {
        let (plus, minus) = swap_if(negative, &other.plus, &other.minus);
        let p = self.y.add(&self.x).mul_cols::<9>(&plus);
        let q = self.y.sub(&self.x).mul_cols::<0>(&minus);
        let c = self.t.mul_cols::<0>(&other.t2d);
        let d = self.z.mul_cols::<9>(&other.z2);
        W::complete_add([&p, &q], &c, [&d, &d], negative)
    }

    /// The sum with an addend of Z = 1, or the difference in the lanes of `negative`: 3
    /// multiplications.
    #[inline(always)]
    pub(crate) fn add_or_subtract_affine(
        &self,
        other: &AffineCached<W>,
        negative: W,
    ) -> Completed<W> {
        let (plus, minus) = swap_if(Some(negative), &other.plus, &other.minus);
        let p = self.y.add(&self.x).mul_cols::<9>(&plus);
        let q = self.y.sub(&self.x).mul_cols::<0>(&minus);
        // C carries its bias itself, so that D + C and D − C + 2^10·p both stay positive.
        let c = self.t.mul_cols::<9>(&other.t2d);
        let d = self.z.cols().double();
        let biased = d.add(&Cols::multiple_of_p::<10>());
        W::complete_add([&p, &q], &c, [&d, &biased], Some(negative))
    }
}

impl<W: Word> Cached<W> {
    /// The identity in every lane.
    #[inline(always)]
    pub(crate) fn identity() -> Self {
        Cached {
            plus: Fe::one(),
            minus: Fe::one(),
            z2: Fe::splat([2, 0, 0, 0, 0]),
            t2d: Fe::zero(),
        }
    }

    /// The point itself, as 2X : 2Y : 2Z.
    #[inline(always)]
    pub(crate) fn projective(&self) -> Projective<W> {
        Projective { x: self.plus.sub(&self.minus), y: self.plus.add(&self.minus), z: self.z2 }
    }
}

/// The end of a doubling, from X², Y², Z² and (X+Y)²: [`Word::complete_double`].
#[inline(always)]
pub(crate) fn complete_double<W: Word>(
    xx: &Cols<W>,
    yy: &Cols<W>,
    zz: &Cols<W>,
    sum_squared: &Cols<W>,
) -> Completed<W> {
    let h = xx.add(yy);
    let g = yy.sub(xx);
    let e = sum_squared.sub(&h);
    let f = zz.double().sub(&g);
    Completed { e: e.carry(), f: f.carry(), g: g.carry(), h: h.carry() }
}

/// The end of an addition, from P and Q, C, and D twice, to be added to C and reduced by it:
/// [`Word::complete_add`].
#[inline(always)]
pub(crate) fn complete_add<W: Word>(
    [p, q]: [&Cols<W>; 2],
    c: &Cols<W>,
    [d_plus, d_minus]: [&Cols<W>; 2],
    negative: Option<W>,
) -> Completed<W> {
    // −(X₂, T₂) exchanges Y₂+X₂ with Y₂−X₂ and negates C, which exchanges G with F.
    let (g, f) = swap_if(negative, &d_plus.add(c).carry(), &d_minus.sub(c).carry());
    Completed { e: p.sub(q).carry(), f, g, h: p.add(q).carry() }
}

/// (a, b), exchanged in the lanes of `mask`. `None` exchanges nothing, at no cost.
///
/// Written with exclusive ors through the word type, so that no masked load can come of it.
#[inline(always)]
fn swap_if<W: Word>(mask: Option<W>, a: &Fe<W>, b: &Fe<W>) -> (Fe<W>, Fe<W>) {
    match mask {
        None => (*a, *b),
        Some(mask) => (Fe::select(mask, b, a), Fe::select(mask, a, b)),
    }
}
