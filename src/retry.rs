//! Waiting between tries: exponential, with full jitter, bounded.

use std::time::Duration;

use crate::config::Backoff;

/// The waits of one thing that is tried again and again.
#[derive(Debug, Clone)]
pub struct Jitter {
    backoff: Backoff,
    bound: Duration,
    random: fastrand::Rng,
}

impl Jitter {
    /// Begins at the shortest wait.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self { backoff, bound: backoff.min, random: fastrand::Rng::new() }
    }

    /// The next wait: random between zero and a bound that doubles from the shortest to the longest. Full jitter, so
    /// that many who lost the same server do not come back together.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.bound.mul_f64(self.random.f64());
        self.bound = self.bound.saturating_mul(2).min(self.backoff.max);
        wait
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.bound = self.backoff.min;
    }
}
