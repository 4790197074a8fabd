//! The client of the local admin API: HTTP/1.1 to a loopback address, with the credential of a person or of the state
//! folder. It sends its credential nowhere else, follows no redirects, and takes no more than 64 MiB of an answer.
//!
//! Where the gateway is: `PARAPET_ADMIN`, else `admin.addr` in the state folder (`--state-folder`, the configuration's, or that
//! of the running `demo` or `dev`). The credential: `PARAPET_TOKEN`, else `admin.token` there.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use kernel::secret::Secret;
use serde_json::Value;

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::config::{Raw, Sources, variable};

const LARGEST_ANSWER: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// The gateway that commands talk to.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    token: Secret<String>,
    patience: Duration,
}

impl Client {
    /// Finds the gateway and the credential.
    pub(crate) fn new(globals: &Globals) -> Result<Self, Failure> {
        let state = state_folder(globals);
        let address = address(&state)?;
        let token = match variable("PARAPET_TOKEN") {
            Some(token) => Secret::new(token),
            None => token_file(&state.join("admin.token"))?,
        };
        Ok(Self { address, token, patience: globals.timeout.unwrap_or(PATIENCE) })
    }

    /// With more patience, for requests that wait.
    pub(crate) fn patient(self, patience: Duration) -> Self {
        Self { patience: self.patience.max(patience), ..self }
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None).await
    }

    /// POST with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        match tokio::time::timeout(self.patience, self.exchange(method, path, body)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let message = format!("the gateway at {} did not answer within {:?}", self.address, self.patience);
                Err(Failure::new(Exit::Unreachable, "PAR0305", message)
                    .help("raise `--timeout`, or see `parapet doctor`"))
            }
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let stream = connect(self.address).await.map_err(|error| unreachable(self.address, &error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|_| garbled(self.address))?;
        let request = self.request(method, path, body)?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|_| garbled(self.address))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            let bytes = body.map_err(|_| garbled(self.address))?.to_bytes();
            Ok::<_, Failure>((status, bytes))
        };
        // The connection is driven here, not by a task: it ends with the request.
        let mut answer = std::pin::pin!(answer);
        let mut connection = std::pin::pin!(connection);
        let (status, bytes) = tokio::select! {
            biased;
            answer = &mut answer => answer?,
            _ended = &mut connection => answer.await?,
        };
        read_answer(status, &bytes, self.address)
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, Failure> {
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let mut credential = HeaderValue::from_str(&format!("Bearer {}", self.token.expose())).map_err(|_| {
            Failure::new(Exit::NotAuthenticated, "PAR0303", "the credential has characters that no token has")
        })?;
        credential.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, credential)
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|_| Failure::usage("the argument cannot stand in a request"))
    }
}

#[expect(clippy::disallowed_methods, reason = "the command line's one connection, to the local admin API on loopback")]
async fn connect(address: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    tokio::net::TcpStream::connect(address).await
}

/// The state folder of the gateway to talk to.
pub(crate) fn state_folder(globals: &Globals) -> PathBuf {
    if let Some(state) = &globals.state {
        return state.clone();
    }
    // A broken configuration must not keep its owner from talking to the gateway that still runs.
    let raw = Raw::read(Sources::discover(variable("PARAPET_CONFIG").as_deref().map(Path::new), &[]), &mut Vec::new());
    let configured = raw.root().section("gateway").get("state");
    let configured = configured.map(|entry| raw.resolve(&entry.place, &entry.text)).unwrap_or_default();
    if configured.join("admin.addr").exists() {
        return configured;
    }
    // Otherwise the demo or the development gateway of this user, if one runs.
    let others = [crate::demo::running().ok(), development_folder()];
    others.into_iter().flatten().find(|folder| folder.join("admin.addr").exists()).unwrap_or(configured)
}

/// Where `dev` keeps its state: `$XDG_STATE_HOME/parapet/dev`.
pub(crate) fn development_folder() -> Option<PathBuf> {
    let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")));
    Some(state?.join("parapet/dev"))
}

