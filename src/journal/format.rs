//! The bytes of one group: format version, checksum, and the readings with their contexts written once.
//!
//! A reading is about 40 bytes; its context (device, patient, ward, limits) is shared by all readings of one device,
//! and limits are shared by all patients without limits of their own, so each is written once per group and found by
//! its place. The encoding is postcard's: varints, no field names.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::reading::{Context, EnrichedReading, Millis, Quality, Reading};
use crate::vital::Vitals;

/// The version of the layout below; the first byte of every group.
const VERSION: u8 = 1;

/// Bytes before the readings: version and checksum.
const HEADER: usize = 5;

/// The readings committed by one fsync; reading `i` has the sequence number `first_seq + i`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Sequence number of the first reading.
    pub first_seq: u64,
    /// When the group was written, milliseconds since the epoch.
    pub committed: Millis,
    /// The readings, in receive order.
    pub readings: Vec<EnrichedReading>,
}

impl Group {
    /// The sequence number after the last reading.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first_seq + self.readings.len() as u64
    }
}

/// Why the bytes of a group can't be believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Damage {
    #[error("too short")]
    Short,
    #[error("unknown format version {0}")]
    Version(u8),
    #[error("wrong checksum")]
    Checksum,
    #[error("not decodable")]
    Encoding,
    #[error("{found} readings where {expected} were written")]
    Count { expected: u64, found: u64 },
}

#[derive(Serialize, Deserialize)]
struct Body<C, L> {
    limits: Vec<L>,
    contexts: Vec<(C, u32)>,
    readings: Vec<Row>,
}

/// A context without its limits.
#[derive(Serialize)]
struct ContextRef<'a> {
    region: &'a str,
    ward: &'a str,
    bed: Option<&'a str>,
    device: &'a str,
    patient: Option<&'a str>,
    age_band: &'a str,
}

/// The same, read back.
#[derive(Deserialize)]
struct ContextOwned {
    region: Arc<str>,
    ward: Arc<str>,
    bed: Option<Arc<str>>,
    device: Arc<str>,
    patient: Option<Arc<str>>,
    age_band: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    context: u32,
    seq: Option<u64>,
    time: Millis,
    received: Millis,
    quality: Quality,
    vitals: Vitals,
}

