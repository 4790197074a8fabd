//! `parapet approvals`: what policies ask people, and their answers.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::cli::client::{Client, encoded, named};
use crate::cli::decide::Hypothetical;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::workloads::changed;
use crate::cli::{id, style};
use crate::recorded::set;

/// List, read, approve and reject requests for approval
#[derive(Debug, Args)]
pub(super) struct Approvals {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Asked,
    Granted,
    Rejected,
    Expired,
    Withdrawn,
    Used,
    Revoked,
    All,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Requests that wait for an answer
    List {
        /// Which
        #[arg(long, value_enum, default_value = "asked")]
        state: State,
    },
    /// One request, with the exact statement
    Show {
        /// Its id
        approval: String,
    },
    /// Ask ahead for a grant, bound to the exact statement or request
    Request(Ahead),
    /// Approve a request
    Approve {
        /// Its id
        approval: String,
        /// A word for the requester
        #[arg(long)]
        comment: Option<String>,
    },
    /// Reject a request
    Reject {
        /// Its id
        approval: String,
        /// Why, for the requester
        #[arg(long)]
        reason: String,
    },
    /// Take a request back, as the one who asked or its workload's owner
    Withdraw {
        /// Its id
        approval: String,
    },
    /// Take back a grant that is not used yet
    Revoke {
        /// Its id
        approval: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
    },
    /// Show requests as they come and change, until Ctrl-C
    Watch {
        /// Stop after the first
        #[arg(long)]
        once: bool,
    },
}

/// A statement or a request for which people are asked before it is sent, exactly as it will be.
#[derive(Debug, Args)]
struct Ahead {
    #[command(flatten)]
    request: Hypothetical,
    /// Why, for those who answer
    #[arg(long)]
    reason: Option<String>,
    /// Wait so long for the answer, such as 30m; exits 6 if it is not yes
    #[arg(long, value_name = "DURATION", value_parser = crate::config::duration)]
    wait: Option<Duration>,
}

const LIST_ALL: &str = "parapet approvals list --state all";

pub(super) const LISTING: Listing = Listing {
    schema: "parapet.approvals/v1",
    noun: "requests for approval",
    id: "/id",
    columns: &[
        Column::new("ID", &["/id"]),
        Column::new("STATE", &["/state"]).shape(Shape::Word),
        Column::new("WORKLOAD", &["/asked/workload", "/workload"]),
        Column::new("WHAT", &["/asked/summary", "/summary"]),
        Column::new("ASKED", &["/asked/at", "/at"]).shape(Shape::Time),
        Column::new("GROUPS", &["/asked/terms/groups", "/groups"]).shape(Shape::List),
        Column::new("OWNER", &["/asked/owner", "/owner"]).wide(),
        Column::new("POLICIES", &["/asked/terms/policies", "/policies"]).shape(Shape::List).wide(),
        Column::new("DECISION", &["/asked/decision", "/decision"]).wide(),
        Column::new("EXPIRES", &["/expires"]).shape(Shape::Time).wide(),
        Column::new("ANSWERED BY", &["/rejected/by", "/revoked/by", "/votes/0/person"]).wide(),
        Column::new("WHY", &["/rejected/reason", "/asked/reason"]).wide(),
    ],
};

impl Approvals {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::List { state } => {
                let word = state.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                let query = if matches!(state, State::All) { String::new() } else { format!("?state={word}") };
                let answer = Client::new(globals)?.get(&format!("/v1/approvals{query}")).await?;
                output::data(&LISTING.render(&answer, globals));
                if output::items(&answer).is_empty() && !globals.for_programs() {
                    let asks = "  one stands here when a policy with `@approve` holds a statement";
                    output::note(globals, &format!("{asks}; those of before: {LIST_ALL}"));
                }
            }
            Verb::Show { approval } => {
                let approval = id::read(&approval)?;
                let answer = Client::new(globals)?.get(&format!("/v1/approvals/{approval}")).await;
                output::data(&show(&named(answer, "approval", &approval, LIST_ALL)?, globals));
            }
            Verb::Request(ahead) => return ahead.execute(globals).await,
            Verb::Approve { approval, comment } => {
                let body = comment.map_or_else(|| json!({}), |comment| json!({ "comment": comment }));
                act(globals, &approval, "approve", &body).await?;
            }
            Verb::Reject { approval, reason } => {
                act(globals, &approval, "reject", &json!({ "reason": reason })).await?;
            }
            Verb::Withdraw { approval } => act(globals, &approval, "withdraw", &json!({})).await?,
            Verb::Revoke { approval, reason } => {
                act(globals, &approval, "revoke", &json!({ "reason": reason })).await?;
            }
            Verb::Watch { once } => watch(globals, once).await?,
        }
        Ok(Exit::Done)
    }
}

