//! Who is told, asked of a real care graph: duty, covers, transfers, and the graph away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/servers.rs"]
mod servers;

use std::net::SocketAddr;
use std::time::Duration;

use neo4rs::{Graph, Query, query};
use servers::Toxiproxy;
use wardline::care::{CareGraph, Recipient};
use wardline::config;
use wardline::peers::neo4j::Neo4j;
use wardline::reading::Millis;

/// The adapter, with its password in a file as a service has it.
struct Adapter {
    neo4j: Neo4j,
    _secrets: tempfile::TempDir,
}

fn adapter(server: &servers::Neo4j, address: SocketAddr) -> Adapter {
    let secrets = tempfile::tempdir().unwrap();
    let password_file = secrets.path().join("password");
    std::fs::write(&password_file, format!("{}\n", server.password)).unwrap();
    let neo4j = Neo4j::new(config::Neo4j {
        url: format!("bolt://{address}"),
        user: server.user.clone(),
        password_file: Some(password_file),
        database: "neo4j".to_owned(),
        timeout: Duration::from_secs(5),
    });
    Adapter { neo4j, _secrets: secrets }
}

/// A corner of the shared graph that no other test touches: all ids begin with its name.
struct Corner {
    name: &'static str,
    graph: Graph,
    adapter: Adapter,
}

impl Corner {
    async fn new(name: &'static str) -> Self {
        let server = servers::Neo4j::shared();
        let graph = Graph::new(&server.url, &server.user, &server.password).unwrap();
        let corner = Self { name, graph, adapter: adapter(server, server.process.address()) };
        corner.adapter.neo4j.init().await.unwrap();
        corner
    }

    fn id(&self, id: &str) -> String {
        format!("{}-{id}", self.name)
    }

    async fn run(&self, statement: Query) {
        self.graph.run(statement).await.unwrap();
    }

    /// A clinician with one endpoint of rank 1.
    async fn clinician(&self, id: &str) {
        self.run(
            query("CREATE (:Clinician {id: $id, name: $id, role: 'nurse', active: true})").param("id", self.id(id)),
        )
        .await;
        self.endpoint(id, "mqtt", 1).await;
    }

    async fn endpoint(&self, clinician: &str, kind: &str, rank: i64) {
        let statement = "MATCH (c:Clinician {id: $id})
            CREATE (c)-[:REACHABLE_AT {rank: $rank}]->(:Endpoint {id: $id + $kind, kind: $kind, address: $id})";
        self.run(query(statement).param("id", self.id(clinician)).param("kind", kind).param("rank", rank)).await;
    }

    async fn shift(&self, clinician: &str, ward: &str, (start, end): (Millis, Millis), tier: i64) {
        let statement = "MERGE (w:Ward {id: $ward}) ON CREATE SET w.region = 'north'
            WITH w MATCH (c:Clinician {id: $id})
            CREATE (c)-[:WORKS]->(:Shift {id: randomUUID(), start: $start, end: $end, tier: $tier})-[:COVERS]->(w)";
        let statement = query(statement).param("id", self.id(clinician)).param("ward", self.id(ward));
        self.run(statement.param("start", start).param("end", end).param("tier", tier)).await;
    }

    async fn treats(&self, clinician: &str, patient: &str, since: Millis, until: Option<Millis>) {
        let statement = "MERGE (p:Patient {id: $patient}) WITH p MATCH (c:Clinician {id: $id})
            CREATE (c)-[:TREATS {role: 'attending', since: $since, until: $until}]->(p)";
        let statement = query(statement).param("id", self.id(clinician)).param("patient", self.id(patient));
        self.run(statement.param("since", since).param("until", until)).await;
    }

    async fn stays(&self, patient: &str, ward: &str, since: Millis, until: Option<Millis>) {
        let statement = "MERGE (w:Ward {id: $ward}) ON CREATE SET w.region = 'north' MERGE (p:Patient {id: $patient})
            CREATE (p)-[:IN {since: $since, until: $until}]->(w)";
        let statement = query(statement).param("patient", self.id(patient)).param("ward", self.id(ward));
        self.run(statement.param("since", since).param("until", until)).await;
    }

