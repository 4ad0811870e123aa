//! Two stores of alerts as one: MongoDB keeps their life, InfluxDB marks them on the dashboards.

use crate::care::{AlertRecord, AlertStore, PeerError};

/// Saves in the first, then in the second. Each may be asked again for what it has.
#[derive(Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: AlertStore + Sync, B: AlertStore + Sync> AlertStore for Both<A, B> {
    async fn save(&self, alert: &AlertRecord) -> Result<(), PeerError> {
        self.0.save(alert).await?;
        self.1.save(alert).await
    }
}
