//! Line protocol: one line for each reading, the same bytes at each try.
//!
//! `vitals,age_band=40-64,device=mon-1,patient=p-1,region=north,ward=icu-1 heart_rate=72.0,spo2=97.5 1763802902250`
//!
//! Tags are in the order of their names and vitals in the order of theirs, always as floats: a field's type is fixed
//! by its first point, and an integer among floats is refused. A quality other than good is a text field, so that a
//! reading whose probe is off is stored though it has no value. The time is in milliseconds.

use crate::reading::{EnrichedReading, Millis, Quality};

/// Appends the line of one reading, with its line feed.
pub fn reading(out: &mut Vec<u8>, enriched: &EnrichedReading) {
    let EnrichedReading { reading, context } = enriched;
    out.extend_from_slice(b"vitals");
    tag(out, b",age_band=", &context.age_band);
    tag(out, b",device=", &context.device);
    tag(out, b",patient=", context.patient_tag());
    tag(out, b",region=", &context.region);
    tag(out, b",ward=", &context.ward);
    let mut separator = b' ';
    for (vital, value) in reading.vitals.iter() {
        out.push(separator);
        out.extend_from_slice(vital.name().as_bytes());
        out.push(b'=');
        float(out, value);
        separator = b',';
    }
    if reading.quality != Quality::Good {
        out.push(separator);
        out.extend_from_slice(b"quality=");
        text(out, reading.quality.name());
    }
    time(out, reading.time);
}

/// An event in the life of an alert, for dashboards to annotate.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertLine<'a> {
    /// What is abnormal.
    pub condition: &'a str,
    /// The patient's pseudonym.
    pub patient: &'a str,
    /// The region.
    pub region: &'a str,
    /// The ward.
    pub ward: &'a str,
    /// "begin" or "end".
    pub phase: &'a str,
    /// How urgent it is.
    pub priority: &'a str,
    /// The value that began it.
    pub value: Option<f64>,
    /// When.
    pub time: Millis,
}

/// Appends the line of an alert's event, with its line feed.
pub fn alert(out: &mut Vec<u8>, alert: &AlertLine<'_>) {
    out.extend_from_slice(b"alerts");
    tag(out, b",condition=", alert.condition);
    tag(out, b",patient=", alert.patient);
    tag(out, b",region=", alert.region);
    tag(out, b",ward=", alert.ward);
    out.extend_from_slice(b" phase=");
    text(out, alert.phase);
    out.extend_from_slice(b",priority=");
    text(out, alert.priority);
    if let Some(value) = alert.value.filter(|value| value.is_finite()) {
        out.extend_from_slice(b",value=");
        float(out, value);
    }
    time(out, alert.time);
}

/// A tag, or nothing for an empty value, which line protocol does not know.
///
/// Comma, equals sign and space are escaped. A control character would end the line, and a backslash would escape what
/// follows: neither is in any identifier, and each becomes an underscore rather than a broken batch.
fn tag(out: &mut Vec<u8>, name: &[u8], value: &str) {
    if value.is_empty() {
        return;
    }
    out.extend_from_slice(name);
    for byte in value.bytes() {
        match byte {
            b',' | b'=' | b' ' => out.extend_from_slice(&[b'\\', byte]),
            b'\\' | 0..0x20 | 0x7f => out.push(b'_'),
            _ => out.push(byte),
        }
    }
}

/// A text field. Quote and backslash are escaped; a control character becomes an underscore.
fn text(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => out.push(b'_'),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The shortest digits that read back as the same value.
fn float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
}

