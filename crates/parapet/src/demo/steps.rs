//! The steps of the demo: each shows the command, what the developer sees, and what the operator sees.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kernel::secret::Secret;
use kernel::workload::Name;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::Exit;
use crate::cli::globals::Globals;
use crate::cli::proof::Proof;
use crate::cli::style::{Styled, Tone};
use crate::cli::{output, page};
use crate::recorded::set;
use crate::wiring;

/// One step of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DemoStep {
    /// A read with masked columns
    Mask,
    /// A DROP TABLE that is blocked
    Block,
    /// An ALTER TABLE that is held, approved and run
    Approve,
    /// A dump that quarantines its workload
    Quarantine,
    /// A job that uses an HTTP API, and is stopped when it refunds too much
    Http,
}

/// What a client printed, and how it ended.
struct Seen {
    out: String,
    err: String,
    success: bool,
}

/// Runs one step against the demo whose state is in `folder`.
pub(crate) async fn run(step: DemoStep, folder: &Path) -> anyhow::Result<Exit> {
    let client = client(folder)?;
    let as_expected = match step {
        DemoStep::Mask => mask(folder, &client).await?,
        DemoStep::Block => block(folder, &client).await?,
        DemoStep::Approve => approve(folder, &client).await?,
        DemoStep::Quarantine => quarantine(folder, &client).await?,
        DemoStep::Http => super::curl::scene(folder, &client).await?,
    };
    Ok(if as_expected { Exit::Done } else { Exit::Failed })
}

/// Runs every step; exit 0 only if each has the outcome that it should.
pub(super) async fn tour(folder: &Path) -> anyhow::Result<Exit> {
    let client = client(folder)?;
    let outcomes = [
        ("1 mask", mask(folder, &client).await?),
        ("2 block", block(folder, &client).await?),
        ("3 approve", approve(folder, &client).await?),
        ("4 quarantine", quarantine(folder, &client).await?),
        ("5 http", super::curl::scene(folder, &client).await?),
        ("6 explain", explain(folder, &client).await?),
    ];
    output::message("");
    for (step, as_expected) in outcomes {
        output::message(&format!("  {} {step}", if as_expected { "✓" } else { "✗ not as expected:" }));
    }
    let all = outcomes.iter().all(|(_, as_expected)| *as_expected);
    Ok(if all { Exit::Done } else { Exit::Failed })
}

fn globals(folder: &Path) -> Globals {
    Globals { state: Some(folder.to_path_buf()), ..Globals::default() }
}

fn client(folder: &Path) -> anyhow::Result<Client> {
    Client::new(&globals(folder)).map_err(|failure| anyhow::anyhow!(failure.to_string()))
}

async fn mask(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let sql = "select name, email, card from customers order by id limit 3";
    let seen = psql(folder, client, "reporting", sql).await?;
    let recorded = show_operator(folder, client).await?;
    let leaked = seen.out.contains("@example.com");
    Ok(seen.success && recorded && seen.out.contains("***") && !leaked)
}

async fn block(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let seen = psql(folder, client, "triage-bot", "drop table orders").await?;
    let recorded = show_operator(folder, client).await?;
    Ok(!seen.success && recorded && seen.err.contains("blocked by policy"))
}

async fn approve(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let sql = "alter table orders add column note text";
    let approving = async {
        let approval = wait_for_approval(client).await?;
        output::message(&format!("\n# in another terminal\n$ parapet approvals approve {approval}"));
        // A moment in which the waiting client shows its notice.
        tokio::time::sleep(Duration::from_millis(500)).await;
        client
            .post(&format!("/v1/approvals/{approval}/approve"), &json!({ "comment": "demo" }))
            .await
            .map_err(|failure| anyhow::anyhow!(failure.to_string()))
    };
    let (seen, approved) = tokio::join!(psql(folder, client, "deploy", sql), approving);
    approved?;
    let seen = seen?;
    let recorded = show_operator(folder, client).await?;
    Ok(seen.success && recorded && seen.err.contains("approval required") && seen.out.contains("ALTER TABLE"))
}

