//! Profiles and assignments, read. The join of the two is ours, since not every server has one.

use std::collections::HashSet;

use mongodb::bson::{DateTime, Document, doc};
use tokio_stream::StreamExt as _;

use super::Mongo;
use super::document;
use crate::care::PeerError;
use crate::enrich::records::{ProfileStore, Records, Unreadable};
use crate::reading::Millis;

/// Ids of one `$in`: some tens of kilobytes of query.
const IDS_PER_QUERY: usize = 1_000;

/// Documents of one answer of the server.
const BATCH: u32 = 1_000;

impl ProfileStore for Mongo {
    async fn check(&self) -> Result<(), PeerError> {
        self.check_indexes().await
    }

    async fn load_all(&self, ended_from: Millis) -> Result<Records, PeerError> {
        let mut records = Records::default();
        let ended_from = DateTime::from_millis(ended_from);
        self.assignments(doc! { "$or": [{ "until": null }, { "until": { "$gte": ended_from } }] }, &mut records)
            .await?;
        self.patients_of_assignments(&mut records).await?;
        Ok(records)
    }

    async fn changed_since(&self, since: Millis) -> Result<Records, PeerError> {
        let mut records = Records::default();
        let changed = doc! { "updated_at": { "$gte": DateTime::from_millis(since) } };
        self.assignments(changed.clone(), &mut records).await?;
        self.patients(changed, &mut records).await?;
        self.patients_of_assignments(&mut records).await?;
        Ok(records)
    }

    async fn find_devices(&self, devices: &[&str]) -> Result<Records, PeerError> {
        let mut records = Records::default();
        self.assignments(doc! { "device": { "$in": devices } }, &mut records).await?;
        self.patients_of_assignments(&mut records).await?;
        Ok(records)
    }
}

impl Mongo {
    async fn assignments(&self, filter: Document, records: &mut Records) -> Result<(), PeerError> {
        let fields = doc! { "device": 1, "patient": 1, "ward": 1, "bed": 1, "since": 1, "until": 1 };
        for found in self.find("assignments", filter, fields).await? {
            match document::assignment(&found) {
                Ok(record) => records.assignments.push(record),
                Err(field) => records.unreadable.push(Unreadable { what: format!("assignments: {field}") }),
            }
        }
        Ok(())
    }

    async fn patients(&self, filter: Document, records: &mut Records) -> Result<(), PeerError> {
        for found in self.find("patients", filter, doc! { "birth_date": 1, "limits": 1 }).await? {
            match document::patient(&found) {
                Ok(record) => records.patients.push(record),
                Err(field) => records.unreadable.push(Unreadable { what: format!("patients: {field}") }),
            }
        }
        Ok(())
    }

    /// Adds the patients of the assignments that are not among the records yet.
    async fn patients_of_assignments(&self, records: &mut Records) -> Result<(), PeerError> {
        let there: HashSet<&str> = records.patients.iter().map(|patient| patient.id.as_str()).collect();
        let assigned = records.assignments.iter().map(|assignment| assignment.patient.clone());
        let missing: HashSet<String> = assigned.filter(|patient| !there.contains(patient.as_str())).collect();
        let missing: Vec<String> = missing.into_iter().collect();
        for ids in missing.chunks(IDS_PER_QUERY) {
            self.patients(doc! { "_id": { "$in": ids } }, records).await?;
        }
        Ok(())
    }

    /// All documents that match. Each exchange with the server is bounded, not their sum: a full load may take long.
    async fn find(&self, collection: &str, filter: Document, fields: Document) -> Result<Vec<Document>, PeerError> {
        let collection = self.collection(collection).await?;
        let query = collection.find(filter).projection(fields).batch_size(BATCH).max_time(self.timeout());
        let documents = self.bounded(query.into_future()).await?.timeout(self.timeout());
        tokio::pin!(documents);
        let mut found = Vec::new();
        while let Some(next) = documents.next().await {
            found.push(next.map_err(|_| self.silent())?.map_err(super::peer_error)?);
        }
        Ok(found)
    }
}
