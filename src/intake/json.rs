//! Native JSON: `{"device":"mon-0042","seq":18231,"time":"2026-11-22T09:15:02.250Z","vitals":{"heart_rate":72}}`.
//!
//! Fields that we do not know are passed over: devices of a later version may say more. A field or a vital that stands
//! twice is refused, because nobody can say which of the two was meant.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::draft::{Draft, Time};
use crate::reading::{Reason, Rejection};
use crate::vital::{Vital, Vitals};

/// Numbers by which devices say "no value": Mindray's -100, the NaN of IEEE 11073's SFLOAT and FLOAT, an INOP event.
/// A glucose of exactly 2047 mg/dL is taken for one too; it is the price of not storing a thousand false ones.
const NO_VALUE: [f64; 4] = [-100.0, 2047.0, 32_767.0, 8_388_607.0];

/// Each field as it stands, so that what is wrong with one can be told apart from what is wrong with another.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    device: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    vitals: Option<Named>,
    #[serde(borrow)]
    quality: Option<&'a RawValue>,
}

/// Reads one object.
pub(super) fn draft(bytes: &[u8]) -> Result<Draft, Rejection> {
    let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|error| {
        let reason = if error.is_data() { Reason::Shape } else { Reason::Json };
        Rejection::new(reason, problem(&error))
    })?;
    let named = wire.vitals.ok_or_else(|| Rejection::new(Reason::Shape, "\"vitals\" is missing"))?;
    Ok(Draft {
        device: text(wire.device, Reason::DeviceMismatch, "device")?,
        seq: seq(wire.seq)?,
        time: time(wire.time)?,
        vitals: named.vitals,
        named_vitals: named.named,
        unknown_vitals: named.unknown,
        quality: text(wire.quality, Reason::Quality, "quality")?,
    })
}

/// What serde_json says; it may quote the payload, so only its beginning is kept.
pub(super) fn problem(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(200) {
        text.truncate(end);
    }
    text
}

fn text(raw: Option<&RawValue>, reason: Reason, name: &str) -> Result<Option<String>, Rejection> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| Rejection::new(reason, format_args!("\"{name}\" must be a text")))
}

fn seq(raw: Option<&RawValue>) -> Result<Option<u64>, Rejection> {
    let Some(raw) = raw else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|_| Rejection::new(Reason::Shape, "\"seq\" must be a whole number"))
}

fn time(raw: Option<&RawValue>) -> Result<Option<Time>, Rejection> {
    let Some(raw) = raw else { return Ok(None) };
    let refused = || Rejection::new(Reason::Time, "\"time\" must be RFC 3339 with a zone, or whole milliseconds");
    if raw.get().starts_with('"') {
        serde_json::from_str(raw.get()).map(|text| Some(Time::Text(text))).map_err(|_| refused())
    } else {
        serde_json::from_str::<Option<i64>>(raw.get()).map(|millis| millis.map(Time::Millis)).map_err(|_| refused())
    }
}

/// The object of vitals: known ones with a value, and counts of the rest.
#[derive(Default)]
struct Named {
    vitals: Vitals,
    named: usize,
    unknown: usize,
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor)
    }
}

struct NamedVisitor;

impl<'de> Visitor<'de> for NamedVisitor {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of vitals")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
        let mut named = Named::default();
        let mut seen = 0u16;
        while let Some(name) = map.next_key::<Name>()? {
            named.named += 1;
            match name.0 {
                None => {
                    named.unknown += 1;
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
                Some(vital) => {
                    let bit = 1 << vital.index();
                    if seen & bit != 0 {
                        return Err(A::Error::custom(format_args!("vital \"{}\" stands twice", vital.name())));
                    }
                    seen |= bit;
                    if let Some(value) = map.next_value::<Value>()?.0 {
                        named.vitals.set(vital, value);
                    }
                }
            }
        }
        Ok(named)
    }
}

/// The name of a vital; `None` for one that we do not know.
struct Name(Option<Vital>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name: Cow<'de, str> = Cow::deserialize(deserializer)?;
        Ok(Self(Vital::from_name(&name)))
    }
}

/// A number, or one of the ways to say that there is none.
struct Value(Option<f64>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or null")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value(Some(value).filter(|value| !NO_VALUE.contains(value))))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        // Beyond 2^53 precision is lost, far outside every plausible range.
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value(None))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        if text.eq_ignore_ascii_case("nan") {
            Ok(Value(None))
        } else {
            Err(E::custom("a vital is a text, not a number"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    #[test]
    fn the_documented_example_is_read_whole() {
        let payload = br#"{"device":"mon-0042","seq":18231,"time":"2026-11-22T09:15:02.250Z",
            "vitals":{"heart_rate":72,"spo2":97.5},"quality":"good","firmware":{"version":[1,2]}}"#;
        let expected = Draft {
            device: Some("mon-0042".to_owned()),
            seq: Some(18_231),
            time: Some(Time::Text("2026-11-22T09:15:02.250Z".to_owned())),
            vitals: [(Vital::HeartRate, 72.0), (Vital::Spo2, 97.5)].into_iter().collect(),
            named_vitals: 2,
            unknown_vitals: 0,
            quality: Some("good".to_owned()),
        };
        assert_eq!(draft(payload).unwrap(), expected);
    }

    #[test]
    fn each_mistake_has_its_own_reason() {
        let cases = [
            (r#"{"time":1}"#, Reason::Shape),
            (r#"{"time":1.5,"vitals":{}}"#, Reason::Time),
            (r#"{"time":true,"vitals":{}}"#, Reason::Time),
            (r#"{"device":7,"vitals":{}}"#, Reason::DeviceMismatch),
            (r#"{"quality":7,"vitals":{}}"#, Reason::Quality),
            (r#"{"seq":-1,"vitals":{}}"#, Reason::Shape),
            (r#"{"vitals":{"heart_rate":"72"}}"#, Reason::Shape),
            (r#"{"vitals":{"heart_rate":[72]}}"#, Reason::Shape),
            (r#"{"vitals":{"spo2":1,"spo2":2}}"#, Reason::Shape),
            (r#"{"vitals":{},"vitals":{}}"#, Reason::Shape),
            (r#"{"vitals":{"heart_rate":NaN}}"#, Reason::Json),
            (r#"{"vitals":{}} x"#, Reason::Json),
            (r#"{"resourceType":"Observation"}"#, Reason::Shape),
        ];
        for (payload, reason) in cases {
            assert_eq!(draft(payload.as_bytes()).unwrap_err().reason, reason, "{payload}");
        }
    }

    #[test]
    fn sentinels_and_null_are_no_value_and_unknown_vitals_are_counted() {
        let payload = br#"{"time":1,"vitals":{"spo2":-100,"heart_rate":8388607,"resp_rate":null,"systolic":"NaN",
            "sp02":97,"bis":{"deep":[1]},"temperature":37.0}}"#;
        let draft = draft(payload).unwrap();
        assert_eq!(draft.vitals.iter().collect::<Vec<_>>(), [(Vital::Temperature, 37.0)]);
        assert_eq!((draft.named_vitals, draft.unknown_vitals), (7, 2));
    }
}