fn address(state: &Path) -> Result<SocketAddr, Failure> {
    let text = match variable("PARAPET_ADMIN") {
        Some(text) => text,
        None => std::fs::read_to_string(state.join("admin.addr")).map_err(|_| {
            let demos = crate::demo::all_running().len();
            if demos > 1 {
                let message = format!("{demos} demos run, and it is not said which one is meant");
                return Failure::new(Exit::Unreachable, "PAR0304", message)
                    .help("name its folder with `--state-folder`");
            }
            let message = format!("no gateway runs with the state folder {}", state.display());
            let failure = Failure::new(Exit::Unreachable, "PAR0304", message);
            failure.help("start one with `parapet serve`, `dev` or `demo`, or name its folder with `--state-folder`")
        })?,
    };
    let text = text.trim().trim_start_matches("http://").trim_end_matches('/');
    let resolved = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    let Some(address) = resolved else {
        return Err(Failure::usage("the admin address cannot be read").help("it is `127.0.0.1:PORT`"));
    };
    if !address.ip().is_loopback() {
        // The connection is not encrypted: the credential must not leave the machine.
        return Err(Failure::usage(format!("{address} is not on this machine"))
            .help("the admin API is local; use SSH to get there"));
    }
    Ok(address)
}

fn token_file(path: &Path) -> Result<Secret<String>, Failure> {
    let failure = |why: &str| {
        let message = format!("the credential in {} {why}", path.display());
        let failure = Failure::new(Exit::NotAuthenticated, "PAR0303", message);
        failure.help("set PARAPET_TOKEN, or run as the user of the gateway")
    };
    let metadata = std::fs::metadata(path).map_err(|error| failure(&format!("cannot be read: {}", error.kind())))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(failure("can be read by others: `chmod 600` it, and start the gateway anew"));
    }
    let mut text =
        std::fs::read_to_string(path).map_err(|error| failure(&format!("cannot be read: {}", error.kind())))?;
    text.truncate(text.trim_end().len());
    Ok(Secret::new(text))
}

fn unreachable(address: SocketAddr, error: &std::io::Error) -> Failure {
    let message = format!("the gateway at {address} cannot be reached: {}", error.kind());
    Failure::new(Exit::Unreachable, "PAR0304", message).help("start it with `parapet serve`, or see `parapet doctor`")
}

fn garbled(address: SocketAddr) -> Failure {
    let message = format!("what answers at {address} is not a gateway of this version");
    Failure::new(Exit::Unreachable, "PAR0306", message).help("compare `parapet version` with the gateway's")
}

/// The JSON of a good answer, or the problem (RFC 9457) of a bad one.
fn read_answer(status: StatusCode, bytes: &[u8], address: SocketAddr) -> Result<Value, Failure> {
    let body: Option<Value> = if bytes.is_empty() { Some(Value::Null) } else { serde_json::from_slice(bytes).ok() };
    if status.is_success() {
        return body.ok_or_else(|| garbled(address));
    }
    let text = |member: &str| body.as_ref()?.get(member)?.as_str().map(crate::cli::style::plain);
    let (exit, code) = match status.as_u16() {
        401 => (Exit::NotAuthenticated, "PAR0307"),
        403 => (Exit::Denied, "PAR0308"),
        404 => (Exit::Failed, "PAR0309"),
        409 | 412 => (Exit::Conflict, "PAR0310"),
        400 => (Exit::Usage, "PAR0300"),
        422 => (Exit::Invalid, "PAR0300"),
        502..=504 => (Exit::Unreachable, "PAR0304"),
        _ => (Exit::Failed, "PAR0301"),
    };
    let reason = status.canonical_reason().unwrap_or("an error").to_ascii_lowercase();
    let mut message = text("detail").or_else(|| text("title")).unwrap_or(reason);
    for error in body.as_ref().and_then(|body| body.get("errors")).and_then(Value::as_array).into_iter().flatten() {
        // Several lines each: they are our own, with places and suggestions.
        for line in error.as_str().unwrap_or_default().lines() {
            message.push_str("\n  ");
            message.push_str(&crate::cli::style::plain(line));
        }
    }
    let help = text("hint").or_else(|| text("help")).or_else(|| codes_hint(code));
    Err(Failure { code: Some(text("code").unwrap_or_else(|| code.to_owned())), message, help, exit })
}

fn codes_hint(code: &str) -> Option<String> {
    crate::cli::codes::find(code).map(|code| code.hint.to_owned())
}

/// Says of what is not there what it was.
pub(crate) fn named(answer: Result<Value, Failure>, noun: &str, id: &str, list: &str) -> Result<Value, Failure> {
    answer.map_err(|failure| match failure.code.as_deref() {
        Some("PAR0309") => {
            let message = format!("there is no {noun} `{id}`, or you may not see it");
            Failure::new(failure.exit, "PAR0309", message).help(format!("`{list}` shows what there is"))
        }
        _ => failure,
    })
}

/// A value of a query, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
