//! What InfluxDB holds of the readings that [`crate::device`] numbered.
#![allow(dead_code, reason = "each test binary uses what it needs")]
#![allow(clippy::expect_used, reason = "an answer that can't be read is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use crate::device::{epoch, heart_rate};
use crate::instance::until;
use crate::servers::InfluxDb;

/// The heart rates of the region "north" by device and number.
pub(crate) fn stored(server: &InfluxDb) -> BTreeMap<(String, u64), f64> {
    let csv = server.query(
        r#"from(bucket: "vitals-north") |> range(start: 0) |> filter(fn: (r) => r._field == "heart_rate")
            |> map(fn: (r) => ({device: r.device, number: int(v: r._time) / 1000000, value: r._value})) |> group()"#,
    );
    let mut found = BTreeMap::new();
    let mut columns: Option<[usize; 3]> = None;
    for line in csv.lines() {
        let cells: Vec<_> = line.trim_end().split(',').collect();
        let place = |name| cells.iter().position(|cell| *cell == name);
        if let (Some(device), Some(number), Some(value)) = (place("device"), place("number"), place("value")) {
            columns = Some([device, number, value]);
        } else if let Some(picked) = columns.map(|columns| columns.map(|column| cells.get(column).copied())) {
            let [Some(device), Some(millis), Some(value)] = picked else { continue };
            let millis: i64 = millis.parse().expect("a whole number");
            let number = u64::try_from(millis - epoch()).expect("no reading is older than the epoch");
            let twice = found.insert((device.to_owned(), number), value.parse().expect("a number"));
            assert_eq!(twice, None, "{device} {number} is stored twice");
        }
    }
    found
}

/// Waits, bounded, until every one of these readings of a device is stored; none may be altered.
pub(crate) fn until_stored(server: &InfluxDb, device: &str, numbers: &BTreeSet<u64>) {
    let missing = || {
        let stored = stored(server);
        for ((device, number), value) in &stored {
            assert!((value - heart_rate(*number)).abs() < 1e-9, "{device} {number} is altered: {value}");
        }
        numbers.iter().copied().filter(|number| !stored.contains_key(&(device.to_owned(), *number))).collect::<Vec<_>>()
    };
    let what = format!("all {} readings of {device} are in InfluxDB", numbers.len());
    until(&what, || missing().is_empty());
}
