#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::civil::date;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::lookup::Lookup;
use super::records::{AssignmentRecord, PatientRecord, ProfileStore, Records};
use super::refresh::{self, Schedule};
use super::*;
use crate::care::PeerError;
use crate::limits::{Limit, Limits};
use crate::reading::{Millis, Quality};
use crate::status::{State, Status};
use crate::vital::{Vital, Vitals};

fn source(device: &str) -> Source {
    Source::from_topic(&format!("vitals/v1/north/floor-1/{device}")).unwrap()
}

fn reading(time: Millis) -> Reading {
    Reading { seq: None, time, received: time, vitals: Vitals::default(), quality: Quality::Good }
}

fn assignment(id: &str, patient: &str, since: Millis, until: Option<Millis>) -> AssignmentRecord {
    AssignmentRecord {
        id: id.into(),
        device: "mon-1".into(),
        patient: patient.into(),
        ward: "icu-1".into(),
        bed: Some("7".into()),
        since,
        until,
    }
}

fn patient(id: &str, limits: Vec<(Vital, Limit)>) -> PatientRecord {
    PatientRecord { id: id.into(), birth_date: Some(date(1950, 1, 1)), limits }
}

fn shared(records: Records) -> SharedDirectory {
    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    fill(&shared, records);
    shared
}

/// Without a disk behind it a change waits for nothing.
fn fill(shared: &SharedDirectory, records: Records) {
    shared.replace(records).now_or_never().unwrap();
}

fn merge(shared: &SharedDirectory, records: Records) -> bool {
    shared.merge(records).now_or_never().unwrap()
}

fn swap() -> Records {
    let assignments = vec![assignment("a-1", "p-1", 1_000, Some(2_000)), assignment("a-2", "p-2", 2_000, None)];
    Records { assignments, patients: vec![patient("p-1", vec![]), patient("p-2", vec![])], unreadable: vec![] }
}

fn patient_of(enricher: &mut Enricher, time: Millis) -> Option<String> {
    enricher.enrich(&source("mon-1"), reading(time)).context.patient.as_deref().map(str::to_owned)
}

#[test]
fn late_data_after_a_bed_swap_belongs_to_the_patient_of_its_time() {
    let mut enricher = Enricher::new(shared(swap()));
    assert_eq!(patient_of(&mut enricher, 2_500).as_deref(), Some("p-2"));
    assert_eq!(patient_of(&mut enricher, 1_999).as_deref(), Some("p-1"));
    assert_eq!(patient_of(&mut enricher, 2_000).as_deref(), Some("p-2"));
    assert_eq!(patient_of(&mut enricher, 999), None);
}

#[test]
fn an_assigned_reading_has_ward_and_bed_of_the_assignment_and_the_region_of_the_topic() {
    let context = Enricher::new(shared(swap())).enrich(&source("mon-1"), reading(1_500)).context;
    assert_eq!((&*context.region, &*context.ward, context.bed.as_deref()), ("north", "icu-1", Some("7")));
    assert_eq!((&*context.device, &*context.age_band), ("mon-1", "16-40y"));
}

#[test]
fn an_unassigned_reading_has_the_ward_of_the_topic_and_the_default_limits() {
    let shared = shared(swap());
    let context = Enricher::new(shared).enrich(&source("mon-9"), reading(1_500)).context;
    assert_eq!((context.patient_tag(), &*context.ward, &context.bed), ("unassigned", "floor-1", &None));
    assert_eq!(&*context.age_band, "unknown");
    assert_eq!(*context.limits, Limits::default());
}

#[test]
fn patients_without_overrides_share_one_set_of_limits_and_an_override_changes_single_limits() {
    let mut defaults = Limits::default();
    let both = Limit { critical_low: Some(40.0), warning_low: Some(50.0), ..Limit::default() };
    defaults.set(Vital::HeartRate, both);
    let defaults = Arc::new(defaults);
    let shared = SharedDirectory::new(defaults.clone());
    let mut records = swap();
    let own = Limit { warning_low: Some(45.0), ..Limit::default() };
    records.patients = vec![patient("p-1", vec![]), patient("p-2", vec![(Vital::HeartRate, own)])];
    fill(&shared, records);
    let mut enricher = Enricher::new(shared);
    let first = enricher.enrich(&source("mon-1"), reading(1_500)).context;
    assert!(Arc::ptr_eq(&first.limits, &defaults));
    let second = enricher.enrich(&source("mon-1"), reading(2_500)).context;
    assert_eq!(second.limits.get(Vital::HeartRate), Limit { warning_low: Some(45.0), ..both });
}

