//! What the figures of a run depend on, for the header of its table.

use std::{fs, thread};

use acquaint_core::engine::Engine;

/// Machine, load, back end and compile flags, one line each.
pub fn describe() -> String {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    format!(
        "machine: {}, {threads} hardware threads; load before the table: {}\n\
         back end of acquaint: {}; IFMA on this machine: {}\n\
         dalek5 compiled with: {} backend; target features: {}",
        processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        load().unwrap_or_else(|| "unknown".to_owned()),
        Engine::current().backend(),
        if machine_has_ifma() { "yes" } else { "no" },
        dalek_backend(),
        target_features(),
    )
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    Some(text.split(' ').take(1).collect())
}

fn machine_has_ifma() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = std::arch::is_x86_feature_detected!("avx512ifma");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

const fn dalek_backend() -> &'static str {
    if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "stock" }
}

fn target_features() -> &'static str {
    if cfg!(target_feature = "avx512ifma") {
        "avx512ifma"
    } else if cfg!(target_feature = "avx2") {
        "avx2"
    } else {
        "baseline of the target"
    }
}
