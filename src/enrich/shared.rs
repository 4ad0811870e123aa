//! The one directory that all intake tasks read, and that the refresh and the look-ups replace.
//!
//! A reader keeps the snapshot that it has and asks one atomic whether there is a newer one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::SetOnce;

use super::copy::{self, DiskCopy};
use crate::enrich::directory::Directory;
use crate::enrich::records::Records;
use crate::journal::{Journal, JournalError};
use crate::limits::Limits;

/// The current directory, and whether the store behind it answers.
#[derive(Debug, Clone)]
pub struct SharedDirectory(Arc<State>);

#[derive(Debug)]
struct State {
    generation: AtomicU64,
    current: Mutex<Arc<Directory>>,
    /// Held from the decision to change the directory until the change is seen: one change at a time.
    disk: tokio::sync::Mutex<Option<DiskCopy>>,
    away: AtomicBool,
    /// Set when the store of profiles has answered for the first time, or has not in time.
    asked: SetOnce<()>,
    defaults: Arc<Limits>,
}

impl SharedDirectory {
    /// An empty directory in memory alone; `defaults` are the limits of everybody whose profile sets none.
    #[must_use]
    pub fn new(defaults: Arc<Limits>) -> Self {
        Self::begin(Arc::new(Directory::empty(defaults.clone())), None, defaults)
    }

    /// The directory that an earlier run left in the journal's database, which follows it from now on.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn restored(defaults: Arc<Limits>, journal: Journal) -> Result<Self, JournalError> {
        let records = journal.read(copy::load).await?;
        let empty = Directory::empty(defaults.clone());
        let restored = Arc::new(empty.with(records).unwrap_or(empty));
        let disk = DiskCopy::new(journal, Arc::clone(&restored));
        Ok(Self::begin(restored, Some(disk), defaults))
    }

    fn begin(directory: Arc<Directory>, disk: Option<DiskCopy>, defaults: Arc<Limits>) -> Self {
        Self(Arc::new(State {
            generation: AtomicU64::new(0),
            current: Mutex::new(directory),
            disk: tokio::sync::Mutex::new(disk),
            away: AtomicBool::new(false),
            asked: SetOnce::new(),
            defaults,
        }))
    }

    /// Rises with each new snapshot.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The newest snapshot, with its generation.
    #[must_use]
    pub fn current(&self) -> (u64, Arc<Directory>) {
        let current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.generation(), current.clone())
    }

    /// Puts a directory of these records alone in the place of the current one.
    pub async fn replace(&self, records: Records) {
        let empty = Directory::empty(self.0.defaults.clone());
        let next = empty.with(records).unwrap_or(empty);
        self.publish(|_| Some(next)).await;
    }

    /// Adds records to the current directory; whether anything changed.
    pub async fn merge(&self, records: Records) -> bool {
        self.publish(|current| current.with(records)).await
    }

    /// Makes a change, first on the disk and then for all to see.
    async fn publish(&self, change: impl FnOnce(&Directory) -> Option<Directory>) -> bool {
        let mut disk = self.0.disk.lock().await;
        let (_, current) = self.current();
        let next = change(&current).map(Arc::new);
        if let Some(disk) = &mut *disk {
            disk.follow(next.as_ref().unwrap_or(&current)).await;
        }
        let Some(next) = next else { return false };
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.0.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// Lets go of the journal: what a look-up still learns is kept in memory alone.
    pub async fn let_go(&self) {
        *self.0.disk.lock().await = None;
    }

    /// Whether the store of profiles was away when it was last asked.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.0.away.load(Ordering::Relaxed)
    }

    /// Says whether the store of profiles answers.
    pub fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::Relaxed);
        // Set already, except at the first time.
        self.0.asked.set(()).ok();
    }

    /// Waits until the store of profiles was asked for the first time, but no longer than `timeout`: an earlier run's
    /// directory is good, and what the store says now is better.
    pub async fn first_asked(&self, timeout: Duration) {
        if tokio::time::timeout(timeout, self.0.asked.wait()).await.is_err() {
            self.set_away(true);
        }
    }
}
