//! Sizes beside what theory and other structures need.

use xorf::{BinaryFuse16, BinaryFuse32, Filter as _};

use super::report::Report;

/// Bytes a user of the set and of its rivals.
pub fn rows(report: &mut Report, n_users: u64, (set, labels): (u64, u64)) {
    let per_user = |bytes: u64| format!("{:.3} B a user", bytes as f64 / n_users as f64);
    report.row("set", per_user(set), "false positives 2^-20.6, ranks, deltas".into());
    report.row("set, least for 2^-20 by theory", "2.500 B a user".into(), "no ranks".into());
    let keys: Vec<u64> = (0..n_users).map(scattered).collect();
    let fuse16 = BinaryFuse16::try_from(&keys[..]).unwrap();
    let fuse32 = BinaryFuse32::try_from(&keys[..]).unwrap();
    assert!(fuse16.contains(&keys[0]) && fuse32.contains(&keys[0]));
    let remark = "no ranks, no deltas".to_owned();
    report.row(
        "binary fuse filter, 2^-16 (xorf)",
        per_user(fuse16.len() as u64 * 2),
        remark.clone(),
    );
    report.row("binary fuse filter, 2^-32 (xorf)", per_user(fuse32.len() as u64 * 4), remark);
    report.row("sorted tags, 8 bytes each", "8.000 B a user".into(), String::new());
    report.row("labels", per_user(labels), "sealed, 16 bytes of account id".into());
}

/// Bytes that a delta takes at least: which members left, where new ones lie among the values of
/// the universe, and a label for each of those.
pub fn delta_bound(n_users: u64, removed: u64, added: u64) -> f64 {
    let universe = n_users as f64 * 1_569_862.0;
    let bits = subset_bits(n_users as f64, removed as f64) + subset_bits(universe, added as f64);
    bits / 8.0 + added as f64 * 32.0
}

/// log2 of the number of ways to choose k of n, for k far below n.
fn subset_bits(n: f64, k: f64) -> f64 {
    let (share, log_e) = (k / n, std::f64::consts::LOG2_E);
    // n·H(k/n), which exceeds log2 of the binomial by half a logarithm of n.
    k * (1.0 / share).log2() + (n - k) * -(1.0 - share).ln() * log_e
}

fn scattered(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
