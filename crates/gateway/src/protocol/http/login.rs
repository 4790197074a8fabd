//! From a request to its session: what the caller shows is proved by the code that every protocol uses, once for a
//! connection; the session is judged and entered as a connection like any other.
//!
//! A stranger learns nothing: whatever is wrong with a proof, the answer is the same 401, and the log holds the reason.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderValue, WWW_AUTHENTICATE};
use kernel::secret::Secret;
use kernel::trust::VerifiedAttestation;
use kernel::verdict::{DenyReason, Undecidable};
use wire::http::head::{CredentialScheme, Head};
use wire::http::refuse::Refusal;
use zeroize::Zeroizing;

use super::connection::{Caller, MOST_SESSIONS};
use super::refuse::{Answered, reply};
use super::slot::{Opener, Slot};
use super::upstream::Served;
use crate::login::dpop::{DpopRefusal, Shown};
use crate::login::task::ShownBeside;
use crate::session::{Arrival, BeginError, Session};

/// What a caller shows, and for whom.
struct Proof<'h> {
    token: &'h str,
    /// The workload that it claims to be.
    claimed: Option<String>,
    /// The thumbprint of the key that its DPoP proof is signed by.
    key: Option<String>,
}

/// Why there is no session: for the log, and whether a nonce would help.
struct Unproved {
    why: String,
    claimed: String,
    needs_nonce: bool,
}

impl Unproved {
    fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), claimed: String::new(), needs_nonce: false }
    }
}

/// The session of a request.
///
/// # Errors
/// The answer, where there is none.
pub(super) async fn slot(caller: &Arc<Caller>, head: &Head) -> Result<Arc<Slot>, Answered> {
    if caller.given.is_some() {
        // Whatever the request shows is a placeholder.
        return by_proof(caller, head, None).await;
    }
    let basic = match &head.credential {
        Some(shown) if shown.scheme == CredentialScheme::Basic => Some(basic(shown.token.expose())),
        _ => None,
    };
    let basic = match basic.transpose() {
        Ok(basic) => basic,
        Err(unproved) => return Err(Box::pin(refuse(caller, head, unproved)).await),
    };
    let proof = match proof(caller, head, basic.as_ref().map(|basic| basic.as_str())).await {
        Ok(proof) => proof,
        Err(unproved) => return Err(Box::pin(refuse(caller, head, unproved)).await),
    };
    by_proof(caller, head, proof).await
}

async fn by_proof(caller: &Arc<Caller>, head: &Head, proof: Option<Proof<'_>>) -> Result<Arc<Slot>, Answered> {
    let served = caller.gateway.routes.asked(head.authority.host(), &head.path);
    if let Some(slot) = served.and_then(|served| find(caller, served, proof.as_ref())) {
        if caller.slots().len() > 1 {
            Box::pin(end_idle(caller)).await;
        }
        return Ok(slot);
    }
    let _one_at_a_time = caller.logging_in.lock().await;
    if let Some(slot) = served.and_then(|served| find(caller, served, proof.as_ref())) {
        return Ok(slot);
    }
    Box::pin(begin(caller, head, served, proof)).await
}

/// A session that was opened on this connection by the same proof.
fn find(caller: &Caller, served: &Arc<Served>, proof: Option<&Proof<'_>>) -> Option<Arc<Slot>> {
    let now = caller.gateway.parts.clock.now();
    let slots = caller.slots();
    let token = proof.map(|proof| proof.token);
    let key = proof.and_then(|proof| proof.key.as_deref());
    // A certificate that names a workload by itself goes first, whatever token stands beside it.
    let mine = |slot: &&Arc<Slot>| slot.is_for(served, None, None) || slot.is_for(served, token, key);
    let found = slots.iter().find(|slot| mine(slot) && slot.is_open(now)).map(Arc::clone);
    found.inspect(|slot| slot.touch(now))
}

/// Ends sessions that others of the connection have outlived. The last one ends with the connection.
async fn end_idle(caller: &Caller) {
    let ended: Vec<Arc<Slot>> = {
        let mut slots = caller.slots();
        let now = caller.gateway.parts.clock.now();
        // What still streams is used, however long ago it was asked for.
        slots.extract_if(.., |slot| slot.is_idle(now) && Arc::strong_count(slot) == 1).collect()
    };
    for slot in ended {
        slot.end("idle").await;
    }
}

