//! The constraints and indexes of the care graph: made by `wardline init`, looked for at start.
//!
//! Without uniqueness two concurrent `MERGE`s make two nodes of one id, and then half of a clinician's relations hang
//! on each.

use std::collections::HashSet;

use neo4rs::{DeError, Row, query};

use super::{Neo4j, permanent};
use crate::care::PeerError;
use crate::peers::Made;

/// Label, property and whether it is unique, of each. Labels can't be parameters: these are the only ones there are.
const WANTED: [(&str, &str, bool); 8] = [
    ("Clinician", "id", true),
    ("Patient", "id", true),
    ("Ward", "id", true),
    ("Shift", "id", true),
    ("Endpoint", "id", true),
    ("Clinician", "name", false),
    ("Shift", "start", false),
    ("Shift", "end", false),
];

impl Neo4j {
    /// Makes what is missing of the constraints and indexes; says of each whether it was there.
    pub async fn init(&self) -> Result<Vec<Made>, PeerError> {
        let there = self.indexes().await?;
        let mut made = Vec::new();
        for wanted @ (label, property, unique) in WANTED {
            let name = format!("{}_{property}", label.to_ascii_lowercase());
            let new = !is_there(&there, wanted);
            if new {
                let statement = match unique {
                    true => {
                        format!("CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{label}) REQUIRE n.{property} IS UNIQUE")
                    }
                    false => format!("CREATE INDEX {name} IF NOT EXISTS FOR (n:{label}) ON (n.{property})"),
                };
                // Two that set up at once can both find it missing, and "if not exists" does not keep the second from failing.
                if let Err(error) = self.rows(query(&statement)).await
                    && !is_there(&self.indexes().await?, wanted)
                {
                    return Err(error);
                }
            }
            made.push(Made { what: describe(wanted), new });
        }
        Ok(made)
    }

    /// An error that names the missing constraints and indexes and says what to do, with `retry: false`; any other error
    /// means that the server could not be asked.
    pub async fn check_constraints(&self) -> Result<(), PeerError> {
        let there = self.indexes().await?;
        let missing: Vec<_> = WANTED.into_iter().filter(|wanted| !is_there(&there, *wanted)).map(describe).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(permanent(format!("missing: {}; run `wardline init`", missing.join(", "))))
    }

    /// Label, property and uniqueness of each index; a uniqueness constraint owns one.
    async fn indexes(&self) -> Result<HashSet<(String, String, bool)>, PeerError> {
        let statement = "SHOW INDEXES YIELD labelsOrTypes, properties, owningConstraint, state
            WHERE size(labelsOrTypes) = 1 AND size(properties) = 1 AND state <> 'FAILED'
            RETURN labelsOrTypes[0] AS label, properties[0] AS property, owningConstraint IS NOT NULL AS unique";
        let rows = self.rows(query(statement)).await?;
        let read = |row: &Row| Ok((row.get("label")?, row.get("property")?, row.get("unique")?));
        rows.iter().map(|row| read(row).map_err(|error: DeError| permanent(error.to_string()))).collect()
    }
}

fn is_there(there: &HashSet<(String, String, bool)>, (label, property, unique): (&str, &str, bool)) -> bool {
    // A unique one serves where a plain one is wanted.
    let has = |unique| there.contains(&(label.to_owned(), property.to_owned(), unique));
    has(true) || (!unique && has(false))
}

fn describe((label, property, unique): (&str, &str, bool)) -> String {
    format!("neo4j {} {label}.{property}", if unique { "constraint" } else { "index" })
}
