//! The newest groups, in memory, for consumers that keep up; and what all parts of the journal share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::cursor::Cursors;
use super::format::Group;

/// What a consumer finds at its position.
pub(super) enum Found {
    /// The group that begins at or contains the position.
    Group(Arc<Group>),
    /// The position is older than what is in memory: read the journal.
    OnDisk,
    /// Nothing yet.
    NotYet,
    /// Nothing, and there will be nothing.
    Ended,
}

/// Shared by the writer, the feeds and the handles.
#[derive(Debug)]
pub(super) struct Tail {
    groups: Mutex<Groups>,
    /// The sequence number of the next reading.
    end: AtomicU64,
    more: Notify,
    capacity: usize,
    /// Where the consumers are.
    pub(super) cursors: Cursors,
    /// Whether appends wait for room.
    pub(super) full: AtomicBool,
    poison: Mutex<Option<String>>,
    poisoned: Notify,
}

#[derive(Debug, Default)]
struct Groups {
    newest: VecDeque<(Arc<Group>, usize)>,
    bytes: usize,
    ended: bool,
}

impl Tail {
    pub(super) fn new(end: u64, capacity: usize) -> Self {
        Self {
            groups: Mutex::default(),
            end: AtomicU64::new(end),
            more: Notify::new(),
            capacity,
            cursors: Cursors::default(),
            full: AtomicBool::new(false),
            poison: Mutex::default(),
            poisoned: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        // Every change below is whole before the lock is released, so a poisoned lock holds a sound value.
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sequence number of the next reading.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Shows a committed group to the consumers; the oldest leave when the memory is used up.
    pub(super) fn push(&self, group: Arc<Group>, bytes: usize) {
        let mut groups = self.lock();
        self.end.store(group.end(), Ordering::Release);
        groups.newest.push_back((group, bytes));
        groups.bytes += bytes;
        let done = self.done();
        while let Some((oldest, bytes)) = groups.newest.front() {
            if oldest.end() > done && groups.bytes <= self.capacity {
                break;
            }
            groups.bytes -= *bytes;
            groups.newest.pop_front();
        }
        drop(groups);
        self.more.notify_waiters();
    }

    /// Everything below is behind both consumers.
    pub(super) fn done(&self) -> u64 {
        let at = |consumer| self.cursors.get(consumer).load(Ordering::Acquire);
        super::Consumer::ALL.into_iter().map(at).min().unwrap_or(0)
    }

    /// No more groups will come.
    pub(super) fn finish(&self) {
        self.lock().ended = true;
        self.more.notify_waiters();
    }

    pub(super) fn find(&self, position: u64) -> Found {
        let groups = self.lock();
        if position >= self.end() {
            return if groups.ended { Found::Ended } else { Found::NotYet };
        }
        let place = groups.newest.partition_point(|(group, _)| group.end() <= position);
        match groups.newest.get(place) {
            Some((group, _)) if group.first_seq <= position => Found::Group(Arc::clone(group)),
            _ => Found::OnDisk,
        }
    }

    /// Waits until `find` may answer otherwise than [`Found::NotYet`].
    pub(super) async fn changed_from(&self, position: u64) {
        let more = self.more.notified();
        tokio::pin!(more);
        // Registered before looking, so that a group which arrives in between is not missed.
        more.as_mut().enable();
        if matches!(self.find(position), Found::NotYet) {
            more.await;
        }
    }

    /// Remembers why nothing may be written any more.
    pub(super) fn set_poison(&self, reason: String) {
        self.poison.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.poisoned.notify_waiters();
        self.finish();
    }

    pub(super) fn poison(&self) -> Option<String> {
        self.poison.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn poisoned(&self) -> String {
        loop {
            let poisoned = self.poisoned.notified();
            tokio::pin!(poisoned);
            poisoned.as_mut().enable();
            if let Some(reason) = self.poison() {
                return reason;
            }
            poisoned.await;
        }
    }
}
