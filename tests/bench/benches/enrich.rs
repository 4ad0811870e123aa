//! What a reading costs between its payload and the journal: validation, and enrichment for a known source.
#![expect(clippy::unwrap_used, reason = "a bench that can't start has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use wardline::enrich::Enricher;
use wardline::enrich::records::{AssignmentRecord, PatientRecord, Records};
use wardline::enrich::shared::SharedDirectory;
use wardline::intake::payload::{Bounds, decode};
use wardline::limits::Limits;
use wardline::reading::{Millis, Source};
use wardline::validate::{Rules, validate};

const NOW: Millis = 1_790_000_000_000;
const BEDS: usize = 1_000;

/// A thousand beds, each with a patient before the one of now.
fn directory() -> SharedDirectory {
    let assignment = |bed: usize, patient: String, since, until| AssignmentRecord {
        id: format!("a-{patient}"),
        device: format!("mon-{bed:04}"),
        patient,
        ward: "icu-1".into(),
        bed: Some(bed.to_string()),
        since,
        until,
    };
    let mut records = Records::default();
    for bed in 0..BEDS {
        let (swap, gone, there) = (NOW - 3_600_000, format!("p-{bed}-1"), format!("p-{bed}-2"));
        records.assignments.push(assignment(bed, gone.clone(), NOW - 86_400_000, Some(swap)));
        records.assignments.push(assignment(bed, there.clone(), swap, None));
        let birth_date = Some(jiff::civil::date(1950, 1, 1));
        records.patients.extend([gone, there].map(|id| PatientRecord { id, birth_date, limits: Vec::new() }));
    }
    let shared = SharedDirectory::new(Arc::new(Limits::default()));
    // Without a disk behind it a change waits for nothing.
    shared.replace(records).now_or_never().unwrap();
    shared
}

fn benches(criterion: &mut Criterion) {
    let sources: Vec<_> =
        (0..BEDS).map(|bed| Source::from_topic(&format!("vitals/v1/north/icu-1/mon-{bed:04}")).unwrap()).collect();
    let payload = format!(
        r#"{{"seq":18231,"time":{NOW},"vitals":{{"heart_rate":72,"spo2":97.5,"resp_rate":15}},"quality":"good"}}"#
    );
    let mut drafts = Vec::new();
    decode(payload.as_bytes(), Bounds { max_payload: 65_536, max_items: 1_000 }, |item| drafts.extend(item.draft));
    let draft = drafts.pop().unwrap();
    let rules = Rules { max_vitals: 32, max_future: 5_000, retention: 2_592_000_000 };
    let source = sources.first().unwrap();
    let reading = validate(&draft, source, NOW, &rules).unwrap();

    let mut group = criterion.benchmark_group("prepare");
    group.throughput(Throughput::Elements(1));
    group.bench_function("validate", |bencher| {
        bencher.iter(|| validate(black_box(&draft), black_box(source), NOW, &rules));
    });
    let mut enricher = Enricher::new(directory());
    let mut beds = sources.iter().cycle();
    group.bench_function("enrich, known source, 1000 in turn", |bencher| {
        bencher.iter(|| enricher.enrich(beds.next().unwrap(), black_box(reading)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Elements(BEDS as u64));
    group.bench_function("unknown devices of 1000 known sources", |bencher| {
        bencher.iter(|| enricher.unknown_devices(black_box(&sources)));
    });
    let shared = directory();
    group.bench_function("enrich 1000 sources after a new directory", |bencher| {
        bencher.iter(|| {
            let mut enricher = Enricher::new(shared.clone());
            sources.iter().map(|source| enricher.enrich(source, reading).reading.time).max()
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
