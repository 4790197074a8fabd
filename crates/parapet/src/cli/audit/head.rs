//! `parapet audit head`, `witness`, `rotate` and `rekey`: how far the log reaches, who vouches for it, by which key, and the key over
//! all keys.

use std::time::Duration;

use serde_json::{Value, json};
use store::log::Prover;

use super::log_folder;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output::{self, scalar};
use crate::cli::style::{Styled, Tone};

/// The signed head as the folder has it, to be kept elsewhere.
pub(super) fn signed(globals: &Globals) -> Result<Exit, Failure> {
    let folder = log_folder(globals);
    let prover = Prover::open(&folder, 1)
        .map_err(|error| Failure::new(Exit::ProofFailed, "PAR0312", format!("{}: {error}", folder.display())))?;
    output::data(&prover.note().to_string());
    Ok(Exit::Done)
}

fn part(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(scalar).unwrap_or_default()
}

fn list<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

pub(super) async fn head(globals: &Globals) -> Result<Exit, Failure> {
    let answer = Client::new(globals)?.get("/v1/audit/head").await?;
    if globals.for_programs() {
        output::data(&output::object("parapet.head/v1", &answer));
        return Ok(Exit::Done);
    }
    let mut text = format!("{} entries, chain {}\n", part(&answer, "/size"), part(&answer, "/chain"));
    if answer.get("writable") == Some(&Value::Bool(false)) {
        text.push_str(&format!("  {}\n", Styled(Tone::Bad, "✗ takes no entries: everything is denied")));
    }
    if answer.get("signed").is_some_and(|signed| !signed.is_null()) {
        let (size, origin, root) = ("/signed/size", "/signed/origin", "/signed/root");
        text.push_str(&format!(
            "  signed   the first {} of {}, root {}\n",
            part(&answer, size),
            part(&answer, origin),
            part(&answer, root)
        ));
    }
    for key in list(&answer, "keys") {
        let until = match key.get("signs_until") {
            Some(Value::String(until)) => format!(", signs until {until}"),
            _ => String::new(),
        };
        text.push_str(&format!("  key      {} made {}{until}\n", part(key, "/key"), part(key, "/made_at")));
    }
    text.push_str(&witnesses(&answer));
    output::data(&text);
    Ok(exit(&answer))
}

/// A witness that has seen more than there is: a proof failed.
fn exit(answer: &Value) -> Exit {
    let rolled_back = list(answer, "witnesses").iter().any(|seen| seen.get("rolled_back") == Some(&Value::Bool(true)));
    if rolled_back { Exit::ProofFailed } else { Exit::Done }
}

fn witnesses(answer: &Value) -> String {
    let mut text = String::new();
    for seen in list(answer, "witnesses") {
        let (name, size, at) = (part(seen, "/witness"), part(seen, "/size"), part(seen, "/at"));
        text.push_str(&if seen.get("rolled_back") == Some(&Value::Bool(true)) {
            let found = Styled(Tone::Bad, "✗ rolled back");
            format!("  witness  {found}: {name} has cosigned {size} entries that this log does not have\n")
        } else {
            format!("  witness  {name} has cosigned the first {size}, at {at}\n")
        });
    }
    text
}

pub(super) async fn witness(globals: &Globals) -> Result<Exit, Failure> {
    let answer = Client::new(globals)?.get("/v1/audit/head").await?;
    if globals.for_programs() {
        let view = json!({ "witness_key": answer.get("witness_key"), "witnesses": answer.get("witnesses") });
        output::data(&output::object("parapet.audit-witness/v1", &view));
        return Ok(exit(&answer));
    }
    let mut text = witnesses(&answer);
    if text.is_empty() {
        text.push_str("  witness  none: this log is tamper-evident only against those without its key\n");
    }
    text.push_str(&format!("  this node witnesses others by {}\n", part(&answer, "/witness_key")));
    output::data(&text);
    Ok(exit(&answer))
}

pub(super) async fn rotate(reason: &str, overlap: Duration, globals: &Globals) -> Result<Exit, Failure> {
    output::confirm(globals, "the audit log is signed with a new key from now on; auditors must be given it")?;
    let overlap = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
    let wanted = json!({ "reason": reason, "overlap_ms": overlap });
    let answer = Client::new(globals)?.post("/v1/audit/rotate", &wanted).await?;
    if globals.for_programs() {
        output::data(&output::object("parapet.audit-key/v1", &answer));
    } else {
        output::data(&format!("{}\n", part(&answer, "/key")));
    }
    Ok(Exit::Done)
}

/// Asks the gateway for another master key.
pub(super) async fn rekey(reason: &str, globals: &Globals) -> Result<Exit, Failure> {
    output::confirm(
        globals,
        "A new master key closes all that the gateway keeps from its next start on. Backups of before need the old one.",
    )?;
    let answer = Client::new(globals)?.post("/v1/audit/rekey", &json!({ "reason": reason })).await?;
    if globals.for_programs() {
        output::data(&output::object("parapet.audit-rekey/v1", &answer));
    } else {
        let made = Styled(Tone::Good, "✓ a new master key is written");
        output::message(&format!("{made}: restart the gateway, which drops the old one then\n"));
    }
    Ok(Exit::Done)
}
