//! What is to be told, on disk: events of alerts, and the notifications that come of them.
//!
//! An event is written in the transaction that moves the watch's cursor past it. Its notifications are written when its
//! recipients are known, in one transaction with the mark that they are. Each is tried until it is delivered, under an
//! id that is the same at every try. Nothing here is lost by a crash; what was delivered and not yet marked is
//! delivered again under the same id.

use rusqlite::{Connection, Row, params};

use crate::care::{Priority, Recipient};
use crate::journal::json_column;
use crate::reading::Millis;
use crate::watch::detector::Event;

/// Events wait for their recipients (`resolved`) and for the alert store (`kept`), independently.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS alert_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    alert TEXT NOT NULL,
    phase TEXT NOT NULL,
    urgency INTEGER NOT NULL,
    event TEXT NOT NULL,
    resolved INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0,
    UNIQUE (alert, phase)
);
CREATE INDEX IF NOT EXISTS alert_events_unresolved ON alert_events (urgency, id) WHERE resolved = 0;
CREATE INDEX IF NOT EXISTS alert_events_unkept ON alert_events (id) WHERE kept = 0;
CREATE TABLE IF NOT EXISTS notifications (
    id TEXT PRIMARY KEY,
    alert TEXT NOT NULL,
    urgency INTEGER NOT NULL,
    created INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    event TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try INTEGER NOT NULL,
    done INTEGER
);
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (urgency, created, next_try) WHERE done IS NULL;
CREATE INDEX IF NOT EXISTS notifications_of ON notifications (alert);
";

/// How long finished rows stay, so that a second end can still be recognised.
const KEPT: Millis = 24 * 3_600_000;

/// How long it is remembered who was told of an alert whose end never comes, as that of a device that was put away.
const ABANDONED: Millis = 90 * KEPT;

/// An event that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// Its number.
    pub id: i64,
    /// What happened.
    pub event: Event,
}

/// One message to one recipient over one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// The same at every try: alert, phase, recipient and channel.
    pub id: String,
    /// To whom.
    pub recipient: Recipient,
    /// What happened.
    pub event: Event,
    /// Tries so far.
    pub attempts: u32,
    /// When it was written.
    pub created: Millis,
}

impl Notification {
    /// A first notification of an event to a recipient.
    #[must_use]
    pub fn new(event: &Event, recipient: Recipient, created: Millis) -> Self {
        let id = format!("{}.{}.{}.{}", event.alert.id, event.phase.name(), recipient.kind, recipient.clinician);
        Self { id, recipient, event: event.clone(), attempts: 0, created }
    }
}

/// Lower is sooner.
fn urgency(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Technical => 1,
        Priority::Medium => 2,
        Priority::Low => 3,
    }
}

/// Adds events; one that is there already is left as it is.
///
/// # Errors
/// When a statement fails.
pub fn add(connection: &Connection, events: &[Event]) -> rusqlite::Result<()> {
    for event in events {
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO alert_events (alert, phase, urgency, event) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![event.alert.id, event.phase.name(), urgency(event.alert.priority), json_column(event)?])?;
    }
    Ok(())
}

/// The most urgent events whose recipients are not known. An end waits until its begin is resolved.
///
/// # Errors
/// When the table can't be read.
pub fn unresolved(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, event FROM alert_events AS this
         WHERE resolved = 0 AND NOT EXISTS
            (SELECT 1 FROM alert_events AS other WHERE other.alert = this.alert AND other.resolved = 0 AND other.id < this.id)
         ORDER BY urgency, id LIMIT ?1",
    )?;
    statement.query_map([limit], waiting)?.collect()
}

