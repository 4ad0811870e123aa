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

    /// It worked for so long. Only what lasts longer than the longest wait counts as success: two clients that throw each
    /// other out, each for a moment, would otherwise never wait.
    pub fn lasted(&mut self, time: Duration) {
        if time >= self.backoff.max {
            self.reset();
        }
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.bound = self.backoff.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasted_longer_than_the_longest_wait_makes_waits_short_again() {
        let (min, max) = (Duration::from_millis(1), Duration::from_secs(10));
        let mut jitter = Jitter::new(Backoff { min, max });
        for _ in 0..20 {
            assert!(jitter.next_wait() <= max);
            jitter.lasted(max - min);
        }
        assert_eq!(jitter.bound, max);
        jitter.lasted(max);
        assert!(jitter.next_wait() <= min);
    }
}