async fn wait_for_approval(client: &Client) -> anyhow::Result<String> {
    for _ in 0..100 {
        let open = get(client, "/v1/approvals?state=asked").await?;
        let first = open.get("items").and_then(Value::as_array).and_then(|items| items.first());
        if let Some(id) = first.and_then(|approval| approval.get("id")).and_then(Value::as_str) {
            return Ok(id.to_owned());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("no request for approval came")
}

async fn quarantine(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let sql = "select * from customers; ".repeat(12);
    let seen = run_psql(folder, client, "dump-job", sql.trim_end(), "select * from customers; …").await?;
    output::message(&format!("… {} lines, and then:", seen.out.lines().count()));
    output::message(seen.err.trim_end());
    let recorded = show_operator(folder, client).await?;
    let again = psql(folder, client, "dump-job", "select 1").await?;
    let workload = get(client, "/v1/workloads/dump-job").await?;
    let status = workload.get("status").and_then(Value::as_str).unwrap_or_default();
    output::message(&format!("\n  workload  dump-job is {status}   parapet workloads show dump-job"));
    Ok(!seen.success && recorded && !again.success && status == "quarantined")
}

async fn explain(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    output::message("\n$ parapet explain last");
    let globals = globals(folder);
    let mut decision = get(client, "/v1/decisions/last").await?;
    let proof = crate::cli::explain::proof_of(&decision, &globals).await;
    set(&mut decision, "proof", proof.as_ref().map(Proof::json).unwrap_or_default());
    output::message(page::decision(&decision, &globals).trim_end());
    Ok(decision.pointer("/explanation/policies").is_some() && matches!(proof, Some(Proof::Verified(_))))
}

/// Shows what stands in the log about the last decision, and whether that is proved.
pub(super) async fn show_operator(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let decision = get(client, "/v1/decisions/last").await?;
    let member = |name: &str| decision.get(name).map(output::scalar).unwrap_or_default();
    let proof = crate::cli::explain::proof_of(&decision, &globals(folder)).await;
    let (place, mark) = match &proof {
        Some(Proof::Verified(proved)) => {
            let root = proved.root.get(..12).unwrap_or(&proved.root);
            (
                format!("included in head {root} of {}", proved.entries),
                Styled(Tone::Good, "✓ verified locally").to_string(),
            )
        }
        Some(Proof::Failed(why)) => (why.clone(), Styled(Tone::Bad, "✗ failed").to_string()),
        Some(Proof::NotTried(_)) | None => (String::new(), "not verified".to_owned()),
    };
    output::message(&format!(
        "\n  recorded  {} {}   seq {}, {place}  {mark}",
        member("verdict"),
        member("decision"),
        member("seq")
    ));
    Ok(matches!(proof, Some(Proof::Verified(_))))
}

async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    client.get(path).await.map_err(|failure| anyhow::anyhow!(failure.to_string()))
}

async fn psql(folder: &Path, client: &Client, workload: &str, sql: &str) -> anyhow::Result<Seen> {
    let seen = run_psql(folder, client, workload, sql, sql).await?;
    output::message(format!("{}{}", seen.err, seen.out).trim_end());
    Ok(seen)
}

/// Where the running gateway listens for a protocol.
pub(super) async fn listener(client: &Client, protocol: &str) -> anyhow::Result<String> {
    let status = get(client, "/v1/status").await?;
    let listeners = status.get("listeners").and_then(Value::as_array).cloned().unwrap_or_default();
    let of_protocol = |listener: &&Value| listener.get("protocol").and_then(Value::as_str) == Some(protocol);
    let address = listeners.iter().find(of_protocol).and_then(|listener| listener.get("address"));
    let address = address.and_then(Value::as_str).context("the gateway has no such listener")?;
    Ok(address.to_owned())
}

/// Runs psql as a workload; what it prints on each stream.
async fn run_psql(folder: &Path, client: &Client, workload: &str, sql: &str, shown: &str) -> anyhow::Result<Seen> {
    let address = listener(client, "postgres").await?;
    let (host, port) = address.rsplit_once(':').context("the listener has no port")?;
    output::message(&format!("\n$ psql -h {host} -p {port} -U {workload} shop-db -c '{shown}'"));
    let name: Name = workload.parse()?;
    let token: Secret<String> = wiring::mint_development_token(folder, &name)?.context("the demo has no issuer")?;
    #[expect(clippy::disallowed_methods, reason = "the demo runs the user's own client")]
    let mut command = tokio::process::Command::new("psql");
    let output = command
        .args(["-X", "-h", host, "-p", port, "-U", workload, "-d", "shop-db", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .env("PGPASSWORD", token.expose())
        .env("PGSSLMODE", "disable")
        .env("PAGER", "")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(60), output)
        .await
        .context("psql did not end within a minute")?
        .context("psql could not be started; install a PostgreSQL client")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Seen { out: text(&output.stdout), err: text(&output.stderr), success: output.status.success() })
}