impl Ahead {
    async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut body = self.request.question()?;
        if let Some(reason) = self.reason {
            set(&mut body, "reason", reason);
        }
        let client = Client::new(globals)?;
        let asked = client.post("/v1/approvals", &body).await?;
        let approval = asked.get("id").map(output::scalar).unwrap_or_default();
        let answer = match self.wait {
            None => asked,
            Some(patience) => {
                if !globals.for_programs() {
                    output::message(&format!("{approval} waits for people: parapet approvals approve {approval}"));
                }
                let answered = tokio::time::timeout(patience, until_answered(globals, &approval));
                telling(globals, &approval, answered).await.unwrap_or(Ok(asked))?
            }
        };
        answered(globals, &approval, &answer);
        let granted = answer.get("state").and_then(Value::as_str) == Some("granted");
        Ok(if granted || self.wait.is_none() { Exit::Done } else { Exit::NotApproved })
    }
}

/// Says every 15 s for what it still waits.
async fn telling<T>(globals: &Globals, approval: &str, answered: impl Future<Output = T>) -> T {
    const EVERY: Duration = Duration::from_secs(15);
    let mut answered = std::pin::pin!(answered);
    let mut waited = Duration::ZERO;
    loop {
        tokio::select! {
            answer = &mut answered => return answer,
            () = tokio::time::sleep(EVERY) => {
                waited += EVERY;
                if !globals.for_programs() {
                    output::note(globals, &format!("{} s: {approval} waits for an answer", waited.as_secs()));
                }
            }
        }
    }
}

/// Asks again after each change at the desk, until the request is no longer open.
async fn until_answered(globals: &Globals, approval: &str) -> Result<Value, Failure> {
    let client = Client::new(globals)?.patient(Duration::from_secs(90));
    let mut since: Option<String> = None;
    loop {
        let query = since.as_ref().map(|since| format!("?since={}", encoded(since))).unwrap_or_default();
        let changes = client.get(&format!("/v1/approvals/watch{query}")).await?;
        since = changes.get("next").map(output::scalar).or(since);
        let answer = client.get(&format!("/v1/approvals/{approval}")).await?;
        if answer.get("state").and_then(Value::as_str) != Some("asked") {
            return Ok(answer);
        }
    }
}

fn show(answer: &Value, globals: &Globals) -> String {
    let mut text = LISTING.render_one("parapet.approval/v1", answer, globals);
    let statement = answer.pointer("/asked/text").or_else(|| answer.get("text"));
    let kept = answer.pointer("/kept/state").and_then(Value::as_str);
    if let (Format::Table | Format::Wide, Some(state)) = (globals.format(), kept) {
        let said = match state {
            "waiting" => "the gateway sends it as soon as it is approved, whether its client is there or not",
            state => state,
        };
        text.push_str(&format!("  kept\n    {}\n", style::plain(said)));
    }
    if let (Format::Table | Format::Wide, Some(Value::String(statement))) = (globals.format(), statement) {
        // Line by line, so that what is approved is what is read.
        text.push_str("  statement\n");
        for line in statement.lines() {
            text.push_str(&format!("    {}\n", style::plain(line)));
        }
    }
    text
}

async fn act(globals: &Globals, approval: &str, verb: &str, body: &Value) -> Result<(), Failure> {
    let approval = id::read(approval)?;
    let answer = Client::new(globals)?.post(&format!("/v1/approvals/{approval}/{verb}"), body).await;
    let answer = named(answer, "approval", &approval, LIST_ALL)?;
    // `last` is told by its id.
    let approval = answer.get("id").map_or(approval, output::scalar);
    answered(globals, &approval, &answer);
    Ok(())
}

fn answered(globals: &Globals, approval: &str, answer: &Value) {
    if globals.for_programs() {
        output::data(&output::object("parapet.approval/v1", answer));
        return;
    }
    let word = answer.get("state").and_then(Value::as_str).unwrap_or("asked");
    let voted = answer.get("votes").and_then(Value::as_array).is_some_and(|votes| !votes.is_empty());
    let next = match word {
        "asked" if voted => "others must approve too: parapet approvals show ",
        "asked" => "someone else answers: parapet approvals approve ",
        _ => "parapet approvals show ",
    };
    changed(globals, style::Tone::of_word(word), &format!("{approval} is {word}"), &format!("{next}{approval}"));
}

/// Long-polls: the gateway answers when something has changed, or after a while.
async fn watch(globals: &Globals, once: bool) -> Result<(), Failure> {
    let client = Client::new(globals)?.patient(Duration::from_secs(90));
    let mut since: Option<String> = None;
    loop {
        let query = since.as_ref().map(|since| format!("?since={}", encoded(since))).unwrap_or_default();
        let answer = client.get(&format!("/v1/approvals/watch{query}")).await?;
        let changes = output::items(&answer);
        for change in &changes {
            let line = if globals.for_programs() {
                output::object("parapet.approval/v1", change)
            } else {
                let cell = |pointer: &str| change.pointer(pointer).map(output::scalar).unwrap_or_default();
                let word = cell("/state");
                let tone = style::Tone::of_word(&word);
                let word = style::Styled(tone, format!("{}{word}", tone.mark()));
                let pick = |one: String, other: String| if one.is_empty() { other } else { one };
                let who = pick(cell("/asked/workload"), cell("/workload"));
                let what = pick(cell("/asked/summary"), cell("/summary"));
                format!("{word}  {}  {who}: {what}\n", cell("/id"))
            };
            output::data(&line);
        }
        if once && !changes.is_empty() {
            return Ok(());
        }
        since = answer.get("next").map(output::scalar).or(since);
    }
}
