//! What `/ready` says of the sessions, taken together.

use std::sync::{Arc, Mutex, PoisonError};

use crate::status::Part;

/// All sessions of this instance.
#[derive(Debug, Clone)]
pub struct Links {
    part: Part,
    /// For each session, why it does not receive; `None` when it does.
    down: Arc<Mutex<Vec<Option<String>>>>,
}

/// One session's handle.
#[derive(Debug, Clone)]
pub struct Link {
    links: Links,
    index: usize,
}

impl Links {
    /// The part `mqtt` with no session yet.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self { part, down: Arc::default() }
    }

    /// Adds a session, not connected yet.
    #[must_use]
    pub fn add(&self) -> Link {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.push(Some("connecting".to_owned()));
        Link { links: self.clone(), index: down.len() - 1 }
    }
}

impl Link {
    /// Subscribed: readings come.
    pub fn up(&self) {
        self.set(None);
    }

    /// Nothing comes; `reason` says why and what to do.
    pub fn down(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Nothing more is taken in, by this session or any other.
    pub fn stopping(&self) {
        self.links.part.stopping();
    }

    fn set(&self, state: Option<String>) {
        let mut down = self.links.down.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = down.get_mut(self.index) {
            *slot = state;
        }
        let (total, without) = (down.len(), down.iter().flatten().count());
        match down.iter().flatten().next() {
            None => self.links.part.ok(),
            Some(reason) if total == 1 => self.links.part.down(reason.clone()),
            Some(reason) => self.links.part.down(format!("{without} of {total} sessions: {reason}")),
        }
    }
}
