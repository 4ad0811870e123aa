//! The alerts that MongoDB keeps.

use mongodb::Client;
use mongodb::bson::{DateTime, Document, doc};

use super::StoredAlert;
use crate::ledger::Ledger;

/// The alerts of the ledger's devices that began in its time.
///
/// # Errors
/// When the server does not answer, or an alert lacks its device, condition or begin.
pub async fn read(client: &Client, database: &str, ledger: &Ledger) -> anyhow::Result<Vec<StoredAlert>> {
    let Some((first, last)) = ledger.span() else { return Ok(Vec::new()) };
    let began = doc! { "$gte": DateTime::from_millis(first), "$lte": DateTime::from_millis(last) };
    let alerts = client.database(database).collection::<Document>("alerts");
    let mut cursor = alerts.find(doc! { "begin": began, "region": &ledger.region, "ward": &ledger.ward }).await?;
    let mut found = Vec::new();
    while cursor.advance().await? {
        let alert = cursor.deserialize_current()?;
        found.push(StoredAlert {
            device: alert.get_str("device")?.to_owned(),
            condition: alert.get_str("condition")?.to_owned(),
            begin: alert.get_datetime("begin")?.timestamp_millis(),
        });
    }
    Ok(found)
}
