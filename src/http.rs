//! What operators and their tools see: `/live`, `/ready`, `/metrics`; on a thread of its own, so that it answers when
//! the pipeline is busy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::status::{self, Status};

/// How often histograms are drained when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Clone)]
pub struct Shown {
    /// The parts and their states.
    pub status: Status,
    /// The conservation of messages.
    pub account: Arc<Account>,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Listens and serves until `stop`; returns the address, whose port is the real one when 0 was asked for.
///
/// # Errors
/// When the address can't be listened on.
pub fn serve(listen: SocketAddr, shown: Shown, stop: CancellationToken) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let metrics = shown.metrics.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    metrics.run_upkeep();
                }
            });
            axum::serve(listener, router(shown)).with_graceful_shutdown(stop.cancelled_owned()).await
        });
        if let Err(error) = served {
            tracing::error!(%error, "health and metrics are not served any more");
        }
    })?;
    Ok(address)
}

fn router(shown: Shown) -> Router {
    Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shown)
}

async fn ready(State(shown): State<Shown>) -> Response {
    let ready = shown.status.is_ready();
    let parts: Vec<_> = shown
        .status
        .all()
        .into_iter()
        .map(|(name, state)| {
            let (word, reason) = match state {
                status::State::Starting => ("starting", None),
                status::State::Stopping => ("stopping", None),
                status::State::Ok => ("ok", None),
                status::State::Degraded(reason) => ("degraded", Some(reason)),
                status::State::Down(reason) => ("down", Some(reason)),
            };
            json!({ "part": name, "state": word, "reason": reason })
        })
        .collect();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": ready, "parts": parts }))).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    shown.account.publish();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], shown.metrics.render()).into_response()
}
