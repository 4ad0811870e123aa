//! Who is to be told of a patient: whoever treats them and is on duty, or else somebody of the ward who is.
//!
//! On duty is who is active and works a shift that covers the patient's ward and holds `now`. First asked are those
//! who treat the patient; for one of them who is off duty, those who cover for them now and are on duty themselves. If that
//! reaches nobody, the on-duty clinicians of the ward's lowest tier are the answer. Who is off duty and has no cover is not
//! told. The ward is where the care graph has the patient now; the caller's word counts only when the graph does not know.

use std::collections::BTreeMap;

use neo4rs::{Row, query};

use super::{Neo4j, permanent};
use crate::care::{CareGraph, PeerError, Recipient};
use crate::reading::Millis;

const WARDS: &str = "
MATCH (:Patient {id: $patient})-[stay:IN]->(ward:Ward)
WHERE stay.since <= $now AND (stay.until IS NULL OR $now < stay.until)
RETURN DISTINCT ward.id AS ward";

/// Endpoints of those who treat the patient, or of their covers.
const TREATING: &str = "
MATCH (:Patient {id: $patient})<-[treats:TREATS]-(treating:Clinician)
WHERE treats.since <= $now AND (treats.until IS NULL OR $now < treats.until)
OPTIONAL MATCH (treating)-[covered:COVERED_BY]->(cover:Clinician)
WHERE covered.from <= $now AND (covered.to IS NULL OR $now < covered.to)
WITH treating, collect(cover) AS covers
WITH covers, [one IN [treating] WHERE one.active AND EXISTS {
    MATCH (one)-[:WORKS]->(shift:Shift)-[:COVERS]->(ward:Ward)
    WHERE ward.id IN $wards AND shift.start <= $now AND $now < shift.end
}] AS on_duty
UNWIND CASE WHEN size(on_duty) > 0 THEN on_duty ELSE [one IN covers WHERE one.active AND EXISTS {
    MATCH (one)-[:WORKS]->(shift:Shift)-[:COVERS]->(ward:Ward)
    WHERE ward.id IN $wards AND shift.start <= $now AND $now < shift.end
}] END AS told
MATCH (told)-[reach:REACHABLE_AT]->(endpoint:Endpoint)
RETURN told.id AS clinician, endpoint.kind AS kind, endpoint.address AS address, reach.rank AS rank";

/// Endpoints of everybody who is on duty in the wards, with the tier of their shift; no tier counts as the last.
const ON_DUTY: &str = "
MATCH (told:Clinician {active: true})-[:WORKS]->(shift:Shift)-[:COVERS]->(ward:Ward)
WHERE ward.id IN $wards AND shift.start <= $now AND $now < shift.end
MATCH (told)-[reach:REACHABLE_AT]->(endpoint:Endpoint)
WITH coalesce(shift.tier, 1000) AS tier, told, reach, endpoint
WITH tier, collect({clinician: told.id, kind: endpoint.kind, address: endpoint.address, rank: reach.rank}) AS all
ORDER BY tier LIMIT 1
UNWIND all AS one
RETURN one.clinician AS clinician, one.kind AS kind, one.address AS address, one.rank AS rank";

impl CareGraph for Neo4j {
    async fn recipients(
        &self,
        patient: &str,
        _region: &str,
        ward: &str,
        at: Millis,
    ) -> Result<Vec<Recipient>, PeerError> {
        let rows = self.rows(query(WARDS).param("patient", patient).param("now", at)).await?;
        let mut wards: Vec<String> = rows.iter().map(|row| field(row, "ward")).collect::<Result<_, _>>()?;
        if wards.is_empty() {
            wards.push(ward.to_owned());
        }
        let treating = query(TREATING).param("patient", patient).param("wards", wards.clone()).param("now", at);
        let mut rows = self.rows(treating).await?;
        if rows.is_empty() {
            rows = self.rows(query(ON_DUTY).param("wards", wards).param("now", at)).await?;
        }
        each_once(&rows)
    }
}

/// The recipients by rank, then by clinician; one who is found on several ways is told once on each endpoint.
fn each_once(rows: &[Row]) -> Result<Vec<Recipient>, PeerError> {
    let mut ranks: BTreeMap<(String, String, String), i64> = BTreeMap::new();
    for row in rows {
        let endpoint = (field(row, "clinician")?, field(row, "kind")?, field(row, "address")?);
        // An endpoint without a rank comes last.
        let rank = field::<Option<i64>>(row, "rank")?.unwrap_or(i64::MAX);
        ranks.entry(endpoint).and_modify(|lowest| *lowest = rank.min(*lowest)).or_insert(rank);
    }
    let mut recipients: Vec<_> = ranks
        .into_iter()
        .map(|((clinician, kind, address), rank)| Recipient { clinician, kind, address, rank })
        .collect();
    recipients.sort_by_key(|recipient| recipient.rank);
    Ok(recipients)
}

fn field<T: serde::de::DeserializeOwned>(row: &Row, name: &str) -> Result<T, PeerError> {
    row.get(name).map_err(|error| permanent(format!("the care graph has a {name} that can't be understood: {error}")))
}
