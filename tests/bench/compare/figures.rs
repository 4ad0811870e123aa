//! Figures for people: quantiles, and a table whose columns line up.

use std::time::Duration;

/// The least of the values that this share of them does not exceed.
pub fn quantile(durations: &mut [Duration], quantile: f64) -> Duration {
    durations.sort_unstable();
    let place = (durations.len() as f64 * quantile).ceil() as usize;
    durations.get(place.saturating_sub(1)).copied().unwrap()
}

/// Milliseconds with two places.
pub fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1_000.0)
}

/// Prints a headline, then rows: the first cell to the left, the others to the right.
pub fn table<const N: usize>(headline: [&str; N], rows: &[[String; N]]) {
    let headline = headline.map(str::to_owned);
    let all = || std::iter::once(&headline).chain(rows);
    let widths: Vec<_> =
        (0..N).map(|column| all().filter_map(|row| row.get(column)).map(String::len).max().unwrap()).collect();
    println!();
    for row in all() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
