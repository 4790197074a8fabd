//! The demo's scene on HTTP: a job asks the API by curl, sees masked fields, and is stopped when it wants to refund too much.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use kernel::secret::Secret;
use kernel::workload::Name;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use super::steps::{listener, show_operator};
use crate::cli::client::Client;
use crate::cli::output;
use crate::wiring;

/// The job.
const JOB: &str = "refund-job";

/// A status and a body.
struct Answer {
    status: u16,
    body: String,
}

/// Did the job see what it may, and nothing happen that it may not?
pub(super) async fn scene(folder: &Path, client: &Client) -> anyhow::Result<bool> {
    let read = curl(folder, client, "/v1/customers/7", None).await?;
    let small = curl(folder, client, "/v1/refunds", Some(r#"{"customer": 7, "amount": 2500}"#)).await?;
    let large = curl(folder, client, "/v1/refunds", Some(r#"{"customer": 7, "amount": 500000}"#)).await?;
    let recorded = show_operator(folder, client).await?;
    let refunds = curl(folder, client, "/v1/refunds", None).await?;
    let refunds: Value = serde_json::from_str(&refunds.body).context("the API did not answer with JSON")?;
    let amounts: Vec<Option<i64>> = refunds
        .get("refunds")
        .and_then(Value::as_array)
        .map(|refunds| refunds.iter().map(|refund| refund.get("amount").and_then(Value::as_i64)).collect())
        .unwrap_or_default();
    let happened = !amounts.is_empty() && amounts.iter().all(|amount| *amount == Some(2500));
    let masked = read.status == 200 && read.body.contains("***") && !read.body.contains("customer7@example.com");
    let stopped = large.status == 403 && large.body.contains("blocked by policy");
    Ok(masked && small.status == 201 && stopped && recorded && happened)
}

/// Asks as the job. Its token is told to curl on the standard input, where no list of processes shows it.
async fn curl(folder: &Path, client: &Client, path: &str, body: Option<&str>) -> anyhow::Result<Answer> {
    let address = listener(client, "http").await?;
    let shown = body.map(|body| format!(" --json '{body}'")).unwrap_or_default();
    output::message(&format!("\n$ curl --oauth2-bearer $TOKEN http://{address}{path}{shown}"));
    let name: Name = JOB.parse()?;
    let token: Secret<String> = wiring::mint_development_token(folder, &name)?.context("the demo has no issuer")?;
    let settings = Secret::new(format!("header = \"Authorization: Bearer {}\"\n", token.expose()));
    #[expect(clippy::disallowed_methods, reason = "the demo runs the user's own client")]
    let mut command = tokio::process::Command::new("curl");
    command.args(["-sS", "--noproxy", "*", "--max-time", "30", "-K", "-", "-w", "\n%{http_code}"]);
    if let Some(body) = body {
        command.args(["-H", "Content-Type: application/json", "--data-binary", body]);
    }
    command.arg(format!("http://{address}{path}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("curl could not be started; install it")?;
    let mut input = child.stdin.take().context("curl has no input")?;
    input.write_all(settings.expose().as_bytes()).await?;
    drop(input);
    let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.context("curl did not end within a minute")??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').context("curl said nothing")?;
    output::message(body.trim_end());
    Ok(Answer { status: status.parse().unwrap_or_default(), body: body.to_owned() })
}
