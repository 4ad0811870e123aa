//! Profiles and alerts on a real server of the MongoDB wire protocol: set-up, refresh, look-up, and the server away.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/servers.rs"]
mod servers;

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{DateTime, Document, doc};
use servers::MongoDb;
use tokio_util::sync::CancellationToken;
use wardline::care::{AlertRecord, AlertStore, Priority};
use wardline::config;
use wardline::enrich::Enricher;
use wardline::enrich::lookup::Lookup;
use wardline::enrich::records::ProfileStore;
use wardline::enrich::refresh::{self, Schedule};
use wardline::enrich::shared::SharedDirectory;
use wardline::limits::Limits;
use wardline::peers::mongo::Mongo;
use wardline::reading::{Millis, Quality, Reading, Source};
use wardline::status::{State, Status};
use wardline::vital::{Vital, Vitals};

const NOON: Millis = 1_790_000_000_000;
const HOUR: Millis = 3_600_000;

fn adapter(url: &str) -> Mongo {
    Mongo::new(config::MongoDb {
        url: url.to_owned(),
        database: "wardline".to_owned(),
        login: None,
        refresh: Duration::from_millis(50),
        reload: Duration::from_secs(3600),
        lookup_timeout: Duration::from_secs(10),
        negative_ttl: Duration::from_secs(3600),
        timeout: Duration::from_secs(2),
    })
}

const SCHEDULE: Schedule = Schedule {
    refresh: Duration::from_millis(50),
    reload: Duration::from_secs(3600),
    retention: Duration::from_secs(30 * 86_400),
};

/// The database as another program sees it.
async fn database(server: &MongoDb) -> mongodb::Database {
    mongodb::Client::with_uri_str(&server.url).await.unwrap().database("wardline")
}

fn patient(id: &str, updated_at: Millis) -> Document {
    doc! {
        "_id": id, "region": "north", "ward": "icu-1", "bed": "7", "name": "A Name",
        "birth_date": DateTime::from_millis(0), "sex": "f", "conditions": ["copd"], "spo2_scale": 1,
        "limits": { "heart_rate": { "warning_low": 45 } }, "history": [], "version": 1,
        "updated_at": DateTime::from_millis(updated_at),
    }
}

fn assignment(id: &str, patient: &str, since: Millis, until: Option<Millis>, updated_at: Millis) -> Document {
    doc! {
        "_id": id, "device": "mon-1", "patient": patient, "region": "north", "ward": "icu-1", "bed": "7",
        "since": DateTime::from_millis(since), "until": until.map(DateTime::from_millis),
        "updated_at": DateTime::from_millis(updated_at),
    }
}

async fn insert(server: &MongoDb, collection: &str, document: Document) {
    database(server).await.collection::<Document>(collection).insert_one(document).await.unwrap();
}

fn now() -> Millis {
    wardline::clock::now_ms()
}

fn patient_of(enricher: &mut Enricher, time: Millis) -> Option<String> {
    let source = Source::from_topic("vitals/v1/north/floor-1/mon-1").unwrap();
    let reading = Reading { seq: None, time, received: time, vitals: Vitals::default(), quality: Quality::Good };
    enricher.enrich(&source, reading).context.patient.as_deref().map(str::to_owned)
}

async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let wait = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "not reached: {what}");
}

#[tokio::test]
async fn init_makes_every_index_once_and_without_them_the_check_refuses() {
    if !servers::wanted("init_makes_every_index_once_and_without_them_the_check_refuses") {
        return;
    }
    let server = MongoDb::start();
    let mongo = adapter(&server.url);
    let refusal = mongo.check_indexes().await.unwrap_err();
    assert!(!refusal.retry);
    assert!(refusal.message.contains("assignments.device_since"), "{refusal}");
    assert!(refusal.message.contains("wardline init"), "{refusal}");

    let first = mongo.init().await.unwrap();
    assert!(first.iter().all(|made| made.new), "{first:?}");
    mongo.check_indexes().await.unwrap();
    let second = mongo.init().await.unwrap();
    assert!(second.iter().all(|made| !made.new), "{second:?}");
    assert_eq!(second.len(), first.len());

    database(&server).await.collection::<Document>("patients").drop_index("name").await.unwrap();
    let refusal = mongo.check_indexes().await.unwrap_err();
    assert!(refusal.message.contains("missing: patients.name;"), "{refusal}");
}

