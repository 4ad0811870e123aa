//! Alerts over webhooks, from the reading to the receiver: what is posted, how it is signed, what happens to each answer.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/alerts.rs"]
mod alerts;
#[path = "support/journals.rs"]
mod journals;

use std::collections::BTreeMap;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alerts::{Alerting, recipient, until};
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use wardline::status::State;

/// Nothing listens on it.
const NO_BROKER: u16 = 1;

/// One post as it came.
#[derive(Debug, Clone)]
struct Post {
    at: Instant,
    to: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Post {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn id(&self) -> &str {
        self.header("x-wardline-notification").unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The answer: status and `Retry-After`; `None` is no answer at all.
type Answer = Option<(u16, Option<&'static str>)>;
type Script = Arc<Mutex<dyn FnMut(&Post) -> Answer + Send>>;

/// A server that takes posts to `/{to}` and answers as the test says.
#[derive(Clone)]
struct Receiver {
    base: String,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Script,
}

impl Receiver {
    async fn start(script: impl FnMut(&Post) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let this = Self { base, posts: Arc::default(), script: Arc::new(Mutex::new(script)) };
        let app = axum::Router::new().route("/{to}", post(take)).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        this
    }

    fn url(&self, to: &str) -> String {
        format!("{}/{to}", self.base)
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// How often each notification came.
    fn ids(&self) -> BTreeMap<String, usize> {
        let mut ids = BTreeMap::new();
        self.posts().iter().for_each(|post| *ids.entry(post.id().to_owned()).or_default() += 1);
        ids
    }
}

async fn take(Shared(this): Shared<Receiver>, Path(to): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let post = Post { at: Instant::now(), to, headers, body };
    let answer = (*this.script.lock().unwrap())(&post);
    this.posts.lock().unwrap().push(post);
    match answer {
        None => pending().await,
        Some((status, None)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some((status, Some(wait))) => (StatusCode::from_u16(status).unwrap(), [("retry-after", wait)]).into_response(),
    }
}

const DELIVERED: Answer = Some((200, None));

/// HMAC-SHA256 in hex by its definition (RFC 2104), for a key of at most 64 bytes.
fn hmac(key: &[u8], body: &[u8]) -> String {
    let padded = |with: u8| -> Vec<u8> { (0..64).map(|index| key.get(index).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(body).finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).unwrap().to_string()
}

#[tokio::test]
async fn an_alert_is_posted_as_json_signed_with_the_shared_key_and_told_once() {
    let receiver = Receiver::start(|_| DELIVERED).await;
    let to = vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))];
    let mut alerting = Alerting::start(to, NO_BROKER);
    let key = alerting.dir.path().join("key");
    std::fs::write(&key, "key of a test\n").unwrap();
    alerting.config.notify.webhook_key_file = Some(key);
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 1);
    let post = posts.first().unwrap();
    let id = format!("{alert}.begin.webhook.dr-1");
    assert_eq!((post.id(), post.header("idempotency-key")), (id.as_str(), Some(id.as_str())));
    assert_eq!(post.header("content-type"), Some("application/json"));
    let signature = format!("sha256={}", hmac(b"key of a test", &post.body));
    assert_eq!(post.header("x-wardline-signature"), Some(signature.as_str()));
    let expected = serde_json::json!({
        "notification": id, "alert": alert, "phase": "begin", "priority": "high", "condition": "spo2_low",
        "patient": "p-1", "region": "north", "ward": "icu-1", "bed": "7", "device": "mon-of-p-1",
        "value": 79.0, "limit": 85.0, "begin": rfc3339(alerting.begin), "end": null,
        "at": rfc3339(alerting.begin + 1000),
        "notice": "secondary notification; the bedside monitor is the primary alarm",
    });
    assert_eq!(post.json(), expected);
}

#[tokio::test]
async fn without_a_key_there_is_no_signature() {
    let receiver = Receiver::start(|_| DELIVERED).await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.notify();
    alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    assert_eq!(receiver.posts().first().unwrap().header("x-wardline-signature"), None);
}

#[tokio::test]
async fn any_answer_but_a_2xx_is_tried_again_under_the_same_id_until_it_is_delivered() {
    // A refusal too: a receiver that is mended should still hear of an alert.
    let mut troubles = vec![500, 502, 503, 429, 400, 401, 404, 302, 301].into_iter();
    let receiver = Receiver::start(move |_| Some((troubles.next().unwrap_or(204), None))).await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    let posts = receiver.posts();
    assert_eq!(receiver.ids(), BTreeMap::from([(format!("{alert}.begin.webhook.dr-1"), 10)]));
    assert!(posts.iter().all(|post| Some(&post.body) == posts.first().map(|first| &first.body)), "the same bytes");
    // Another alert shows that the first is not sent again.
    alerting.desaturate("p-2").await;
    alerting.until_delivered(2).await;
    assert_eq!(receiver.posts().len(), 11);
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_asked_again() {
    let mut tries = 0;
    let receiver = Receiver::start(move |_| {
        tries += 1;
        if tries <= 2 { None } else { DELIVERED }
    })
    .await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.config.notify.webhook_timeout = Duration::from_millis(200);
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    let ids = receiver.ids();
    assert_eq!(ids.keys().collect::<Vec<_>>(), [&format!("{alert}.begin.webhook.dr-1")]);
    assert!(ids.values().all(|times| *times >= 3), "{ids:?}");
}

#[tokio::test]
async fn a_receiver_that_asks_for_a_wait_gets_it() {
    let mut tries = 0;
    let receiver = Receiver::start(move |_| {
        tries += 1;
        if tries == 1 { Some((503, Some("1"))) } else { DELIVERED }
    })
    .await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.notify();
    alerting.desaturate("p-1").await;
    alerting.until_delivered(1).await;
    let posts = receiver.posts();
    let wait = posts.last().unwrap().at - posts.first().unwrap().at;
    // Its clock is in whole milliseconds.
    assert!(posts.len() == 2 && wait >= Duration::from_millis(990), "{wait:?}");
}

#[tokio::test]
async fn a_wait_beyond_all_reason_neither_ends_the_stage_nor_silences_the_alert() {
    for wait in ["9223372036854775", "18446744073709551615", "31536000"] {
        let receiver = Receiver::start(move |_| Some((503, Some(wait)))).await;
        let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
        alerting.notify();
        alerting.desaturate("p-1").await;
        until(|| !receiver.posts().is_empty()).await;
        // It ends only when what is on its way is written down, and fails if it has panicked.
        alerting.stop_notifying().await;
        let wait = alerting.one("SELECT max(next_try - created) FROM notifications").await;
        assert!((1..=3_600_000).contains(&wait), "{wait} ms");
        alerting.until_pending(0, 1).await;
    }
}

#[tokio::test]
async fn a_receiver_that_fails_holds_up_no_other_and_an_end_goes_to_those_who_heard_of_the_begin() {
    let receiver = Receiver::start(|post| Some((if post.to == "broken" { 500 } else { 200 }, None))).await;
    let to = |clinician: &str| recipient(clinician, "webhook", &receiver.url(clinician));
    let mut alerting = Alerting::start(vec![to("broken"), to("dr-1")], NO_BROKER);
    alerting.notify();
    let alert = alerting.desaturate("p-1").await;
    alerting.until_pending(0, 1).await;
    // The shift has changed; the end is still for those who were told.
    alerting.care.names(vec![to("dr-2")]);
    alerting.recover("p-1").await;
    let end = format!("{alert}.end.webhook.dr-1");
    until(|| receiver.ids().contains_key(&end)).await;
    alerting.until_pending(0, 2).await;
    let post = receiver.posts().into_iter().find(|post| post.id() == end).unwrap();
    let body = post.json();
    assert_eq!(body.get("phase").unwrap(), "end");
    assert_eq!(body.get("end").unwrap(), &rfc3339(alerting.begin + 12_000));
    let told: Vec<_> = receiver.ids().into_iter().filter(|(id, _)| !id.ends_with("broken")).collect();
    assert_eq!(told, [(format!("{alert}.begin.webhook.dr-1"), 1), (end, 1)]);
}

#[tokio::test]
async fn while_the_care_graph_is_away_alerts_wait_and_nobody_is_told_wrongly() {
    let receiver = Receiver::start(|_| DELIVERED).await;
    let mut alerting = Alerting::start(Vec::new(), NO_BROKER);
    alerting.care.is_away();
    alerting.notify();
    alerting.desaturate("p-1").await;
    until(|| matches!(alerting.state(), State::Degraded(ref reason) if reason.contains("alerts wait in the outbox")))
        .await;
    assert_eq!((alerting.pending().await, receiver.posts().len()), ((1, 0), 0));
    alerting.care.names(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))]);
    alerting.until_delivered(1).await;
    assert_eq!((receiver.posts().len(), alerting.state()), (1, State::Ok));
}

#[tokio::test]
async fn high_goes_before_medium_whatever_came_first() {
    let receiver = Receiver::start(|_| DELIVERED).await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.config.notify.concurrency = NonZeroUsize::MIN;
    let warning: Vec<_> = (0..=15).map(|second| (second, 88.0)).collect();
    alerting.measure("p-medium", &warning).await;
    alerting.until_pending(1, 0).await;
    alerting.desaturate("p-high").await;
    alerting.until_pending(2, 0).await;
    alerting.notify();
    alerting.until_delivered(2).await;
    let priorities: Vec<_> = receiver.posts().iter().map(|post| post.json().get("priority").unwrap().clone()).collect();
    assert_eq!(priorities, ["high", "medium"]);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_on_its_way_and_leaves_the_rest_to_the_next_start() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = Arc::clone(&mended);
    let receiver = Receiver::start(move |_| if is_mended.load(Ordering::Acquire) { DELIVERED } else { None }).await;
    let mut alerting = Alerting::start(vec![recipient("dr-1", "webhook", &receiver.url("dr-1"))], NO_BROKER);
    alerting.config.notify.concurrency = NonZeroUsize::MIN;
    alerting.config.notify.webhook_timeout = Duration::from_millis(300);
    for patient in ["p-1", "p-2", "p-3", "p-4"] {
        alerting.desaturate(patient).await;
    }
    alerting.until_pending(4, 0).await;
    alerting.notify();
    until(|| !receiver.posts().is_empty()).await;
    alerting.stop_notifying().await;
    assert_eq!(receiver.posts().len(), 1, "nothing new is begun");
    alerting.until_pending(0, 4).await;

    mended.store(true, Ordering::Release);
    let mut alerting = alerting.restart().await;
    alerting.notify();
    alerting.until_delivered(4).await;
    assert_eq!((receiver.posts().len(), receiver.ids().len()), (5, 4));
}
