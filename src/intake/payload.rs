//! From the bytes of a message to drafts of readings. One file per format; this one tells them apart by their shape.

use serde_json::value::RawValue;

use super::draft::Draft;
use super::json;
use crate::reading::{Reason, Rejection};

/// One item of a message: its bytes, and what they say.
#[derive(Debug, PartialEq)]
pub struct Item<'a> {
    /// The bytes of this item alone, which is what a dead letter keeps.
    pub bytes: &'a [u8],
    /// The draft, or why there is none.
    pub draft: Result<Draft, Rejection>,
}

/// Bounds on one message.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes.
    pub max_payload: usize,
    /// Items of an array.
    pub max_items: usize,
}

/// Decodes a message into its items, handed to `each` in order. A message that can't be taken apart is one item.
pub fn decode<'a>(payload: &'a [u8], bounds: Bounds, mut each: impl FnMut(Item<'a>)) {
    let whole = |reason, detail: String| Item { bytes: payload, draft: Err(Rejection { reason, detail }) };
    if payload.len() > bounds.max_payload {
        let detail = format!("{} bytes, at most {} are taken", payload.len(), bounds.max_payload);
        return each(whole(Reason::TooLarge, detail));
    }
    match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => each(whole(Reason::Empty, "the payload is empty".to_owned())),
        Some(b'{') => each(Item { bytes: payload, draft: json::draft(payload) }),
        Some(b'[') => match serde_json::from_slice::<Vec<&'a RawValue>>(payload) {
            Err(error) => each(whole(Reason::Json, json::problem(&error))),
            Ok(items) if items.is_empty() => each(whole(Reason::Empty, "the array is empty".to_owned())),
            Ok(items) if items.len() > bounds.max_items => {
                let detail = format!("{} items, at most {} are taken", items.len(), bounds.max_items);
                each(whole(Reason::TooManyItems, detail));
            }
            Ok(items) => {
                for item in items {
                    let bytes = item.get().as_bytes();
                    each(Item { bytes, draft: json::draft(bytes) });
                }
            }
        },
        Some(_) => match serde_json::from_slice::<&RawValue>(payload) {
            Err(error) => each(whole(Reason::Json, json::problem(&error))),
            Ok(_) => each(whole(Reason::Shape, "expected an object or an array of objects".to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { max_payload: 65_536, max_items: 3 };

    fn reasons(payload: &[u8]) -> Vec<Option<Reason>> {
        let mut reasons = Vec::new();
        decode(payload, BOUNDS, |item| reasons.push(item.draft.err().map(|rejection| rejection.reason)));
        reasons
    }

    #[test]
    fn an_array_is_as_many_items_and_a_bad_one_spoils_no_other() {
        let payload = br#"[{"time":1,"vitals":{}}, {"time":true,"vitals":{}}, {"time":2,"vitals":{}}]"#;
        assert_eq!(reasons(payload), [None, Some(Reason::Time), None]);
        let mut bytes = Vec::new();
        decode(payload, BOUNDS, |item| bytes.push(item.bytes.to_vec()));
        assert_eq!(bytes.get(1).map(Vec::as_slice), Some(br#"{"time":true,"vitals":{}}"#.as_slice()));
    }

    #[test]
    fn what_has_no_items_is_one_rejection_with_its_reason() {
        let deep = b"[".repeat(60_000);
        let long = vec![b' '; 65_537];
        let cases: [(&[u8], Reason); 9] = [
            (b"", Reason::Empty),
            (b" \n", Reason::Empty),
            (b"[]", Reason::Empty),
            (b"[{},{},{},{}]", Reason::TooManyItems),
            (b"7", Reason::Shape),
            (b"\xff\xfe", Reason::Json),
            (b"[{\"time\":1}", Reason::Json),
            (&deep, Reason::Json),
            (&long, Reason::TooLarge),
        ];
        for (payload, reason) in cases {
            assert_eq!(reasons(payload), [Some(reason)], "{} bytes", payload.len());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_give_at_least_one_item_and_no_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(!reasons(&payload).is_empty());
        }

        #[test]
        fn damaged_json_gives_at_least_one_item_and_no_panic(at in 0usize..90, byte in any::<u8>()) {
            let mut payload = br#"{"device":"mon-1","seq":1,"time":"2026-11-22T09:15:02.250Z","vitals":{"heart_rate":72}}"#.to_vec();
            if let Some(slot) = payload.get_mut(at) { *slot = byte; }
            prop_assert!(!reasons(&payload).is_empty());
        }
    }
}
