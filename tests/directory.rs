//! The directory's copy in the journal's database: what was learnt before a restart is known after it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/journals.rs"]
mod journals;

use std::path::Path;
use std::sync::Arc;

use journals::{Rig, journal_config, open_with};
use proptest::prelude::*;
use wardline::enrich::copy;
use wardline::enrich::directory::{Changes, Directory};
use wardline::enrich::records::{AssignmentRecord, PatientRecord, Records};
use wardline::enrich::shared::SharedDirectory;
use wardline::limits::{Limit, Limits};
use wardline::vital::Vital;

async fn restored(dir: &Path) -> (Rig, SharedDirectory) {
    let rig = open_with(&journal_config(dir), &[wardline::dead_letter::SCHEMA, copy::SCHEMA]);
    let shared = SharedDirectory::restored(Arc::new(Limits::default()), rig.opened.journal.clone()).await.unwrap();
    (rig, shared)
}

/// The last handle on the journal must be gone for its writer to end.
async fn close(rig: Rig, shared: &SharedDirectory) {
    shared.let_go().await;
    rig.close();
}

fn assignment(id: u8, device: u8, until: Option<i64>) -> AssignmentRecord {
    AssignmentRecord {
        id: format!("a-{id}"),
        device: format!("mon-{device}"),
        patient: format!("p-{id}"),
        ward: "icu-1".into(),
        bed: until.is_none().then(|| "7".into()),
        since: 1_000,
        until,
    }
}

fn patient(id: u8, low: Option<f64>) -> PatientRecord {
    let limits = low.map(|low| (Vital::Spo2, Limit { warning_low: Some(low), ..Limit::default() }));
    let birth_date = low.is_none().then(|| jiff::civil::date(1950, 1, 1));
    PatientRecord { id: format!("p-{id}"), birth_date, limits: limits.into_iter().collect() }
}

fn records() -> impl Strategy<Value = Records> {
    let assignments = (0u8..6, 0u8..3, proptest::option::of(2_000i64..2_003));
    let assignments = assignments.prop_map(|(id, device, until)| assignment(id, device, until));
    let patients = (0u8..6, proptest::option::of(80.0..90.0)).prop_map(|(id, low)| patient(id, low));
    (proptest::collection::vec(assignments, 0..6), proptest::collection::vec(patients, 0..6))
        .prop_map(|(assignments, patients)| Records { assignments, patients, unreadable: Vec::new() })
}

/// No record of one is missing or another in the other.
fn same(one: &Directory, other: &Directory) -> bool {
    one.changes_since(other) == Changes::default() && other.changes_since(one) == Changes::default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_was_learnt_and_forgotten_the_next_run_begins_with_the_same(
        steps in proptest::collection::vec((any::<bool>(), records()), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (rig, shared) = restored(dir.path()).await;
            for (all, records) in steps {
                if all { shared.replace(records).await } else { shared.merge(records).await; }
            }
            close(rig, &shared).await;
            let (rig, again) = restored(dir.path()).await;
            prop_assert!(same(&shared.current().1, &again.current().1));
            close(rig, &again).await;
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_and_the_others_serve() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, shared) = restored(dir.path()).await;
    let assignments = vec![assignment(1, 1, None), assignment(2, 2, None)];
    shared.merge(Records { assignments, ..Records::default() }).await;
    close(rig, &shared).await;
    let connection = rusqlite::Connection::open(dir.path().join("journal.sqlite")).unwrap();
    assert_eq!(connection.execute("UPDATE directory SET record = '{' WHERE id = 'a-1'", []).unwrap(), 1);
    drop(connection);

    let (rig, shared) = restored(dir.path()).await;
    let (_, directory) = shared.current();
    assert!(!directory.knows("mon-1") && directory.knows("mon-2"));
    close(rig, &shared).await;
}

#[tokio::test]
async fn what_a_late_look_up_learns_after_the_end_needs_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (rig, shared) = restored(dir.path()).await;
    close(rig, &shared).await;
    assert!(shared.merge(Records { assignments: vec![assignment(1, 1, None)], ..Records::default() }).await);
    assert!(shared.current().1.knows("mon-1"));
}
