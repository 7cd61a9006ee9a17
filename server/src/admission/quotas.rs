//! Which quota a caller has: by class of its credential, by age of its account.

use std::collections::BTreeMap;

use acquaint_core::credential::{Claims, Scope};

use super::bucket::QuotaPolicy;

/// The quotas of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    ordinary: QuotaPolicy,
    classes: BTreeMap<u8, QuotaPolicy>,
    registrar: Option<QuotaPolicy>,
    ramp: Option<Ramp>,
}

/// How the quota of a new account grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ramp {
    seconds: u64,
    start_percent: u8,
}

impl Quotas {
    /// One quota for all accounts; none for registrars.
    #[must_use]
    pub const fn new(ordinary: QuotaPolicy) -> Self {
        Self { ordinary, classes: BTreeMap::new(), registrar: None, ramp: None }
    }

    /// Another quota for credentials of a class.
    #[must_use]
    pub fn class(mut self, class: u8, policy: QuotaPolicy) -> Self {
        self.classes.insert(class, policy);
        self
    }

    /// A quota for registrars.
    #[must_use]
    pub const fn registrar(mut self, policy: QuotaPolicy) -> Self {
        self.registrar = Some(policy);
        self
    }

    /// New accounts begin with a share of their capacity, which grows evenly to the whole over a
    /// time. What grows back per day is the same for all.
    #[must_use]
    pub const fn ramp(mut self, seconds: u64, start_percent: u8) -> Self {
        self.ramp = Some(Ramp { seconds, start_percent });
        self
    }

    /// The quota of an old account with an ordinary credential.
    #[must_use]
    pub const fn ordinary(&self) -> QuotaPolicy {
        self.ordinary
    }

    /// The smallest capacity that any account has at any age, in elements.
    #[must_use]
    pub fn smallest_start(&self) -> u64 {
        let policies = self.classes.values().chain([&self.ordinary]);
        policies.map(|policy| self.capacity(policy, 0)).min().unwrap_or_default()
    }

    /// What grows back per day for whoever has least of it, in elements.
    #[must_use]
    pub fn slowest_refill_per_day(&self) -> u64 {
        let policies = self.classes.values().chain([&self.ordinary]).chain(&self.registrar);
        policies.map(|policy| policy.refill_per_day).min().unwrap_or_default()
    }

    /// The quota of a caller at a time in seconds since 1970; `None`: without limit.
    ///
    /// A class without a quota of its own has the ordinary one. An account that was made in the
    /// future, as a clock elsewhere may say, was made now.
    #[must_use]
    pub fn of(&self, claims: &Claims, now_s: u64) -> Option<QuotaPolicy> {
        if claims.scope == Scope::Register {
            return self.registrar;
        }
        let policy = self.classes.get(&claims.class).unwrap_or(&self.ordinary);
        let age_s = now_s.saturating_sub(claims.account_since);
        Some(QuotaPolicy { capacity: self.capacity(policy, age_s), ..*policy })
    }

    fn capacity(&self, policy: &QuotaPolicy, age_s: u64) -> u64 {
        let Some(Ramp { seconds, start_percent }) = self.ramp.filter(|ramp| age_s < ramp.seconds)
        else {
            return policy.capacity;
        };
        let (age, seconds, start) =
            (u128::from(age_s), u128::from(seconds), u128::from(start_percent.min(100)));
        let share = start * seconds + (100 - start) * age;
        let capacity = u128::from(policy.capacity) * share / (100 * seconds);
        u64::try_from(capacity).unwrap_or(policy.capacity)
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::credential::Pseudonym;

    use super::*;

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_800_000_000;

    fn policy(capacity: u64) -> QuotaPolicy {
        QuotaPolicy { capacity, refill_per_day: 2 }
    }

    fn claims(scope: Scope, class: u8, age_s: u64) -> Claims {
        Claims {
            tenant: "demo".parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym([7; 16]),
            scope,
            class,
            issued_at: NOW,
            expires_at: NOW + 1,
            account_since: NOW - age_s,
            key_id: 1,
        }
    }

    fn capacity(quotas: &Quotas, class: u8, age_s: u64) -> u64 {
        quotas.of(&claims(Scope::Discover, class, age_s), NOW).unwrap().capacity
    }

    #[test]
    fn each_class_has_its_quota_and_others_the_ordinary_one() {
        let quotas = Quotas::new(policy(100)).class(3, policy(30));
        assert_eq!([0, 3, 4].map(|class| capacity(&quotas, class, 0)), [100, 30, 100]);
        assert_eq!(quotas.smallest_start(), 30);
    }

    #[test]
    fn registrars_have_none_unless_they_are_given_one() {
        let registrar = claims(Scope::Register, 3, 0);
        let quotas = Quotas::new(policy(100)).class(3, policy(30));
        assert_eq!(quotas.of(&registrar, NOW), None);
        assert_eq!(quotas.slowest_refill_per_day(), 2);
        let slow = QuotaPolicy { refill_per_day: 1, ..policy(9) };
        let quotas = quotas.registrar(slow);
        assert_eq!((quotas.of(&registrar, NOW), quotas.slowest_refill_per_day()), (Some(slow), 1));
    }

    #[test]
    fn a_new_account_grows_evenly_to_the_whole() {
        let quotas = Quotas::new(policy(1_000)).ramp(10 * DAY, 20);
        assert_eq!(quotas.smallest_start(), 200);
        for (age, expected) in [
            (0, 200),
            (DAY, 280),
            (5 * DAY, 600),
            (10 * DAY - 1, 999),
            (10 * DAY, 1_000),
            (NOW, 1_000),
        ] {
            assert_eq!(capacity(&quotas, 0, age), expected, "{age}");
        }
        let mut future = claims(Scope::Discover, 0, 0);
        future.account_since = u64::MAX;
        assert_eq!(quotas.of(&future, NOW).unwrap().capacity, 200);
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let quotas = Quotas::new(policy(u64::MAX)).ramp(u64::from(u32::MAX) * DAY, 100);
        assert_eq!(capacity(&quotas, 0, 0), u64::MAX);
    }
}
