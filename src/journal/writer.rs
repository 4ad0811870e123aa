//! The one thread that writes: it takes what waits, commits it, then tells those who wait for it.
//!
//! A commit takes the disk a fraction of a millisecond to some milliseconds; whatever arrives meanwhile is in the next
//! one. So groups grow with the load, and a single reading at night waits for nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::mpsc;

use super::cursor::{Consumer, set_cursor};
use super::format::{Group, encode};
use super::tail::Tail;
use super::{Chunk, Entry, JournalError, Receipt, quarantine, reserve};
use crate::account::Account;
use crate::config;
use crate::dead_letter;
use crate::metrics::journal::Journal as Metrics;
use crate::reading::{EnrichedReading, Millis};
use crate::status::Part;

/// A change by another module: run inside the transaction; says whether its part stands, and whom to tell.
pub(super) type Job = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;

/// Told after the commit.
pub(super) type Answer = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// How often cursors reach the disk, and bounds are looked at, when nothing else is written.
const TICK: Duration = Duration::from_secs(1);

/// How soon a full journal is tried again.
const FULL_RETRY: Duration = Duration::from_millis(250);

/// How many commits pass between two looks at the size of the file.
const COMMITS_PER_LOOK: u32 = 16;

/// What a reading takes in a group, roughly; bounds the size of a group before it is encoded.
const ENTRY_BYTES: usize = 128;

/// Groups deleted in one transaction at most, so that a long backlog does not delay an acknowledgement.
const DELETED_AT_ONCE: u32 = 64;

/// What the writer tells others.
#[derive(Debug, Clone)]
pub struct Reports {
    /// The conservation of messages.
    pub account: Arc<Account>,
    /// What `/ready` says of the journal.
    pub part: Part,
}

/// The writer's thread.
pub(super) struct Writer {
    connection: Connection,
    config: config::Journal,
    dead_letters: config::DeadLetter,
    tail: Arc<Tail>,
    reports: Reports,
    metrics: Metrics,
    next_seq: u64,
    /// Appended and not committed.
    chunks: Vec<Chunk>,
    jobs: Vec<Job>,
    /// Nothing will be appended any more.
    ended: bool,
    /// The cursors on disk.
    cursors: [u64; 2],
    looks: u32,
    bytes: u64,
    disk_full: bool,
    buffer: Vec<u8>,
}