#[test]
fn readings_of_one_source_and_time_share_one_context() {
    let mut enricher = Enricher::new(shared(swap()));
    let first = enricher.enrich(&source("mon-1"), reading(1_500)).context;
    let second = enricher.enrich(&source("mon-1"), reading(1_501)).context;
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn a_change_holds_from_the_next_reading_on_and_a_repeated_record_is_no_change() {
    let shared = shared(swap());
    let mut enricher = Enricher::new(shared.clone());
    assert_eq!(patient_of(&mut enricher, 2_500).as_deref(), Some("p-2"));
    let corrected =
        || Records { assignments: vec![assignment("a-2", "p-3", 2_000, Some(3_000))], ..Records::default() };
    assert!(merge(&shared, corrected()));
    assert!(!merge(&shared, corrected()));
    assert_eq!(patient_of(&mut enricher, 2_500).as_deref(), Some("p-3"));
    assert_eq!(patient_of(&mut enricher, 3_000), None);
}

#[test]
fn an_assignment_that_is_corrected_to_another_device_leaves_the_first() {
    let shared = shared(swap());
    let moved = AssignmentRecord { device: "mon-2".into(), ..assignment("a-2", "p-2", 2_000, None) };
    assert!(merge(&shared, Records { assignments: vec![moved], ..Records::default() }));
    let mut enricher = Enricher::new(shared);
    assert_eq!(patient_of(&mut enricher, 2_500), None);
    assert_eq!(enricher.enrich(&source("mon-2"), reading(2_500)).context.patient_tag(), "p-2");
}

proptest! {
    #[test]
    fn a_reading_has_the_age_band_that_holds_at_its_own_time(
        born in -3_000_000_000_000_i64..1_700_000_000_000,
        taken in 0_i64..1_800_000_000_000,
        since in 0_i64..1_800_000_000_000,
    ) {
        let birth = jiff::Timestamp::from_millisecond(born).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
        let patients = vec![PatientRecord { birth_date: Some(birth), ..patient("p-1", vec![]) }];
        let assignments = vec![assignment("a-1", "p-1", since, None)];
        let mut enricher = Enricher::new(shared(Records { assignments, patients, unreadable: vec![] }));
        let context = enricher.enrich(&source("mon-1"), reading(taken)).context;
        let band = age::bands(Some(birth)).take_while(|(from, _)| *from <= taken).last().unwrap().1;
        let expected = if taken < since { ("unassigned", "unknown") } else { ("p-1", band) };
        prop_assert_eq!((context.patient_tag(), &*context.age_band), expected);
    }
}

/// A store in memory, which can be away or silent, and counts what it is asked.
#[derive(Debug, Default)]
struct Fake {
    records: Mutex<Records>,
    away: AtomicBool,
    silent: AtomicBool,
    not_set_up: AtomicBool,
    lookups: AtomicUsize,
    full_loads: AtomicUsize,
}

impl Fake {
    async fn answer(&self, keep: impl Fn(&AssignmentRecord) -> bool) -> Result<Records, PeerError> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(PeerError { peer: "fake", message: "away".into(), retry: true });
        }
        let mut records = self.records.lock().unwrap().clone();
        records.assignments.retain(keep);
        Ok(records)
    }
}

impl ProfileStore for Fake {
    async fn check(&self) -> Result<(), PeerError> {
        match self.not_set_up.load(Ordering::SeqCst) {
            true => Err(PeerError { peer: "fake", message: "run `wardline init`".into(), retry: false }),
            false => Ok(()),
        }
    }

    async fn load_all(&self, ended_from: Millis) -> Result<Records, PeerError> {
        self.full_loads.fetch_add(1, Ordering::SeqCst);
        self.answer(|assignment| assignment.until.is_none_or(|until| until >= ended_from)).await
    }

    async fn changed_since(&self, _: Millis) -> Result<Records, PeerError> {
        self.answer(|_| true).await
    }

    async fn find_devices(&self, devices: &[&str]) -> Result<Records, PeerError> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.answer(|assignment| devices.contains(&assignment.device.as_str())).await
    }
}

struct Bench {
    store: Arc<Fake>,
    shared: SharedDirectory,
    enricher: Enricher,
    lookup: Lookup<Fake>,
}

/// Longer than any test lasts.
const HOUR: Duration = Duration::from_secs(3600);

fn bench(records: Records) -> Bench {
    bench_with(records, HOUR, HOUR)
}

fn bench_with(records: Records, timeout: Duration, negative_ttl: Duration) -> Bench {
    let store = Arc::new(Fake { records: Mutex::new(records), ..Fake::default() });
    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    let lookup = Lookup::new(store.clone(), shared.clone(), timeout, negative_ttl);
    Bench { enricher: Enricher::new(shared.clone()), store, shared, lookup }
}

