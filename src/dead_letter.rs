//! Where rejected messages are kept: reason, original bytes, topic and time; bounded in number, size and age.
//!
//! Dead letters live in the journal's database and are written in the transaction of the group that they came with,
//! so that a message is acknowledged only when it is a reading or a dead letter on disk. When a bound is reached the
//! oldest leave, and are counted.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::config;
use crate::reading::{Millis, Reason};

/// The table, and what is needed to keep its bounds without counting rows.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kept INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    topic BLOB NOT NULL,
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS dead_letter_totals (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO dead_letter_totals VALUES (1, 0, 0);
CREATE TRIGGER IF NOT EXISTS dead_letter_added AFTER INSERT ON dead_letters BEGIN
    UPDATE dead_letter_totals SET count = count + 1, bytes = bytes + length(new.topic) + length(new.payload);
END;
CREATE TRIGGER IF NOT EXISTS dead_letter_removed AFTER DELETE ON dead_letters BEGIN
    UPDATE dead_letter_totals SET count = count - 1, bytes = bytes - length(old.topic) - length(old.payload);
END;
";

/// How many leave in one transaction, so that keeping the bounds never delays an acknowledgement for long.
const EVICTED_AT_ONCE: u32 = 500;

/// A rejected message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When it was received.
    pub at: Millis,
    /// Why it was rejected.
    pub reason: Reason,
    /// What exactly was wrong.
    pub detail: String,
    /// The topic as received; possibly not UTF-8.
    pub topic: Vec<u8>,
    /// The bytes of the message; of an array, the bytes of the rejected item.
    pub payload: Vec<u8>,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: i64,
    /// When it was received.
    pub at: Millis,
    /// The name of the reason.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// The topic as received.
    pub topic: Vec<u8>,
    /// The original bytes.
    pub payload: Vec<u8>,
}

/// Adds one, kept from `now` on.
///
/// # Errors
/// When the statement fails.
pub fn insert(connection: &Connection, letter: &DeadLetter, now: Millis) -> rusqlite::Result<()> {
    let DeadLetter { at, reason, detail, topic, payload } = letter;
    let mut statement = connection.prepare_cached(
        "INSERT INTO dead_letters (kept, at, reason, detail, topic, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![now, at, reason.name(), detail, topic, payload])?;
    Ok(())
}

/// Removes what is beyond the bounds, oldest first; returns how many.
///
/// # Errors
/// When a statement fails.
pub fn evict(connection: &Connection, bounds: &config::DeadLetter, now: Millis) -> rusqlite::Result<usize> {
    let oldest_kept = now.saturating_sub(i64::try_from(bounds.max_age.as_millis()).unwrap_or(i64::MAX));
    let (count, bytes): (u64, u64) = connection
        .prepare_cached("SELECT count, bytes FROM dead_letter_totals")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // By their share of the excess: payloads differ in size, so what is still too much goes with the next commit.
    let surplus = count.saturating_sub(bounds.max_count);
    let by_size = if bytes > bounds.max_size { (count / 10).max(1) } else { 0 };
    let leaving = surplus.max(by_size).min(u64::from(EVICTED_AT_ONCE));
    // The age is that of the dead letter, not of its message: what the store refuses after a long outage is new here. In
    // the order of their numbers the oldest come first, so that none of the others is looked at.
    connection
        .prepare_cached(
            "DELETE FROM dead_letters WHERE id IN
                (SELECT id FROM dead_letters ORDER BY id LIMIT ?1)
             OR id IN (SELECT id FROM (SELECT id, kept FROM dead_letters ORDER BY id LIMIT ?3) WHERE kept < ?2)",
        )?
        .execute(params![leaving, oldest_kept, EVICTED_AT_ONCE])
}

/// How many there are, and the bytes of their topics and payloads.
///
/// # Errors
/// When the statement fails.
pub fn totals(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection.query_row("SELECT count, bytes FROM dead_letter_totals", [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// The newest ones before `before`, newest first, optionally of one reason only.
///
/// # Errors
/// When the statement fails.
pub fn list(connection: &Connection, reason: Option<&str>, before: i64, limit: u32) -> rusqlite::Result<Vec<Kept>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, at, reason, detail, topic, payload FROM dead_letters
         WHERE id < ?1 AND (?2 IS NULL OR reason = ?2) ORDER BY id DESC LIMIT ?3",
    )?;
    let rows = statement.query_map(params![before, reason, limit], kept)?;
    rows.collect()
}

/// One by its number.
///
/// # Errors
/// When the statement fails.
pub fn show(connection: &Connection, id: i64) -> rusqlite::Result<Option<Kept>> {
    connection
        .prepare_cached("SELECT id, at, reason, detail, topic, payload FROM dead_letters WHERE id = ?1")?
        .query_row([id], kept)
        .optional()
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        id: row.get(0)?,
        at: row.get(1)?,
        reason: row.get(2)?,
        detail: row.get(3)?,
        topic: row.get(4)?,
        payload: row.get(5)?,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use std::time::Duration;

    fn letter(at: Millis, bytes: usize) -> DeadLetter {
        let (detail, topic) = ("not JSON".to_owned(), b"vitals/v1/n/w/d".to_vec());
        DeadLetter { at, reason: Reason::Json, detail, topic, payload: vec![b'x'; bytes] }
    }

    fn bounds(max_count: u64, max_size: u64) -> config::DeadLetter {
        config::DeadLetter { max_count, max_size, max_age: Duration::from_secs(60) }
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn the_oldest_leave_when_there_are_too_many() {
        let connection = database();
        for at in 0..10 {
            insert(&connection, &letter(at, 1), at).unwrap();
        }
        assert_eq!(evict(&connection, &bounds(7, 1 << 20), 10).unwrap(), 3);
        let left: Vec<_> = list(&connection, None, i64::MAX, 100).unwrap().into_iter().map(|kept| kept.at).collect();
        assert_eq!(left, [9, 8, 7, 6, 5, 4, 3]);
    }

    #[test]
    fn the_bytes_come_within_their_bound_and_the_totals_stay_true() {
        let connection = database();
        for at in 0..50 {
            insert(&connection, &letter(at, 1000), at).unwrap();
        }
        while evict(&connection, &bounds(1000, 20_000), 50).unwrap() > 0 {}
        let (count, bytes) = totals(&connection).unwrap();
        assert!(bytes <= 20_000 && count > 0, "{count} {bytes}");
        assert_eq!(bytes, count * 1015);
    }

    #[test]
    fn the_old_leave_by_their_age() {
        let connection = database();
        insert(&connection, &letter(0, 1), 0).unwrap();
        // Of an old message, and new here.
        insert(&connection, &letter(1, 1), 70_000).unwrap();
        assert_eq!(evict(&connection, &bounds(10, 1000), 100_000).unwrap(), 1);
        assert_eq!(list(&connection, Some("json"), i64::MAX, 9).unwrap().len(), 1);
        assert_eq!(list(&connection, Some("time"), i64::MAX, 9).unwrap().len(), 0);
    }
}
