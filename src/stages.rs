//! The running stages: each has a name, and none ends unseen.
//!
//! A stage that fails, panics or ends before its time stops the process with its name. Nothing is restarted in place:
//! a process manager starts the whole anew, and the journal knows where to go on.

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use crate::shutdown::Shutdown;

/// Why the stages ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// A stage returned an error.
    #[error("stage \"{stage}\" failed")]
    Failed {
        /// Its name.
        stage: &'static str,
        /// Its error.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
    /// A stage panicked or was cancelled.
    #[error("stage \"{stage}\" panicked: {message}")]
    Panicked {
        /// Its name.
        stage: &'static str,
        /// What the runtime says.
        message: String,
    },
    /// A stage ended although nobody asked for a stop.
    #[error("stage \"{stage}\" ended before its time")]
    Early {
        /// Its name.
        stage: &'static str,
    },
    /// The deadline passed; what is not stored stays in the journal.
    #[error("still running at the deadline of the stop: {}", stages.join(", "))]
    Deadline {
        /// Their names.
        stages: Vec<&'static str>,
    },
}

/// How long stages have to end after the hard stop.
const AFTER_HARD_STOP: Duration = Duration::from_secs(2);

/// The stages of one run.
#[derive(Debug, Default)]
pub struct Stages {
    running: JoinSet<Result<(), Box<dyn Error + Send + Sync>>>,
    names: HashMap<Id, &'static str>,
}

impl Stages {
    /// Starts a stage.
    pub fn spawn<F, E>(&mut self, name: &'static str, stage: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let handle = self.running.spawn(async move { stage.await.map_err(Into::into) });
        self.names.insert(handle.id(), name);
    }

    /// Starts a stage on a thread with a runtime of its own. The future is made there, so it need not be `Send`.
    pub fn spawn_thread<F, M, E>(&mut self, name: &'static str, make: M)
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let (done, ended) = tokio::sync::oneshot::channel();
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let outcome = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(Into::into)
                .and_then(|runtime| runtime.block_on(make()).map_err(Into::into));
            // Nobody listens any more only when the process is ending.
            done.send(outcome).ok();
        });
        self.spawn(name, async move {
            started?;
            ended.await.map_err(|_| "its thread panicked")?
        });
    }

    /// Waits for all stages. The first one that does not end in order stops the others hard.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub async fn join(mut self, shutdown: &Shutdown) -> Result<(), Stopped> {
        let deadline = async {
            shutdown.soft.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(shutdown.deadline) => tracing::warn!("the deadline of the stop has passed"),
                () = shutdown.hard.cancelled() => {}
            }
            shutdown.hard.cancel();
            tokio::time::sleep(AFTER_HARD_STOP).await;
        };
        tokio::pin!(deadline);
        let mut first_wrong = None;
        loop {
            let ended = tokio::select! {
                ended = self.running.join_next_with_id() => ended,
                () = &mut deadline => {
                    let mut stages: Vec<_> = self.names.into_values().collect();
                    stages.sort_unstable();
                    return Err(first_wrong.unwrap_or(Stopped::Deadline { stages }));
                }
            };
            let Some(ended) = ended else { return first_wrong.map_or(Ok(()), Err) };
            let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, _)| *id);
            let stage = self.names.remove(&id).unwrap_or("?");
            let wrong = match ended {
                Ok((_, Ok(()))) if shutdown.soft.is_cancelled() => continue,
                Ok((_, Ok(()))) => Stopped::Early { stage },
                Ok((_, Err(error))) => Stopped::Failed { stage, error },
                Err(error) => Stopped::Panicked { stage, message: error.to_string() },
            };
            if first_wrong.is_none() {
                tracing::error!(stage, "a stage did not end in order; stopping the process");
                first_wrong = Some(wrong);
            }
            shutdown.soft.cancel();
            shutdown.hard.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown() -> Shutdown {
        Shutdown::new(Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_stage_that_fails_is_named_and_stops_the_others() {
        let shutdown = shutdown();
        let mut stages = Stages::default();
        let hard = shutdown.hard.clone();
        stages.spawn("patient", async move {
            hard.cancelled().await;
            Ok::<(), std::io::Error>(())
        });
        stages.spawn("broken", async { Err::<(), _>("out of ideas") });
        let stopped = stages.join(&shutdown).await;
        assert!(matches!(stopped, Err(Stopped::Failed { stage: "broken", .. })), "{stopped:?}");
    }

    #[tokio::test]
    async fn a_stage_that_ends_early_is_named() {
        let mut stages = Stages::default();
        stages.spawn("short", async { Ok::<(), std::io::Error>(()) });
        let stopped = stages.join(&shutdown()).await;
        assert!(matches!(stopped, Err(Stopped::Early { stage: "short" })), "{stopped:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_does_not_end_is_named_at_the_deadline() {
        let shutdown = shutdown();
        let mut stages = Stages::default();
        stages.spawn("stuck", std::future::pending::<Result<(), std::io::Error>>());
        shutdown.soft.cancel();
        let stopped = stages.join(&shutdown).await;
        assert!(matches!(stopped, Err(Stopped::Deadline { ref stages }) if stages == &["stuck"]), "{stopped:?}");
    }

    #[tokio::test]
    async fn stages_that_end_after_the_soft_stop_are_in_order() {
        let shutdown = shutdown();
        let mut stages = Stages::default();
        let soft = shutdown.soft.clone();
        stages.spawn_thread("threaded", move || async move {
            soft.cancelled().await;
            Ok::<(), std::io::Error>(())
        });
        shutdown.soft.cancel();
        assert!(stages.join(&shutdown).await.is_ok());
    }
}
