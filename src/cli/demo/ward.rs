//! The simulator's ward as the records of the embedded stores.

use jiff::Timestamp;
use simulator::ward::{Ward, WardBed};

use crate::enrich::records::{AssignmentRecord, PatientRecord};
use crate::limits::Limit;
use crate::peers::embedded;
use crate::vital::Vital;

/// Everybody has been in their bed since long before the demo.
pub(super) fn records(ward: &Ward) -> embedded::Ward {
    let clinicians = ward.clinicians.iter().map(|clinician| {
        let treated = ward.beds.iter().filter(|bed| bed.clinicians.contains(&clinician.id));
        embedded::Clinician {
            id: clinician.id.clone(),
            name: clinician.name.clone(),
            treats: treated.map(|bed| bed.patient.clone()).collect(),
        }
    });
    embedded::Ward {
        patients: ward.beds.iter().map(patient).collect(),
        assignments: ward.beds.iter().map(|bed| assignment(ward, bed)).collect(),
        clinicians: clinicians.collect(),
    }
}

fn patient(bed: &WardBed) -> PatientRecord {
    let limits = bed.limits.iter().filter_map(|(name, limit)| {
        let at = |part: &str| limit.get(part).copied();
        let limit = Limit {
            critical_low: at("critical_low"),
            warning_low: at("warning_low"),
            warning_high: at("warning_high"),
            critical_high: at("critical_high"),
        };
        Some((Vital::from_name(name)?, limit))
    });
    PatientRecord { id: bed.patient.clone(), birth_date: Some(bed.birth_date), limits: limits.collect() }
}

fn assignment(ward: &Ward, bed: &WardBed) -> AssignmentRecord {
    AssignmentRecord {
        id: format!("{}.{}", bed.device, bed.patient),
        device: bed.device.clone(),
        patient: bed.patient.clone(),
        ward: ward.ward.clone(),
        bed: Some(bed.bed.clone()),
        since: Timestamp::UNIX_EPOCH.as_millisecond(),
        until: None,
    }
}
