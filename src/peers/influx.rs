//! InfluxDB 2: writes, health, buckets, and the last readings of a patient.
//!
//! Health, buckets and queries go through the `influxdb2` crate. The write goes beside it, because its call can neither
//! compress nor show the response's `Retry-After`, and both matter when a server is slow.

mod alerts;
mod answer;

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use influxdb2::models::{PostBucketRequest, RetentionRule};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};

use crate::config;
use crate::store::batch::Part;
use crate::store::{VitalStore, WriteError};

/// How much of an answer is read: enough for its message.
const MAX_ANSWER: usize = 4 << 10;

/// Attempts to connect end after this, so that a server that is gone is noticed before a write's own timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Buckets listed by one request: the most that InfluxDB gives.
const BUCKETS_AT_ONCE: u8 = 100;

/// One server.
#[derive(Debug)]
pub struct InfluxDb {
    config: config::InfluxDb,
    http: reqwest::Client,
    token: RwLock<String>,
}

/// A call that is no write did not work.
#[derive(Debug, thiserror::Error)]
pub enum InfluxError {
    /// The token's file can't be read.
    #[error("can't read influxdb.token_file {}: {message}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The client can't be set up.
    #[error("no HTTP client: {0}")]
    Client(String),
    /// The server, or the way to it.
    #[error("InfluxDB at {url}: {message}")]
    Server {
        /// Its URL.
        url: String,
        /// What happened and what to do.
        message: String,
    },
}

