//! What it costs to judge a reading: of patients who are well, which nearly all are, and of patients in an episode.
#![expect(clippy::unwrap_used, reason = "a bench that can't start has nothing to measure")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wardline::config::Config;
use wardline::reading::{Context, EnrichedReading, Millis, Quality, Reading};
use wardline::vital::Vital;
use wardline::watch::detector::Detector;

const NOW: Millis = 1_790_000_000_000;
const BEDS: usize = 1_000;

fn benches(criterion: &mut Criterion) {
    let config = Config::from_text("", std::iter::empty()).unwrap();
    let context = |bed: usize| {
        Arc::new(Context {
            region: "north".into(),
            ward: "icu-1".into(),
            bed: Some(bed.to_string().into()),
            device: format!("mon-{bed:04}").into(),
            patient: Some(format!("p-{bed:04}").into()),
            age_band: "40-64".into(),
            limits: Arc::clone(&config.watch.limits),
        })
    };
    let contexts: Vec<_> = (0..BEDS).map(context).collect();

    let mut group = criterion.benchmark_group("detect");
    group.throughput(Throughput::Elements(1));
    for (name, heart_rate, alerts) in [("patients who are well", 72.0, 0), ("patients in an episode", 150.0, BEDS)] {
        let mut detector =
            Detector::new(config.watch.clone(), config.intake.live_within.as_millis() as Millis, HashMap::new());
        let mut events = Vec::new();
        let mut count = 0;
        // Each patient's readings are a second apart, as a reading that is not newer is passed over.
        let mut judge = |events: &mut Vec<_>| {
            let context = contexts.get(count % BEDS).unwrap();
            let time = NOW + (count / BEDS) as Millis * 1_000;
            count += 1;
            let vitals = [(Vital::HeartRate, heart_rate), (Vital::Spo2, 97.5), (Vital::RespRate, 15.0)];
            let reading = Reading {
                seq: None,
                time,
                received: time,
                vitals: vitals.into_iter().collect(),
                quality: Quality::Good,
            };
            let enriched = EnrichedReading { reading, context: Arc::clone(context) };
            detector.observe(black_box(&enriched), events);
        };
        (0..BEDS * 3).for_each(|_| judge(&mut events));
        assert_eq!(events.len(), alerts);
        group.bench_function(name, |bencher| bencher.iter(|| judge(&mut events)));
        assert_eq!(events.len(), alerts);
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
