//! What an answer to a write means: one table.

use std::time::{Duration, SystemTime};

use crate::store::WriteError;

/// The meaning of a status and its body.
///
/// Sources: the troubleshooting page of InfluxDB 2's documentation, and the server's own write handler, which answers a
/// partial write with 422 and, in older versions, with 500.
pub(super) fn classify(status: u16, body: &str, after: Option<Duration>, bucket: &str) -> Result<(), WriteError> {
    let message = message(body);
    let partial = || WriteError::Partial { reason: format!("InfluxDB {status}: {message}"), dropped: dropped(body) };
    let hold = |advice: &str| WriteError::Hold { reason: format!("InfluxDB {status}: {message}; {advice}") };
    Err(match status {
        204 => return Ok(()),
        400 => WriteError::Malformed { reason: format!("InfluxDB 400: {message}") },
        401 => hold("the token is missing or wrong: look at influxdb.token_file"),
        403 => hold("the token may not write to this bucket: look at its permissions"),
        404 => hold(&format!("organisation or bucket \"{bucket}\" is not there: run `wardline init`")),
        413 => WriteError::TooLarge { reason: format!("InfluxDB 413: {message}") },
        422 => partial(),
        500 if body.contains("partial write") => partial(),
        408 | 425 | 429 | 500..=599 => WriteError::Retry { after, reason: format!("InfluxDB {status}: {message}") },
        // A redirect, a proxy's page, something newer than this table: somebody has to look, and nothing is dropped.
        _ => hold("an answer that InfluxDB does not give: look at influxdb.url"),
    })
}

/// The message of InfluxDB's JSON, or the beginning of what else came; never more than one short line.
fn message(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = json.as_ref().and_then(|json| json.get("message")?.as_str()).unwrap_or(body);
    short(text)
}

/// One line of at most 200 characters: a server may quote the data that it refuses.
pub(super) fn short(text: &str) -> String {
    let line: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.is_empty() { "no message".to_owned() } else { line.to_owned() }
}

/// The count in "... dropped=4".
fn dropped(body: &str) -> Option<u64> {
    let (_, rest) = body.rsplit_once("dropped=")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// Reads `Retry-After`: seconds, or a date as HTTP writes it.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(header.trim()).ok()?;
    let now = jiff::Timestamp::try_from(now).ok()?;
    let wait = date.timestamp().as_millisecond().saturating_sub(now.as_millisecond());
    // A date that has passed: at once.
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        match classify(status, body, Some(Duration::from_secs(7)), "vitals-north") {
            Ok(()) => "stored",
            Err(WriteError::Retry { after, .. }) => {
                assert_eq!(after, Some(Duration::from_secs(7)));
                "retry"
            }
            Err(WriteError::Hold { .. }) => "hold",
            Err(WriteError::TooLarge { .. }) => "too large",
            Err(WriteError::Malformed { .. }) => "malformed",
            Err(WriteError::Partial { .. }) => "partial",
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let partial =
            r#"{"code":"internal error","message":"partial write: points beyond retention policy dropped=3"}"#;
        let rows = [
            (204, "", "stored"),
            (400, r#"{"code":"invalid","message":"unable to parse 'x': missing fields"}"#, "malformed"),
            (401, "", "hold"),
            (403, "", "hold"),
            (404, "", "hold"),
            (408, "", "retry"),
            (413, "", "too large"),
            (422, "", "partial"),
            (429, "", "retry"),
            (500, "", "retry"),
            (500, partial, "partial"),
            (500, r#"{"message":"engine: cache-max-memory-size exceeded"}"#, "retry"),
            (502, "<html>", "retry"),
            (503, "", "retry"),
            (504, "", "retry"),
            (200, "<html>", "hold"),
            (302, "", "hold"),
            (405, "", "hold"),
        ];
        for (status, body, expected) in rows {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_count_of_dropped_points_is_read() {
        assert_eq!(dropped("partial write: dropped 4 points outside retention policy dropped=4"), Some(4));
        assert_eq!(dropped(r#"{"message":"x dropped=12"}"#), Some(12));
        assert_eq!(dropped("x"), None);
    }

    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn a_message_is_one_short_line() {
        let long = format!("{{\"message\":\"a\\nb{}\"}}", "x".repeat(1000));
        let text = message(&long);
        assert!(text.len() <= 200 && !text.contains('\n'), "{text}");
        assert_eq!(message(""), "no message");
        assert!(classify(404, "", None, "b").unwrap_err().to_string().contains("wardline init"));
    }
}
