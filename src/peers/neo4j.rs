//! Neo4j: the care graph, from which the recipients of an alert are read.
//!
//! Times are integers, milliseconds since the epoch, on nodes and relationships alike, so that all comparisons are of
//! whole numbers in one unit whatever the driver; `now` is always passed in. Intervals hold their beginning and not their
//! end; one without an end lasts. Values reach a statement as parameters only.
//!
//! The driver bounds neither a TLS handshake nor its own retries of a transient error: each call here ends after
//! `neo4j.timeout` in any case, and a call that was cut short gives up its connection.

mod recipients;
mod setup;
mod watch;

use std::sync::Arc;

use neo4rs::{ConfigBuilder, Error, Graph, Query, Row};
use tokio::sync::OnceCell;

pub use self::watch::run as watch;
use crate::care::PeerError;
use crate::config;

/// The name in errors.
pub const PEER: &str = "neo4j";

/// A handle of the database; clones share their connections.
#[derive(Debug, Clone)]
pub struct Neo4j(Arc<Inner>);

struct Inner {
    config: config::Neo4j,
    graph: OnceCell<Graph>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The graph holds the password.
        f.debug_struct("Inner").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Neo4j {
    /// A handle; does not connect.
    #[must_use]
    pub fn new(config: config::Neo4j) -> Self {
        Self(Arc::new(Inner { config, graph: OnceCell::new() }))
    }

    async fn open(&self) -> Result<Graph, PeerError> {
        let config = &self.0.config;
        let password = match &config.password_file {
            None => String::new(),
            Some(file) => tokio::fs::read_to_string(file)
                .await
                .map_err(|error| permanent(format!("cannot read the password file {}: {error}", file.display())))?,
        };
        let options = ConfigBuilder::default()
            .uri(&config.url)
            .user(&config.user)
            .password(password.trim_end_matches(['\r', '\n']))
            .db(config.database.as_str())
            .max_connections(8)
            .connection_timeout(config.timeout)
            // Two misnomers of the driver: how long to wait for a free connection, and for the check of an idle one.
            .max_lifetime(config.timeout)
            .idle_timeout(config.timeout)
            .build()
            .map_err(peer_error)?;
        Graph::connect(options).map_err(peer_error)
    }

    /// Runs a statement and gives its rows, within the timeout.
    async fn rows(&self, query: Query) -> Result<Vec<Row>, PeerError> {
        let timeout = self.0.config.timeout;
        let call = async {
            let graph = self.0.graph.get_or_try_init(|| self.open()).await?;
            let mut stream = graph.execute(query).await.map_err(peer_error)?;
            let mut rows = Vec::new();
            while let Some(row) = stream.next().await.map_err(peer_error)? {
                rows.push(row);
            }
            Ok(rows)
        };
        match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer,
            Err(_) => Err(PeerError::silent(PEER, timeout)),
        }
    }
}

fn permanent(message: String) -> PeerError {
    PeerError { peer: PEER, message, retry: false }
}

fn peer_error(error: Error) -> PeerError {
    use neo4rs::{Neo4jClientErrorKind as Client, Neo4jErrorKind as Kind};
    let retry = match &error {
        Error::Neo4j(failure) => match failure.kind() {
            Kind::Client(Client::SessionExpired | Client::TransactionTerminated) => true,
            Kind::Client(_) => false,
            Kind::Transient | Kind::Database | Kind::Unknown => true,
        },
        Error::AuthenticationError(_)
        | Error::UrlParseError(_)
        | Error::UnsupportedScheme(_)
        | Error::InvalidDnsName(_)
        | Error::InvalidConfig
        | Error::DeserializationError(_) => false,
        _ => true,
    };
    PeerError { peer: PEER, message: error.to_string(), retry }
}
