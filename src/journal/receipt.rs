//! How the writer tells a session that its messages are on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The count of a session's messages that are on disk. Chunks of one session are committed in the order in which they
/// were appended, so a count says which messages they are: the oldest ones.
#[derive(Debug, Default)]
pub struct Committed {
    messages: AtomicU64,
    changed: Notify,
}

impl Committed {
    /// A receipt for the next `messages` messages of this session.
    #[must_use]
    pub fn receipt(self: &Arc<Self>, messages: u64) -> Receipt {
        Receipt { committed: Arc::clone(self), messages }
    }

    /// How many messages are on disk since the session's start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.messages.load(Ordering::Acquire)
    }

    /// Resolves when the count has changed since the last call. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// To be given back after the commit; a receipt that is dropped tells nobody, and the broker sends again.
#[derive(Debug)]
pub struct Receipt {
    committed: Arc<Committed>,
    messages: u64,
}

impl Receipt {
    pub(super) fn give(self) {
        self.committed.messages.fetch_add(self.messages, Ordering::Release);
        self.committed.changed.notify_one();
    }
}
