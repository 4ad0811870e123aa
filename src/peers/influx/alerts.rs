//! The begin and the end of alerts in InfluxDB, so that a dashboard can annotate its curves.

use std::sync::Arc;

use super::InfluxDb;
use crate::care::{AlertRecord, AlertStore, PeerError};
use crate::store::WriteError;
use crate::store::line::{self, AlertLine};

impl AlertStore for Arc<InfluxDb> {
    async fn save(&self, alert: &AlertRecord) -> Result<(), PeerError> {
        let mut lines = Vec::new();
        let events = [Some(("begin", alert.begin)), alert.end.map(|end| ("end", end))];
        for (phase, time) in events.into_iter().flatten() {
            let AlertRecord { condition, patient, region, ward, value, .. } = alert;
            let (priority, value) = (alert.priority.name(), *value);
            line::alert(&mut lines, &AlertLine { condition, patient, region, ward, phase, priority, value, time });
        }
        match self.write_lines(&alert.region, &lines).await {
            Ok(()) => Ok(()),
            // The alert itself is kept elsewhere; a mark that InfluxDB refuses would be refused for ever.
            Err(
                WriteError::Malformed { reason } | WriteError::Partial { reason, .. } | WriteError::TooLarge { reason },
            ) => {
                tracing::error!(%reason, "InfluxDB refuses the mark of an alert");
                Ok(())
            }
            Err(error) => Err(PeerError { peer: "influxdb", message: error.to_string(), retry: true }),
        }
    }
}