#[tokio::test]
async fn a_full_load_reads_what_is_still_of_use_and_names_what_it_cannot_read() {
    if !servers::wanted("a_full_load_reads_what_is_still_of_use_and_names_what_it_cannot_read") {
        return;
    }
    let server = MongoDb::start();
    insert(&server, "patients", patient("p-1", NOON)).await;
    insert(&server, "patients", patient("p-2", NOON)).await;
    insert(&server, "patients", patient("p-not-assigned", NOON)).await;
    insert(&server, "patients", doc! { "_id": "p-3", "birth_date": "long ago" }).await;
    insert(&server, "assignments", assignment("ended", "p-1", NOON - 9 * HOUR, Some(NOON - HOUR - 1), NOON)).await;
    insert(&server, "assignments", assignment("useful", "p-2", NOON - HOUR, Some(NOON - HOUR), NOON)).await;
    insert(&server, "assignments", assignment("lasting", "p-3", NOON, None, NOON)).await;

    let records = adapter(&server.url).load_all(NOON - HOUR).await.unwrap();
    let mut assignments: Vec<_> = records.assignments.iter().map(|assignment| assignment.id.as_str()).collect();
    assignments.sort_unstable();
    assert_eq!(assignments, ["lasting", "useful"]);
    let patients: Vec<_> = records.patients.iter().map(|patient| patient.id.as_str()).collect();
    assert_eq!(patients, ["p-2"]);
    let first = records.patients.first().unwrap();
    assert_eq!(first.birth_date, Some(jiff::civil::date(1970, 1, 1)));
    assert_eq!(first.limits.first().unwrap().0, Vital::HeartRate);
    let unreadable: Vec<_> = records.unreadable.iter().map(|unreadable| unreadable.what.as_str()).collect();
    assert_eq!(unreadable, ["patients: birth_date is not a date"]);
}

#[tokio::test]
async fn a_load_of_more_documents_than_one_answer_holds_is_complete() {
    if !servers::wanted("a_load_of_more_documents_than_one_answer_holds_is_complete") {
        return;
    }
    let server = MongoDb::start();
    let count = 2_500;
    let database = database(&server).await;
    let assignments = (0..count).map(|n| assignment(&format!("a-{n}"), &format!("p-{n}"), n, None, NOON));
    database.collection::<Document>("assignments").insert_many(assignments).await.unwrap();
    let patients = (0..count).map(|n| patient(&format!("p-{n}"), NOON));
    database.collection::<Document>("patients").insert_many(patients).await.unwrap();

    let records = adapter(&server.url).load_all(NOON).await.unwrap();
    assert_eq!((records.assignments.len(), records.patients.len()), (2_500, 2_500));
}

#[tokio::test]
async fn changes_are_found_by_their_time_that_instant_included_with_the_patients_of_new_assignments() {
    if !servers::wanted("changes_are_found_by_their_time_that_instant_included_with_the_patients_of_new_assignments") {
        return;
    }
    let server = MongoDb::start();
    insert(&server, "patients", patient("p-old", NOON - HOUR)).await;
    insert(&server, "patients", patient("p-edge", NOON)).await;
    insert(&server, "patients", patient("p-before", NOON - 1)).await;
    insert(&server, "assignments", assignment("new", "p-old", NOON, None, NOON + 1)).await;
    insert(&server, "assignments", assignment("old", "p-before", NOON - HOUR, None, NOON - 1)).await;

    let records = adapter(&server.url).changed_since(NOON).await.unwrap();
    let assignments: Vec<_> = records.assignments.iter().map(|assignment| assignment.id.as_str()).collect();
    assert_eq!(assignments, ["new"]);
    let mut patients: Vec<_> = records.patients.iter().map(|patient| patient.id.as_str()).collect();
    patients.sort_unstable();
    assert_eq!(patients, ["p-edge", "p-old"]);
}

#[tokio::test]
async fn a_look_up_answers_for_all_devices_that_are_known_and_never_reads_a_device_as_an_operator() {
    if !servers::wanted("a_look_up_answers_for_all_devices_that_are_known_and_never_reads_a_device_as_an_operator") {
        return;
    }
    let server = MongoDb::start();
    insert(&server, "patients", patient("p-1", NOON)).await;
    insert(&server, "assignments", assignment("a-1", "p-1", NOON, None, NOON)).await;
    let mongo = Arc::new(adapter(&server.url));
    assert_eq!(mongo.find_devices(&["{\"$ne\": null}", "$ne"]).await.unwrap().assignments, []);

    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    let mut lookup = Lookup::new(mongo, shared.clone(), Duration::from_secs(10), Duration::from_secs(3600));
    lookup.resolve(vec!["mon-1".into(), "mon-9".into()]).await;
    assert!(!shared.is_away());
    assert_eq!(patient_of(&mut Enricher::new(shared), NOON).as_deref(), Some("p-1"));
}

