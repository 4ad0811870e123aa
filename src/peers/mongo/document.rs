//! Documents as records. A document that can't be understood is left out and named by its field, never repaired.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mongodb::bson::{Bson, Document};

use crate::enrich::records::{AssignmentRecord, PatientRecord};
use crate::limits::Limit;
use crate::reading::{Millis, is_id};
use crate::vital::Vital;

/// Reads a document of `assignments`; the error names the field at fault.
pub(super) fn assignment(document: &Document) -> Result<AssignmentRecord, String> {
    Ok(AssignmentRecord {
        id: text(document, "_id")?,
        device: identifier(document, "device")?,
        patient: identifier(document, "patient")?,
        ward: identifier(document, "ward")?,
        bed: present(document, "bed").map(|_| text(document, "bed")).transpose()?,
        since: time(document, "since")?,
        until: present(document, "until").map(|_| time(document, "until")).transpose()?,
    })
}

/// Reads a document of `patients`; the error names the field at fault.
pub(super) fn patient(document: &Document) -> Result<PatientRecord, String> {
    Ok(PatientRecord {
        id: identifier(document, "_id")?,
        birth_date: present(document, "birth_date").map(|_| date(document, "birth_date")).transpose()?,
        limits: match present(document, "limits") {
            None => Vec::new(),
            Some(Bson::Document(limits)) => {
                limits.iter().map(|(name, value)| limit(name, value)).collect::<Result<_, _>>()?
            }
            Some(_) => return Err("limits is not a document".to_owned()),
        },
    })
}

fn limit(name: &str, value: &Bson) -> Result<(Vital, Limit), String> {
    let vital = Vital::from_name(name).ok_or("limits names something that is no vital")?;
    let Bson::Document(set) = value else { return Err(format!("limits.{name} is not a document")) };
    let mut limit = Limit::default();
    for (key, value) in set {
        let part = match key.as_str() {
            "critical_low" => &mut limit.critical_low,
            "warning_low" => &mut limit.warning_low,
            "warning_high" => &mut limit.warning_high,
            "critical_high" => &mut limit.critical_high,
            _ => return Err(format!("limits.{name} sets something that is no limit")),
        };
        if *value != Bson::Null {
            // A limit that is not finite would never be broken.
            let number = number(value).filter(|number| number.is_finite());
            *part = Some(number.ok_or_else(|| format!("limits.{name}.{key} is not a number"))?);
        }
    }
    Ok((vital, limit))
}

/// A number of any of the number types.
pub(super) fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Double(number) => Some(*number),
        Bson::Int32(number) => Some(f64::from(*number)),
        #[expect(clippy::cast_precision_loss, reason = "limits and directions of keys are small")]
        Bson::Int64(number) => Some(*number as f64),
        _ => None,
    }
}

/// The value of a field; a null counts as absent.
fn present<'a>(document: &'a Document, field: &str) -> Option<&'a Bson> {
    document.get(field).filter(|value| **value != Bson::Null)
}

fn text(document: &Document, field: &str) -> Result<String, String> {
    let text = document.get_str(field).map_err(|_| format!("{field} is not a text"))?;
    Ok(text.to_owned())
}

fn identifier(document: &Document, field: &str) -> Result<String, String> {
    let text = text(document, field)?;
    if is_id(&text) { Ok(text) } else { Err(format!("{field} is not an identifier")) }
}

fn time(document: &Document, field: &str) -> Result<Millis, String> {
    let time = document.get_datetime(field).map_err(|_| format!("{field} is not a date"))?;
    Ok(time.timestamp_millis())
}

/// A day, kept as its midnight in UTC.
fn date(document: &Document, field: &str) -> Result<Date, String> {
    let midnight =
        Timestamp::from_millisecond(time(document, field)?).map_err(|_| format!("{field} is out of range"))?;
    Ok(midnight.to_zoned(TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use mongodb::bson::{DateTime, doc};

    #[test]
    fn a_whole_profile_is_read() {
        let birth = DateTime::from_millis(-86_400_000);
        let document = doc! {
            "_id": "p-1", "name": "kept out", "birth_date": birth, "spo2_scale": 1,
            "limits": { "heart_rate": { "critical_low": 35, "warning_low": 45.5, "warning_high": null } },
        };
        let record = patient(&document).unwrap();
        assert_eq!(record.birth_date, Some(jiff::civil::date(1969, 12, 31)));
        let limit = Limit { critical_low: Some(35.0), warning_low: Some(45.5), ..Limit::default() };
        assert_eq!(record.limits, [(Vital::HeartRate, limit)]);
    }

    #[test]
    fn a_document_that_cannot_be_understood_is_refused_with_the_field_and_without_its_value() {
        let limits = |limits: Document| doc! { "_id": "p-1", "limits": limits };
        for (document, field) in [
            (doc! { "_id": 7 }, "_id is not a text"),
            (doc! { "_id": "a patient" }, "_id is not an identifier"),
            (doc! { "_id": "p-1", "birth_date": "1970-01-01" }, "birth_date is not a date"),
            (limits(doc! { "heart_rate": 7 }), "limits.heart_rate is not a document"),
            (limits(doc! { "sp02": {} }), "limits names something that is no vital"),
            (limits(doc! { "spo2": { "low": 80 } }), "limits.spo2 sets something that is no limit"),
            (limits(doc! { "spo2": { "critical_low": f64::NAN } }), "limits.spo2.critical_low is not a number"),
        ] {
            assert_eq!(patient(&document), Err(field.to_owned()));
        }
    }

    #[test]
    fn an_assignment_without_a_beginning_is_refused_and_one_without_an_end_lasts() {
        let mut document = doc! { "_id": "a-1", "device": "mon-1", "patient": "p-1", "ward": "icu" };
        assert_eq!(assignment(&document), Err("since is not a date".to_owned()));
        document.insert("since", DateTime::from_millis(5));
        document.insert("until", Bson::Null);
        let record = assignment(&document).unwrap();
        assert_eq!((record.since, record.until, record.bed), (5, None, None));
    }
}
