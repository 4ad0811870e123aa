//! What `/ready` says of each part, with the reason in words.

use std::sync::{Arc, Mutex, PoisonError};

/// The state of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not known yet.
    Starting,
    /// Working.
    Ok,
    /// Working with a loss that a person should know of; the service is ready all the same.
    Degraded(String),
    /// Not taking in readings; the service is not ready.
    Down(String),
    /// Asked to stop; the service is not ready.
    Stopping,
}

/// The parts in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct Status {
    parts: Arc<Mutex<Vec<(&'static str, State)>>>,
}

/// The handle by which a part tells its state. A change is logged once.
#[derive(Debug, Clone)]
pub struct Part {
    status: Status,
    name: &'static str,
}

impl Status {
    /// No parts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part, or gives the handle of one that is there.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if !parts.iter().any(|(known, _)| *known == name) {
            parts.push((name, State::Starting));
        }
        Part { status: self.clone(), name }
    }

    /// All parts and their states.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, State)> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether readings are taken in: no part is down, and those that must have started have.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.all();
        // Before the pipeline is built its parts are not there yet, which is not ready either.
        let started = |needed| parts.iter().any(|(name, state)| *name == needed && *state != State::Starting);
        let stops = |state: &State| matches!(state, State::Down(_) | State::Stopping);
        ["mqtt", "journal"].into_iter().all(started) && !parts.iter().any(|(_, state)| stops(state))
    }
}

impl Part {
    /// The part works.
    pub fn ok(&self) {
        self.set(State::Ok);
    }

    /// The part works with a loss; `reason` says what happened and what to do.
    pub fn degraded(&self, reason: impl Into<String>) {
        self.set(State::Degraded(reason.into()));
    }

    /// The part does not take in readings; `reason` says what happened and what to do.
    pub fn down(&self, reason: impl Into<String>) {
        self.set(State::Down(reason.into()));
    }

    /// The part takes in nothing more, because it was asked to stop.
    pub fn stopping(&self) {
        self.set(State::Stopping);
    }

    fn set(&self, state: State) {
        let mut parts = self.status.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, current)) = parts.iter_mut().find(|(name, _)| *name == self.name) else { return };
        // Only a change of kind is logged: a reason may hold a count that changes all the time.
        let changed = std::mem::discriminant(current) != std::mem::discriminant(&state);
        *current = state.clone();
        drop(parts);
        if changed {
            match state {
                State::Starting | State::Stopping => {}
                State::Ok => tracing::info!(part = self.name, "ok"),
                State::Degraded(reason) => tracing::warn!(part = self.name, %reason, "degraded"),
                State::Down(reason) => tracing::error!(part = self.name, %reason, "down"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_away_leaves_the_service_ready_and_a_full_journal_does_not() {
        let status = Status::new();
        assert!(!status.is_ready(), "nothing has started");
        let (mqtt, journal, mongodb) = (status.part("mqtt"), status.part("journal"), status.part("mongodb"));
        assert!(!status.is_ready());
        mqtt.ok();
        journal.ok();
        assert!(status.is_ready());
        mongodb.degraded("away");
        assert!(status.is_ready());
        journal.down("full");
        assert!(!status.is_ready());
    }
}
