//! What to subscribe to, and what an earlier configuration left subscribed at the broker.
//!
//! A persistent session keeps its subscriptions. When the configuration changes, the old ones must be taken back, so
//! the journal's database remembers which they were.

use rusqlite::{Connection, params};

use crate::config;

/// The table of subscriptions by client id.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS subscriptions (
    client_id TEXT NOT NULL,
    filter TEXT NOT NULL,
    PRIMARY KEY (client_id, filter)
) WITHOUT ROWID;
";

/// The topic filters of a configuration: one for each region, or one for all, in the group if there is one.
#[must_use]
pub fn filters(mqtt: &config::Mqtt) -> Vec<String> {
    let prefix = mqtt.share_group.as_ref().map(|group| format!("$share/{group}/")).unwrap_or_default();
    if mqtt.regions.is_empty() {
        return vec![format!("{prefix}vitals/v1/#")];
    }
    mqtt.regions.iter().map(|region| format!("{prefix}vitals/v1/{region}/#")).collect()
}

/// Remembers the filters of a client id; returns those that were there before and are no more.
///
/// # Errors
/// When a statement fails.
pub fn replace(connection: &Connection, client_id: &str, filters: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut before = connection.prepare("SELECT filter FROM subscriptions WHERE client_id = ?1")?;
    let before = before.query_map([client_id], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    for filter in filters {
        connection.execute(
            "INSERT OR IGNORE INTO subscriptions (client_id, filter) VALUES (?1, ?2)",
            params![client_id, filter],
        )?;
    }
    Ok(before.into_iter().filter(|filter| !filters.contains(filter)).collect())
}

/// Forgets filters once the broker has.
///
/// # Errors
/// When a statement fails.
pub fn forget(connection: &Connection, client_id: &str, filters: &[String]) -> rusqlite::Result<()> {
    for filter in filters {
        connection
            .execute("DELETE FROM subscriptions WHERE client_id = ?1 AND filter = ?2", params![client_id, filter])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    #[test]
    fn one_filter_for_each_region_in_the_group() {
        let config = |text: &str| config::Config::from_text(text, std::iter::empty()).unwrap().mqtt;
        assert_eq!(filters(&config("")), ["vitals/v1/#"]);
        let shared = config("[mqtt]\nregions = [\"north\", \"south\"]\nshare_group = \"ward\"");
        assert_eq!(filters(&shared), ["$share/ward/vitals/v1/north/#", "$share/ward/vitals/v1/south/#"]);
    }

    #[test]
    fn a_filter_that_left_the_configuration_is_stale_until_it_is_forgotten() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let (a, b) = ("vitals/v1/a/#".to_owned(), "vitals/v1/b/#".to_owned());
        assert!(replace(&connection, "w", std::slice::from_ref(&a)).unwrap().is_empty());
        assert_eq!(replace(&connection, "w", std::slice::from_ref(&b)).unwrap(), std::slice::from_ref(&a));
        assert_eq!(replace(&connection, "w", std::slice::from_ref(&b)).unwrap(), std::slice::from_ref(&a));
        forget(&connection, "w", &[a]).unwrap();
        assert!(replace(&connection, "w", &[b]).unwrap().is_empty());
    }
}
