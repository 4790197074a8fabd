//! Threat lists that are too old or cannot be read any more, and streams of security events that have fallen silent.

use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::doctor::{from_failure, line, warning};
use crate::cli::output;

/// A line for each list and each stream.
pub(super) async fn lines(client: &Client) -> Vec<Value> {
    let mut lines = Vec::new();
    match client.get("/v1/threats").await {
        Ok(answer) => lines.extend(output::items(&answer).iter().map(list)),
        Err(failure) => lines.push(from_failure("threat lists", &failure)),
    }
    match client.get("/v1/streams").await {
        Ok(answer) => lines.extend(output::items(&answer).iter().map(stream)),
        Err(failure) => lines.push(from_failure("streams", &failure)),
    }
    lines
}

fn text(object: &Value, member: &str) -> Option<String> {
    object.get(member).filter(|value| !value.is_null()).map(output::scalar)
}

fn list(list: &Value) -> Value {
    const FIX: &str = "see that its source is there and fresh; policies find its name in `context.source.stale`";
    let check = format!("threat list {}", text(list, "name").unwrap_or_default());
    let networks = format!("{} networks", text(list, "networks").unwrap_or_default());
    let since = text(list, "stale_from").unwrap_or_default();
    match (text(list, "failed"), text(list, "state").as_deref()) {
        (None, Some("fresh")) => line(&check, Ok(networks)),
        (Some(why), Some("fresh")) => warning(&check, &format!("{why}; {networks} serve until {since}"), FIX),
        (None, _) => line(&check, Err((format!("too old since {since}"), FIX))),
        (Some(why), _) => line(&check, Err((format!("{why}; too old since {since}"), FIX))),
    }
}

fn stream(stream: &Value) -> Value {
    let check = format!("stream {}", text(stream, "name").unwrap_or_default());
    let last = text(stream, "last_event");
    match (text(stream, "fault"), last) {
        (Some(fault), last) => {
            let last = last.map(|at| format!("; its last event came at {at}")).unwrap_or_default();
            let fix = "see that its transmitter is there, and what it says of the stream";
            line(&check, Err((format!("{fault}{last}"), fix)))
        }
        (None, Some(last)) => line(&check, Ok(format!("its last event came at {last}"))),
        (None, None) => line(&check, Ok("it has brought nothing yet".to_owned())),
    }
}
