//! Configuration: one TOML file over the commented defaults, the environment over both, every problem at once.
//!
//! `config/wardline.toml` is compiled in and is the only source of defaults, so the documentation can't disagree with
//! the program. Nothing below this module reads the environment.

pub mod check;
mod keys;
pub mod units;

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::keys::Problem;
use crate::limits::Limits;
use crate::vital;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("../config/wardline.toml");

/// Everything that can be configured, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The connection to the broker.
    pub mqtt: Mqtt,
    /// Limits on what is taken in.
    pub intake: Intake,
    /// The durable log.
    pub journal: Journal,
    /// Bounds of the store of rejected messages.
    pub dead_letter: DeadLetter,
    /// The connection to InfluxDB.
    pub influxdb: InfluxDb,
    /// When a batch is written.
    pub store: Store,
    /// The connection to MongoDB, and how profiles are kept fresh.
    pub mongodb: MongoDb,
    /// The connection to Neo4j.
    pub neo4j: Neo4j,
    /// When a breach becomes an episode.
    pub watch: Watch,
    /// How recipients are told.
    pub notify: Notify,
    /// Health and metrics.
    pub http: Http,
    /// What is logged, and how.
    pub log: Log,
    /// How a stop goes.
    pub shutdown: Shutdown,
}

/// `[mqtt]`
#[derive(Debug, Clone)]
pub struct Mqtt {
    /// The broker's host and port.
    pub broker: Broker,
    /// The client id; also the name of the session at the broker.
    pub client_id: String,
    /// Regions to subscribe to; empty for all.
    pub regions: Vec<String>,
    /// The shared-subscription group.
    pub share_group: Option<String>,
    /// Parallel sessions.
    pub sessions: NonZeroUsize,
    /// MQTT 5 Receive Maximum, messages.
    pub receive_maximum: NonZeroU16,
    /// How long the broker keeps the session.
    pub session_expiry: Duration,
    /// Interval of pings.
    pub keep_alive: Duration,
    /// Largest accepted packet, bytes.
    pub max_packet_size: u32,
    /// Wait between attempts to connect.
    pub backoff: Backoff,
    /// Age of the oldest unacknowledged message at which the session is taken up anew.
    pub stall_timeout: Duration,
    /// User name and the file of the password.
    pub login: Option<Login>,
    /// Trust and our own certificate.
    pub tls: Tls,
}

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
}

/// A user name, and where the password is.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// A file that holds the password.
    pub password_file: PathBuf,
}

/// Files for TLS.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM authorities to trust; the system's when not set.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate and key to present.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The bounds of an exponential backoff; the wait is random between zero and the current bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub min: Duration,
    /// Bound of the longest wait.
    pub max: Duration,
}

/// `[intake]`
#[derive(Debug, Clone)]
pub struct Intake {
    /// Bytes of one payload.
    pub max_payload: usize,
    /// Items of one message.
    pub max_items: usize,
    /// Vitals of one reading, unknown ones included.
    pub max_vitals: usize,
    /// How far a device's clock may be ahead.
    pub max_future: Duration,
    /// Age at which a reading is refused.
    pub retention: Duration,
    /// Age at which a reading raises no live alert.
    pub live_within: Duration,
    /// Bytes between the socket and the journal.
    pub max_in_flight: usize,
    /// Shortest time between two reads of the socket while messages flow.
    pub read_interval: Duration,
}

/// `[journal]`
#[derive(Debug, Clone)]
pub struct Journal {
    /// The folder of the journal.
    pub dir: PathBuf,
    /// Bytes on disk at which intake stops acknowledging.
    pub max_size: u64,
    /// Bytes of one group.
    pub max_group: usize,
    /// Bytes kept free for cursors and dead letters.
    pub reserve: u64,
    /// Bytes of readings kept in memory for the consumers.
    pub memory: usize,
}

/// `[dead_letter]`
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// How many are kept.
    pub max_count: u64,
    /// Bytes of payload that are kept.
    pub max_size: u64,
    /// How long they are kept.
    pub max_age: Duration,
}

/// `[influxdb]`
#[derive(Debug, Clone)]
pub struct InfluxDb {
    /// Base URL, without a slash at its end.
    pub url: String,
    /// Organisation.
    pub org: String,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// Bucket name with `{region}` in it.
    pub bucket_template: String,
    /// Retention of buckets that `wardline init` makes; zero for ever.
    pub bucket_retention: Duration,
    /// Bound on one write.
    pub timeout: Duration,
    /// Wait between tries.
    pub backoff: Backoff,
    /// Wait between tries while the server refuses us.
    pub hold_retry: Duration,
}

/// `[store]`
#[derive(Debug, Clone)]
pub struct Store {
    /// Lines of a batch.
    pub max_lines: usize,
    /// Bytes of a batch before compression.
    pub max_bytes: usize,
    /// Age of the oldest reading of a batch.
    pub max_age: Duration,
}

/// `[mongodb]`
#[derive(Debug, Clone)]
pub struct MongoDb {
    /// Connection string, without credentials.
    pub url: String,
    /// Database.
    pub database: String,
    /// User name and the file of the password.
    pub login: Option<Login>,
    /// How often changes are fetched.
    pub refresh: Duration,
    /// How often everything is fetched.
    pub reload: Duration,
    /// How long a reading may wait for the look-up of its device.
    pub lookup_timeout: Duration,
    /// How long an unknown device is not asked for again.
    pub negative_ttl: Duration,
    /// Bound on one operation.
    pub timeout: Duration,
}

/// `[neo4j]`
#[derive(Debug, Clone)]
pub struct Neo4j {
    /// Bolt URL.
    pub url: String,
    /// User name.
    pub user: String,
    /// A file that holds the password; no authentication when not set.
    pub password_file: Option<PathBuf>,
    /// Database.
    pub database: String,
    /// Bound on one query.
    pub timeout: Duration,
}

/// `[watch]` and `[limits]`
#[derive(Debug, Clone)]
pub struct Watch {
    /// When a warning limit counts as broken.
    pub warning: Sustain,
    /// When a critical limit counts as broken.
    pub critical: Sustain,
    /// How long a vital must be back before its episode ends.
    pub recovery_for: Duration,
    /// A silence after which a breach starts anew.
    pub gap: Duration,
    /// Limits where a profile sets none.
    pub limits: Arc<Limits>,
    /// How far inside a limit a vital must come back, by [`vital::Vital::index`].
    pub margins: [f64; vital::COUNT],
}

/// How long, and in how many readings in a row, a limit must be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sustain {
    /// From the first abnormal reading to the last.
    pub time: Duration,
    /// Abnormal readings in a row.
    pub samples: u32,
}

/// `[notify]`
#[derive(Debug, Clone)]
pub struct Notify {
    /// Client id of the connection that publishes alerts.
    pub mqtt_client_id: String,
    /// Who is told when the care graph names nobody.
    pub safety_net: SafetyNet,
    /// A file with the key that signs webhooks.
    pub webhook_key_file: Option<PathBuf>,
    /// Bound on one webhook call.
    pub webhook_timeout: Duration,
    /// Wait between tries.
    pub backoff: Backoff,
    /// Notifications on the way at one time.
    pub concurrency: NonZeroUsize,
}

/// The endpoint of last resort.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNet {
    /// The channel: "mqtt" or "webhook".
    pub kind: &'static str,
    /// A clinician id, or a URL.
    pub address: String,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// Level or filter.
    pub level: String,
    /// Whether lines are JSON.
    pub json: bool,
}

/// `[shutdown]`
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// How long a stop may take.
    pub deadline: Duration,
}
