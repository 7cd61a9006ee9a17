//! The table.

use std::time::Duration;

/// Rows of one directory size.
pub struct Report {
    n_users: u64,
    rows: Vec<[String; 3]>,
}

impl Report {
    pub fn new(n_users: u64) -> Self {
        Self { n_users, rows: Vec::new() }
    }

    pub fn row(&mut self, what: &str, figure: String, remark: String) {
        println!("  {what}: {figure} {remark}");
        self.rows.push([what.to_owned(), figure, remark]);
    }

    /// A time and its multiple of a baseline of this run.
    pub fn ratio(&mut self, what: &str, time: Duration, baseline: Duration) {
        let ratio = time.as_secs_f64() / baseline.as_secs_f64();
        self.row(what, seconds(time), format!("{ratio:.2} × the baseline"));
    }

    pub fn print(&self) {
        println!("\n| {} users | | |\n|---|---|---|", self.n_users);
        for [what, figure, remark] in &self.rows {
            println!("| {what} | {figure} | {remark} |");
        }
        println!();
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

pub fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