/// The oldest events that the alert store does not have.
///
/// # Errors
/// When the table can't be read.
pub fn unkept(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Waiting>> {
    let mut statement =
        connection.prepare_cached("SELECT id, event FROM alert_events WHERE kept = 0 ORDER BY id LIMIT ?1")?;
    statement.query_map([limit], waiting)?.collect()
}

/// The alert store has some events.
///
/// # Errors
/// When a statement fails.
pub fn mark_kept(connection: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE alert_events SET kept = 1 WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    Ok(())
}

/// The recipients of an event are known: writes a notification for each, and more events that follow from it.
///
/// # Errors
/// When a statement fails.
pub fn resolve(
    connection: &Connection,
    id: i64,
    notifications: &[Notification],
    more: &[Event],
) -> rusqlite::Result<()> {
    for notification in notifications {
        let Notification { id, recipient, event, created, .. } = notification;
        connection
            .prepare_cached(
                "INSERT OR IGNORE INTO notifications (id, alert, urgency, created, recipient, event, next_try)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4)",
            )?
            .execute(params![
                id,
                event.alert.id,
                urgency(event.alert.priority),
                created,
                json_column(recipient)?,
                json_column(event)?
            ])?;
    }
    add(connection, more)?;
    connection.prepare_cached("UPDATE alert_events SET resolved = 1 WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Who was told of an alert so far, each endpoint once.
///
/// # Errors
/// When the table can't be read.
pub fn told(connection: &Connection, alert: &str) -> rusqlite::Result<Vec<Recipient>> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT recipient FROM notifications WHERE alert = ?1")?;
    let told = statement.query_map([alert], |row| parse(&row.get::<_, String>(0)?))?;
    told.collect()
}

/// The most urgent notifications that are due, oldest first, and when the next one will be.
///
/// # Errors
/// When the table can't be read.
pub fn due(connection: &Connection, now: Millis, limit: u32) -> rusqlite::Result<(Vec<Notification>, Option<Millis>)> {
    let mut statement = connection.prepare_cached(
        "SELECT id, recipient, event, attempts, created FROM notifications
         WHERE done IS NULL AND next_try <= ?1 ORDER BY urgency, created LIMIT ?2",
    )?;
    let due = statement.query_map(params![now, limit], notification)?.collect::<rusqlite::Result<_>>()?;
    let next = connection
        .prepare_cached("SELECT min(next_try) FROM notifications WHERE done IS NULL AND next_try > ?1")?
        .query_row([now], |row| row.get(0))?;
    Ok((due, next))
}

/// A notification was delivered, or given up.
///
/// # Errors
/// When the statement fails.
pub fn mark_done(connection: &Connection, id: &str, now: Millis) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE notifications SET done = ?2 WHERE id = ?1")?.execute(params![id, now])?;
    Ok(())
}

/// A try failed; the next one is at `next_try`.
///
/// # Errors
/// When the statement fails.
pub fn postpone(connection: &Connection, id: &str, next_try: Millis) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE notifications SET attempts = attempts + 1, next_try = ?2 WHERE id = ?1")?
        .execute(params![id, next_try])?;
    Ok(())
}

/// Removes what was finished long ago: the notifications of an alert when a day has passed and its end is known, since the
/// end is told to those who heard of the begin, however long that is ago; then its events.
///
/// # Errors
/// When a statement fails.
pub fn prune(connection: &Connection, now: Millis) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM notifications WHERE done < ?1 AND (done < ?2 OR EXISTS
                (SELECT 1 FROM alert_events AS over WHERE over.alert = notifications.alert AND over.resolved = 1
                 AND json_extract(over.event, '$.alert.end') IS NOT NULL))",
        )?
        .execute([now - KEPT, now - ABANDONED])?;
    connection
        .prepare_cached(
            "DELETE FROM alert_events WHERE resolved = 1 AND kept = 1 AND json_extract(event, '$.at') < ?1
             AND NOT EXISTS (SELECT 1 FROM notifications WHERE notifications.alert = alert_events.alert)",
        )?
        .execute([now - KEPT])?;
    Ok(())
}

/// What the outbox holds that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// Events whose recipients are not known.
    pub unresolved: u64,
    /// Notifications that are not delivered.
    pub undelivered: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Millis>,
    /// Events that the alert store does not have.
    pub unkept: u64,
}

/// Counts what is not done.
///
/// # Errors
/// When the tables can't be read.
pub fn pending(connection: &Connection) -> rusqlite::Result<Pending> {
    let one = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get(0));
    let (undelivered, oldest) = connection
        .prepare_cached("SELECT count(*), min(created) FROM notifications WHERE done IS NULL")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let unresolved = one("SELECT count(*) FROM alert_events WHERE resolved = 0")?;
    Ok(Pending { unresolved, undelivered, oldest, unkept: one("SELECT count(*) FROM alert_events WHERE kept = 0")? })
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting { id: row.get(0)?, event: parse(&row.get::<_, String>(1)?)? })
}

