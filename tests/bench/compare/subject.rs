//! A process that is measured: what it has used of the processor and of memory, and that it ends with us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::servers::process::record;

/// How long it may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running process with its log.
pub struct Subject {
    child: Child,
    log: PathBuf,
    record: Option<PathBuf>,
}

impl Subject {
    /// Starts it, with what it says in `log`.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Self {
        let file = fs::File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let record = record(name, child.id());
        Self { child, log: log.to_owned(), record }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Processor time since its start, of all its threads, in user and system mode.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        // Linux shows these in hundredths of a second on every architecture.
        Duration::from_millis(ticks * 10)
    }

    /// The most memory that it has had resident at one time, bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits until it is ready; fails with its log when it ends or takes too long.
    pub fn until(&mut self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !reached(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "not {what} ({ended:?}):\n{}", self.said());
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // As a command: a system call would need `unsafe`.
        Command::new("kill").arg(self.child.id().to_string()).status().ok();
        let until = Instant::now() + STOP_LIMIT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > until {
                self.child.kill().ok();
            }
            sleep(Duration::from_millis(20));
        }
        if let Some(record) = &self.record {
            fs::remove_file(record).ok();
        }
    }
}
