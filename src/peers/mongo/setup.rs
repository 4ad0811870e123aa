//! The indexes that the queries of this adapter rely on: made by `wardline init`, looked for at start.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::IndexOptions;

use super::{Mongo, permanent};
use crate::care::PeerError;
use crate::peers::Made;

/// Collection, name and key of each index.
fn indexes() -> [(&'static str, &'static str, Document); 6] {
    [
        ("patients", "name", doc! { "name": 1 }),
        ("patients", "region_id", doc! { "region": 1, "_id": 1 }),
        ("patients", "updated_at", doc! { "updated_at": 1 }),
        ("assignments", "device_since", doc! { "device": 1, "since": 1 }),
        ("assignments", "patient", doc! { "patient": 1 }),
        ("assignments", "updated_at", doc! { "updated_at": 1 }),
    ]
}

impl Mongo {
    /// Makes what is missing of the indexes; says of each whether it was there.
    pub async fn init(&self) -> Result<Vec<Made>, PeerError> {
        let mut made = Vec::new();
        for (collection, name, keys) in indexes() {
            let new = !self.has_index(collection, &keys).await?;
            if new {
                let options = IndexOptions::builder().name(name.to_owned()).build();
                let model = IndexModel::builder().keys(keys).options(options).build();
                let collection = self.collection(collection).await?;
                self.bounded(collection.create_index(model).into_future()).await?;
            }
            made.push(Made { what: format!("mongodb index {collection}.{name}"), new });
        }
        Ok(made)
    }

    /// An error that names the missing indexes and says what to do, with `retry: false`; any other error means that the
    /// server could not be asked.
    pub async fn check_indexes(&self) -> Result<(), PeerError> {
        let mut missing = Vec::new();
        for (collection, name, keys) in indexes() {
            if !self.has_index(collection, &keys).await? {
                missing.push(format!("{collection}.{name}"));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(permanent(format!("indexes are missing: {}; run `wardline init`", missing.join(", "))))
    }

    async fn has_index(&self, collection: &str, keys: &Document) -> Result<bool, PeerError> {
        let collection = self.collection(collection).await?;
        let list = async {
            let mut cursor = match collection.list_indexes().max_time(self.timeout()).await {
                Err(error) if is_missing_collection(&error) => return Ok(false),
                listed => listed?,
            };
            while cursor.advance().await? {
                if same_keys(&cursor.deserialize_current()?.keys, keys) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.bounded(list).await
    }
}

/// Servers answer the direction of a key as any of the number types.
fn same_keys(found: &Document, wanted: &Document) -> bool {
    found.keys().eq(wanted.keys()) && found.values().all(|direction| super::document::number(direction) == Some(1.0))
}

fn is_missing_collection(error: &Error) -> bool {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    matches!(error.kind.as_ref(), ErrorKind::Command(failure) if failure.code == NAMESPACE_NOT_FOUND)
}
