//! Figures out of wardline's own metrics, as the difference between two scrapes.

use std::net::SocketAddr;

use crate::servers::http;

/// The metrics at one moment.
pub struct Scrape(String);

impl Scrape {
    /// Asks for them.
    pub fn of(address: SocketAddr) -> Self {
        let answer = http::request(address, "GET", "/metrics", &[], "").unwrap();
        assert_eq!(answer.status, 200, "no metrics: {}", answer.body);
        Self(answer.body)
    }

    /// The value of a series by its full name; 0 when it is not there yet.
    pub fn value(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The sum of all series of a metric with labels.
    pub fn sum(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once(' '));
        lines.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    /// Upper bounds and cumulative counts of a histogram's buckets.
    fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let prefix = format!("{name}_bucket{{le=\"");
        let read = |line: &str| {
            let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
            Some((bound.replace("+Inf", "inf").parse().unwrap(), count.parse().unwrap()))
        };
        self.0.lines().filter_map(read).collect()
    }

    /// A quantile of a histogram since an earlier scrape, in seconds; within a bucket the values count as spread evenly.
    /// `None` when nothing was recorded.
    pub fn quantile(&self, earlier: &Self, name: &str, quantile: f64) -> Option<f64> {
        let before = earlier.buckets(name);
        let since = |(place, (bound, count)): (usize, (f64, f64))| {
            (bound, count - before.get(place).map_or(0.0, |(_, count)| *count))
        };
        let buckets: Vec<_> = self.buckets(name).into_iter().enumerate().map(since).collect();
        let wanted = buckets.last().map(|(_, total)| total * quantile).filter(|wanted| *wanted > 0.0)?;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                return Some(if bound.is_finite() {
                    lower + (bound - lower) * (wanted - below) / (count - below)
                } else {
                    lower
                });
            }
            (lower, below) = (bound, count);
        }
        None
    }
}
