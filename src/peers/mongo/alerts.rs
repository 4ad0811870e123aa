//! The life of an alert, one document each in `alerts`.

use mongodb::bson::{DateTime, doc};

use super::Mongo;
use crate::care::{AlertRecord, AlertStore, PeerError};
use crate::clock;

impl AlertStore for Mongo {
    /// An update that may be repeated: what it does not know it leaves as it is, so a beginning that arrives after its
    /// end takes nothing away.
    async fn save(&self, alert: &AlertRecord) -> Result<(), PeerError> {
        let mut set = doc! {
            "patient": &alert.patient,
            "device": &alert.device,
            "region": &alert.region,
            "ward": &alert.ward,
            "condition": &alert.condition,
            "priority": alert.priority.name(),
            "begin": DateTime::from_millis(alert.begin),
            "updated_at": DateTime::from_millis(clock::now_ms()),
        };
        if let Some(bed) = &alert.bed {
            set.insert("bed", bed);
        }
        if let Some(end) = alert.end {
            set.insert("end", DateTime::from_millis(end));
        }
        // A server may refuse numbers that are not finite.
        for (field, value) in [("value", alert.value), ("limit", alert.limit)] {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                set.insert(field, value);
            }
        }
        let alerts = self.collection("alerts").await?;
        let update = alerts.update_one(doc! { "_id": &alert.id }, doc! { "$set": set }).upsert(true);
        self.bounded(update.into_future()).await.map(drop)
    }
}
