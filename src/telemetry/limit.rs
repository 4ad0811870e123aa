//! Bounds how often one line of the code may log, and says how much it left out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// Events of one place in the code that pass in one window.
const BURST: u32 = 20;

/// The window.
const WINDOW: Duration = Duration::from_secs(10);

/// A filter that lets [`BURST`] events of each place pass in each [`WINDOW`].
#[derive(Debug, Default)]
pub(super) struct Limit {
    places: Mutex<HashMap<Identifier, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    events: u32,
}

impl Limit {
    /// Whether an event passes, and how many were left out in the window before, if this one begins a new window.
    fn pass(&self, place: Identifier, now: Instant) -> (bool, u32) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let window = places.entry(place).or_insert(Window { begun: now, events: 0 });
        let mut left_out = 0;
        if now.duration_since(window.begun) >= WINDOW {
            left_out = window.events.saturating_sub(BURST);
            *window = Window { begun: now, events: 0 };
        }
        window.events = window.events.saturating_add(1);
        (window.events <= BURST, left_out)
    }
}

impl<S: Subscriber> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let (passes, left_out) = self.pass(metadata.callsite(), Instant::now());
        if left_out > 0 {
            tracing::warn!(
                left_out,
                file = metadata.file().unwrap_or("?"),
                line = metadata.line().unwrap_or(0),
                "lines like the next one were left out in the last ten seconds"
            );
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    #[test]
    fn a_flood_from_one_place_is_cut_and_counted() {
        let limit = Limit::default();
        let callsite = tracing::callsite!(name: "here", kind: tracing::metadata::Kind::EVENT, fields: message);
        let place = tracing::Callsite::metadata(callsite).callsite();
        let start = Instant::now();
        let passed = (0..100).filter(|_| limit.pass(place.clone(), start).0).count();
        assert_eq!(passed, BURST as usize);
        assert_eq!(limit.pass(place, start.checked_add(WINDOW).unwrap()), (true, 100 - BURST));
    }
}
