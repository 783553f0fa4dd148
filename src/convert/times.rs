//! Times as other tools spell them.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// A time of RFC 3339 in microseconds since 1970.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    micros(OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?)
}

/// A time of RFC 2822, or else of RFC 3339, in microseconds since 1970.
pub(super) fn rfc2822(text: &str) -> Option<i64> {
    match OffsetDateTime::parse(text.trim(), &Rfc2822) {
        Ok(time) => micros(time),
        Err(_) => rfc3339(text),
    }
}

fn micros(time: OffsetDateTime) -> Option<i64> {
    i64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

/// Microseconds since 1970 as RFC 3339.
pub(super) fn to_rfc3339(micros: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()?;
    time.format(&Rfc3339).ok()
}

/// A JSON number of milliseconds, in microseconds; 0 for what is none, or is negative.
pub(super) fn micros_of_ms(raw: &str) -> u64 {
    scaled(raw, 1e3)
}

/// A JSON number of seconds since 1970, in microseconds.
pub(super) fn micros_of_seconds(raw: &str) -> i64 {
    scaled(raw, 1e6).cast_signed()
}

/// Microseconds as a number of units of `by` microseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "times of a few hundred years are exact to the microsecond"
)]
pub(super) fn in_units(micros: i64, by: f64) -> f64 {
    micros as f64 / by
}

#[expect(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "negative and absurd numbers are clamped before"
)]
fn scaled(raw: &str, by: f64) -> u64 {
    let number = raw.parse::<f64>().unwrap_or(0.0) * by;
    if number.is_finite() && number > 0.0 {
        // ten thousand years, so that sums stay in range
        number.min(3.2e17).round() as u64
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        assert_eq!(rfc3339("1970-01-01T00:00:01.5+00:00"), Some(1_500_000));
        assert_eq!(rfc2822("Thu, 01 Jan 1970 00:00:02 GMT"), Some(2_000_000));
        assert_eq!(rfc2822("1970-01-01T00:00:02Z"), Some(2_000_000));
        assert_eq!(rfc3339("yesterday"), None);
        assert_eq!(micros_of_ms("2.5"), 2500);
        assert_eq!(micros_of_ms("-1"), 0);
        assert_eq!(micros_of_ms("null"), 0);
        assert!(micros_of_ms("1e300") < u64::MAX / 2);
        assert_eq!(micros_of_seconds("1.000001"), 1_000_001);
        assert_eq!(
            to_rfc3339(1_500_000).as_deref(),
            Some("1970-01-01T00:00:01.5Z")
        );
    }
}
