//! How single values are read: durations, sizes, times, addresses, and where a secret is. Pure functions from text; an
//! error says what is taken instead.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use kernel::time::Timestamp;

use crate::config::checked::{SecretSource, UpstreamAddress};

/// Why a value cannot be read: what is taken instead.
pub(crate) type Unreadable = &'static str;

/// `500ms`, `30s`, `5m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, Unreadable> {
    const WANTED: Unreadable = "a duration is a whole number and `ms`, `s`, `m`, `h` or `d`, such as `30s`";
    let (number, unit) = split_unit(text).ok_or(WANTED)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(WANTED),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or(WANTED)
}

/// `512`, `64KiB`, `16MiB`, `1GiB`, in bytes.
pub(super) fn size(text: &str) -> Result<usize, Unreadable> {
    const WANTED: Unreadable = "a size is a whole number and `B`, `KiB`, `MiB` or `GiB`, such as `16MiB`";
    let (number, unit) = split_unit(text).ok_or(WANTED)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(WANTED),
    };
    number.checked_mul(factor).and_then(|bytes| usize::try_from(bytes).ok()).ok_or(WANTED)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// RFC 3339 with an offset.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, Unreadable> {
    const WANTED: Unreadable = "a time is RFC 3339 with an offset, such as `2027-01-01T00:00:00Z`";
    let parsed = toml::value::Datetime::from_str(text).map_err(|_| WANTED)?;
    let (Some(date), Some(time), Some(offset)) = (parsed.date, parsed.time, parsed.offset) else { return Err(WANTED) };
    let offset = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = days * 1440 + i64::from(time.hour) * 60 + i64::from(time.minute) - offset;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or(0));
    let millis = i64::from(time.nanosecond.unwrap_or(0)) / 1_000_000;
    Ok(Timestamp::from_millis(seconds * 1000 + millis))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years are counted from March, an era is 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `127.0.0.1:15432`, `[::1]:15432`, or `localhost:15432`, which means 127.0.0.1.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Unreadable> {
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().map_err(|_| "a listening address is an IP address and a port, such as `127.0.0.1:15432`")
}

/// `host:port` or `unix:///folder`.
pub(super) fn upstream_address(text: &str) -> Result<UpstreamAddress, Unreadable> {
    const WANTED: Unreadable = "an address is `host:port`, or `unix:///folder/of/the/socket`";
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') { Ok(UpstreamAddress::Unix(PathBuf::from(path))) } else { Err(WANTED) };
    }
    let (host, port) = text.rsplit_once(':').ok_or(WANTED)?;
    let port: u16 = port.parse().map_err(|_| WANTED)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    if !is_host || port == 0 {
        return Err(WANTED);
    }
    Ok(UpstreamAddress::Tcp { host: bare.unwrap_or(host).to_owned(), port })
}

/// `env://NAME`, `file:///path` or `command:///program arguments`. Anything else could be the secret itself.
pub(super) fn secret_source(text: &str) -> Option<SecretSource> {
    if let Some(name) = text.strip_prefix("env://") {
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return fits.then(|| SecretSource::Environment(name.to_owned()));
    }
    if let Some(path) = text.strip_prefix("file://") {
        return path.starts_with('/').then(|| SecretSource::File(PathBuf::from(path)));
    }
    let command = text.strip_prefix("command://")?;
    let mut words = command.split_ascii_whitespace().map(str::to_owned);
    let program = words.next().filter(|program| program.starts_with('/'))?;
    Some(SecretSource::Command { program: PathBuf::from(program), arguments: words.collect() })
}