impl Bench {
    async fn resolve(&mut self, devices: &[&str]) -> usize {
        let sources: Vec<_> = devices.iter().map(|device| source(device)).collect();
        let unknown = self.enricher.unknown_devices(&sources);
        self.lookup.resolve(unknown).await;
        self.store.lookups.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_unknown_devices_of_a_chunk_are_looked_up_in_one_query_and_then_known() {
    let mut bench = bench(swap());
    assert_eq!(bench.resolve(&["mon-1", "mon-1", "mon-8", "mon-9"]).await, 1);
    assert_eq!(patient_of(&mut bench.enricher, 2_500).as_deref(), Some("p-2"));
    assert!(bench.enricher.unknown_devices(&[source("mon-1")]).is_empty());
}

#[tokio::test]
async fn a_device_that_nobody_knows_is_not_asked_for_again_before_its_time() {
    let mut bench = bench_with(swap(), HOUR, HOUR);
    assert_eq!(bench.resolve(&["mon-9"]).await, 1);
    assert_eq!(bench.resolve(&["mon-9"]).await, 1);
    assert_eq!(bench.resolve(&["mon-8", "mon-9"]).await, 2);
}

#[tokio::test]
async fn a_device_that_nobody_knows_is_asked_for_again_after_its_time() {
    let mut bench = bench_with(swap(), HOUR, Duration::ZERO);
    assert_eq!(bench.resolve(&["mon-9"]).await, 1);
    assert_eq!(bench.resolve(&["mon-9"]).await, 2);
}

#[tokio::test]
async fn a_store_that_is_silent_holds_readings_back_once_and_only_for_the_timeout() {
    let mut bench = bench_with(swap(), Duration::from_millis(20), HOUR);
    bench.store.silent.store(true, Ordering::SeqCst);
    // Without its timeout this would never return.
    assert_eq!(bench.resolve(&["mon-1"]).await, 1);
    assert_eq!(patient_of(&mut bench.enricher, 2_500), None);
    // Known to be away now: nobody waits, not even for another device.
    assert_eq!(bench.resolve(&["mon-2"]).await, 1);
}

#[tokio::test]
async fn with_a_timeout_of_zero_nothing_is_looked_up() {
    let mut bench = bench_with(swap(), Duration::ZERO, HOUR);
    assert_eq!(bench.resolve(&["mon-1"]).await, 0);
}

async fn until(what: impl Fn() -> bool) {
    let reached = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached).await.unwrap();
}

const SCHEDULE: Schedule =
    Schedule { refresh: Duration::from_millis(10), reload: HOUR, retention: Duration::from_secs(30 * 86_400) };

#[tokio::test]
async fn the_refresh_says_that_the_store_is_away_and_makes_good_when_it_is_back() {
    let bench = bench(Records { assignments: vec![assignment("a-2", "p-2", 2_000, None)], ..Records::default() });
    bench.store.away.store(true, Ordering::SeqCst);
    let (status, stop) = (Status::new(), CancellationToken::new());
    let (shared, part) = (bench.shared.clone(), status.part("mongodb"));
    let task = tokio::spawn(refresh::run(bench.store.clone(), shared.clone(), SCHEDULE, part, stop.clone()));
    let state = || status.all().first().unwrap().1.clone();

    until(|| matches!(state(), State::Degraded(reason) if reason.contains("no profiles were loaded yet"))).await;
    assert!(bench.shared.is_away());
    bench.store.away.store(false, Ordering::SeqCst);
    until(|| state() == State::Ok).await;
    assert!(!shared.is_away());
    assert!(shared.current().1.knows("mon-1"));

    bench.store.away.store(true, Ordering::SeqCst);
    until(|| matches!(state(), State::Degraded(reason) if reason.contains("s old"))).await;
    assert!(shared.current().1.knows("mon-1"), "the last directory serves on");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_removed_assignment_is_gone_after_the_next_full_load() {
    let bench = bench(Records { assignments: vec![assignment("a-2", "p-2", 2_000, None)], ..Records::default() });
    let (status, stop) = (Status::new(), CancellationToken::new());
    let (shared, part) = (bench.shared.clone(), status.part("mongodb"));
    let schedule = Schedule { reload: Duration::from_millis(50), ..SCHEDULE };
    let task = tokio::spawn(refresh::run(bench.store.clone(), shared.clone(), schedule, part, stop.clone()));
    until(|| shared.current().1.knows("mon-1")).await;
    bench.store.records.lock().unwrap().assignments.clear();
    until(|| !shared.current().1.knows("mon-1")).await;
    assert!(bench.store.full_loads.load(Ordering::SeqCst) >= 2);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_not_set_up_serves_and_stays_degraded_until_it_is() {
    let bench = bench(swap());
    bench.store.not_set_up.store(true, Ordering::SeqCst);
    let (status, stop) = (Status::new(), CancellationToken::new());
    let (shared, part) = (bench.shared.clone(), status.part("mongodb"));
    let task = tokio::spawn(refresh::run(bench.store.clone(), shared.clone(), SCHEDULE, part, stop.clone()));
    let state = || status.all().first().unwrap().1.clone();
    until(|| matches!(state(), State::Degraded(reason) if reason.contains("wardline init"))).await;
    assert!(shared.current().1.knows("mon-1"));
    bench.store.not_set_up.store(false, Ordering::SeqCst);
    until(|| state() == State::Ok).await;
    stop.cancel();
    task.await.unwrap();
}
