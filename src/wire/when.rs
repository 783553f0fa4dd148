//! Times as logs write them.

/// Microseconds since the epoch of an RFC 3339 time.
pub fn micros(text: &str) -> Option<i64> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    if let Some(quick) = plain(text.as_bytes()) {
        return Some(quick);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

/// The same for `2026-01-01T00:00:00.000Z`, which is what nearly all lines say.
fn plain(text: &[u8]) -> Option<i64> {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T',
        h0,
        h1,
        b':',
        n0,
        n1,
        b':',
        s0,
        s1,
        b'.',
        f0,
        f1,
        f2,
        b'Z',
    ] = text
    else {
        return None;
    };
    let digits = |digits: &[u8]| {
        digits.iter().try_fold(0_i64, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i64::from(digit - b'0'))
        })
    };
    let year = digits(&[*y0, *y1, *y2, *y3])?;
    let month = digits(&[*m0, *m1])?;
    let day = digits(&[*d0, *d1])?;
    let (hour, minute, second) = (
        digits(&[*h0, *h1])?,
        digits(&[*n0, *n1])?,
        digits(&[*s0, *s1])?,
    );
    if !(1..=12).contains(&month)
        || !(1..=28).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    // days since the epoch, by the civil calendar (years begin in March here)
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000_000 + digits(&[*f0, *f1, *f2])? * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_times_are_right_times() {
        use time::OffsetDateTime;
        use time::format_description::well_known::Rfc3339;
        for text in [
            "1970-01-01T00:00:00.000Z",
            "2000-02-28T23:59:59.999Z",
            "2026-11-20T20:00:00.123Z",
            "2024-12-09T01:02:03.004Z",
        ] {
            let slow = OffsetDateTime::parse(text, &Rfc3339)
                .unwrap()
                .unix_timestamp_nanos()
                / 1000;
            assert_eq!(plain(text.as_bytes()), Some(slow as i64), "{text}");
        }
        assert_eq!(
            micros("2026-11-20T22:00:00+02:00"),
            micros("2026-11-20T20:00:00.000Z")
        );
        assert_eq!(micros("yesterday"), None);
    }
}
