//! `parapet decide`: what would be decided. Nothing reaches the upstream, and nothing is approved.

use std::io::Read as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{id, output, page};
use crate::recorded::set;

/// As much as fits a question to the admin API, in bytes.
const LARGEST: u64 = 40 * 1024 + 1;

/// Ask what would be decided; nothing reaches the upstream
#[derive(Debug, Args)]
pub(super) struct Decide {
    #[command(flatten)]
    request: Hypothetical,
}

/// A request that nobody has made: what `decide` and `masks preview` ask about.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("asked").required(true).args(["sql", "http"]))]
pub(super) struct Hypothetical {
    /// The workload that would ask
    #[arg(long = "as", value_name = "WORKLOAD")]
    workload: String,
    /// The upstream that would be asked; a request says it by the host of its URL, too
    #[arg(long = "on", value_name = "UPSTREAM", required_unless_present = "http")]
    upstream: Option<String>,
    /// The statement
    #[arg(long, value_name = "STATEMENT")]
    sql: Option<String>,
    /// The HTTP request, such as `POST /v1/refunds` or `GET https://payments.internal/v1/refunds`; of the egress `CONNECT HOST:PORT`
    #[arg(long, value_name = "REQUEST")]
    http: Option<String>,
    /// A header of the request, `Name: value`; may be repeated
    #[arg(long = "header", value_name = "HEADER", requires = "http")]
    headers: Vec<String>,
    /// The body of the request
    #[arg(long, value_name = "BODY", requires = "http", conflicts_with = "body_file")]
    body: Option<String>,
    /// A file with the body of the request; `-` is the standard input
    #[arg(long, value_name = "FILE", requires = "http")]
    body_file: Option<PathBuf>,
}

impl Hypothetical {
    fn headers(&self) -> Result<Vec<(&str, &str)>, Failure> {
        let mut headers = Vec::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                return Err(Failure::new(Exit::Usage, "PAR0300", "a header is `Name: value`"));
            };
            headers.push((name.trim(), value.trim()));
        }
        Ok(headers)
    }

    /// The body, whole.
    fn body(&self) -> Result<Option<Vec<u8>>, Failure> {
        let unreadable = |error: std::io::Error| {
            let message = format!("the body cannot be read: {}", error.kind());
            Failure::new(Exit::Failed, "PAR0301", message)
        };
        let mut body = Vec::new();
        match &self.body_file {
            None => return Ok(self.body.as_ref().map(|text| text.clone().into_bytes())),
            Some(path) if path.as_os_str() == "-" => {
                std::io::stdin().take(LARGEST).read_to_end(&mut body).map_err(unreadable)?
            }
            Some(path) => {
                let file = std::fs::File::open(path).map_err(unreadable)?;
                file.take(LARGEST).read_to_end(&mut body).map_err(unreadable)?
            }
        };
        if body.len() as u64 >= LARGEST {
            let failure = Failure::new(Exit::Usage, "PAR0300", "the body is larger than 40 KiB");
            return Err(
                failure.help("say its size by `--header 'Content-Length: N'` where no policy reads what is in it")
            );
        }
        Ok(Some(body))
    }

    /// What the gateway would decide about it.
    pub(super) async fn decided(&self, globals: &Globals) -> Result<Value, Failure> {
        Client::new(globals)?.post("/v1/decide", &self.question()?).await
    }

    /// What the admin API is asked.
    pub(super) fn question(&self) -> Result<Value, Failure> {
        let mut body = json!({ "as": id::read(&self.workload)? });
        if let Some(upstream) = &self.upstream {
            set(&mut body, "on", id::read(upstream)?);
        }
        match &self.http {
            None => set(&mut body, "sql", self.sql.clone().unwrap_or_default()),
            Some(line) => {
                set(&mut body, "http", line.as_str());
                set(&mut body, "headers", json!(self.headers()?));
                if let Some(bytes) = self.body()? {
                    set(&mut body, "body_base64", STANDARD.encode(bytes));
                }
            }
        }
        Ok(body)
    }

    /// The command that asks people ahead, for a shell, byte for byte: a grant binds it so. None where that cannot be written in
    /// one line.
    fn ahead(&self) -> Option<String> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let mut command = format!("parapet approvals request --as {}", self.workload);
        let options = [("--on", &self.upstream), ("--sql", &self.sql), ("--http", &self.http), ("--body", &self.body)];
        let headers = self.headers.iter().map(|header| ("--header", header));
        for (option, value) in
            options.into_iter().filter_map(|(option, value)| Some((option, value.as_ref()?))).chain(headers)
        {
            let value = if option == "--on" { value.clone() } else { quoted(value) };
            command.push_str(&format!(" {option} {value}"));
        }
        match &self.body_file {
            None => Some(command),
            Some(path) if path.as_os_str() != "-" => Some(format!("{command} --body-file {}", quoted(path.to_str()?))),
            Some(_) => None,
        }
    }
}

impl Decide {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let mut answer = self.request.decided(globals).await?;
        if let (Some("ask"), Some(command)) = (verdict(&answer), self.request.ahead()) {
            set(&mut answer, "request", command);
        }
        output::data(&page::decision(&answer, globals));
        exit(&answer)
    }
}

/// The verdict in an answer.
pub(super) fn verdict(answer: &Value) -> Option<&str> {
    answer.get("verdict").and_then(Value::as_str)
}

/// How a command ends that asked for this decision.
pub(super) fn exit(answer: &Value) -> Result<Exit, Failure> {
    match verdict(answer) {
        Some("permit") => Ok(Exit::Done),
        Some("ask") => Ok(Exit::NotApproved),
        Some("deny") => Ok(Exit::Denied),
        // What is not understood must not look like a permission.
        _ => Err(Failure::new(
            Exit::Unreachable,
            "PAR0306",
            "the gateway's answer has no verdict that this version knows",
        )),
    }
}
