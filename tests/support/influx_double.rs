//! A server in the place of InfluxDB that answers each write as a test says: a real one can't be made to.
//!
//! It keeps what came, byte for byte, with the time on the runtime's clock, which a test may have paused.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Query, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use wardline::status::{State, Status};

/// One write as it came.
#[derive(Debug, Clone)]
pub struct Write {
    pub at: Instant,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub lines: Vec<String>,
    /// What `/ready` said of InfluxDB at that moment.
    pub state: State,
}

impl Write {
    /// Whether the reading with this number (its heart rate) is in it.
    pub fn has(&self, number: u64) -> bool {
        self.lines.iter().any(|line| line.contains(&format!(" heart_rate={number}.0 ")))
    }

    /// Bytes of the lines, with their line feeds.
    pub fn size(&self) -> usize {
        self.lines.iter().map(|line| line.len() + 1).sum()
    }
}

/// What to do with a write.
#[derive(Debug, Default)]
pub struct Answer {
    /// `None`: never answer.
    status: Option<u16>,
    retry_after: Option<String>,
    message: String,
    kept: Vec<String>,
}

impl Answer {
    /// 204, with all lines kept.
    pub fn stored(write: &Write) -> Self {
        Self { status: Some(204), kept: write.lines.clone(), ..Self::default() }
    }

    /// Another status, with InfluxDB's own shape of body, and nothing kept.
    pub fn refused(status: u16, message: &str) -> Self {
        Self { status: Some(status), message: message.to_owned(), ..Self::default() }
    }

    /// No answer at all.
    pub fn silence() -> Self {
        Self::default()
    }

    /// With a `Retry-After`.
    pub fn after(mut self, retry_after: impl Into<String>) -> Self {
        self.retry_after = Some(retry_after.into());
        self
    }

    /// Though refused as a whole, the lines without these numbers are kept.
    pub fn keeping_all_but(mut self, write: &Write, numbers: &[u64]) -> Self {
        let is_bad = |line: &&String| numbers.iter().any(|n| line.contains(&format!(" heart_rate={n}.0 ")));
        self.kept = write.lines.iter().filter(|line| !is_bad(line)).cloned().collect();
        self
    }
}

type Script = Box<dyn FnMut(&Write) -> Answer + Send>;

struct Inner {
    status: Status,
    script: Mutex<Script>,
    writes: Mutex<Vec<Write>>,
    kept: Mutex<BTreeMap<String, u64>>,
}

/// The running double.
#[derive(Clone)]
pub struct InfluxDouble {
    pub url: String,
    inner: Arc<Inner>,
}

impl InfluxDouble {
    /// Starts on a free port.
    pub async fn start(status: &Status, script: impl FnMut(&Write) -> Answer + Send + 'static) -> Self {
        let (socket, address) = reserve();
        let this = Self::at(address, status, script);
        this.serve(listen(socket));
        this
    }

    /// One that does not serve yet.
    pub fn at(address: SocketAddr, status: &Status, script: impl FnMut(&Write) -> Answer + Send + 'static) -> Self {
        let inner = Inner {
            status: status.clone(),
            script: Mutex::new(Box::new(script)),
            writes: Mutex::default(),
            kept: Mutex::default(),
        };
        Self { url: format!("http://{address}"), inner: Arc::new(inner) }
    }

    /// Serves in a task that ends with the runtime.
    pub fn serve(&self, listener: TcpListener) {
        let app = axum::Router::new().route("/api/v2/write", post(take)).with_state(Arc::clone(&self.inner));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }

    /// All writes so far.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.inner.writes).clone()
    }

    /// The lines that were kept, each with how often.
    pub fn kept(&self) -> BTreeMap<String, u64> {
        lock(&self.inner.kept).clone()
    }
}

/// A port on which connections are refused until [`listen`].
pub fn reserve() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    (socket, address)
}

pub fn listen(socket: TcpSocket) -> TcpListener {
    socket.listen(64).expect("a bound socket can listen")
}

async fn take(
    Shared(inner): Shared<Arc<Inner>>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).expect("the body is gzip");
    let lines = text.lines().map(str::to_owned).collect();
    let state = inner.status.all().into_iter().find(|(name, _)| *name == "influxdb").map(|(_, state)| state);
    let state = state.expect("the store has a part");
    let write = Write { at: Instant::now(), query, headers, bytes, lines, state };
    let answer = lock(&inner.script)(&write);
    lock(&inner.writes).push(write);
    for line in answer.kept {
        *lock(&inner.kept).entry(line).or_default() += 1;
    }
    let Some(status) = answer.status else { return pending().await };
    let status = StatusCode::from_u16(status).expect("a status");
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let body = serde_json::json!({ "code": "refused", "message": answer.message }).to_string();
    match answer.retry_after {
        Some(wait) => (status, [("retry-after", wait)], body).into_response(),
        None => (status, body).into_response(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}
