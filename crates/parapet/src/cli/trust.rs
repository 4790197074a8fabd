//! `parapet trust test`: what the trust rules make of a token in hand, claim by claim. For the owner of a workload, who has
//! the token and the configuration; whoever shows a token to the gateway learns none of it.
//!
//! It reads the configuration here and fetches the issuer's keys itself, so that a rule can be tried before it is loaded.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use gateway::login::oidc::Examined;
use gateway::upstream::dial::Dialler;
use kernel::ports::Clock;
use kernel::trust::{Difference, Trust as Rules, TrustRule};
use serde_json::{Value, json};

use crate::cli::config::refused;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::cli::serve::Layers;
use crate::clock::SystemClock;
use crate::config::load;
use crate::parts;

/// The longest file that is read as a token, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Try trust rules on a token in hand
#[derive(Debug, Args)]
pub(super) struct Trust {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which rule a token matches, or what keeps each rule from matching
    Test {
        /// File that holds the token
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
        /// Only rules for this workload
        #[arg(long, value_name = "WORKLOAD")]
        workload: Option<String>,
        #[command(flatten)]
        layers: Layers,
    },
}

impl Trust {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let Verb::Test { token_file, workload, layers } = self.verb;
        let configuration = match load(layers.running_sources(globals)) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(refused(globals, &problems)),
        };
        let token = read(&token_file)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let issuers = parts::issuers(&configuration, &Dialler::new(), &clock)
            .map_err(|error| Failure::new(Exit::Failed, "PAR0301", error.to_string()))?;
        let examined = match issuers.examine(token.trim()).await {
            Ok(examined) => examined,
            // What nobody signed says nothing: its claims are not compared.
            Err(refusal) => {
                output::data(&shown(
                    globals,
                    &json!({ "matches": null, "refused": format!("{refusal}"), "rules": [] }),
                ));
                return Ok(Exit::Denied);
            }
        };
        let rules = Rules::new(configuration.trust);
        let compared: Vec<(&TrustRule, Vec<Difference>)> = rules
            .compare(&examined.issuer, &examined.claims, examined.sender)
            .into_iter()
            .filter(|(rule, _)| workload.as_deref().is_none_or(|wanted| wanted == rule.workload.as_str()))
            .collect();
        let answer = answer(&examined, &compared);
        output::data(&shown(globals, &answer));
        let proven = answer.get("matches").is_some_and(Value::is_string) && examined.refusal.is_none();
        Ok(if proven { Exit::Done } else { Exit::Denied })
    }
}

fn read(path: &std::path::Path) -> Result<zeroize::Zeroizing<String>, Failure> {
    let failed = |what: String| Failure::new(Exit::Failed, "PAR0313", format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| failed(error.kind().to_string()))?.len();
    if length > LONGEST {
        return Err(failed("too long to be a token".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.kind().to_string()))?;
    Ok(zeroize::Zeroizing::new(text))
}

/// The tree that `-o json` shows.
fn answer(examined: &Examined, compared: &[(&TrustRule, Vec<Difference>)]) -> Value {
    let matching: Vec<&str> = compared
        .iter()
        .filter(|(_, differences)| differences.is_empty())
        .map(|(rule, _)| rule.workload.as_str())
        .collect();
    let one = matching.first().filter(|first| matching.iter().all(|other| other == *first));
    let ambiguous = one.is_none() && !matching.is_empty();
    let refused = match &examined.refusal {
        Some(refusal) => Some(refusal.to_string()),
        None if ambiguous => Some(format!("rules for {} match", matching.join(" and "))),
        None => None,
    };
    let rules: Vec<Value> = compared
        .iter()
        .map(|(rule, differences)| {
            let said: Vec<String> = differences.iter().map(Difference::to_string).collect();
            json!({ "workload": rule.workload, "matches": differences.is_empty(), "differences": said })
        })
        .collect();
    json!({ "issuer": examined.issuer, "matches": one, "refused": refused, "rules": rules })
}

fn shown(globals: &Globals, answer: &Value) -> String {
    if globals.for_programs() {
        return output::object("parapet.trust-test/v1", answer);
    }
    let text = |member: &str| answer.get(member).and_then(Value::as_str);
    let mut lines = String::new();
    let mut line = |text: &str| {
        lines.push_str(text);
        lines.push('\n');
    };
    match (text("matches"), text("refused")) {
        (Some(workload), None) => line(&format!("✓ the token is of {workload}")),
        (Some(workload), Some(why)) => line(&format!("✗ a rule for {workload} matches, but {why}")),
        (None, Some(why)) => line(&format!("✗ refused: {why}")),
        (None, None) => line("✗ no rule matches"),
    }
    if let Some(issuer) = text("issuer") {
        line(&format!("  issuer {issuer}"));
    }
    for rule in answer.get("rules").map(output::items).unwrap_or_default() {
        let workload = rule.get("workload").map(output::scalar).unwrap_or_default();
        let differences = rule.get("differences").and_then(Value::as_array).cloned().unwrap_or_default();
        if differences.is_empty() {
            line(&format!("  {workload}: matches"));
        }
        for difference in &differences {
            line(&format!("  {workload}: {}", output::scalar(difference)));
        }
    }
    lines
}