impl InfluxDb {
    /// A client for the configured server; reads the token, asks the server nothing.
    ///
    /// # Errors
    /// When the token can't be read.
    pub fn new(config: &config::InfluxDb) -> Result<Self, InfluxError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| InfluxError::Client(error.to_string()))?;
        let token = RwLock::new(read_token(config)?);
        Ok(Self { config: config.clone(), http, token })
    }

    /// The bucket of a region.
    #[must_use]
    pub fn bucket(&self, region: &str) -> String {
        self.config.bucket_template.replace("{region}", region)
    }

    /// Whether the server says that it is well.
    ///
    /// # Errors
    /// When it does not, or can't be reached.
    pub async fn health(&self) -> Result<(), InfluxError> {
        let health = self.within(async |client| client.health().await).await?;
        match health.status {
            influxdb2::models::Status::Pass => Ok(()),
            influxdb2::models::Status::Fail => {
                Err(self.error(health.message.unwrap_or_else(|| "is not well".to_owned())))
            }
        }
    }

    /// The names of the buckets that the token may see.
    ///
    /// # Errors
    /// When the server refuses or can't be reached.
    pub async fn buckets(&self) -> Result<Vec<String>, InfluxError> {
        let mut names = Vec::new();
        loop {
            let request = influxdb2::api::buckets::ListBucketsRequest {
                org: Some(self.config.org.clone()),
                limit: Some(BUCKETS_AT_ONCE),
                offset: Some(names.len() as u64),
                ..Default::default()
            };
            let found = self.within(async |client| client.list_buckets(Some(request)).await).await?.buckets;
            let is_last = found.len() < usize::from(BUCKETS_AT_ONCE);
            names.extend(found.into_iter().map(|bucket| bucket.name));
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Makes the buckets that are not there, one for each region; returns the names of those it made.
    ///
    /// # Errors
    /// When the server refuses or can't be reached.
    pub async fn ensure_buckets(&self, regions: &[String]) -> Result<Vec<String>, InfluxError> {
        let there = self.buckets().await?;
        let mut made = Vec::new();
        for region in regions {
            let name = self.bucket(region);
            if there.contains(&name) || made.contains(&name) {
                continue;
            }
            let org = self.config.org.clone();
            let org_id = self
                .within(async |client| {
                    client
                        .list_organizations(influxdb2::api::organization::ListOrganizationRequest {
                            org: Some(org),
                            ..Default::default()
                        })
                        .await
                })
                .await?;
            let org_id = org_id.orgs.into_iter().next().and_then(|org| org.id);
            let org_id =
                org_id.ok_or_else(|| self.error(format!("there is no organisation \"{}\"", self.config.org)))?;
            let seconds = i32::try_from(self.config.bucket_retention.as_secs()).unwrap_or(i32::MAX);
            let mut request = PostBucketRequest::new(org_id, name.clone());
            if seconds > 0 {
                request.retention_rules =
                    vec![RetentionRule::new(influxdb2::models::retention_rule::Type::Expire, seconds)];
            }
            self.within(async |client| client.create_bucket(Some(request)).await).await?;
            made.push(name);
        }
        Ok(made)
    }

    /// Runs one call of the crate, which knows no timeout of its own.
    async fn within<T>(
        &self,
        call: impl AsyncFnOnce(influxdb2::Client) -> Result<T, influxdb2::RequestError>,
    ) -> Result<T, InfluxError> {
        let client = influxdb2::Client::new(&self.config.url, &self.config.org, self.token());
        match tokio::time::timeout(self.config.timeout, call(client)).await {
            Ok(answer) => answer.map_err(|error| self.error(answer::short(&error.to_string()))),
            Err(_) => Err(self.error(format!("no answer within {:?}", self.config.timeout))),
        }
    }

    fn error(&self, message: String) -> InfluxError {
        InfluxError::Server { url: self.config.url.clone(), message }
    }

    fn token(&self) -> String {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the token again: it may have been replaced while we ran.
    fn renew_token(&self) {
        match read_token(&self.config) {
            Ok(token) => *self.token.write().unwrap_or_else(PoisonError::into_inner) = token,
            Err(error) => tracing::warn!(%error, "the token stays as it was"),
        }
    }
}

fn read_token(config: &config::InfluxDb) -> Result<String, InfluxError> {
    let Some(path) = &config.token_file else { return Ok(String::new()) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| InfluxError::Token { path: path.clone(), message: error.to_string() })?;
    Ok(text.trim().to_owned())
}

impl VitalStore for std::sync::Arc<InfluxDb> {
    async fn write(&self, part: Part<'_>) -> Result<(), WriteError> {
        match part.readings().next() {
            Some(first) => self.write_lines(&first.context.region, part.lines()).await,
            None => Ok(()),
        }
    }
}

impl InfluxDb {
    /// Writes lines to the bucket of a region.
    async fn write_lines(&self, region: &str, lines: &[u8]) -> Result<(), WriteError> {
        let bucket = self.bucket(region);
        let retry = |reason: String| WriteError::Retry { after: None, reason };
        let body = gzip(lines).map_err(|error| retry(format!("a batch can't be compressed: {error}")))?;
        let sent = self
            .http
            .post(format!("{}/api/v2/write", self.config.url))
            .query(&[("org", self.config.org.as_str()), ("bucket", &bucket), ("precision", "ms")])
            .header(AUTHORIZATION, format!("Token {}", self.token()))
            .header(CONTENT_ENCODING, "gzip")
            .header(CONTENT_TYPE, "text/plain; charset=utf-8")
            .body(body)
            .send()
            .await;
        let mut response =
            sent.map_err(|error| retry(format!("InfluxDB at {}: {}", self.config.url, chain(&error))))?;
        let status = response.status().as_u16();
        if status == 204 {
            return Ok(());
        }
        let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            if text.len() >= MAX_ANSWER {
                break;
            }
        }
        let after = header.and_then(|header| answer::retry_after(&header, SystemTime::now()));
        let verdict = answer::classify(status, &String::from_utf8_lossy(&text), after, &bucket);
        if matches!(status, 401 | 403) {
            self.renew_token();
        }
        verdict
    }
}

fn gzip(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    // The fastest level: it takes a quarter of the best one's time for nearly all of its effect on lines like these.
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 4), Compression::fast());
    encoder.write_all(lines)?;
    encoder.finish()
}

/// An error with its causes, without the URL, whose query is long and says nothing.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if error.is_timeout() {
        text = format!("no answer in time: {text}");
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
