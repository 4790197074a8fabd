//! Times as people read them: RFC 3339 in UTC, or how long ago. The API gives milliseconds since the epoch or RFC 3339.

use std::time::{Duration, UNIX_EPOCH};

use kernel::time::Timestamp;
use serde_json::Value;

use crate::cli::exit::Failure;
use crate::cli::globals::TimeFormat;

/// The wall-clock time, for `--time relative` and for deadlines that people see.
#[expect(clippy::disallowed_methods, reason = "commands are outside the gateway: they show how long ago something was")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Reads a time as the API gives it.
pub(crate) fn read(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => number.as_i64().map(Timestamp::from_millis),
        Value::String(text) => crate::config::timestamp(text).ok(),
        _ => None,
    }
}

/// Reads a time as people type it: RFC 3339, or how long ago.
pub(crate) fn since(text: &str) -> Result<Timestamp, Failure> {
    match crate::config::duration(text) {
        Ok(ago) => {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            Ok(Timestamp::from_millis(now().millis().saturating_sub(ago)))
        }
        Err(_) => crate::config::timestamp(text).map_err(Failure::usage),
    }
}

/// Shows a time.
pub(crate) fn show(at: Timestamp, format: TimeFormat, now: Timestamp) -> String {
    match format {
        TimeFormat::Rfc3339 => {
            let text = at.to_string();
            // Milliseconds matter to programs, which get JSON.
            match text.split_once('.') {
                Some((seconds, _)) => format!("{seconds}Z"),
                None => text,
            }
        }
        TimeFormat::Relative if at > now => format!("in {}", span(at.since(now))),
        TimeFormat::Relative => format!("{} ago", span(now.since(at))),
    }
}

/// A length of time in its largest unit.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
