//! A consumer's view of the journal: the groups from its cursor on, from memory when it keeps up, else from the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, params};

use super::format::{Damage, Group, decode};
use super::tail::Found;
use super::{Consumer, Journal, JournalError, quarantine};

/// How many bytes are read from the disk at a time.
const READ_BYTES: usize = 128 << 10;

/// One consumer's place in the journal.
#[derive(Debug)]
pub struct Feed {
    journal: Journal,
    consumer: Consumer,
    position: u64,
    read: VecDeque<Arc<Group>>,
}

/// One stored group, or what is wrong with it.
enum Stored {
    Good(Group),
    Damaged { first_seq: u64, count: u64, damage: Damage, bytes: Vec<u8> },
}

impl Feed {
    pub(super) fn new(journal: Journal, consumer: Consumer, position: u64) -> Self {
        Self { journal, consumer, position, read: VecDeque::new() }
    }

    /// The sequence number of the next reading that [`Self::next`] will give.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next group; waits for one. `None` when intake has ended and everything was handed out. Cancel-safe.
    ///
    /// Groups follow each other without a gap, except where damaged ones were moved to quarantine. The first group
    /// may begin with readings that this consumer is past already when it comes from memory.
    ///
    /// # Errors
    /// [`JournalError::Statement`] when the journal can't be read, [`JournalError::Poisoned`] when writing has failed.
    pub async fn next(&mut self) -> Result<Option<Arc<Group>>, JournalError> {
        loop {
            if let Some(group) = self.read.pop_front() {
                self.position = group.end();
                return Ok(Some(group));
            }
            match self.journal.tail.find(self.position) {
                Found::Group(group) => {
                    self.position = group.end();
                    return Ok(Some(group));
                }
                Found::OnDisk => self.read_on().await?,
                Found::NotYet => self.journal.tail.changed_from(self.position).await,
                Found::Ended => {
                    return self.journal.tail.poison().map_or(Ok(None), |why| Err(JournalError::Poisoned(why)));
                }
            }
        }
    }

    /// Everything below `next_seq` is done. Carried to the disk with the next commit, at most a second later.
    pub fn advance(&self, next_seq: u64) {
        self.journal.tail.cursors.get(self.consumer).fetch_max(next_seq, Ordering::AcqRel);
    }

    /// The consumer's position at the last [`Self::advance`].
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.journal.tail.cursors.get(self.consumer).load(Ordering::Acquire)
    }

    /// Reads some groups from the disk; damaged ones go to quarantine.
    async fn read_on(&mut self) -> Result<(), JournalError> {
        let position = self.position;
        let (stored, next) = self.journal.read(move |connection| read_groups(connection, position)).await?;
        for stored in stored {
            match stored {
                Stored::Good(mut group) => {
                    // Of the first group, the part that this consumer is past already is left out.
                    let past = self.position.saturating_sub(group.first_seq);
                    group.readings.drain(..(past as usize).min(group.readings.len()));
                    group.first_seq += past;
                    self.read.push_back(Arc::new(group));
                }
                Stored::Damaged { first_seq, count, damage, bytes } => {
                    quarantine::group(&self.journal, first_seq, count, &damage, bytes).await?;
                }
            }
        }
        if self.read.is_empty() {
            // Nothing readable up to `next`: the groups in between are in quarantine, or their rows are gone.
            self.position = next.max(position + 1).min(self.journal.tail.end());
        }
        Ok(())
    }
}

/// The groups at and after `position`, up to [`READ_BYTES`], and the first sequence number that was not looked at.
fn read_groups(connection: &Connection, position: u64) -> rusqlite::Result<(Vec<Stored>, u64)> {
    let mut statement = connection.prepare_cached(
        "SELECT first_seq, count, committed, payload FROM groups
         WHERE first_seq >= coalesce((SELECT max(first_seq) FROM groups WHERE first_seq <= ?1), 0)
         ORDER BY first_seq",
    )?;
    let mut rows = statement.query(params![position])?;
    let mut stored = Vec::new();
    let mut bytes_read = 0;
    let mut next = position;
    while bytes_read < READ_BYTES {
        let Some(row) = rows.next()? else {
            next = u64::MAX;
            break;
        };
        let (first_seq, count): (u64, u64) = (row.get(0)?, row.get(1)?);
        next = first_seq.saturating_add(count);
        if next <= position {
            continue;
        }
        let bytes = row.get_ref(3)?.as_blob().unwrap_or_default();
        bytes_read += bytes.len();
        stored.push(match decode(first_seq, count, row.get(2)?, bytes) {
            Ok(group) => Stored::Good(group),
            Err(damage) => Stored::Damaged { first_seq, count, damage, bytes: bytes.to_vec() },
        });
    }
    Ok((stored, next))
}
