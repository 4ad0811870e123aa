//! The wall clock. Only stages read it; the pure core is given the time.

use crate::reading::Millis;

/// Now, in milliseconds since the epoch.
#[must_use]
pub fn now_ms() -> Millis {
    jiff::Timestamp::now().as_millisecond()
}
