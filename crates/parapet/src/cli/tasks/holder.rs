//! What the holder of a key does without the gateway: narrow a token, and prove that the key is at hand.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use gateway::login::dpop;
use gateway::login::task::{KeyPair, Narrowing, narrow, shown};
use kernel::secret::Secret;
use kernel::task::{Details, MOST_LINKS};
use serde_json::{Value, json};

use super::scope::{Scope, life};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::{output, time};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

#[derive(Debug, Args)]
#[command(after_help = "What is not said is as wide as in the token that is narrowed. The token is printed.")]
pub(super) struct Narrow {
    /// File with the token that is narrowed
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// File with the key that it is bound to
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    scope: Scope,
    /// What the sub-agent does, in a sentence
    #[arg(long)]
    goal: Option<String>,
    /// The sub-agent's name, for the audit log
    #[arg(long)]
    name: Option<String>,
    /// Thumbprint of the sub-agent's own key; without it, whoever has the token can use it
    // One in 64 begins with a hyphen.
    #[arg(long, value_name = "THUMBPRINT", allow_hyphen_values = true)]
    for_key: Option<String>,
    /// How long it lives; as long as the token unless set
    #[arg(long, value_name = "DURATION", value_parser = life)]
    life: Option<std::time::Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Proof {
    /// File with the key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the request goes, without a query
    #[arg(long)]
    url: String,
    /// Its method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The nonce of the last answer's `DPoP-Nonce`
    // One in 64 begins with a hyphen.
    #[arg(long, allow_hyphen_values = true)]
    nonce: Option<String>,
    /// File with the token that the request uses to get in
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Narrow {
    pub(super) fn execute(self, globals: &Globals) -> Result<(), Failure> {
        let token = token(&self.token_file)?;
        let pair = key(&self.key, false)?;
        let Some(parent) = shown(token.expose()) else {
            return Err(Failure::usage(format!("{} holds no token of Parapet's", self.token_file.display())));
        };
        if parent.jkt.as_deref() != Some(pair.public().thumbprint()) {
            let failure = Failure::usage("the token is not bound to this key");
            return Err(failure.help("only who holds the key of a token narrows it: `parapet tasks issue --key FILE`"));
        }
        let details = narrowed(&parent.authorization_details, &self.scope.narrowing(self.goal.as_deref())?)?;
        let now = time::now();
        let ends = kernel::time::Timestamp::from_secs(parent.exp);
        let until = self.life.map_or(ends, |life| ends.min(now.after(life)));
        let id = unpredictable()?;
        let wanted = Narrowing {
            parent: token.expose(),
            details: &details,
            id: &id,
            name: self.name.as_deref(),
            key: self.for_key.as_deref(),
            from: now,
            until,
        };
        let child = Secret::new(narrow(&pair, &wanted).map_err(|error| Failure::usage(error.to_string()))?);
        if globals.for_programs() {
            let view = json!({ "token": child.expose(), "expires_at": until.to_string(), "authorization_details": details.value() });
            output::data(&output::object("parapet.task/v1", &view));
        } else {
            output::data(&format!("{}\n", child.expose()));
            output::note(globals, &format!("  it counts until {until}, and for at most {MOST_LINKS} links in all"));
        }
        Ok(())
    }
}

/// What is asked, filled up with what the parent allows, and held against it: the gateway would refuse what is wider.
fn narrowed(parent: &Value, asked: &Value) -> Result<Details, Failure> {
    let unreadable = |error: kernel::task::InvalidDetails| Failure::usage(format!("the task cannot be read: {error}"));
    let of_parent = Details::read(parent).map_err(unreadable)?;
    let mut details = Details::read(asked).map_err(unreadable)?;
    // Of several objects none is meant; they stay as they are, unless a file says otherwise.
    if let ([wider], [own]) = (of_parent.scopes.as_slice(), details.scopes.as_mut_slice()) {
        own.locations = own.locations.take().or_else(|| wider.locations.clone());
        own.actions = own.actions.take().or_else(|| wider.actions.clone());
        own.identifier = own.identifier.take().or_else(|| wider.identifier.clone());
    } else if details.scopes.iter().all(|scope| *scope == kernel::task::Scope::default()) {
        details.scopes.clone_from(&of_parent.scopes);
    }
    details.limits.rows = details.limits.rows.or(of_parent.limits.rows);
    details.limits.uses = details.limits.uses.or(of_parent.limits.uses);
    match details.within(&of_parent) {
        Ok(()) => Ok(details),
        Err(wider) => {
            let failure = Failure::new(Exit::Denied, "PAR0331", format!("a narrower token cannot be wider: {wider}"));
            Err(failure.help("it would be refused wherever it is shown"))
        }
    }
}

impl Proof {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let pair = key(&self.key, false)?;
        let token = self.token_file.as_deref().map(token).transpose()?;
        let claims = dpop::NewProof {
            method: &self.method,
            place: &self.url,
            nonce: self.nonce.as_deref(),
            token: token.as_ref().map(|token| token.expose().as_str()),
            id: &unpredictable()?,
            at: time::now(),
        };
        let proof = dpop::prove(&pair, &claims).map_err(|error| Failure::usage(error.to_string()))?;
        output::data(&format!("{proof}\n"));
        Ok(())
    }
}

fn unpredictable() -> Result<String, Failure> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits)
        .map_err(|_| Failure::new(Exit::Failed, "PAR0301", "the system gives no random bits"))?;
    Ok(kernel::approval::hex(&bits))
}

/// The token in a file.
fn token(path: &Path) -> Result<Secret<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("the token in {} cannot be read: {}", path.display(), error.kind());
        Failure::new(Exit::NotAuthenticated, "PAR0313", message)
    })?;
    Ok(Secret::new(text.trim_end().to_owned()))
}

/// The key in a PEM file, which is made if it is not there and may be: readable by its own user alone.
pub(super) fn key(path: &Path, make: bool) -> Result<KeyPair, Failure> {
    let unusable = |why: String| Failure::usage(format!("the key in {} cannot be used: {why}", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = zeroize::Zeroizing::new(text);
            let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
            let body = body.ok_or_else(|| unusable("it is no PEM file of a private key".to_owned()))?;
            let letters: zeroize::Zeroizing<String> =
                zeroize::Zeroizing::new(body.chars().filter(|letter| !letter.is_whitespace()).collect());
            let form = STANDARD.decode(&*letters).map_err(|_| unusable("it is no base64".to_owned()))?;
            KeyPair::read(&zeroize::Zeroizing::new(form)).map_err(|error| unusable(error.to_string()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => {
            let (pair, form) = KeyPair::generate().map_err(|error| unusable(error.to_string()))?;
            let pem = zeroize::Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&*form)));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| unusable(error.kind().to_string()))?;
            file.write_all(pem.as_bytes()).map_err(|error| unusable(error.kind().to_string()))?;
            Ok(pair)
        }
        Err(error) => Err(unusable(error.kind().to_string())),
    }
}