    async fn covered(&self, clinician: &str, by: &str, from: Millis, to: Millis) {
        let statement = "MATCH (c:Clinician {id: $id}), (d:Clinician {id: $by})
            CREATE (c)-[:COVERED_BY {from: $from, to: $to}]->(d)";
        let statement = query(statement).param("id", self.id(clinician)).param("by", self.id(by));
        self.run(statement.param("from", from).param("to", to)).await;
    }

    async fn told(&self, patient: &str, ward: &str, at: Millis) -> Vec<String> {
        let recipients = self.recipients(patient, ward, at).await;
        let own = recipients.iter().map(|recipient| recipient.clinician.trim_start_matches(self.name));
        own.map(|id| id.trim_start_matches('-').to_owned()).collect()
    }

    async fn recipients(&self, patient: &str, ward: &str, at: Millis) -> Vec<Recipient> {
        self.adapter.neo4j.recipients(&self.id(patient), "north", &self.id(ward), at).await.unwrap()
    }
}

#[tokio::test]
async fn init_makes_every_constraint_once_and_without_them_the_check_refuses() {
    if !servers::wanted("init_makes_every_constraint_once_and_without_them_the_check_refuses") {
        return;
    }
    let server = servers::Neo4j::start();
    let Adapter { neo4j, _secrets } = adapter(&server, server.process.address());
    let refusal = neo4j.check_constraints().await.unwrap_err();
    assert!(!refusal.retry);
    assert!(refusal.message.contains("neo4j constraint Endpoint.id"), "{refusal}");
    assert!(refusal.message.contains("wardline init"), "{refusal}");

    let first = neo4j.init().await.unwrap();
    assert!(first.iter().all(|made| made.new), "{first:?}");
    neo4j.check_constraints().await.unwrap();
    let second = neo4j.init().await.unwrap();
    assert!(second.iter().all(|made| !made.new), "{second:?}");

    let graph = Graph::new(&server.url, &server.user, &server.password).unwrap();
    graph.run(query("DROP CONSTRAINT shift_id")).await.unwrap();
    // An index that is not unique is no constraint.
    graph.run(query("CREATE INDEX plain FOR (n:Shift) ON (n.id)")).await.unwrap();
    let refusal = neo4j.check_constraints().await.unwrap_err();
    assert!(refusal.message.contains("missing: neo4j constraint Shift.id;"), "{refusal}");

    for statement in ["DROP INDEX plain", "DROP INDEX clinician_name", "DROP INDEX shift_end"] {
        graph.run(query(statement)).await.unwrap();
    }
    let (one, other) = tokio::join!(neo4j.init(), neo4j.init());
    assert!(one.is_ok() && other.is_ok(), "two at once: {one:?} {other:?}");
    neo4j.check_constraints().await.unwrap();
}

#[tokio::test]
async fn whoever_treats_the_patient_and_is_on_duty_is_told_and_nobody_else_of_the_ward() {
    if !servers::wanted("whoever_treats_the_patient_and_is_on_duty_is_told_and_nobody_else_of_the_ward") {
        return;
    }
    let corner = Corner::new("treating").await;
    for clinician in ["ann", "ben", "cat"] {
        corner.clinician(clinician).await;
    }
    corner.stays("p", "icu", 0, None).await;
    corner.treats("ann", "p", 0, None).await;
    corner.treats("ben", "p", 0, None).await;
    corner.shift("ann", "icu", (100, 200), 2).await;
    corner.shift("cat", "icu", (100, 200), 1).await;
    assert_eq!(corner.told("p", "icu", 150).await, ["ann"]);
}

#[tokio::test]
async fn at_the_instant_of_a_handover_the_next_shift_is_told() {
    if !servers::wanted("at_the_instant_of_a_handover_the_next_shift_is_told") {
        return;
    }
    let corner = Corner::new("handover").await;
    for (clinician, shift) in [("day", (100, 200)), ("night", (200, 300))] {
        corner.clinician(clinician).await;
        corner.treats(clinician, "p", 0, None).await;
        corner.shift(clinician, "icu", shift, 1).await;
    }
    corner.stays("p", "icu", 0, None).await;
    assert_eq!(corner.told("p", "icu", 99).await, [""; 0]);
    assert_eq!(corner.told("p", "icu", 100).await, ["day"]);
    assert_eq!(corner.told("p", "icu", 199).await, ["day"]);
    assert_eq!(corner.told("p", "icu", 200).await, ["night"]);
    assert_eq!(corner.told("p", "icu", 300).await, [""; 0]);
}