/// `name:token` in base64 (RFC 7617), as clients send it that know no bearer tokens.
fn basic(text: &str) -> Result<Zeroizing<String>, Unproved> {
    let bytes = STANDARD.decode(text).map_err(|_odd| Unproved::new("the basic credential is not base64"))?;
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_odd| Unproved::new("the basic credential is not text"))
}

async fn proof<'h>(caller: &Caller, head: &'h Head, basic: Option<&'h str>) -> Result<Option<Proof<'h>>, Unproved> {
    let Some(shown) = &head.credential else { return Ok(None) };
    let token = shown.token.expose();
    match shown.scheme {
        CredentialScheme::Bearer => Ok(Some(Proof { token, claimed: None, key: None })),
        CredentialScheme::Basic => {
            let (name, token) = basic.unwrap_or_default().split_once(':').unwrap_or_default();
            let claimed = Some(name.to_owned()).filter(|name| !name.is_empty());
            Ok(Some(Proof { token, claimed, key: None }))
        }
        CredentialScheme::Dpop => {
            let dpop = caller.gateway.dpop.as_ref().ok_or_else(|| Unproved::new("no DPoP tokens are taken"))?;
            let proof = shown.proof.as_deref().ok_or_else(|| Unproved::new("a DPoP token without its proof"))?;
            let scheme = if caller.tls { "https" } else { "http" };
            let place = format!("{scheme}://{}{}", head.authority, head.path.as_str());
            let shown = Shown { proof, method: head.method.as_str(), place: &place, token: Some(token) };
            let key = Box::pin(dpop.verify(shown)).await.map_err(|error| Unproved {
                needs_nonce: error == DpopRefusal::Nonce,
                ..Unproved::new(format!("DPoP proof: {error}"))
            })?;
            Ok(Some(Proof { token, claimed: None, key: Some(key.thumbprint().to_owned()) }))
        }
        CredentialScheme::Other => Err(Unproved::new("an authorization scheme that is not known here")),
    }
}

/// Begins a session: proves the workload, judges the connection, enters it.
async fn begin(
    caller: &Arc<Caller>,
    head: &Head,
    served: Option<&Arc<Served>>,
    proof: Option<Proof<'_>>,
) -> Result<Arc<Slot>, Answered> {
    let gateway = &caller.gateway;
    let arrival = gateway.parts.arrival(caller.source, caller.tls);
    let given = caller.given.as_ref();
    let claimed =
        given.map_or_else(|| proof.as_ref().and_then(|proof| proof.claimed.clone()), |(_, claimed)| claimed.clone());
    let unproved = |why: String| Unproved { claimed: claimed.clone().unwrap_or_default(), ..Unproved::new(why) };
    let attested = match given {
        Some((proofs, _)) => Ok((Arc::clone(proofs), Opener::Certificate)),
        None => attest(caller, proof).await.map(|(attestation, opener)| (Arc::from([attestation]), opener)),
    };
    let (proofs, opener) = match attested {
        Ok(attested) => attested,
        Err(why) => return Err(refuse_arrival(caller, head, &arrival, unproved(why)).await),
    };
    let who = match claimed.as_deref() {
        Some(claimed) => gateway.parts.authenticate(&proofs, claimed),
        None => gateway.parts.authenticate_unclaimed(&proofs),
    };
    let who = match who {
        Ok(Some(who)) => who,
        Ok(None) => return Err(refuse_arrival(caller, head, &arrival, unproved("no attestation".to_owned())).await),
        Err(error) => return Err(refuse_arrival(caller, head, &arrival, unproved(error.to_string())).await),
    };
    // Unknown and not permitted upstreams look the same.
    let Some(served) = served else {
        let why = "no upstream answers at the host and path that were asked for".to_owned();
        return Err(turn_away(caller, head, &arrival, unproved(why)).await);
    };
    let Ok(place) = Arc::clone(&served.places).try_acquire_owned() else {
        let why = format!("upstream `{}` has as many sessions as it may", served.upstream.name);
        return Err(turn_away(caller, head, &arrival, unproved(why)).await);
    };
    let name = served.upstream.name.clone();
    match Session::begin(gateway.parts.clone(), arrival, who, name, super::PROTOCOL).await {
        Ok((session, right)) => {
            gateway.logins.watch(&session);
            let slot = Slot::new(session, right, served, opener, &gateway.pool, place);
            keep(caller, &slot).await;
            Ok(slot)
        }
        Err(BeginError::Identity(error)) => {
            Err(refuse_arrival(caller, head, &arrival, unproved(error.to_string())).await)
        }
        Err(BeginError::Denied(deny)) => {
            let why = if matches!(deny.reason(), DenyReason::Standing) { "standing" } else { "policy" };
            let unproved = unproved(format!("connecting is denied: {why}"));
            Err(turn_away(caller, head, &arrival, unproved).await)
        }
        Err(BeginError::Audit(_)) => Err(undecided(caller, head)),
    }
}

