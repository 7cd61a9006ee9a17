//! Two processes as the harness sees them: the attackers', which it starts, and the server's,
//! whose memory and descriptors it reads.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{attackers, target::Orders};

/// For thousands of connections at a low priority, or whatever there is by then.
const GATHERING: Duration = Duration::from_secs(20);

/// For the end of a process that is told to end, on a busy machine.
const ENDING: Duration = Duration::from_secs(60);

/// The test that is no test but the attackers' process, and what it prints.
const ENTRY: &str = "floods::process::attackers_process";
const MARK: &str = "flood: ";

/// The attackers' process. Ended when dropped.
pub struct Attackers {
    child: Child,
    /// Closed, it tells them to end.
    orders: Option<ChildStdin>,
    lines: Receiver<Value>,
    gathered: bool,
}

/// What they say they did.
#[derive(Debug)]
pub struct Report {
    /// Whether all of them were at work before the attack was measured.
    pub gathered: bool,
    pub sent: u64,
    pub received: u64,
    pub ended: u64,
    pub shed: u64,
}

impl Attackers {
    /// Starts them at a low priority, because real ones do not share the server's cores, and waits
    /// until all of them are at work, or as many as there may be in some time.
    pub fn start(orders: &Orders) -> Self {
        let mut command = Command::new("nice");
        command
            .args(["-n", "10"])
            .arg(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--ignored", "--nocapture"])
            .envs(orders.to_variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, message)) = line.split_once(MARK) {
                    // The harness may have failed.
                    drop(sender.send(serde_json::from_str(message).unwrap()));
                }
            }
        });
        let orders = child.stdin.take();
        let mut attackers = Self { child, orders, lines, gathered: false };
        attackers.gathered = match attackers.lines.recv_timeout(GATHERING) {
            Ok(message) => message == json!("up"),
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => panic!("the attackers ended by themselves"),
        };
        attackers
    }

    /// Ends them.
    pub fn stop(mut self) -> Report {
        self.orders = None;
        let mut report = self.lines.recv_timeout(ENDING).unwrap();
        if report == json!("up") {
            report = self.lines.recv_timeout(ENDING).unwrap();
        }
        let count = |name: &str| report[name].as_u64().unwrap();
        assert!(self.child.wait().unwrap().success());
        Report {
            gathered: self.gathered,
            sent: count("sent"),
            received: count("received"),
            ended: count("ended"),
            shed: count("shed"),
        }
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "not a test: the attackers' process, started by the floods"]
fn attackers_process() {
    let Some(orders) = Orders::from_environment() else { return };
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        // Until the harness closes it, or is gone.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        ended.send(()).unwrap_or(());
    });
    let counts = Arc::<attackers::Counts>::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::select! {
            () = attackers::attack(orders, Arc::clone(&counts), || say(&json!("up"))) => {}
            _ = end => {}
        }
    });
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    say(&json!({
        "sent": count(&counts.sent),
        "received": count(&counts.received),
        "ended": count(&counts.ended),
        "shed": count(&counts.shed),
    }));
}

fn say(message: &Value) {
    // The test runner's own words may stand before it on the line.
    println!("{MARK}{message}");
}

/// What a process takes of the system.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    pub resident_bytes: u64,
    pub descriptors: usize,
}

impl Vitals {
    pub fn of(process: u32) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        Self { resident_bytes: resident_bytes(process), descriptors }
    }
}

/// `VmRSS`.
pub fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}
