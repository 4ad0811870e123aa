//! Writes a ward into the real databases: profiles and assignments into MongoDB, the care graph into Neo4j. May be
//! repeated: what is there is set to what the ward says.

use mongodb::Client;
use mongodb::bson::{DateTime, Document, doc};
use neo4rs::{Graph, query};

use crate::ward::{Ward, WardBed};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// How many shifts of twelve hours each clinician works from now on.
const SHIFTS: i64 = 60;

/// Writes profiles and assignments; everybody has been there since a day before `now`.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn profiles(client: &Client, database: &str, ward: &Ward, now: i64) -> anyhow::Result<()> {
    let database = client.database(database);
    let (patients, assignments) = (database.collection::<Document>("patients"), database.collection("assignments"));
    let updated_at = DateTime::from_millis(now);
    for bed in &ward.beds {
        let WardBed { patient, device, .. } = bed;
        let set = doc! {
            "region": &ward.region, "ward": &ward.ward, "bed": &bed.bed, "name": &bed.name,
            "birth_date": DateTime::from_millis(birth(bed)?), "sex": &bed.sex, "conditions": &bed.conditions,
            "limits": limits(bed), "history": [], "updated_at": updated_at,
        };
        let update = doc! { "$set": set, "$inc": { "version": 1 } };
        patients.update_one(doc! { "_id": patient }, update).upsert(true).await?;
        let set = doc! {
            "device": device, "patient": patient, "region": &ward.region, "ward": &ward.ward, "bed": &bed.bed,
            "since": DateTime::from_millis(now - DAY), "until": null, "updated_at": updated_at,
        };
        let id = format!("{device}.{patient}");
        let assignments: &mongodb::Collection<Document> = &assignments;
        assignments.update_one(doc! { "_id": id }, doc! { "$set": set }).upsert(true).await?;
    }
    Ok(())
}

fn birth(bed: &WardBed) -> anyhow::Result<i64> {
    let midnight = bed.birth_date.to_zoned(jiff::tz::TimeZone::UTC)?;
    Ok(midnight.timestamp().as_millisecond())
}

fn limits(bed: &WardBed) -> Document {
    let one = |limit: &std::collections::BTreeMap<String, f64>| -> Document {
        limit.iter().map(|(name, value)| (name.clone(), (*value).into())).collect()
    };
    bed.limits.iter().map(|(vital, limit)| (vital.clone(), one(limit).into())).collect()
}

/// Writes clinicians, their shifts, and whom they treat. Day and night are covered by the same people: the ward is a
/// small one.
///
/// # Errors
/// When the server refuses or does not answer.
pub async fn care_graph(graph: &Graph, ward: &Ward, now: i64) -> anyhow::Result<()> {
    let merge_ward = "MERGE (w:Ward {id: $ward}) SET w.region = $region";
    graph.run(query(merge_ward).param("ward", &*ward.ward).param("region", &*ward.region)).await?;
    for clinician in &ward.clinicians {
        let merge = "
            MERGE (c:Clinician {id: $id}) SET c.name = $name, c.role = $role, c.active = true
            MERGE (e:Endpoint {id: $endpoint}) SET e.kind = 'mqtt', e.address = $id
            MERGE (c)-[r:REACHABLE_AT]->(e) SET r.rank = 1";
        let merge = query(merge).param("id", &*clinician.id).param("name", &*clinician.name);
        graph.run(merge.param("role", &*clinician.role).param("endpoint", format!("{}.mqtt", clinician.id))).await?;
        let shifts = "
            MATCH (c:Clinician {id: $id}), (w:Ward {id: $ward})
            UNWIND range(0, $shifts - 1) AS number
            MERGE (s:Shift {id: $id + '.' + toString($first + number * $length)})
            SET s.start = $first + number * $length, s.end = $first + (number + 1) * $length, s.tier = 1
            MERGE (c)-[:WORKS]->(s) MERGE (s)-[:COVERS]->(w)";
        let (length, shifts) = (DAY / 2, query(shifts).param("shifts", SHIFTS));
        let shifts = shifts.param("id", &*clinician.id).param("ward", &*ward.ward);
        graph.run(shifts.param("length", length).param("first", now - now.rem_euclid(length))).await?;
    }
    for bed in &ward.beds {
        let merge = "
            MATCH (w:Ward {id: $ward})
            MERGE (p:Patient {id: $patient})
            MERGE (p)-[stay:IN]->(w) SET stay.since = $since
            WITH p UNWIND $clinicians AS id
            MATCH (c:Clinician {id: id})
            MERGE (c)-[t:TREATS]->(p) SET t.since = $since, t.role = c.role";
        let merge = query(merge).param("ward", &*ward.ward).param("patient", &*bed.patient);
        graph.run(merge.param("since", now - DAY).param("clinicians", bed.clinicians.clone())).await?;
    }
    Ok(())
}