fn notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    Ok(Notification {
        id: row.get(0)?,
        recipient: parse(&row.get::<_, String>(1)?)?,
        event: parse(&row.get::<_, String>(2)?)?,
        attempts: row.get(3)?,
        created: row.get(4)?,
    })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::care::AlertRecord;
    use crate::watch::episode::Phase;

    fn event(alert: &str, phase: Phase, priority: Priority) -> Event {
        let alert = AlertRecord {
            id: alert.to_owned(),
            patient: "p-1".to_owned(),
            device: "mon-1".to_owned(),
            region: "north".to_owned(),
            ward: "icu-1".to_owned(),
            bed: None,
            condition: "spo2_low".to_owned(),
            priority,
            begin: 1,
            end: None,
            value: Some(80.0),
            limit: Some(85.0),
        };
        Event { alert, phase, at: 1, received: 2 }
    }

    fn recipient(clinician: &str) -> Recipient {
        Recipient { clinician: clinician.to_owned(), kind: "mqtt".to_owned(), address: clinician.to_owned(), rank: 0 }
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    #[test]
    fn the_most_urgent_event_comes_first_and_an_end_waits_for_its_begin() {
        let connection = database();
        let events = [
            event("a", Phase::Begin, Priority::Medium),
            event("a", Phase::End, Priority::Medium),
            event("b", Phase::Begin, Priority::High),
        ];
        add(&connection, &events).unwrap();
        add(&connection, &events).unwrap();
        let first = unresolved(&connection, 9).unwrap();
        let ids: Vec<_> = first.iter().map(|waiting| waiting.event.alert.id.as_str()).collect();
        assert_eq!(ids, ["b", "a"], "each once, the end of a not yet");
        let begin = first.iter().find(|waiting| waiting.event.alert.id == "a").unwrap();
        resolve(&connection, begin.id, &[Notification::new(&begin.event, recipient("dr-1"), 5)], &[]).unwrap();
        let then: Vec<_> = unresolved(&connection, 9).unwrap().into_iter().map(|waiting| waiting.event.phase).collect();
        assert_eq!(then, [Phase::Begin, Phase::End]);
        assert_eq!(told(&connection, "a").unwrap(), [recipient("dr-1")]);
    }

    #[test]
    fn a_notification_is_due_until_it_is_done_and_written_once() {
        let connection = database();
        let events = [event("a", Phase::Begin, Priority::High)];
        add(&connection, &events).unwrap();
        let notification = Notification::new(&events[0], recipient("dr-1"), 5);
        resolve(&connection, 1, std::slice::from_ref(&notification), &[]).unwrap();
        resolve(&connection, 1, std::slice::from_ref(&notification), &[]).unwrap();
        let (found, _) = due(&connection, 5, 9).unwrap();
        assert_eq!(found, std::slice::from_ref(&notification));
        postpone(&connection, &notification.id, 100).unwrap();
        assert_eq!(due(&connection, 99, 9).unwrap(), (vec![], Some(100)));
        let (found, _) = due(&connection, 100, 9).unwrap();
        assert_eq!(found.first().map(|notification| notification.attempts), Some(1));
        mark_done(&connection, &notification.id, 101).unwrap();
        assert_eq!(due(&connection, 1000, 9).unwrap(), (vec![], None));
        let kept_by_nobody = Pending { unkept: 1, ..Pending::default() };
        assert_eq!(pending(&connection).unwrap(), kept_by_nobody);
    }

    /// An event that everybody has heard of at `done`, and that is kept.
    fn settled(connection: &Connection, event: &Event, done: Millis) {
        add(connection, std::slice::from_ref(event)).unwrap();
        let id = unresolved(connection, 1).unwrap().pop().unwrap().id;
        let notification = Notification::new(event, recipient("x"), done);
        resolve(connection, id, std::slice::from_ref(&notification), &[]).unwrap();
        mark_done(connection, &notification.id, done).unwrap();
        mark_kept(connection, &[id]).unwrap();
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM alert_events", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn what_ended_and_was_told_a_day_ago_leaves_and_what_is_not_told_stays() {
        let connection = database();
        settled(&connection, &event("a", Phase::Begin, Priority::High), 10);
        let mut end = event("a", Phase::End, Priority::High);
        end.alert.end = Some(9);
        settled(&connection, &end, 20);
        add(&connection, &[event("b", Phase::Begin, Priority::High)]).unwrap();
        prune(&connection, 20 + KEPT).unwrap();
        assert_eq!((told(&connection, "a").unwrap().len(), count(&connection)), (1, 3), "the last was told a day ago");
        prune(&connection, 21 + KEPT).unwrap();
        assert!(told(&connection, "a").unwrap().is_empty());
        assert_eq!(unresolved(&connection, 9).unwrap().len(), 1, "b has told nobody yet");
        assert_eq!(count(&connection), 1);
    }

    #[test]
    fn an_episode_that_lasts_for_days_remembers_whom_it_told_and_is_forgotten_when_it_never_ends() {
        let connection = database();
        settled(&connection, &event("a", Phase::Begin, Priority::Medium), 10);
        prune(&connection, 10 + 30 * KEPT).unwrap();
        assert_eq!(told(&connection, "a").unwrap(), [recipient("x")]);
        prune(&connection, 11 + ABANDONED).unwrap();
        assert!(told(&connection, "a").unwrap().is_empty());
        assert_eq!(count(&connection), 0);
    }
}
