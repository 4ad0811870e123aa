//! Whose a device was, and when: overlapping assignments resolved into a timeline without overlaps.
//!
//! An assignment that nobody ended ends where the next one of its device begins: a device has one patient at a time, and
//! taking the device back to the patient before the last would file data with the wrong one. Where two
//! assignments hold the same instant all the same, the one that began last wins; of two that began together, the one with
//! the greater id. So the answer depends on the records only, not on the order in which they came.

use std::collections::BTreeSet;

use crate::enrich::records::AssignmentRecord;
use crate::reading::Millis;

/// The pieces of a device's time, in rising order from the beginning of time: each holds from its first millisecond to
/// the next piece.
pub fn pieces(assignments: &[impl AsRef<AssignmentRecord>]) -> Vec<(Millis, Option<&AssignmentRecord>)> {
    let mut by_start: Vec<&AssignmentRecord> = assignments.iter().map(AsRef::as_ref).collect();
    by_start.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    let ended: Vec<(&AssignmentRecord, Millis)> = by_start
        .iter()
        .map(|assignment| {
            let next = by_start.partition_point(|other| other.since <= assignment.since);
            let end = assignment.until.or_else(|| by_start.get(next).map(|other| other.since));
            (*assignment, end.unwrap_or(Millis::MAX))
        })
        .collect();
    let mut instants: BTreeSet<Millis> = ended.iter().flat_map(|(assignment, end)| [assignment.since, *end]).collect();
    instants.insert(Millis::MIN);
    let mut pieces: Vec<(Millis, Option<&AssignmentRecord>)> = Vec::with_capacity(instants.len());
    for from in instants {
        // The last of those that began, and have not ended; later ones can't hold `from`.
        let begun = by_start.partition_point(|assignment| assignment.since <= from);
        let holder = ended.iter().take(begun).rev().find(|(_, end)| from < *end).map(|(assignment, _)| *assignment);
        if pieces.last().is_none_or(|(_, last)| last.map(|a| &a.id) != holder.map(|a| &a.id)) {
            pieces.push((from, holder));
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use std::sync::Arc;

    use super::*;
    use proptest::prelude::*;

    fn assignment(id: usize, since: Millis, until: Option<Millis>) -> Arc<AssignmentRecord> {
        Arc::new(AssignmentRecord {
            id: format!("a-{id}"),
            device: "mon-1".into(),
            patient: format!("p-{id}"),
            ward: "icu".into(),
            bed: None,
            since,
            until,
        })
    }

    fn patient_at(assignments: &[Arc<AssignmentRecord>], time: Millis) -> Option<String> {
        let pieces = pieces(assignments);
        let (_, holder) = pieces.iter().rev().find(|(from, _)| *from <= time).unwrap();
        holder.map(|assignment| assignment.patient.clone())
    }

    /// The rule of this module, word by word, one instant at a time.
    fn naive(assignments: &[Arc<AssignmentRecord>], time: Millis) -> Option<String> {
        let end = |assignment: &AssignmentRecord| match assignment.until {
            Some(until) => until,
            None => {
                let later = assignments.iter().map(|other| other.since).filter(|since| *since > assignment.since);
                later.min().unwrap_or(Millis::MAX)
            }
        };
        let holding = assignments.iter().filter(|assignment| assignment.since <= time && time < end(assignment));
        holding.max_by_key(|assignment| (assignment.since, assignment.id.clone())).map(|a| a.patient.clone())
    }

    #[test]
    fn the_end_of_an_assignment_is_not_part_of_it() {
        let swap = [assignment(1, 100, Some(200)), assignment(2, 200, None)];
        assert_eq!(patient_at(&swap, 99), None);
        assert_eq!(patient_at(&swap, 100).as_deref(), Some("p-1"));
        assert_eq!(patient_at(&swap, 199).as_deref(), Some("p-1"));
        assert_eq!(patient_at(&swap, 200).as_deref(), Some("p-2"));
    }

    #[test]
    fn an_assignment_that_nobody_ended_does_not_come_back_after_the_next_one() {
        let forgotten = [assignment(1, 100, None), assignment(2, 200, Some(300))];
        assert_eq!(patient_at(&forgotten, 150).as_deref(), Some("p-1"));
        assert_eq!(patient_at(&forgotten, 250).as_deref(), Some("p-2"));
        assert_eq!(patient_at(&forgotten, 300), None);
    }

    proptest! {
        #[test]
        fn the_timeline_says_what_a_scan_of_all_assignments_says(
            intervals in prop::collection::vec((0_i64..40, prop::option::of(0_i64..45)), 0..8),
            times in prop::collection::vec(-2_i64..50, 20),
        ) {
            let assignments: Vec<_> =
                intervals.iter().enumerate().map(|(id, (since, until))| assignment(id, *since, *until)).collect();
            let mut shuffled = assignments.clone();
            shuffled.reverse();
            for time in times {
                prop_assert_eq!(patient_at(&assignments, time), naive(&assignments, time));
                prop_assert_eq!(patient_at(&shuffled, time), naive(&assignments, time));
            }
        }
    }
}
