//! Tasks and tokens, joined: who signs, who remembers, and the token endpoint that workloads reach.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use control::token_endpoint::{
    Caller, ExchangeAsked, ExchangeGiven, ProofShown, Refusal, TokenEndpoint, TokenEndpointParts,
};
use control::{TaskAsked, TaskGiven, TaskParts};
use gateway::listen::{Host, accept_loop};
use gateway::login::dpop::{DpopProofs, DpopRefusal, Shown};
use gateway::login::oidc::Issuers;
use gateway::login::task::exchange::{ByPerson, ExchangeError, ExchangeParts, ExchangeRequest, Exchanges};
use gateway::login::task::{Confirmation, Envelope, KeysUnusable, ShownBeside, SigningKeys, TaskTokens, close_anew};
use gateway::signals::accept;
use gateway::tls::Offer;
use kernel::audit::{Batch, Event};
use kernel::id::DecisionId;
use kernel::ports::{AuditLog, Clock, PortFuture, SpentTokens};
use kernel::secret::Secret;
use rustls::pki_types::CertificateDer;
use store::database::Database;
use store::log::{self, MasterKey, Rekeyed};
use store::spent::SpentStore;
use store::tasks::{RevokeError, Tasks};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use zeroize::Zeroizing;

use crate::config::Configuration;
use crate::config::checked::TokenListener;
use crate::snapshots::Publisher;
use crate::wiring::{House, background, enter};

/// The most connections to the token endpoint at a time.
const MOST_CONNECTIONS: usize = 512;

/// What the running parts share of tasks and tokens.
pub(crate) struct TaskHouse {
    pub(crate) records: Arc<Tasks>,
    pub(crate) tokens: Arc<TaskTokens>,
    exchanges: Exchanges,
    proofs: Arc<DpopProofs>,
}

/// What it is joined with.
pub(crate) struct Joined<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) database: &'a Database,
    pub(crate) log: &'a Arc<dyn AuditLog>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) issuers: &'a Arc<Issuers>,
    pub(crate) publisher: &'a Arc<Publisher>,
    pub(crate) master: &'a Arc<MasterKey>,
}

/// Closes the signing keys under the master key.
struct Closing(Arc<MasterKey>);

impl Envelope for Closing {
    fn close(&self, secret: &[u8]) -> Option<String> {
        self.0.wrap_text(PURPOSE, secret).ok()
    }

    fn open(&self, closed: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.0.unwrap_text(PURPOSE, closed).ok()
    }
}

/// What the envelope says that it holds.
const PURPOSE: &str = "key of tokens";

impl TaskHouse {
    /// Opens the keys and the records.
    pub(crate) async fn open(joined: Joined<'_>) -> anyhow::Result<Self> {
        let Joined { configuration, database, log, clock, issuers, publisher, master } = joined;
        let records = Tasks::open(database.clone(), Arc::clone(log), Arc::clone(clock)).await?;
        let records = Arc::new(records);
        let envelope = Arc::new(Closing(Arc::clone(master)));
        let keys = SigningKeys::open(&folder(&configuration.gateway.state), Arc::clone(clock), envelope)
            .context("the keys of Parapet's own tokens")?;
        let tokens =
            Arc::new(TaskTokens::new(issuer(configuration), Arc::new(keys), records.clone(), Arc::clone(clock)));
        let spent: Arc<dyn SpentTokens> = Arc::new(SpentStore::new(database.clone(), Arc::clone(clock)));
        let exchanges = Exchanges::new(ExchangeParts {
            tokens: Arc::clone(&tokens),
            issuers: Arc::clone(issuers),
            snapshots: publisher.clone(),
            spent: Arc::clone(&spent),
            records: records.clone(),
            log: Arc::clone(log),
            clock: Arc::clone(clock),
        });
        let proofs = Arc::new(DpopProofs::new(spent, Arc::clone(clock)));
        Ok(Self { records, tokens, exchanges, proofs })
    }
}

/// How often it is looked whether the signing key has signed for long enough.
const KEYS_EVERY: Duration = Duration::from_secs(3600);

/// Rotates the signing key while the gateway runs. A key that cannot be replaced goes on signing.
pub(crate) fn follow(tasks: &gateway::tasks::Tasks, house: &Arc<House>) {
    let house = Arc::clone(house);
    background(tasks, "token keys", async move {
        loop {
            tokio::time::sleep(KEYS_EVERY).await;
            let tokens = Arc::clone(&house.tasks.tokens);
            let rotate = move || tokens.keys().rotate_if_due();
            if turn(&*house.log, &*house.clock, rotate).await.is_err() {
                return;
            }
        }
    });
}