#[tokio::test]
async fn who_is_off_duty_is_told_through_a_cover_who_is_on_duty_while_the_cover_lasts() {
    if !servers::wanted("who_is_off_duty_is_told_through_a_cover_who_is_on_duty_while_the_cover_lasts") {
        return;
    }
    let corner = Corner::new("cover").await;
    for clinician in ["ann", "ben"] {
        corner.clinician(clinician).await;
    }
    corner.stays("p", "icu", 0, None).await;
    corner.treats("ann", "p", 0, None).await;
    corner.shift("ann", "icu", (0, 100), 1).await;
    corner.shift("ben", "icu", (100, 200), 2).await;
    corner.covered("ann", "ben", 50, 150).await;
    assert_eq!(corner.told("p", "icu", 60).await, ["ann"], "on duty, so not covered");
    assert_eq!(corner.told("p", "icu", 149).await, ["ben"]);
    corner.clinician("cat").await;
    corner.shift("cat", "icu", (100, 200), 1).await;
    assert_eq!(corner.told("p", "icu", 149).await, ["ben"]);
    assert_eq!(corner.told("p", "icu", 150).await, ["cat"], "the cover has ended: the ward");
}

#[tokio::test]
async fn a_cover_who_is_off_too_is_not_told_and_the_lowest_tier_of_the_ward_is() {
    if !servers::wanted("a_cover_who_is_off_too_is_not_told_and_the_lowest_tier_of_the_ward_is") {
        return;
    }
    let corner = Corner::new("both-off").await;
    for clinician in ["ann", "ben", "junior", "senior", "elsewhere"] {
        corner.clinician(clinician).await;
    }
    corner.stays("p", "icu", 0, None).await;
    corner.treats("ann", "p", 0, None).await;
    corner.covered("ann", "ben", 0, 1_000).await;
    corner.shift("junior", "icu", (0, 1_000), 1).await;
    corner.shift("senior", "icu", (0, 1_000), 2).await;
    corner.shift("elsewhere", "surgery", (0, 1_000), 1).await;
    assert_eq!(corner.told("p", "icu", 500).await, ["junior"]);
}

#[tokio::test]
async fn after_a_transfer_the_new_ward_is_told_even_if_the_device_still_names_the_old_one() {
    if !servers::wanted("after_a_transfer_the_new_ward_is_told_even_if_the_device_still_names_the_old_one") {
        return;
    }
    let corner = Corner::new("transfer").await;
    for (clinician, ward) in [("ann", "icu"), ("ben", "surgery")] {
        corner.clinician(clinician).await;
        corner.shift(clinician, ward, (0, 1_000), 1).await;
    }
    corner.treats("ann", "p", 0, None).await;
    corner.stays("p", "icu", 0, Some(100)).await;
    corner.stays("p", "surgery", 100, None).await;
    assert_eq!(corner.told("p", "icu", 99).await, ["ann"]);
    assert_eq!(corner.told("p", "icu", 100).await, ["ben"]);
}

#[tokio::test]
async fn a_consult_is_told_until_it_expires() {
    if !servers::wanted("a_consult_is_told_until_it_expires") {
        return;
    }
    let corner = Corner::new("consult").await;
    for clinician in ["attending", "consultant"] {
        corner.clinician(clinician).await;
        corner.shift(clinician, "icu", (0, 1_000), 1).await;
    }
    corner.stays("p", "icu", 0, None).await;
    corner.treats("attending", "p", 0, None).await;
    corner.treats("consultant", "p", 100, Some(200)).await;
    assert_eq!(corner.told("p", "icu", 99).await, ["attending"]);
    assert_eq!(corner.told("p", "icu", 199).await, ["attending", "consultant"]);
    assert_eq!(corner.told("p", "icu", 200).await, ["attending"]);
}