/// What one look at the queues gave.
enum Woken {
    Work,
    Tick,
    /// No handle is left: nobody can ask for anything any more.
    Unused,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        (config, dead_letters): (config::Journal, config::DeadLetter),
        tail: Arc<Tail>,
        reports: Reports,
        disk_full: bool,
    ) -> rusqlite::Result<Self> {
        let bytes = bytes_in_use(&connection)?;
        Ok(Self {
            connection,
            config,
            dead_letters,
            next_seq: tail.end(),
            cursors: Consumer::ALL.map(|consumer| tail.cursors.get(consumer).load(Ordering::Acquire)),
            tail,
            reports,
            metrics: Metrics::register(),
            chunks: Vec::new(),
            jobs: Vec::new(),
            ended: false,
            looks: 0,
            bytes,
            disk_full,
            buffer: Vec::new(),
        })
    }

    /// Writes until nobody can ask for anything any more, or until writing fails.
    pub(super) fn run(mut self, mut appends: mpsc::Receiver<Chunk>, mut jobs: mpsc::Receiver<Job>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.tail.set_poison(format!("no timer for the journal's thread: {error}")),
        };
        self.look_at_room();
        let outcome = runtime.block_on(async {
            loop {
                let woken = self.wait(&mut appends, &mut jobs).await;
                self.commit()?;
                if matches!(woken, Woken::Unused) {
                    return Ok(());
                }
            }
        });
        match outcome {
            Ok(()) => self.tail.finish(),
            Err(reason) => {
                let reason: String = reason;
                tracing::error!(%reason, "the journal can't be written any more; look at the disk, then restart");
                self.reports.part.down(format!("poisoned: {reason}"));
                self.tail.set_poison(reason);
            }
        }
    }

    /// Whether there is room for more readings.
    fn has_room(&self) -> bool {
        !self.disk_full && self.bytes < self.config.max_size
    }

    /// Waits for work, then takes all that is there, up to the size of a group.
    async fn wait(&mut self, appends: &mut mpsc::Receiver<Chunk>, jobs: &mut mpsc::Receiver<Job>) -> Woken {
        let pause = if self.has_room() { TICK } else { FULL_RETRY };
        let takes = self.has_room() && !self.ended;
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => self.jobs.push(job),
                None => return Woken::Unused,
            },
            chunk = appends.recv(), if takes => match chunk {
                Some(chunk) => self.chunks.push(chunk),
                None => self.ended = true,
            },
            () = tokio::time::sleep(pause) => return Woken::Tick,
        }
        while let Ok(job) = jobs.try_recv() {
            self.jobs.push(job);
        }
        let mut entries: usize = self.chunks.iter().map(|chunk| chunk.entries.len()).sum();
        while takes && entries * ENTRY_BYTES < self.config.max_group {
            let Ok(chunk) = appends.try_recv() else { break };
            entries += chunk.entries.len();
            self.chunks.push(chunk);
        }
        Woken::Work
    }

    /// One transaction with everything that waits, and what follows from it. An error is final.
    fn commit(&mut self) -> Result<(), String> {
        let jobs = std::mem::take(&mut self.jobs);
        let cursors = Consumer::ALL.map(|consumer| self.tail.cursors.get(consumer).load(Ordering::Acquire));
        let chunks = if self.has_room() { std::mem::take(&mut self.chunks) } else { Vec::new() };
        if !jobs.is_empty() || !chunks.is_empty() || cursors != self.cursors {
            let started = Instant::now();
            let committed = crate::clock::now_ms();
            let mut answers = Vec::with_capacity(jobs.len());
            match self.transact(&chunks, committed, jobs, cursors, &mut answers) {
                Ok(group_bytes) => {
                    self.cursors = cursors;
                    self.metrics.commits.increment(1);
                    self.metrics.commit_seconds.record(started.elapsed());
                    self.deliver(chunks, committed, group_bytes);
                    answers.into_iter().for_each(|answer| answer(Ok(())));
                }
                Err(error) if is_full(&error) => {
                    self.chunks = chunks;
                    self.run_out_of_disk(&error);
                    answers.into_iter().for_each(|answer| answer(Err(JournalError::Full)));
                }
                Err(error) => {
                    quarantine::note_if_damaged(&self.config.dir, &error);
                    let reason = error.to_string();
                    answers.into_iter().for_each(|answer| answer(Err(JournalError::Poisoned(reason.clone()))));
                    return Err(reason);
                }
            }
        }
        if self.ended && (self.chunks.is_empty() || !self.has_room()) {
            self.tail.finish();
        }
        self.look_at_room();
        Ok(())
    }

    /// The transaction. Answers of jobs whose part was rolled back are given at once, the others are collected.
    fn transact(
        &mut self,
        chunks: &[Chunk],
        committed: Millis,
        jobs: Vec<Job>,
        cursors: [u64; 2],
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<usize> {
        let transaction = self.connection.unchecked_transaction()?;
        for job in jobs {
            transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
            let (stands, answer) = job(&transaction);
            if stands {
                answers.push(answer);
            } else {
                transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
                answer(Ok(()));
            }
            transaction.prepare_cached("RELEASE job")?.execute([])?;
        }
        let entries = || chunks.iter().flat_map(|chunk| &chunk.entries);
        let readings = entries().filter_map(|entry| match entry {
            Entry::Reading(reading) => Some(reading),
            Entry::DeadLetter(_) | Entry::Duplicate => None,
        });
        let buffer = std::mem::take(&mut self.buffer);
        let (bytes, count) = encode(self.next_seq, readings, buffer)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        if count > 0 {
            transaction
                .prepare_cached("INSERT INTO groups (first_seq, count, committed, payload) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![self.next_seq, count, committed, bytes])?;
        }
        for entry in entries() {
            if let Entry::DeadLetter(letter) = entry {
                dead_letter::insert(&transaction, letter, committed)?;
            }
        }
        self.metrics.evicted.increment(dead_letter::evict(&transaction, &self.dead_letters, committed)? as u64);
        for (consumer, seq) in Consumer::ALL.into_iter().zip(cursors) {
            set_cursor(&transaction, consumer, seq)?;
        }
        let done = cursors.into_iter().min().unwrap_or(0);
        transaction
            .prepare_cached(
                "DELETE FROM groups WHERE first_seq IN
                    (SELECT first_seq FROM groups WHERE first_seq < ?1 ORDER BY first_seq LIMIT ?2)
                 AND first_seq + count <= ?1",
            )?
            .execute(params![done, DELETED_AT_ONCE])?;
        transaction.commit()?;
        self.buffer = bytes;
        Ok(self.buffer.len())
    }

    /// After the commit: count, show the group to the consumers, release the acknowledgements.
    fn deliver(&mut self, chunks: Vec<Chunk>, committed: Millis, group_bytes: usize) {
        let mut readings = Vec::new();
        let mut duplicates = 0;
        let mut receipts = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            receipts.push(chunk.receipt);
            for entry in chunk.entries {
                match entry {
                    Entry::Reading(reading) => readings.push(reading),
                    Entry::DeadLetter(letter) => self.reports.account.dead_lettered(letter.reason),
                    Entry::Duplicate => duplicates += 1,
                }
            }
        }
        self.reports.account.duplicates(duplicates);
        let oldest = readings.iter().map(|enriched| enriched.reading.received).min();
        if let Some(oldest) = oldest {
            let delay = u64::try_from(crate::clock::now_ms().saturating_sub(oldest)).unwrap_or(0);
            self.metrics.delay_seconds.record(Duration::from_millis(delay));
            self.metrics.group_readings.set(readings.len() as f64);
            // What a group takes in memory is what its readings do, which is more than their bytes on disk.
            let memory = group_bytes.max(readings.len() * size_of::<EnrichedReading>());
            let group = Group { first_seq: self.next_seq, committed, readings };
            self.next_seq = group.end();
            self.tail.push(Arc::new(group), memory);
        }
        receipts.into_iter().for_each(Receipt::give);
    }

    /// Gives the reserve back to the disk, so that cursors and dead letters can still be written.
    fn run_out_of_disk(&mut self, error: &rusqlite::Error) {
        self.disk_full = true;
        if reserve::release(&self.config.dir) {
            tracing::warn!(%error, "the disk is full: the journal gave its reserve back, for cursors only");
        }
    }

    /// Looks now and then at the bytes in use, tries a full disk again, and tells how it stands.
    fn look_at_room(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        if !self.has_room() || self.looks.is_multiple_of(COMMITS_PER_LOOK) {
            self.bytes = bytes_in_use(&self.connection).unwrap_or(self.bytes);
        }
        if self.disk_full {
            let remade = reserve::remake(&self.config.dir, self.config.reserve);
            self.disk_full = !matches!(remade, Ok(true));
        }
        let full = !self.has_room();
        self.tail.full.store(full, Ordering::Release);
        self.metrics.full.set(f64::from(u8::from(full)));
        self.metrics.bytes.set(self.bytes as f64);
        for (consumer, gauge) in Consumer::ALL.into_iter().zip(&self.metrics.backlog) {
            let at = self.tail.cursors.get(consumer).load(Ordering::Acquire);
            gauge.set(self.next_seq.saturating_sub(at) as f64);
        }
        match (full, self.disk_full) {
            (false, _) => self.reports.part.ok(),
            (true, true) => self.reports.part.down("the disk is full: nothing is acknowledged; free some space"),
            (true, false) => self.reports.part.down(format!(
                "holds {} of {} bytes: nothing is acknowledged until the store catches up, or journal.max_size is raised",
                self.bytes, self.config.max_size
            )),
        }
    }
}

/// The bytes of the pages in use; deleted groups leave free pages, which are used again.
pub(super) fn bytes_in_use(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
}

/// Whether the disk is full, which passes; any other failed write doesn't.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}
