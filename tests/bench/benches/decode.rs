//! What it costs to read a payload, beside a generic JSON tree of the same bytes, which knows nothing of readings.
#![expect(clippy::unwrap_used, reason = "a bench that can't start has nothing to measure")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wardline::intake::payload::{Bounds, decode};

const BOUNDS: Bounds = Bounds { max_payload: 65_536, max_items: 1_000 };

/// Readings of an array: what a gateway sends at once.
const ITEMS: usize = 100;

fn drafts(payload: &[u8]) -> usize {
    let mut good = 0;
    decode(payload, BOUNDS, |item| good += usize::from(item.draft.is_ok()));
    good
}

fn benches(criterion: &mut Criterion) {
    let object = |time: &str| {
        format!(
            r#"{{"seq":18231,"time":{time},"vitals":{{"heart_rate":72,"spo2":97.5,"resp_rate":15}},"quality":"good"}}"#
        )
    };
    let (millis, text) = (object("1790000000000"), object(r#""2026-09-21T14:13:20.000Z""#));
    let array = format!("[{}]", vec![millis.as_str(); ITEMS].join(","));
    let refused = millis.replace("72", r#""72""#);
    assert_eq!([&millis, &text, &array, &refused].map(|payload| drafts(payload.as_bytes())), [1, 1, ITEMS, 0]);

    let payloads = [
        ("one, time in milliseconds", &millis, 1),
        ("one, time as text", &text, 1),
        ("one, refused", &refused, 1),
        ("array of 100", &array, ITEMS),
    ];
    for (name, payload, readings) in payloads {
        let mut group = criterion.benchmark_group(format!("decode: {name}"));
        group.throughput(Throughput::Elements(readings as u64));
        group.bench_function("drafts", |bencher| bencher.iter(|| drafts(black_box(payload.as_bytes()))));
        group.bench_function("a generic JSON tree", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(payload.as_bytes())).unwrap());
        });
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
