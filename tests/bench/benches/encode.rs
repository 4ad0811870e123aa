//! What a line of the time-series store costs, beside the same line by `format!`, and what compressing it costs on top.
#![expect(clippy::unwrap_used, reason = "a bench that can't start has nothing to measure")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wardline::limits::Limits;
use wardline::reading::{Context, EnrichedReading, Millis, Quality, Reading};
use wardline::store::line;
use wardline::vital::Vital;

const NOW: Millis = 1_790_000_000_000;

/// Readings of a full batch.
const BATCH: usize = 5_000;

fn readings() -> Vec<EnrichedReading> {
    let context = |bed: usize| {
        Arc::new(Context {
            region: "north".into(),
            ward: "icu-1".into(),
            bed: Some(bed.to_string().into()),
            device: format!("mon-{bed:04}").into(),
            patient: Some(format!("p-{bed:04}").into()),
            age_band: "40-64".into(),
            limits: Arc::new(Limits::default()),
        })
    };
    let contexts: Vec<_> = (0..200).map(context).collect();
    let reading = |number: usize| {
        let swing = (number % 40) as f64;
        let vitals = [
            (Vital::HeartRate, 60.0 + swing),
            (Vital::Spo2, 95.0 + swing / 10.0),
            (Vital::RespRate, 12.0 + swing / 8.0),
        ];
        let time = NOW + number as i64 / 30;
        Reading { seq: None, time, received: time, vitals: vitals.into_iter().collect(), quality: Quality::Good }
    };
    contexts
        .iter()
        .cycle()
        .take(BATCH)
        .enumerate()
        .map(|(number, context)| EnrichedReading { reading: reading(number), context: Arc::clone(context) })
        .collect()
}

fn encode(readings: &[EnrichedReading], out: &mut Vec<u8>) {
    out.clear();
    readings.iter().for_each(|reading| line::reading(out, reading));
}

/// The same line without a thought for escapes.
fn format(readings: &[EnrichedReading], out: &mut String) {
    out.clear();
    for EnrichedReading { reading, context } in readings {
        let Context { age_band, device, region, ward, .. } = &**context;
        let patient = context.patient_tag();
        write!(out, "vitals,age_band={age_band},device={device},patient={patient},region={region},ward={ward} ")
            .unwrap();
        for (place, (vital, value)) in reading.vitals.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(out, "{comma}{}={value:?}", vital.name()).unwrap();
        }
        writeln!(out, " {}", reading.time).unwrap();
    }
}

fn benches(criterion: &mut Criterion) {
    let readings = readings();
    let (mut lines, mut formatted) = (Vec::new(), String::new());
    encode(&readings, &mut lines);
    format(&readings, &mut formatted);
    assert_eq!(String::from_utf8_lossy(&lines), formatted);

    let mut group = criterion.benchmark_group("encode: a batch of 5000");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("lines", |bencher| bencher.iter(|| encode(black_box(&readings), &mut lines)));
    group.bench_function("the same by format!", |bencher| {
        bencher.iter(|| format(black_box(&readings), &mut formatted));
    });
    group.bench_function("gzip of the lines", |bencher| {
        bencher.iter(|| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(black_box(formatted.as_bytes())).unwrap();
            encoder.finish().unwrap()
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
