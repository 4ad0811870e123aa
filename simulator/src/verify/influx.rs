//! What InfluxDB holds, read row by row over its InfluxQL endpoint, which gives one row for each point. Flux gives one
//! for each value, which is seven times as much.

use std::path::Path;

use crate::ledger::Ledger;

use super::Reconciliation;

/// A server, and what may read it.
#[derive(Debug, Clone)]
pub struct Influx {
    /// `http://host:8086`.
    pub url: String,
    /// The organisation.
    pub org: String,
    /// A token that may read the bucket.
    pub token: String,
    /// The bucket.
    pub bucket: String,
}

/// The store can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No answer, or not to the end.
    #[error("can't read from InfluxDB: {0}")]
    Http(#[from] reqwest::Error),
    /// An answer that says no.
    #[error("InfluxDB answers {status}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// An answer that is not understood.
    #[error("InfluxDB answers with a row that can't be understood: {0}")]
    Row(String),
    /// The file of the token can't be read.
    #[error("can't read the token in {0}: {1}")]
    Token(std::path::PathBuf, std::io::Error),
}

/// Reads a token from its file.
///
/// # Errors
/// When it can't be read.
pub fn token(path: &Path) -> Result<String, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|error| ReadError::Token(path.to_owned(), error))?;
    Ok(text.trim().to_owned())
}

impl Influx {
    /// Hands everything of the ledger's time and ward to `reconciliation`.
    ///
    /// # Errors
    /// When the server does not answer, or not to the end.
    pub async fn read(&self, ledger: &Ledger, reconciliation: &mut Reconciliation<'_>) -> Result<(), ReadError> {
        let Some((first, last)) = ledger.span() else { return Ok(()) };
        let query = format!(
            "SELECT * FROM vitals WHERE time >= {first}ms AND time <= {last}ms AND region = '{}' AND ward = '{}'",
            ledger.region, ledger.ward
        );
        let asked = [("org", &*self.org), ("db", &self.bucket), ("epoch", "ms"), ("chunked", "true"), ("q", &query)];
        let request = reqwest::Client::new().get(format!("{}/query", self.url)).query(&asked);
        let request =
            request.header("Authorization", format!("Token {}", self.token)).header("Accept", "application/csv");
        let mut answer = request.send().await?;
        if !answer.status().is_success() {
            let (status, message) = (answer.status().as_u16(), answer.text().await?);
            return Err(ReadError::Refused { status, message });
        }
        let (mut rows, mut pending) = (Rows::default(), Vec::new());
        while let Some(chunk) = answer.chunk().await? {
            for byte in chunk {
                if byte == b'\n' {
                    rows.row(&String::from_utf8_lossy(&pending), reconciliation)?;
                    pending.clear();
                } else {
                    pending.push(byte);
                }
            }
        }
        rows.row(&String::from_utf8_lossy(&pending), reconciliation)
    }
}

/// The rows of an answer; each part of it begins with the names of its columns.
#[derive(Debug, Default)]
struct Rows {
    columns: Vec<String>,
}

impl Rows {
    /// Everything in a row is a number or an identifier, so nothing is quoted.
    fn row(&mut self, row: &str, reconciliation: &mut Reconciliation<'_>) -> Result<(), ReadError> {
        let row = row.trim_end_matches('\r');
        if row.is_empty() {
            return Ok(());
        }
        if row.starts_with("name,") {
            self.columns = row.split(',').map(str::to_owned).collect();
            return Ok(());
        }
        let refused = || ReadError::Row(row.to_owned());
        let (mut device, mut time, mut vitals) = (None, None, Vec::new());
        for (column, value) in self.columns.iter().zip(row.split(',')) {
            match column.as_str() {
                "device" => device = Some(value),
                "time" => time = value.parse().ok(),
                "name" | "tags" | "age_band" | "patient" | "region" | "ward" | "quality" => {}
                _ if value.is_empty() => {}
                vital => vitals.push((vital, value.parse().map_err(|_| refused())?)),
            }
        }
        reconciliation.stored(device.ok_or_else(refused)?, time.ok_or_else(refused)?, vitals.into_iter());
        Ok(())
    }
}
