//! What is printed.

use super::{
    attacks::{Attack, Load},
    honest::Measured,
    process::{Report, Vitals},
};

const MIB: f64 = 1_048_576.0;

/// An attack and what it did.
pub struct Row {
    pub attack: Attack,
    pub load: Load,
    pub report: Report,
    pub quiet: Measured,
    pub attacked: Measured,
    pub before: Vitals,
    /// The most that was resident during the attack.
    pub peak_bytes: u64,
    pub after: Vitals,
}

impl Row {
    /// What the attack added to the memory of the server at its worst.
    pub fn growth_bytes(&self) -> u64 {
        self.peak_bytes.saturating_sub(self.before.resident_bytes)
    }

    /// The share of honest calls that failed for good.
    pub fn error_rate(&self) -> f64 {
        self.attacked.failed as f64 / self.attacked.calls().max(1) as f64
    }
}

pub fn print(rows: &[Row]) {
    println!(
        "| attack | load | sent | ended | shed | honest calls | errors | p99 quiet ms | p99 ms | \
         × quiet | memory MiB | kept MiB | KiB a slow stream |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let (quiet, attacked) = (row.quiet.p99().as_secs_f64(), row.attacked.p99().as_secs_f64());
        let kept = row.after.resident_bytes as f64 - row.before.resident_bytes as f64;
        let slow = row.attack.slow_streams(row.load).map_or_else(String::new, |streams| {
            format!("{:.0}", row.growth_bytes() as f64 / 1_024.0 / streams as f64)
        });
        let Report { sent, ended, shed, .. } = row.report;
        let at_most = if row.report.gathered { "" } else { "at most " };
        println!(
            "| {} | {at_most}{} | {sent} | {ended} | {shed} | {} | {:.1} % | {:.1} | {:.1} | {:.1} | \
             {:.1} | {:.1} | {slow} |",
            row.attack.name(),
            row.attack.describe(row.load),
            row.attacked.calls(),
            100.0 * row.error_rate(),
            1e3 * quiet,
            1e3 * attacked,
            attacked / quiet,
            row.growth_bytes() as f64 / MIB,
            kept / MIB,
        );
    }
}
