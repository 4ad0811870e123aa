//! THE screen: every queue by name and size, every stage in the order in which a message meets it, the ordered stop.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::account::Account;
use crate::care::{AlertStore, CareGraph};
use crate::config::Config;
use crate::enrich::{self, Directory, ProfileStore};
use crate::intake::{self, connect, filters, link::Links, prepare::Prepare, session::Session};
use crate::journal::{self, Committed, Consumer, Reports};
use crate::notify::{self, Channels};
use crate::shutdown::Shutdown;
use crate::stages::{Stages, Stopped};
use crate::status::Status;
use crate::store::{self, VitalStore};
use crate::{dead_letter, metrics, watch};

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