fn time(out: &mut Vec<u8>, time: Millis) {
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use crate::limits::Limits;
    use crate::reading::{Context, Reading};
    use crate::vital::{self, Vital, Vitals};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Splits at a character that stands behind no backslash and, where quotes mean something, outside them.
    fn split(text: &str, at: char, quotes: bool) -> Vec<String> {
        let (mut parts, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for c in text.chars() {
            if c == at && !quoted && !escaped {
                parts.push(String::new());
                continue;
            }
            quoted ^= quotes && c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            parts.last_mut().unwrap().push(c);
        }
        parts
    }

    fn unescape(text: &str) -> String {
        let mut out = String::new();
        let mut escaped = false;
        for c in text.chars() {
            if c == '\\' && !escaped {
                escaped = true;
            } else {
                out.push(c);
                escaped = false;
            }
        }
        out
    }

    type Pairs = Vec<(String, String)>;

    /// What a server reads in one line: measurement, tags, fields, time.
    fn parse(line: &str) -> (String, Pairs, Pairs, i64) {
        let line = line.strip_suffix('\n').unwrap();
        let head = split(line, ' ', false).remove(0);
        let [fields, time] = <[String; 2]>::try_from(split(&line[head.len() + 1..], ' ', true)).unwrap();
        let pairs = |parts: Vec<String>, quotes: bool| {
            let pair = |part: String| {
                let [name, value] = <[String; 2]>::try_from(split(&part, '=', quotes)).unwrap();
                let inner = value.strip_prefix('"').filter(|_| quotes).map(|rest| rest.strip_suffix('"').unwrap());
                let value = inner.unwrap_or(&value);
                (name, unescape(value))
            };
            parts.into_iter().map(pair).collect::<Vec<_>>()
        };
        let mut head = split(&head, ',', false);
        let measurement = head.remove(0);
        (measurement, pairs(head, false), pairs(split(&fields, ',', true), true), time.parse().unwrap())
    }

    fn enriched(names: [&str; 4], vitals: Vitals, quality: Quality, time: i64) -> EnrichedReading {
        let [region, ward, device, patient] = names;
        let context = Context {
            region: region.into(),
            ward: ward.into(),
            bed: None,
            device: device.into(),
            patient: Some(patient.into()),
            age_band: "40-64".into(),
            limits: Arc::new(Limits::default()),
        };
        let reading = Reading { seq: None, time, received: time, vitals, quality };
        EnrichedReading { reading, context: Arc::new(context) }
    }

    fn line(enriched: &EnrichedReading) -> String {
        let mut out = Vec::new();
        reading(&mut out, enriched);
        String::from_utf8(out).unwrap()
    }

    /// What may stand in a tag after the replacements that the encoder documents.
    fn tame(text: &str) -> String {
        text.chars().map(|c| if c == '\\' || c.is_ascii_control() { '_' } else { c }).collect()
    }

    #[test]
    fn the_documented_example_is_what_is_written() {
        let vitals = [(Vital::Spo2, 97.5), (Vital::HeartRate, 72.0)].into_iter().collect();
        let enriched = enriched(["north", "icu-1", "mon-1", "p-1"], vitals, Quality::Good, 1_763_802_902_250);
        let expected = "vitals,age_band=40-64,device=mon-1,patient=p-1,region=north,ward=icu-1 \
                        heart_rate=72.0,spo2=97.5 1763802902250\n";
        assert_eq!(line(&enriched), expected);
    }

    #[test]
    fn a_reading_without_values_is_stored_by_its_quality() {
        let enriched = enriched(["n", "w", "d", "p"], Vitals::default(), Quality::ProbeOff, 7);
        assert!(line(&enriched).ends_with(" quality=\"probe_off\" 7\n"));
    }

    proptest! {
        #[test]
        fn whatever_the_texts_hold_one_line_comes_out_and_reads_back(
            region in ".{1,12}", ward in ".{1,12}", device in ".{1,12}", patient in ".{1,12}",
            values in proptest::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 1..=vital::COUNT),
            time in any::<i64>(),
        ) {
            let vitals: Vitals = vital::ALL.into_iter().zip(values).collect();
            let enriched = enriched([&region, &ward, &device, &patient], vitals, Quality::Poor, time);
            let line = line(&enriched);
            prop_assert_eq!(line.matches('\n').count(), 1);
            let (measurement, tags, fields, read_time) = parse(&line);
            prop_assert_eq!(measurement, "vitals");
            let expected = [("age_band", "40-64"), ("device", &device), ("patient", &patient), ("region", &region), ("ward", &ward)];
            let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), tame(value))).collect();
            prop_assert_eq!(tags, expected);
            prop_assert_eq!(read_time, time);
            for ((name, text), (vital, value)) in fields.iter().zip(vitals.iter()) {
                prop_assert_eq!(name.as_str(), vital.name());
                prop_assert_eq!(text.parse::<f64>().unwrap(), value);
            }
            prop_assert_eq!(fields.len(), vitals.len() + 1);
        }

        #[test]
        fn an_alerts_line_reads_back(condition in ".{1,12}", phase in ".{0,12}", value in any::<Option<f64>>(), time in any::<i64>()) {
            let mut out = Vec::new();
            alert(&mut out, &AlertLine { condition: &condition, patient: "p", region: "r", ward: "w", phase: &phase, priority: "high", value, time });
            let line = String::from_utf8(out).unwrap();
            let (_, tags, fields, read_time) = parse(&line);
            prop_assert_eq!(tags.first().map(|(_, text)| text.clone()), Some(tame(&condition)));
            let phase: String = phase.chars().map(|c| if c.is_ascii_control() { '_' } else { c }).collect();
            prop_assert_eq!(fields.first().map(|(_, text)| text.clone()), Some(phase));
            prop_assert_eq!(read_time, time);
        }
    }
}
