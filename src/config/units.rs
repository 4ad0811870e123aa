//! Durations and sizes as people write them: a whole number and a unit, nothing else.

use std::time::Duration;

/// Reads "250ms", "30s", "10m", "12h" or "7d". The error says what is expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a whole number and a unit, such as \"250ms\", \"30s\", \"10m\", \"12h\" or \"7d\"";
    let (number, unit) = split(text).ok_or(EXPECTED)?;
    let millis_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("the unit is missing; {EXPECTED}")),
        _ => return Err(format!("unknown unit \"{unit}\"; {EXPECTED}")),
    };
    number.checked_mul(millis_per_unit).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

/// Reads "512B", "64KiB", "16MiB" or "4GiB" as bytes. The error says what is expected.
pub fn size(text: &str) -> Result<u64, String> {
    const EXPECTED: &str = "expected a whole number and a unit, such as \"512B\", \"64KiB\", \"16MiB\" or \"4GiB\"";
    let (number, unit) = split(text).ok_or(EXPECTED)?;
    let bytes_per_unit: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err(format!("the unit is missing; {EXPECTED}")),
        _ => return Err(format!("unknown unit \"{unit}\"; {EXPECTED}")),
    };
    number.checked_mul(bytes_per_unit).ok_or_else(|| "too large".to_owned())
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_without_a_unit_is_refused_and_told_so() {
        assert!(duration("10").is_err_and(|message| message.contains("unit is missing")));
        assert!(size("10").is_err_and(|message| message.contains("unit is missing")));
    }

    #[test]
    fn every_unit_is_read() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2 d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("4GiB"), Ok(4 << 30));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            // The claim is the absence of a panic; whatever is accepted must begin with a digit.
            prop_assert!(duration(&text).is_err() || text.starts_with(|c: char| c.is_ascii_digit()));
            prop_assert!(size(&text).is_err() || text.starts_with(|c: char| c.is_ascii_digit()));
        }
    }
}
