//! Age bands: how old a patient was when a reading was taken, coarse enough to be a tag.
//!
//! The bands of children are the ages of the Bedside PEWS (Parshuram et al., Critical Care 13:R135, 2009, table 1):
//! normal heart rates differ between them by a factor of two, and a newborn changes band within months. From 16 years on
//! NEWS2 holds (Royal College of Physicians, 2017); the bands above it are ours and only group dashboards.
//! A band begins at 00:00 UTC of the birthday, and holds its lower age and not its upper one. A birthday that a month
//! does not have (29 to 31) is the month's last day.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::reading::{Millis, UNKNOWN_AGE};

/// The months of age at which each band begins, and its name.
const BANDS: [(i32, &str); 9] = [
    (0, "0-3m"),
    (3, "3-12m"),
    (12, "1-4y"),
    (4 * 12, "4-12y"),
    (12 * 12, "12-16y"),
    (16 * 12, "16-40y"),
    (40 * 12, "40-65y"),
    (65 * 12, "65-80y"),
    (80 * 12, "80y+"),
];

/// The bands in rising order, each with the first millisecond that it holds; before the first, and without a birth
/// date, the band is [`UNKNOWN_AGE`].
pub fn bands(birth: Option<Date>) -> impl Iterator<Item = (Millis, &'static str)> {
    let born = birth.into_iter().flat_map(|birth| {
        BANDS.into_iter().filter_map(move |(months, name)| {
            // A date beyond the calendar's end never comes.
            let day = birth.checked_add(months.months()).ok()?;
            Some((day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond(), name))
        })
    });
    std::iter::once((Millis::MIN, UNKNOWN_AGE)).chain(born)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    fn band_at(birth: Option<Date>, time: Millis) -> &'static str {
        bands(birth).take_while(|(from, _)| *from <= time).last().unwrap().1
    }

    fn midnight(day: Date) -> Millis {
        day.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond()
    }

    #[test]
    fn a_band_begins_at_midnight_of_the_birthday_and_not_a_millisecond_before() {
        let birth = date(2010, 5, 17);
        for (day, before, from) in [
            (date(2010, 5, 17), "unknown", "0-3m"),
            (date(2010, 8, 17), "0-3m", "3-12m"),
            (date(2011, 5, 17), "3-12m", "1-4y"),
            (date(2014, 5, 17), "1-4y", "4-12y"),
            (date(2022, 5, 17), "4-12y", "12-16y"),
            (date(2026, 5, 17), "12-16y", "16-40y"),
            (date(2050, 5, 17), "16-40y", "40-65y"),
            (date(2075, 5, 17), "40-65y", "65-80y"),
            (date(2090, 5, 17), "65-80y", "80y+"),
        ] {
            assert_eq!(band_at(Some(birth), midnight(day) - 1), before, "the day before {day}");
            assert_eq!(band_at(Some(birth), midnight(day)), from, "{day}");
        }
    }

    #[test]
    fn somebody_born_on_a_leap_day_is_one_year_old_on_the_last_of_february() {
        let birth = Some(date(2024, 2, 29));
        assert_eq!(band_at(birth, midnight(date(2025, 2, 28))), "1-4y");
        assert_eq!(band_at(birth, midnight(date(2025, 2, 28)) - 1), "3-12m");
    }

    #[test]
    fn without_a_birth_date_the_band_is_unknown() {
        assert_eq!(band_at(None, 0), "unknown");
    }

    proptest! {
        #[test]
        fn bands_begin_in_rising_order_whatever_the_birthday(days in 0_i32..80_000) {
            let birth = date(1900, 1, 1).checked_add(days.days()).unwrap();
            let starts: Vec<_> = bands(Some(birth)).map(|(from, _)| from).collect();
            prop_assert!(starts.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(starts.len(), BANDS.len() + 1);
        }
    }
}
