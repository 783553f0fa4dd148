//! The time, asked for once per recording.

use time::OffsetDateTime;
use time::macros::format_description;

/// The moment a recording begins.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// A new id, ordered by time (version 7 of UUIDs).
    pub(super) id: String,
    /// RFC 3339 with milliseconds, UTC.
    pub(super) rfc3339: String,
    /// For a file's name: date, time (UTC) and the end of the id.
    pub(super) file_stamp: String,
}

/// Asks the machine.
pub(super) fn now() -> Moment {
    let now = OffsetDateTime::now_utc();
    let id = uuid::Uuid::now_v7().to_string();
    let precise =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let stamp = format_description!("[year][month][day]-[hour][minute][second]");
    // a time of this century can be written
    let (rfc3339, stamp) = (now.format(precise), now.format(stamp));
    let end = id.len().saturating_sub(8);
    Moment {
        rfc3339: rfc3339.unwrap_or_default(),
        file_stamp: format!(
            "{}-{}",
            stamp.unwrap_or_default(),
            id.get(end..).unwrap_or("")
        ),
        id,
    }
}