/// Encodes readings into `bytes`, which is cleared first; also says how many there were.
pub(super) fn encode<'a>(
    first_seq: u64,
    readings: impl Iterator<Item = &'a EnrichedReading>,
    mut bytes: Vec<u8>,
) -> Result<(Vec<u8>, u64), postcard::Error> {
    let mut limits: Vec<&Limits> = Vec::new();
    let mut limits_at: HashMap<*const Limits, u32> = HashMap::new();
    let mut contexts: Vec<(ContextRef<'_>, u32)> = Vec::new();
    let mut contexts_at: HashMap<*const Context, u32> = HashMap::new();
    let mut rows = Vec::new();
    for EnrichedReading { reading, context } in readings {
        let place = *contexts_at.entry(Arc::as_ptr(context)).or_insert_with(|| {
            let limits_place = *limits_at.entry(Arc::as_ptr(&context.limits)).or_insert_with(|| {
                limits.push(&context.limits);
                limits.len() as u32 - 1
            });
            let borrowed = ContextRef {
                region: &context.region,
                ward: &context.ward,
                bed: context.bed.as_deref(),
                device: &context.device,
                patient: context.patient.as_deref(),
                age_band: &context.age_band,
            };
            contexts.push((borrowed, limits_place));
            contexts.len() as u32 - 1
        });
        rows.push(Row {
            context: place,
            seq: reading.seq,
            time: reading.time,
            received: reading.received,
            quality: reading.quality,
            vitals: reading.vitals,
        });
    }
    let count = rows.len() as u64;
    bytes.clear();
    bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    let mut bytes = postcard::to_extend(&Body { limits, contexts, readings: rows }, bytes)?;
    let crc = checksum(first_seq, bytes.get(HEADER..).unwrap_or_default());
    for (slot, byte) in bytes.iter_mut().skip(1).zip(crc.to_le_bytes()) {
        *slot = byte;
    }
    Ok((bytes, count))
}

/// Decodes a group, or says what is wrong with its bytes.
pub(super) fn decode(first_seq: u64, count: u64, committed: Millis, bytes: &[u8]) -> Result<Group, Damage> {
    let (header, rest) = bytes.split_at_checked(HEADER).ok_or(Damage::Short)?;
    let [version, crc @ ..] = <[u8; HEADER]>::try_from(header).map_err(|_| Damage::Short)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    if checksum(first_seq, rest) != u32::from_le_bytes(crc) {
        return Err(Damage::Checksum);
    }
    let body: Body<ContextOwned, Limits> = postcard::from_bytes(rest).map_err(|_| Damage::Encoding)?;
    let limits: Vec<Arc<Limits>> = body.limits.into_iter().map(Arc::new).collect();
    let contexts: Option<Vec<Arc<Context>>> = body
        .contexts
        .into_iter()
        .map(|(context, place)| {
            let limits = Arc::clone(limits.get(place as usize)?);
            let ContextOwned { region, ward, bed, device, patient, age_band } = context;
            Some(Arc::new(Context { region, ward, bed, device, patient, age_band, limits }))
        })
        .collect();
    let contexts = contexts.ok_or(Damage::Encoding)?;
    let readings: Option<Vec<EnrichedReading>> = body
        .readings
        .into_iter()
        .map(|row| {
            let context = Arc::clone(contexts.get(row.context as usize)?);
            let Row { seq, time, received, quality, vitals, .. } = row;
            Some(EnrichedReading { reading: Reading { seq, time, received, vitals, quality }, context })
        })
        .collect();
    let readings = readings.ok_or(Damage::Encoding)?;
    if readings.len() as u64 != count {
        return Err(Damage::Count { expected: count, found: readings.len() as u64 });
    }
    Ok(Group { first_seq, committed, readings })
}

/// The checksum covers the sequence number too, so that a group in the wrong place is found.
fn checksum(first_seq: u64, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&first_seq.to_le_bytes()), body)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed step is a failed test")]
    use super::*;
    use crate::limits::Limit;
    use crate::vital::{self, Vital};
    use proptest::prelude::*;

    fn context() -> impl Strategy<Value = Arc<Context>> {
        let id = "[a-z0-9-]{1,12}";
        (id, id, proptest::option::of(id), id, proptest::option::of(id), proptest::option::of(30.0..200.0)).prop_map(
            |(region, ward, bed, device, patient, high)| {
                let mut limits = Limits::default();
                limits.set(Vital::HeartRate, Limit { critical_high: high, ..Limit::default() });
                Arc::new(Context {
                    region: region.into(),
                    ward: ward.into(),
                    bed: bed.map(Into::into),
                    device: device.into(),
                    patient: patient.map(Into::into),
                    age_band: "40-64".into(),
                    limits: Arc::new(limits),
                })
            },
        )
    }

    fn readings() -> impl Strategy<Value = Vec<EnrichedReading>> {
        let row = (any::<usize>(), any::<Option<u64>>(), any::<i64>(), proptest::collection::vec(-1e6..1e6f64, 0..10));
        (proptest::collection::vec(context(), 1..4), proptest::collection::vec(row, 0..40)).prop_map(
            |(contexts, rows)| {
                rows.into_iter()
                    .map(|(pick, seq, time, values)| EnrichedReading {
                        reading: Reading {
                            seq,
                            time,
                            received: time.wrapping_add(5),
                            vitals: vital::ALL.into_iter().zip(values).collect(),
                            quality: Quality::Good,
                        },
                        context: Arc::clone(&contexts[pick % contexts.len()]),
                    })
                    .collect()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_group_is_read_back_as_it_was_written(readings in readings(), first_seq in any::<u64>()) {
            let bytes = encode(first_seq, readings.iter(), Vec::new()).unwrap().0;
            let group = decode(first_seq, readings.len() as u64, 7, &bytes).unwrap();
            prop_assert_eq!(group, Group { first_seq, committed: 7, readings });
        }

        #[test]
        fn any_flipped_bit_is_found(readings in readings(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = encode(9, readings.iter(), Vec::new()).unwrap().0;
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert!(decode(9, readings.len() as u64, 7, &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_damage_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(1, 1, 0, &bytes).is_err());
        }
    }

    #[test]
    fn a_group_in_another_groups_place_is_found() {
        let bytes = encode(1, [].iter(), Vec::new()).unwrap().0;
        assert_eq!(decode(2, 0, 0, &bytes), Err(Damage::Checksum));
    }
}
