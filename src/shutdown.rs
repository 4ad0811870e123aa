//! How the process stops: gently first, then hard.
//!
//! Only the intake listens to the soft stop. Every later stage ends because its input has ended, so the order of
//! stopping is the order of the flow: nothing that was received is left behind. The hard stop comes with the deadline,
//! or with a second signal, and ends what still waits for a peer; what is in the journal then waits for the next start.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stops and the time between them.
#[derive(Debug, Clone)]
pub struct Shutdown {
    /// Ends intake.
    pub soft: CancellationToken,
    /// Ends waiting.
    pub hard: CancellationToken,
    /// From the soft stop to the hard one.
    pub deadline: Duration,
}

impl Shutdown {
    /// Neither stop has come.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self { soft: CancellationToken::new(), hard: CancellationToken::new(), deadline }
    }

    /// Stops softly on the first SIGTERM or SIGINT, hard on the second.
    ///
    /// # Errors
    /// When the system does not let us listen to signals.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let this = self.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            };
            next().await;
            tracing::info!(deadline = ?this.deadline, "stopping: what was received is stored or kept in the journal");
            this.soft.cancel();
            next().await;
            tracing::warn!("stopping now: what is not stored stays in the journal");
            this.hard.cancel();
        });
        Ok(())
    }
}
