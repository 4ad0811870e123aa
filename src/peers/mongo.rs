//! MongoDB: profiles, assignments, alerts and the audit, in one database.
//!
//! Writes are majority and journaled, reads majority. Only what every server of the wire protocol has is used: find,
//! update, plain indexes; no transactions, change streams or `$lookup`. Filters are built from typed values only, so
//! no text of a client is ever read as an operator. Times are BSON dates.
//!
//! The driver has no timeout for a whole operation, and notices a peer that falls silent only when its monitor does:
//! each call here ends after `mongodb.timeout` in any case.

mod alerts;
mod document;
mod profiles;
mod setup;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Collection, Database};
use tokio::sync::OnceCell;

use crate::care::PeerError;
use crate::config;

/// The name in errors.
pub const PEER: &str = "mongodb";

/// A handle of the database; clones share their connections.
#[derive(Debug, Clone)]
pub struct Mongo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: config::MongoDb,
    /// Made at the first use: a `mongodb+srv://` URL needs the name server, which may be away at start.
    database: OnceCell<Database>,
}

impl Mongo {
    /// A handle; does not connect.
    #[must_use]
    pub fn new(config: config::MongoDb) -> Self {
        Self(Arc::new(Inner { config, database: OnceCell::new() }))
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), PeerError> {
        let database = self.database().await?;
        self.bounded(database.run_command(mongodb::bson::doc! { "ping": 1 }).into_future()).await.map(drop)
    }

    async fn collection(&self, name: &str) -> Result<Collection<Document>, PeerError> {
        Ok(self.database().await?.collection(name))
    }

    async fn database(&self) -> Result<&Database, PeerError> {
        self.0.database.get_or_try_init(|| self.open()).await
    }

    async fn open(&self) -> Result<Database, PeerError> {
        let config = &self.0.config;
        let mut options = self.bounded(ClientOptions::parse(&config.url).into_future()).await?;
        if let Some(login) = &config.login {
            let password = tokio::fs::read_to_string(&login.password_file).await.map_err(|error| {
                permanent(format!("cannot read the password file {}: {error}", login.password_file.display()))
            })?;
            let mut credential = options.credential.take().unwrap_or_default();
            credential.username = Some(login.username.clone());
            credential.password = Some(password.trim_end_matches(['\r', '\n']).to_owned());
            options.credential = Some(credential);
        }
        options.app_name = Some("wardline".to_owned());
        options.connect_timeout = Some(config.timeout);
        options.server_selection_timeout = Some(config.timeout);
        options.heartbeat_freq = Some(Duration::from_secs(5));
        options.max_pool_size = Some(16);
        options.min_pool_size = Some(2);
        options.read_concern = Some(ReadConcern::majority());
        let preferred = ReadPreference::PrimaryPreferred { options: None };
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(preferred));
        options.write_concern =
            Some(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build());
        let client = Client::with_options(options).map_err(peer_error)?;
        Ok(client.database(&config.database))
    }

    /// Bounds one exchange with the server.
    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, PeerError> {
        match tokio::time::timeout(self.timeout(), call).await {
            Ok(answer) => answer.map_err(peer_error),
            Err(_) => Err(self.silent()),
        }
    }

    /// The server has not answered in time.
    fn silent(&self) -> PeerError {
        PeerError::silent(PEER, self.timeout())
    }

    fn timeout(&self) -> Duration {
        self.0.config.timeout
    }
}

fn permanent(message: String) -> PeerError {
    PeerError { peer: PEER, message, retry: false }
}

/// What a driver's error means for the caller. The driver is built without addresses in its messages; a server's
/// message of a failed write may quote the document, so that only its code is kept.
fn peer_error(error: Error) -> PeerError {
    let (message, retry) = match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(failure)) => {
            // 11000: two upserts of the same document met; the next try finds it there.
            (format!("the write was refused with code {}", failure.code), failure.code == 11000)
        }
        ErrorKind::Command(failure) => {
            // 13: not allowed; 18: authentication failed.
            (format!("{} ({})", failure.message, failure.code), !matches!(failure.code, 13 | 18))
        }
        ErrorKind::Authentication { message, .. } => (message.clone(), false),
        ErrorKind::InvalidArgument { message, .. } => (message.clone(), false),
        ErrorKind::InvalidTlsConfig { message, .. } => (message.clone(), false),
        kind => (kind.to_string(), true),
    };
    PeerError { peer: PEER, message, retry }
}
