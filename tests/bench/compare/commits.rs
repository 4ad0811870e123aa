//! What a commit of the journal takes beside the least that durability can cost: an append and an fdatasync of as many
//! bytes in the same folder. Also the opening of a journal with a long backlog.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wardline::config;
use wardline::journal::{Consumer, Entry};
use wardline::limits::Limits;
use wardline::reading::{Context, EnrichedReading, Quality, Reading};
use wardline::vital::Vital;

use crate::figures::{ms, quantile, table};
use crate::journals::{self, Rig};

/// Commits of each size.
const COMMITS: usize = 400;

/// What a reading of [`Readings`] takes in a group of many, bytes.
const READING: u64 = 56;

/// Readings of one group while a backlog grows.
const GROUP: u64 = 1_000;

/// Readings of 200 devices in turn.
struct Readings {
    contexts: Vec<Arc<Context>>,
    count: i64,
}

impl Readings {
    fn new() -> Self {
        let limits = Arc::new(Limits::default());
        let context = |bed: usize| {
            Arc::new(Context {
                region: "north".into(),
                ward: "icu-1".into(),
                bed: Some(bed.to_string().into()),
                device: format!("mon-{bed:04}").into(),
                patient: Some(format!("p-{bed:04}").into()),
                age_band: "40-64".into(),
                limits: Arc::clone(&limits),
            })
        };
        Self { contexts: (0..200).map(context).collect(), count: 0 }
    }

    fn take(&mut self, count: u64) -> Vec<Entry> {
        let mut entry = || {
            self.count += 1;
            let context = self.contexts.get(self.count as usize % self.contexts.len()).unwrap();
            let vitals = [(Vital::HeartRate, 72.25), (Vital::Spo2, 97.5), (Vital::RespRate, 15.0)];
            let (seq, time) = (Some(self.count as u64), 1_790_000_000_000 + self.count);
            let reading =
                Reading { seq, time, received: time + 3, vitals: vitals.into_iter().collect(), quality: Quality::Good };
            Entry::Reading(EnrichedReading { reading, context: Arc::clone(context) })
        };
        (0..count).map(|_| entry()).collect()
    }
}

fn config(dir: &Path) -> config::Journal {
    journals::journal_config(dir)
}

fn size(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with("journal."))
        .map(|file| file.metadata().unwrap().len())
        .sum()
}

/// Appends a chunk, and waits until it is on disk.
async fn commit(rig: &Rig, entries: Vec<Entry>) -> Duration {
    let messages = rig.committed.count() + entries.len() as u64;
    let began = Instant::now();
    rig.append(entries).await;
    rig.until_committed(messages).await;
    began.elapsed()
}

/// Commits and raw appends of the same bytes in turn, so that both meet the same disk.
pub fn report_commits() {
    let folder = tempfile::tempdir().unwrap();
    let rig = journals::open(&config(folder.path()));
    let mut raw = File::create(folder.path().join("raw")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut readings = Readings::new();
    let mut rows = Vec::new();
    for count in [1, 50, 200, 1_000] {
        let bytes = vec![7; (count * READING) as usize];
        let (mut commits, mut appends) = (Vec::new(), Vec::new());
        for _ in 0..COMMITS {
            commits.push(runtime.block_on(commit(&rig, readings.take(count))));
            // As the consumers would: a journal that only grows is another case.
            for consumer in Consumer::ALL {
                rig.opened.journal.feed(consumer).advance(readings.count as u64);
            }
            let began = Instant::now();
            raw.write_all(&bytes).unwrap();
            raw.sync_data().unwrap();
            appends.push(began.elapsed());
        }
        let at = |durations: &mut [Duration], share| quantile(durations, share);
        let (commit, append) = (at(&mut commits, 0.5), at(&mut appends, 0.5));
        rows.push([
            format!("{count} readings"),
            ms(commit),
            ms(at(&mut commits, 0.99)),
            ms(append),
            ms(at(&mut appends, 0.99)),
            format!("{:.2}", commit.as_secs_f64() / append.as_secs_f64()),
        ]);
    }
    rig.close();
    table(
        ["a group's way to the disk, ms", "commit p50", "p99", "append + fdatasync p50", "p99", "ratio of p50"],
        &rows,
    );
}

/// In a process of its own: fills the journal in `dir` until it has so many bytes, says so, and waits to be killed.
pub fn fill(dir: &Path, bytes: u64) {
    let rig = journals::open(&config(dir));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut readings = Readings::new();
    while size(dir) < bytes {
        for _ in 0..100 {
            runtime.block_on(commit(&rig, readings.take(GROUP)));
        }
    }
    println!("{}", readings.count);
    std::thread::park();
}

/// Takes the files in `dir` out of the page cache, as if the machine had just started.
fn leave_page_cache(dir: &Path) {
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        // Only what is on the disk can leave.
        File::open(&path).unwrap().sync_all().unwrap();
        let input = format!("if={}", path.display());
        let dd = Command::new("dd").args([&input, "iflag=nocache", "count=0", "status=none"]).status().unwrap();
        assert!(dd.success(), "dd of {}", path.display());
    }
}

/// Opens a journal of so many bytes that a killed process left, with nothing of it in memory.
pub fn report_backlog(bytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut filling = Command::new(std::env::current_exe().unwrap())
        .arg("fill")
        .arg(folder.path())
        .arg(bytes.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let heard = BufReader::new(filling.stdout.take().unwrap()).read_line(&mut said);
    // Killed and not stopped: what is left is what a crash leaves.
    filling.kill().unwrap();
    filling.wait().unwrap();
    heard.unwrap();
    let readings: u64 = said.trim().parse().unwrap();
    let size = size(folder.path());
    leave_page_cache(folder.path());

    let began = Instant::now();
    let rig = journals::open(&config(folder.path()));
    let opened = began.elapsed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime.block_on(rig.opened.journal.feed(Consumer::Store).next()).unwrap().unwrap();
    let first_group = began.elapsed();
    assert_eq!((rig.opened.recovery.unstored, first.first_seq), (readings, 0), "the backlog is there");
    rig.close();
    table(
        ["a backlog after kill -9", "MB", "readings", "opened, ms", "first group read, ms"],
        &[[
            "journal".to_owned(),
            format!("{:.0}", size as f64 / 1e6),
            readings.to_string(),
            ms(opened),
            ms(first_group),
        ]],
    );
}