/// Remembers a session for the next requests of the connection. The oldest goes where there are too many.
async fn keep(caller: &Caller, slot: &Arc<Slot>) {
    let now = caller.gateway.parts.clock.now();
    let ended: Vec<Arc<Slot>> = {
        let mut slots = caller.slots();
        let mut ended: Vec<_> = slots.extract_if(.., |slot| !slot.is_open(now)).collect();
        if slots.len() >= MOST_SESSIONS {
            ended.push(slots.remove(0));
        }
        slot.touch(now);
        slots.push(Arc::clone(slot));
        ended
    };
    for slot in ended {
        slot.end("closed").await;
    }
}

async fn attest(caller: &Caller, proof: Option<Proof<'_>>) -> Result<(VerifiedAttestation, Opener), String> {
    let gateway = &caller.gateway;
    let snapshot = gateway.parts.snapshots.current();
    if let Some(attestation) = gateway.logins.attest_certificates(&snapshot, &caller.certificates)? {
        return Ok((attestation, Opener::Certificate));
    }
    let Some(Proof { token, claimed: _, key }) = proof else {
        return Err(if caller.certificates.is_empty() {
            "no attestation was shown".to_owned()
        } else {
            "no trust rule matches the client certificate alone, and no token came with it".to_owned()
        });
    };
    let beside = ShownBeside { certificate: caller.certificates.first(), key: key.as_deref() };
    let attestation = gateway.logins.attest_token(token, beside, caller.source).await?;
    Ok((attestation, Opener::Token(Secret::new(token.to_owned()), key)))
}

async fn refuse(caller: &Caller, head: &Head, unproved: Unproved) -> Answered {
    let arrival = caller.gateway.parts.arrival(caller.source, caller.tls);
    refuse_arrival(caller, head, &arrival, unproved).await
}

/// Nobody was proved: 401, whatever was wrong.
async fn refuse_arrival(caller: &Caller, head: &Head, arrival: &Arrival, unproved: Unproved) -> Answered {
    if !enter(caller, arrival, &unproved).await {
        return undecided(caller, head);
    }
    let mut answer = reply(caller, head.accepts, &Refusal::unauthenticated());
    if let Some(dpop) = &caller.gateway.dpop {
        let headers = answer.headers_mut();
        let said = if unproved.needs_nonce { "DPoP error=\"use_dpop_nonce\"" } else { "DPoP" };
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(said));
        if let Ok(nonce) = HeaderValue::try_from(dpop.nonce()) {
            headers.insert("dpop-nonce", nonce);
        }
    }
    answer
}

/// Who it is was proved, and there is nothing here for it.
async fn turn_away(caller: &Caller, head: &Head, arrival: &Arrival, unproved: Unproved) -> Answered {
    if !enter(caller, arrival, &unproved).await {
        return undecided(caller, head);
    }
    let line = format!("blocked [{}]", arrival.id);
    reply(caller, head.accepts, &Refusal::blocked(&line))
}

/// Enters a login that was refused: did that succeed?
async fn enter(caller: &Caller, arrival: &Arrival, unproved: &Unproved) -> bool {
    tracing::info!(session = %arrival.id, source = %arrival.source, why = unproved.why, "login refused");
    caller.gateway.parts.enter_login_refused(arrival, &unproved.claimed, &unproved.why).await.is_ok()
}

fn undecided(caller: &Caller, head: &Head) -> Answered {
    let refusal = Refusal::undecided(Undecidable::AuditUnavailable, None, &caller.gateway.parts.public_url);
    reply(caller, head.accepts, &refusal)
}