#[tokio::test]
async fn who_is_found_on_several_ways_is_told_once_on_each_endpoint_the_first_rank_first() {
    if !servers::wanted("who_is_found_on_several_ways_is_told_once_on_each_endpoint_the_first_rank_first") {
        return;
    }
    let corner = Corner::new("once").await;
    corner.clinician("ann").await;
    corner.endpoint("ann", "webhook", 0).await;
    corner.stays("p", "icu", 0, None).await;
    corner.treats("ann", "p", 0, None).await;
    corner.treats("ann", "p", 50, None).await;
    corner.shift("ann", "icu", (0, 200), 1).await;
    corner.shift("ann", "icu", (100, 300), 1).await;
    let recipients = corner.recipients("p", "icu", 150).await;
    let kinds: Vec<_> = recipients.iter().map(|recipient| (recipient.kind.as_str(), recipient.rank)).collect();
    assert_eq!(kinds, [("webhook", 0), ("mqtt", 1)]);
    // The same through the ward, of a patient whom the graph does not know.
    let recipients = corner.recipients("stranger", "icu", 150).await;
    assert_eq!(recipients.len(), 2);
}

#[tokio::test]
async fn who_has_left_or_cannot_be_reached_is_not_told_and_nobody_at_all_is_an_answer() {
    if !servers::wanted("who_has_left_or_cannot_be_reached_is_not_told_and_nobody_at_all_is_an_answer") {
        return;
    }
    let corner = Corner::new("nobody").await;
    corner.clinician("left").await;
    corner.run(query("MATCH (c:Clinician {id: $id}) SET c.active = false").param("id", corner.id("left"))).await;
    corner.run(query("CREATE (:Clinician {id: $id, active: true})").param("id", corner.id("silent"))).await;
    for clinician in ["left", "silent"] {
        corner.shift(clinician, "icu", (0, 1_000), 1).await;
        corner.treats(clinician, "p", 0, None).await;
    }
    corner.stays("p", "icu", 0, None).await;
    assert_eq!(corner.recipients("p", "icu", 500).await, []);
    assert_eq!(corner.recipients("' OR true //", "no such ward", 500).await, []);

    // Nobody of the first tier can be reached: the second is told.
    corner.clinician("ann").await;
    corner.shift("ann", "icu", (0, 1_000), 2).await;
    assert_eq!(corner.told("p", "icu", 500).await, ["ann"]);
}

#[tokio::test]
async fn a_graph_that_is_silent_or_gone_is_an_error_to_try_again_and_answers_when_it_is_back() {
    if !servers::wanted("a_graph_that_is_silent_or_gone_is_an_error_to_try_again_and_answers_when_it_is_back") {
        return;
    }
    let server = servers::Neo4j::shared();
    let faults = Toxiproxy::start();
    let through = faults.proxy("neo4j", server.process.address());
    let Adapter { neo4j, _secrets } = adapter(server, through);
    neo4j.recipients("p", "north", "w", 0).await.unwrap();

    faults.toxic("neo4j", "timeout", "downstream", r#"{"timeout":0}"#);
    assert!(neo4j.recipients("p", "north", "w", 0).await.unwrap_err().retry);
    faults.heal("neo4j", "timeout");
    neo4j.recipients("p", "north", "w", 0).await.unwrap();

    faults.enable("neo4j", false);
    assert!(neo4j.recipients("p", "north", "w", 0).await.unwrap_err().retry);
    faults.enable("neo4j", true);
    neo4j.recipients("p", "north", "w", 0).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again() {
    if !servers::wanted("a_wrong_password_is_told_and_not_tried_again") {
        return;
    }
    let server = servers::Neo4j::shared();
    let wrong = config::Neo4j {
        url: server.url.clone(),
        user: server.user.clone(),
        password_file: None,
        database: "neo4j".to_owned(),
        timeout: Duration::from_secs(5),
    };
    let refusal = Neo4j::new(wrong).check_constraints().await.unwrap_err();
    assert!(!refusal.retry, "{refusal}");
}
