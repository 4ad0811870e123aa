//! THE screen: every queue by name and size, every stage in the order in which a message meets it, the ordered stop.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::account::Account;
use crate::care::{AlertStore, CareGraph};
use crate::config::Config;
use crate::enrich::lookup::Lookup;
use crate::enrich::records::ProfileStore;
use crate::enrich::shared::SharedDirectory;
use crate::enrich::{self, Enricher, refresh};
use crate::intake::connect::{self, ConnectError};
use crate::intake::filters;
use crate::intake::link::Links;
use crate::intake::prepare::Prepare;
use crate::intake::session::Session;
use crate::journal::{self, Committed, JournalError, Reports};
use crate::notify::mqtt::MqttChannel;
use crate::notify::webhook::Webhook;
use crate::notify::{Channels, Notifier};
use crate::shutdown::Shutdown;
use crate::stages::{Stages, Stopped};
use crate::status::Status;
use crate::store::{self, VitalStore};
use crate::{dead_letter, metrics, notify, watch};

/// Chunks of messages between a session and its preparation.
pub const RECEIVED: usize = 4;
/// Chunks of entries between all preparations and the journal.
pub const PREPARED: usize = 8;
/// Changes by other stages that wait for the journal's next commit.
pub const CHANGES: usize = 64;

/// The databases around the pipeline; production and demo differ only here.
#[derive(Debug)]
pub struct Peers<V, P, C, A> {
    /// Where readings are stored.
    pub vitals: V,
    /// Where profiles and assignments come from.
    pub profiles: P,
    /// Who treats whom.
    pub care: C,
    /// Where the life of an alert is kept.
    pub alerts: A,
}

/// Why the pipeline did not start, or did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file that a connection needs can't be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A stage did not end in order.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Runs everything until `shutdown`.
///
/// # Errors
/// What kept it from starting, or the stage that did not end in order.
pub async fn run<V, P, C, A>(
    config: &Config,
    peers: Peers<V, P, C, A>,
    status: &Status,
    account: Arc<Account>,
    shutdown: &Shutdown,
) -> Result<(), PipelineError>
where
    V: VitalStore + Send + Sync + 'static,
    P: ProfileStore + Send + Sync + 'static,
    C: CareGraph + Send + Sync + 'static,
    A: AlertStore + Send + Sync + 'static,
{
    let mut stages = Stages::default();
    let schemas =
        [dead_letter::SCHEMA, filters::SCHEMA, enrich::copy::SCHEMA, watch::state::SCHEMA, notify::outbox::SCHEMA];

    // The journal first: it knows where an earlier run stopped.
    let (prepared, to_journal) = mpsc::channel(PREPARED);
    let reports = Reports { account: Arc::clone(&account), part: status.part("journal") };
    let opened = journal::open(&config.journal, &config.dead_letter, &schemas, to_journal, CHANGES, reports)?;
    let journal = opened.journal;

    // Profiles, kept fresh beside the flow.
    let profiles = Arc::new(peers.profiles);
    let directory = SharedDirectory::restored(Arc::clone(&config.watch.limits), journal.clone()).await?;
    let (schedule, part) = (refresh::Schedule::new(config), status.part("mongodb"));
    let refreshing = refresh::run(Arc::clone(&profiles), directory.clone(), schedule, part, shutdown.soft.clone());
    stages.spawn("refresh", async {
        refreshing.await;
        Ok::<(), Stopped>(())
    });

    // Messages: received, decoded, validated, enriched, journalled, acknowledged.
    let links = Links::new(status.part("mqtt"));
    let filters = filters::filters(&config.mqtt);
    for client_id in client_ids(config) {
        let (received, to_prepare) = mpsc::channel(RECEIVED);
        let (metrics, committed) = (metrics::intake::Intake::register(), Arc::<Committed>::default());
        let (id, wanted) = (client_id.clone(), filters.clone());
        let stale_filters = journal.write(move |connection| filters::replace(connection, &id, &wanted)).await?;
        let options = connect::session_options(&config.mqtt, &client_id)?;
        let session = Session {
            out: Some(received),
            committed: Arc::clone(&committed),
            link: links.add(),
            metrics: metrics.clone(),
            filters: filters.clone(),
            client_id,
            stale_filters,
            read_interval: config.intake.read_interval,
            max_in_flight: config.intake.max_in_flight,
            stall_timeout: config.mqtt.stall_timeout,
            backoff: config.mqtt.backoff,
            journal: journal.clone(),
        };
        let (soft, hard) = (shutdown.soft.clone(), shutdown.hard.clone());
        stages.spawn_thread("intake", move || session.run(options, soft, hard));

        let (timeout, negative_ttl) = (config.mongodb.lookup_timeout, config.mongodb.negative_ttl);
        let lookup = Lookup::new(Arc::clone(&profiles), directory.clone(), timeout, negative_ttl);
        let enricher = Enricher::new(directory.clone());
        let prepare = Prepare::new(enricher, lookup, Arc::clone(&account), committed, metrics, &config.intake);
        let (prepared, hard) = (prepared.clone(), shutdown.hard.clone());
        stages.spawn("prepare", async move {
            // What a full journal has not taken by then is not acknowledged, and comes again.
            hard.run_until_cancelled(prepare.run(to_prepare, prepared)).await;
            Ok::<(), Stopped>(())
        });
    }
    drop(prepared);

    // From the journal on two consumers, each at its own pace: the store,
    let vitals = Arc::new(peers.vitals);
    let (part, hard) = (status.part("influxdb"), shutdown.hard.clone());
    stages.spawn("store", store::run(journal.clone(), vitals, config.clone(), account, part, hard));

    // and the watch, with whoever notifies behind it.
    let (told, watched) = (Arc::<Notify>::default(), CancellationToken::new());
    let watching = watch::run(journal.clone(), config.clone(), Arc::clone(&told), shutdown.hard.clone());
    let done = watched.clone().drop_guard();
    stages.spawn("watch", async move {
        let _done = done;
        watching.await
    });
    let options = connect::options(&config.mqtt, &config.notify.mqtt_client_id)?;
    let mqtt = MqttChannel::start(options, config.mqtt.backoff);
    let channels = Channels { mqtt, webhook: Webhook::new(&config.notify)? };
    let notifier = Notifier::new(journal.clone(), peers.care, channels, config.notify.clone(), status.part("notify"));
    stages.spawn("notify", notifier.run(told, watched.clone()));
    let keeping = notify::keep::run(journal, peers.alerts, config.notify.backoff, status.part("alerts"), watched);
    stages.spawn("keep", keeping);

    let stopped = stages.join(shutdown).await;
    directory.let_go().await;
    // The last handle is gone: the writer commits the cursors and ends.
    opened.writer.join().ok();
    Ok(stopped?)
}

/// The client id of each session: the configured one, or with a number when there are several.
fn client_ids(config: &Config) -> Vec<String> {
    match config.mqtt.sessions.get() {
        1 => vec![config.mqtt.client_id.clone()],
        sessions => (1..=sessions).map(|number| format!("{}-{number}", config.mqtt.client_id)).collect(),
    }
}