#[tokio::test]
async fn a_bed_swap_and_a_corrected_profile_arrive_by_refresh_and_late_data_is_filed_by_its_time() {
    if !servers::wanted("a_bed_swap_and_a_corrected_profile_arrive_by_refresh_and_late_data_is_filed_by_its_time") {
        return;
    }
    let server = MongoDb::start();
    let mongo = adapter(&server.url);
    mongo.init().await.unwrap();
    let began = now() - HOUR;
    insert(&server, "patients", patient("p-1", began)).await;
    insert(&server, "patients", patient("p-2", began)).await;
    insert(&server, "assignments", assignment("a-1", "p-1", began, None, began)).await;
    let (status, stop) = (Status::new(), CancellationToken::new());
    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    let task = refresh::run(Arc::new(mongo), shared.clone(), SCHEDULE, status.part("mongodb"), stop.clone());
    let task = tokio::spawn(task);
    let mut enricher = Enricher::new(shared);
    until("the full load", || patient_of(&mut enricher, began).as_deref() == Some("p-1")).await;
    until("ok", || status.all().first().unwrap().1 == State::Ok).await;

    let swap = now();
    let assignments = database(&server).await.collection::<Document>("assignments");
    let end = doc! { "$set": { "until": DateTime::from_millis(swap), "updated_at": DateTime::from_millis(now()) } };
    assignments.update_one(doc! { "_id": "a-1" }, end).await.unwrap();
    insert(&server, "assignments", assignment("a-2", "p-2", swap, None, now())).await;
    until("the swap", || patient_of(&mut enricher, swap).as_deref() == Some("p-2")).await;
    assert_eq!(patient_of(&mut enricher, swap - 1).as_deref(), Some("p-1"));

    // A writer whose clock is half a minute behind is not missed.
    let correction = doc! { "$set": { "patient": "p-1", "updated_at": DateTime::from_millis(now() - 30_000) } };
    assignments.update_one(doc! { "_id": "a-2" }, correction).await.unwrap();
    until("the correction", || patient_of(&mut enricher, swap).as_deref() == Some("p-1")).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn enrichment_starts_without_the_server_takes_it_up_when_it_comes_and_serves_on_when_it_goes() {
    if !servers::wanted("enrichment_starts_without_the_server_takes_it_up_when_it_comes_and_serves_on_when_it_goes") {
        return;
    }
    let mut server = MongoDb::start();
    adapter(&server.url).init().await.unwrap();
    insert(&server, "patients", patient("p-1", NOON)).await;
    insert(&server, "assignments", assignment("a-1", "p-1", NOON, None, NOON)).await;
    server.process.stop();

    let (status, stop) = (Status::new(), CancellationToken::new());
    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    let store = Arc::new(adapter(&server.url));
    let task = refresh::run(store, shared.clone(), SCHEDULE, status.part("mongodb"), stop.clone());
    let task = tokio::spawn(task);
    let state = || status.all().first().unwrap().1.clone();
    let mut enricher = Enricher::new(shared.clone());
    until("away at start", || matches!(state(), State::Degraded(why) if why.contains("no profiles"))).await;
    assert!(shared.is_away());
    assert_eq!(patient_of(&mut enricher, NOON), None);

    server.process.restart();
    until("there", || state() == State::Ok).await;
    assert_eq!(patient_of(&mut enricher, NOON).as_deref(), Some("p-1"));

    // A server that is frozen keeps its connections and says nothing.
    server.process.freeze();
    until("away", || matches!(state(), State::Degraded(why) if why.contains("profiles are"))).await;
    assert_eq!(patient_of(&mut enricher, NOON).as_deref(), Some("p-1"));
    server.process.thaw();
    until("back", || state() == State::Ok).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_silent_or_gone_is_an_error_to_try_again_and_works_when_it_is_back() {
    if !servers::wanted("a_server_that_is_silent_or_gone_is_an_error_to_try_again_and_works_when_it_is_back") {
        return;
    }
    let mut server = MongoDb::start();
    let mongo = adapter(&server.url);
    mongo.ping().await.unwrap();
    server.process.freeze();
    assert!(mongo.save(&alert()).await.unwrap_err().retry);
    server.process.thaw();
    server.process.stop();
    assert!(mongo.save(&alert()).await.unwrap_err().retry);
    server.process.restart();
    // The driver looks for a lost server now and then only.
    let saved = async { while mongo.save(&alert()).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(60), saved).await.unwrap();
}

fn alert() -> AlertRecord {
    AlertRecord {
        id: "e-1".into(),
        patient: "p-1".into(),
        device: "mon-1".into(),
        region: "north".into(),
        ward: "icu-1".into(),
        bed: Some("7".into()),
        condition: "heart_rate_low".into(),
        priority: Priority::High,
        begin: NOON,
        end: None,
        value: Some(31.0),
        limit: Some(40.0),
    }
}

#[tokio::test]
async fn an_alert_keeps_its_end_however_often_and_in_whatever_order_it_is_saved() {
    if !servers::wanted("an_alert_keeps_its_end_however_often_and_in_whatever_order_it_is_saved") {
        return;
    }
    let server = MongoDb::start();
    let mongo = adapter(&server.url);
    let (begun, ended) = (alert(), AlertRecord { end: Some(NOON + HOUR), ..alert() });
    for record in [&begun, &begun, &ended, &begun, &ended] {
        mongo.save(record).await.unwrap();
    }
    let alerts = database(&server).await.collection::<Document>("alerts");
    assert_eq!(alerts.count_documents(doc! {}).await.unwrap(), 1);
    let found = alerts.find_one(doc! { "_id": "e-1" }).await.unwrap().unwrap();
    assert_eq!(found.get_datetime("begin").unwrap().timestamp_millis(), NOON);
    assert_eq!(found.get_datetime("end").unwrap().timestamp_millis(), NOON + HOUR);
    assert_eq!(found.get_str("priority").unwrap(), "high");
    assert_eq!((found.get_f64("value").unwrap(), found.get_f64("limit").unwrap()), (31.0, 40.0));
}