/// Rotates the key if it is due, and enters it. While the log takes nothing, nothing is rotated. An error if it was cut short.
async fn turn(
    log: &dyn AuditLog,
    clock: &dyn Clock,
    rotate: impl FnOnce() -> Result<Option<String>, KeysUnusable> + Send + 'static,
) -> Result<(), JoinError> {
    // An empty batch asks whether the log takes entries.
    if log.append(&Batch::default()).await.is_err() {
        tracing::warn!("the audit log takes no entries: the key of tokens is not replaced meanwhile");
        return Ok(());
    }
    match tokio::task::spawn_blocking(rotate).await? {
        Ok(None) => {}
        Ok(Some(kid)) => {
            let event = Event::Admin { by: None, action: "tokens key", object: &kid, reason: Some("it was due") };
            if enter(log, clock, event).await.is_err() {
                tracing::error!(kid, "a new key of tokens could not be entered in the audit log");
            }
        }
        Err(error) => tracing::error!(%error, "the key of tokens is due and cannot be replaced"),
    }
    Ok(())
}

/// The files that the keys of tokens stand in.
pub(crate) fn key_paths(state: &Path) -> [PathBuf; 2] {
    ["current", "previous"].map(|name| folder(state).join(name))
}

/// Closes the keys of tokens anew, where the master key changes.
pub(crate) fn rekey(state: &Path, master: &MasterKey) -> anyhow::Result<Rekeyed> {
    let (folder, mut done) = (folder(state), Rekeyed::default());
    let anew = |closed: &str| Ok(done.count(master.rewrap_text(PURPOSE, closed))?);
    close_anew::<anyhow::Error>(&folder, anew, log::exchange).context("the keys of Parapet's own tokens")?;
    Ok(done)
}

/// Where the keys stand in a state folder.
fn folder(state: &Path) -> PathBuf {
    state.join("token-keys")
}

/// The `iss` of the tokens.
fn issuer(configuration: &Configuration) -> &str {
    let own = configuration.tokens.as_ref().and_then(|listener| listener.url.as_deref());
    own.unwrap_or(&configuration.gateway.public_url)
}

/// What the admin API works on.
pub(crate) fn parts(house: &Arc<House>) -> TaskParts {
    let (issuing, exchanging, ending) = (Arc::clone(house), Arc::clone(house), Arc::clone(&house.sessions));
    TaskParts {
        tasks: Arc::clone(&house.tasks.records),
        issue: Arc::new(move |asked| {
            let house = Arc::clone(&issuing);
            Box::pin(async move { issue(&house, asked).await })
        }),
        exchange: Arc::new(move |subject, details| {
            let house = Arc::clone(&exchanging);
            Box::pin(async move {
                let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
                let request = ExchangeRequest {
                    subject,
                    actor: None,
                    audience: Vec::new(),
                    details: Some(details),
                    life: None,
                    key: None,
                    certificate: None,
                    source,
                };
                match house.tasks.exchanges.exchange(&request).await {
                    Ok(given) => Ok(TaskGiven { task: given.task, token: given.issued.token }),
                    Err((error, decision)) => Err(format!("{} [{decision}]", error.told())),
                }
            })
        }),
        end: Arc::new(move |task| ending.cut_task(task)),
    }
}

async fn issue(house: &House, asked: TaskAsked) -> Result<TaskGiven, String> {
    let TaskAsked { person, workload, details, life, jkt } = asked;
    let by = ByPerson {
        person: &person,
        workload: &workload,
        details,
        life,
        confirmation: jkt.as_deref().map(Confirmation::of_key),
    };
    let source = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    let given = house.tasks.exchanges.issue_by(by, source).await.map_err(|error| error.told().to_owned())?;
    Ok(TaskGiven { task: given.task, token: given.issued.token })
}

/// Serves the token endpoint; where it listens.
pub(crate) async fn serve(
    host: Host,
    house: &Arc<House>,
    listener: &TokenListener,
    offer: Option<Offer>,
) -> anyhow::Result<SocketAddr> {
    let address = listener.listen;
    let bound = TcpListener::bind(address).await.with_context(|| format!("`tokens.listen`: {address}"))?;
    let at = bound.local_addr()?;
    let offer = match (listener.tls, offer) {
        (true, None) => return Err(anyhow!("`tokens.tls`: the PostgreSQL listener offers no TLS")),
        (true, offer) => offer,
        (false, _) => None,
    };
    let scheme = if offer.is_some() { "https" } else { "http" };
    let url = listener.url.clone().unwrap_or_else(|| format!("{scheme}://{at}"));
    let endpoint = TokenEndpoint::new(endpoint_parts(house, url));
    let tasks = host.tasks.clone();
    let accept = accept_loop(bound, MOST_CONNECTIONS, host, "token endpoint", move |stream, peer| {
        let (endpoint, offer) = (endpoint.clone(), offer.clone());
        async move {
            match offer {
                None => endpoint.serve(stream, Caller { address: peer, certificate: None }).await,
                Some(offer) => {
                    let config = accept::for_http(&offer.current());
                    let Some(stream) = accept::handshake(stream, config).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let certificate = shown.map(|leaf| leaf.to_vec());
                    endpoint.serve(stream, Caller { address: peer, certificate }).await;
                }
            }
        }
    });
    tasks.keep("token endpoint listener", accept);
    Ok(at)
}

