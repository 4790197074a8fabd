//! `parapet explain`: why a decision was made, or what a code means. The codes need no gateway.
//!
//! The decision comes from the gateway as its audit entry, with the clauses that policies have now; `proof.rs` proves the
//! entry here. `page.rs` lays it out; `-o json` has the same tree.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::{Client, named};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::proof::{self, Claim, Proof};
use crate::cli::{audit, codes, id, output, page};
use crate::config::variable;

/// Explain a decision, a login, or a code such as PAR0201
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A decision's id or URL, a session's id, `last`, or a code PARnnnn
    #[arg(value_name = "ID|last|PARnnnn")]
    what: String,
}

impl Explain {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        if self.what.to_ascii_uppercase().starts_with("PAR") {
            output::data(&code(&self.what, globals)?);
            return Ok(Exit::Done);
        }
        let id = id::read(&self.what)?;
        if id.starts_with("ses_") {
            return login(&id, globals).await;
        }
        let answer = Client::new(globals)?.get(&format!("/v1/decisions/{id}")).await;
        let mut answer = named(answer, "decision", &id, "parapet audit search")?;
        let proof = proof_of(&answer, globals).await;
        if let (Some(proof), Some(members)) = (&proof, answer.as_object_mut()) {
            members.insert("proof".to_owned(), proof.json());
        }
        output::data(&page::decision(&answer, globals));
        Ok(if matches!(proof, Some(Proof::Failed(_))) { Exit::ProofFailed } else { Exit::Done })
    }
}

/// How the login of a session went: who it became, or what was wrong with what it showed. The client was told the id alone.
async fn login(id: &str, globals: &Globals) -> Result<Exit, Failure> {
    let answer = Client::new(globals)?.get(&format!("/v1/audit?session={id}&order=oldest&limit=10")).await?;
    let text = |entry: &Value, member: &str| entry.get(member).map(output::scalar).unwrap_or_default();
    let is_login = |entry: &Value| matches!(text(entry, "kind").as_str(), "login" | "login_refused");
    let Some(entry) = output::items(&answer).into_iter().find(is_login) else {
        let failure = Failure::new(Exit::Failed, "PAR0309", format!("the audit log has no login of session `{id}`"));
        return Err(failure.help("parapet audit search --kind login_refused"));
    };
    if globals.for_programs() {
        output::data(&output::object("parapet.login/v1", &entry));
        return Ok(Exit::Done);
    }
    let mut lines = Vec::new();
    if text(&entry, "kind") == "login_refused" {
        lines.push(format!("✗ login as `{}` refused", text(&entry, "claimed")));
        // One line for each thing that is wrong, as the rule of the claimed workload sees it.
        lines.extend(text(&entry, "why").split("; ").map(|why| format!("  {why}")));
    } else {
        lines.push(format!("✓ login of {} to {}", text(&entry, "workload"), text(&entry, "upstream")));
        let claims = entry.get("claims").and_then(Value::as_object).cloned().unwrap_or_default();
        lines.extend(claims.iter().map(|(claim, value)| format!("  {claim} {}", output::scalar(value))));
    }
    lines.push(format!("  from {} at {}", text(&entry, "source"), text(&entry, "at")));
    lines.push(String::new());
    output::data(&lines.join("\n"));
    Ok(Exit::Done)
}

/// Proves a decision's entry in the log of the gateway that was asked.
pub(crate) async fn proof_of(answer: &Value, globals: &Globals) -> Option<Proof> {
    let seq = answer.get("seq")?.as_u64()?;
    let chain = answer.get("chain")?.as_str()?;
    if variable("PARAPET_ADMIN").is_some() && globals.state.is_none() {
        // The folder found here may be another gateway's: what it holds would prove nothing.
        return Some(Proof::NotTried("name the gateway's folder with `--state-folder`"));
    }
    let claim = Claim { seq, chain, decision: answer.get("decision").and_then(Value::as_str) };
    Some(proof::prove(&audit::log_folder(globals), claim, &audit::trusted_keys(globals)).await)
}

fn code(text: &str, globals: &Globals) -> Result<String, Failure> {
    let Some(code) = codes::find(text) else {
        let failure =
            Failure::new(Exit::Failed, "PAR0309", format!("there is no code `{}`", text.to_ascii_uppercase()));
        return Err(failure.help("codes are listed in docs/reference/error-codes.md"));
    };
    Ok(match globals.format() {
        Format::Json | Format::Jsonl | Format::Yaml => {
            output::object("parapet.code/v1", &json!({ "code": code.code, "meaning": code.meaning, "hint": code.hint }))
        }
        Format::Id => format!("{}\n", code.code),
        Format::Table | Format::Wide => format!("{}  {}\n  next  {}\n", code.code, code.meaning, code.hint),
    })
}
