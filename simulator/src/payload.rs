//! Native JSON, as wardline's contract has it.

use std::fmt::Write as _;

use crate::values::{NAMES, Values};

/// How a device writes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// RFC 3339 in UTC with milliseconds.
    Text,
    /// Milliseconds since the epoch.
    Millis,
}

/// One reading as JSON.
#[must_use]
pub fn json(device: &str, seq: u64, time: i64, format: TimeFormat, values: &Values, quality: &str) -> String {
    let mut text = String::with_capacity(200);
    // Writing to a String can't fail.
    write!(text, r#"{{"device":"{device}","seq":{seq},"time":"#).ok();
    match format {
        TimeFormat::Millis => write!(text, "{time}").ok(),
        TimeFormat::Text => {
            let instant = jiff::Timestamp::from_millisecond(time).unwrap_or_default();
            write!(text, "\"{instant:.3}\"").ok()
        }
    };
    text.push_str(r#","vitals":{"#);
    for (number, (place, tenths)) in values.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let name = NAMES.get(place).copied().unwrap_or_default();
        let (whole, tenth, sign) =
            (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10, if tenths < 0 { "-" } else { "" });
        match tenth {
            0 => write!(text, r#"{comma}"{name}":{sign}{whole}"#).ok(),
            tenth => write!(text, r#"{comma}"{name}":{sign}{whole}.{tenth}"#).ok(),
        };
    }
    write!(text, r#"}},"quality":"{quality}"}}"#).ok();
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back_to_the_bit(
            tenths in proptest::collection::vec(any::<i16>(), 1..=NAMES.len()),
            time in 0i64..4_000_000_000_000,
            text in any::<bool>(),
        ) {
            let mut values = Values::default();
            tenths.iter().enumerate().for_each(|(place, tenths)| values.set_tenths(place, *tenths));
            let format = if text { TimeFormat::Text } else { TimeFormat::Millis };
            let json: serde_json::Value = serde_json::from_str(&json("mon-1", 7, time, format, &values, "good")).unwrap();
            for (place, tenths) in values.iter() {
                prop_assert_eq!(json["vitals"][NAMES[place]].as_f64().unwrap(), f64::from(tenths) / 10.0);
            }
            let read = match &json["time"] {
                serde_json::Value::String(text) => text.parse::<jiff::Timestamp>().unwrap().as_millisecond(),
                millis => millis.as_i64().unwrap(),
            };
            prop_assert_eq!(read, time);
        }
    }
}