fn endpoint_parts(house: &Arc<House>, url: String) -> TokenEndpointParts {
    let tokens = || Arc::clone(&house.tasks.tokens);
    let (introspected, shown, keys) = (tokens(), tokens(), tokens());
    let (exchanging, proving, ending) = (Arc::clone(house), Arc::clone(&house.tasks.proofs), Arc::clone(house));
    let nonces = Arc::clone(&house.tasks.proofs);
    TokenEndpointParts {
        issuer: house.tasks.tokens.issuer().to_string(),
        url,
        exchange: Arc::new(move |asked| {
            let house = Arc::clone(&exchanging);
            Box::pin(async move { exchange(&house, asked).await })
        }),
        prove: Arc::new(move |proof| {
            let proofs = Arc::clone(&proving);
            Box::pin(async move { prove(&proofs, &proof).await })
        }),
        nonce: Arc::new(move || nonces.nonce()),
        introspect: Arc::new(move |token| introspected.introspect(token)),
        is_workload: Arc::new(move |token, certificate, key| {
            let certificate = certificate.map(|der| CertificateDer::from(der.to_vec()));
            shown.verify(token, ShownBeside { certificate: certificate.as_ref(), key }).is_ok()
        }),
        end: Arc::new(move |token, certificate, key| {
            let house = Arc::clone(&ending);
            let ended: PortFuture<'static, Result<(), Refusal>> =
                Box::pin(async move { end(&house, &token, certificate, key).await });
            ended
        }),
        jwks: Arc::new(move || keys.keys().jwks()),
        people: house.people.subscribe(),
        clock: Arc::clone(&house.clock),
    }
}

async fn exchange(house: &House, asked: ExchangeAsked) -> Result<ExchangeGiven, Refusal> {
    let ExchangeAsked { subject, actor, audience, details, key, certificate, source } = asked;
    let certificate = certificate.map(CertificateDer::from);
    let request = ExchangeRequest { subject, actor, audience, details, life: None, key, certificate, source };
    match house.tasks.exchanges.exchange(&request).await {
        Ok(given) => Ok(ExchangeGiven {
            life: given.issued.expires.since(house.clock.now()),
            token: given.issued.token,
            dpop: given.dpop,
            details: given.details.value(),
        }),
        Err((error, decision)) => Err(refusal(&error, decision)),
    }
}

fn refusal(error: &ExchangeError, decision: DecisionId) -> Refusal {
    Refusal { code: error.code(), told: error.told().to_owned(), decision: Some(decision.to_string()) }
}

async fn prove(proofs: &DpopProofs, shown: &ProofShown) -> Result<String, Refusal> {
    let token = shown.token.as_ref().map(|token| token.expose().as_str());
    let place = Shown { proof: &shown.proof, method: shown.method, place: &shown.place, token };
    let refused = |error: DpopRefusal| Refusal {
        code: if error == DpopRefusal::Nonce { "use_dpop_nonce" } else { "invalid_dpop_proof" },
        told: error.to_string(),
        decision: None,
    };
    proofs.verify(place).await.map(|key| key.thumbprint().to_owned()).map_err(refused)
}

/// Ends the task of a token that its holder shows. What was narrowed ends with its task, and cannot end it: the task is also
/// that of whoever narrowed it.
async fn end(
    house: &House,
    token: &Secret<String>,
    certificate: Option<Vec<u8>>,
    key: Option<String>,
) -> Result<(), Refusal> {
    let certificate = certificate.map(CertificateDer::from);
    let beside = ShownBeside { certificate: certificate.as_ref(), key: key.as_deref() };
    // What is none, or none any more, is ended already.
    let Ok(verified) = house.tasks.tokens.verify_unbound(token.expose()) else { return Ok(()) };
    let refused = |code, told: &str| Refusal { code, told: told.to_owned(), decision: None };
    if house.tasks.tokens.verify(token.expose(), beside).is_err() {
        return Err(refused("invalid_request", "the token is bound, and its key was not proved"));
    }
    if verified.task.links().len() > 1 {
        return Err(refused("unsupported_token_type", "a narrowed token ends with its task"));
    }
    match house.tasks.records.revoke(verified.task.id(), None, Some("by its holder")).await {
        Ok(_) | Err(RevokeError::None) => {
            house.sessions.cut_task(verified.task.id());
            Ok(())
        }
        Err(RevokeError::Unavailable) => Err(refused("server_error", "it could not be stored")),
    }
}

#[cfg(test)]
mod tests;
