//! One request, from its head to the head of its answer: read in one form, brought to its session, judged, entered, and only
//! then forwarded. A refusal is an answer like any other, and keeps the connection where the protocol lets it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, COOKIE, HeaderMap, HeaderValue};
use hyper::header::{LOCATION, UPGRADE, WWW_AUTHENTICATE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use kernel::id::DecisionId;
use kernel::verdict::{Content, Receipt, Terms, Undecidable, Verdict};
use wire::http::Violation;
use wire::http::classify::Classified;
use wire::http::head::{Arrived, Head};
use wire::http::headers::{self, ResponseRules};
use wire::http::json_mask::{Detect, Masks};
use wire::http::refuse::{Refusal, announce};
use wire::http::understand::Wanted;

use super::answer::Answer;
use super::connection::Caller;
use super::forward::{Cargo, ForwardError, Forwarded, Speaks, forward};
use super::masking::Masking;
use super::refuse::{self, Answered};
use super::sealed::seal;
use super::slot::Slot;
use super::tunnel::tunnel;
use super::upload::{Pace, Unread, Upload, read_whole};
use super::watch::Pulse;
use super::{hold, login};
use crate::session::Session;

/// Answers one request.
pub(super) async fn exchange(caller: &Arc<Caller>, mut request: Request<Incoming>) -> Answered {
    let busy = caller.line.begin();
    let changes = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let wants_change = changes.is_some();
    let pulse = caller.take_pulse();
    let answered = match ask(caller, request, changes, &pulse).await {
        Ok(answered) | Err(answered) => answered,
    };
    caller.give_pulse(pulse);
    if wants_change && answered.status() != StatusCode::SWITCHING_PROTOCOLS {
        caller.line.resume();
    }
    answered.map(|answer| answer.during(busy))
}

/// A request that is known by its session.
pub(super) struct Asked<'c> {
    pub(super) caller: &'c Arc<Caller>,
    pub(super) slot: Arc<Slot>,
    pub(super) head: Head,
    pub(super) pulse: &'c Arc<Pulse>,
    pub(super) classified: Classified,
    pub(super) cargo: Body,
    /// What the client says it was granted before: `Parapet-Approval`.
    pub(super) approval: Option<String>,
}

/// A body, before it is known whether it goes anywhere.
pub(super) enum Body {
    Coming(Incoming),
    Whole(Bytes, Option<HeaderMap>),
}

async fn ask(
    caller: &Arc<Caller>,
    request: Request<Incoming>,
    changes: Option<OnUpgrade>,
    pulse: &Arc<Pulse>,
) -> Result<Answered, Answered> {
    let (parts, body) = request.into_parts();
    let arrived = Arrived { h2: caller.http2, sni: caller.sni.as_deref(), tls: caller.tls };
    let head = match Head::read(&parts, arrived) {
        Ok(head) => head,
        Err(violation) => return Err(malformed(caller, violation).await),
    };
    let slot = login::slot(caller, &head).await?;
    let approval = parts.headers.get("parapet-approval").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let mut asked = understand(caller, slot, head, body, approval, pulse).await?;
    let judged = judge(&mut asked).await;
    let receipt = match judged? {
        Judged::Passes(receipt) => receipt,
        Judged::Waits(ask) => hold::hold(&mut asked, *ask).await?,
    };
    send(asked, receipt, changes).await
}

/// A request that cannot be read in one way is known by no session. It is entered all the same.
async fn malformed(caller: &Caller, violation: Violation) -> Answered {
    enter_violation(caller, violation).await;
    let accepts = wire::http::head::Accepts::default();
    let refusal = Refusal::violated(violation, None, &caller.gateway.parts.public_url).closing();
    refuse::reply(caller, accepts, &refusal)
}

async fn enter_violation(caller: &Caller, violation: Violation) {
    let arrival = caller.gateway.parts.arrival(caller.source, caller.tls);
    let why = format!("the request is malformed ({}): {violation}", violation.hazard());
    tracing::info!(session = %arrival.id, source = %caller.source, why, "request refused");
    if let Err(error) = caller.gateway.parts.enter_login_refused(&arrival, "", &why).await {
        tracing::error!(%error, "a malformed request could not be entered");
    }
}

/// Enters what ended the stream of a connection's requests, if something did.
pub(super) async fn enter_broken(caller: &Caller) {
    if let Some(violation) = caller.line.violation() {
        enter_violation(caller, violation).await;
    }
}

/// Finds out what a request asks for, reading of its body what policies read.
async fn understand<'c>(
    caller: &'c Arc<Caller>,
    slot: Arc<Slot>,
    mut head: Head,
    body: Incoming,
    approval: Option<String>,
    pulse: &'c Arc<Pulse>,
) -> Result<Asked<'c>, Answered> {
    let upstream = Arc::clone(&slot.upstream);
    if head.upgrade.as_deref().is_some_and(|protocol| caller.http2 || !upstream.upgrades.allow(protocol)) {
        return Err(refuse_request(caller, &slot, &head, Undecidable::Upgrade, "").await);
    }
    let segments: Vec<&str> = head.path.segments().collect();
    let Some(matched) = upstream.endpoints.find(head.method.as_str(), &segments) else {
        drop(segments);
        return Err(refuse_request(caller, &slot, &head, Undecidable::UnknownEndpoint, "").await);
    };
    drop(segments);
    let reads = caller.gateway.parts.snapshots.current().http_reads(&upstream.name);
    let wanted = Wanted::of(&matched, &reads);
    let covers_body = upstream.credential.as_ref().is_some_and(|credential| credential.needs_body_digest());
    let mut cargo = Body::Coming(body);
    if (wanted.any() || covers_body)
        && let Err(why) = read_body(&mut cargo, &slot, pulse).await
    {
        return Err(unread(caller, &slot, &head, matched.endpoint.template.text(), why).await);
    }
    let whole = match &cargo {
        Body::Whole(whole, _) => Some(whole.as_ref()),
        Body::Coming(_) => None,
    };
    let understood = wire::http::understand::understand(&upstream.name, &head, &matched, &reads, &wanted, whole);
    let classified = match understood {
        Ok(classified) => classified,
        Err(violation) => {
            return Err(violated(caller, &slot, &head, matched.endpoint.template.text(), violation).await);
        }
    };
    if classified.answers().next().is_some() {
        // Whether a value is masked is not known yet; what would keep it from being masked is not asked for (HT10, HT14).
        headers::for_masked_route(&mut head.headers);
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if upstream.cookies {
        for cookie in std::mem::take(&mut head.cookies) {
            head.headers.append(COOKIE, cookie);
        }
    }
    Ok(Asked { caller, slot, head, pulse, classified, cargo, approval })
}

/// Turns a body that comes into one that is whole.
pub(super) async fn read_body(body: &mut Body, slot: &Slot, pulse: &Pulse) -> Result<(), Unread> {
    let Body::Coming(_) = body else { return Ok(()) };
    let Body::Coming(incoming) = std::mem::replace(body, Body::Whole(Bytes::new(), None)) else { return Ok(()) };
    let limits = &slot.upstream.limits;
    let reading = read_whole(incoming, limits.body, pulse, limits.upload);
    let (whole, trailers) = tokio::select! {
        biased;
        _cut = slot.gone() => return Err(Unread::Broken),
        read = reading => read?,
    };
    *body = Body::Whole(whole, trailers);
    Ok(())
}

/// Refuses what a session asked for, and that cannot be decided.
async fn refuse_request(caller: &Caller, slot: &Slot, head: &Head, why: Undecidable, template: &str) -> Answered {
    let mut session = slot.session().await;
    let Some(session) = session.as_mut() else { return refuse::cut(caller, slot, head.accepts) };
    let deny = session.refuse(why, &format!("{} {template}", head.method));
    refuse::enter_denial(caller, session, head.accepts, deny).await
}

/// Refuses what cannot be read in one way; the answer says what, the entry under which rule.
async fn violated(caller: &Caller, slot: &Slot, head: &Head, template: &str, violation: Violation) -> Answered {
    let mut session = slot.session().await;
    let Some(session) = session.as_mut() else { return refuse::cut(caller, slot, head.accepts) };
    let deny = session.refuse(violation.undecidable(), &format!("{} {template}", head.method));
    let decision = deny.subject().decision();
    session.add_denial(deny);
    if session.enter().await.is_err() {
        return refuse::undecided(caller, head.accepts, Undecidable::AuditUnavailable);
    }
    refuse::reply(caller, head.accepts, &Refusal::violated(violation, Some(decision), session.public_url()).closing())
}

pub(super) async fn unread(caller: &Caller, slot: &Slot, head: &Head, template: &str, why: Unread) -> Answered {
    match why {
        Unread::Violation(violation) => violated(caller, slot, head, template, violation).await,
        Unread::Broken if slot.cut().is_some() => refuse::cut(caller, slot, head.accepts),
        // What stopped the body is what the client is told, if it still listens.
        Unread::Broken => {
            let violation = caller.line.violation().unwrap_or(Violation::Body);
            violated(caller, slot, head, template, violation).await
        }
    }
}

/// What became of a judgement that did not end in a refusal.
pub(super) enum Judged {
    Passes(Receipt),
    Waits(Box<kernel::verdict::Ask>),
}

/// Judges a request under the current snapshot, and enters what passes or is refused.
pub(super) async fn judge(asked: &mut Asked<'_>) -> Result<Judged, Answered> {
    let content = content(asked);
    let (caller, slot, accepts) = (asked.caller, &asked.slot, asked.head.accepts);
    let mut session = slot.session().await;
    let Some(session) = session.as_mut().filter(|_| slot.cut().is_none()) else {
        return Err(refuse::cut(caller, slot, accepts));
    };
    let operations = Arc::clone(&asked.classified.operations);
    match session.judge(operations, asked.classified.shape, content) {
        Verdict::Permit(permit) => {
            session.add_permit(permit);
            enter_permit(caller, session, asked).await.map(Judged::Passes)
        }
        Verdict::Deny(deny) => Err(refuse::enter_denial(caller, session, accepts, deny).await),
        Verdict::Ask(ask) => Ok(Judged::Waits(Box::new(ask))),
    }
}

/// Enters a permit: its receipt is what is sent.
pub(super) async fn enter_permit(
    caller: &Caller,
    session: &mut Session,
    asked: &Asked<'_>,
) -> Result<Receipt, Answered> {
    match session.enter().await.map(|mut entered| entered.receipts.pop()) {
        Ok(Some(receipt)) => Ok(receipt),
        Ok(None) | Err(_) => Err(refuse::undecided(caller, asked.head.accepts, Undecidable::AuditUnavailable)),
    }
}

/// What would be sent. What a grant binds besides is filled in where people are asked, when the body is whole.
fn content(asked: &Asked<'_>) -> Content {
    Content {
        wire: seal(&asked.head, &asked.slot.served.authority),
        template: Arc::clone(&asked.classified.template),
        ..Content::default()
    }
}

/// Sends what a receipt admits, and makes the answer of what comes back.
async fn send(asked: Asked<'_>, receipt: Receipt, changes: Option<OnUpgrade>) -> Result<Answered, Answered> {
    let Asked { caller, slot, head, pulse, classified, cargo, .. } = asked;
    let decision = receipt.decision();
    let grpc = head.accepts.grpc;
    let upgrade = head.upgrade.as_deref().and_then(|protocol| HeaderValue::try_from(protocol).ok());
    let speaks = match (&upgrade, grpc) {
        (Some(_), _) => Speaks::Http1,
        (None, true) => Speaks::Http2,
        (None, false) => Speaks::Any,
    };
    let (upload, digest) = match cargo {
        Body::Whole(whole, trailers) => {
            let needs = slot.upstream.credential.as_ref().is_some_and(|credential| credential.needs_body_digest());
            let digest = needs.then(|| hold::sha256(&whole));
            (Upload::Whole(Some(whole), trailers), digest)
        }
        Body::Coming(body) => {
            let digest = body.is_end_stream().then(|| hold::sha256(b""));
            let limits = &slot.upstream.limits;
            let pace = Pace { pulse: Arc::clone(pulse), pause: limits.upload, answer: limits.answer };
            let pace = (!grpc).then_some(pace);
            (Upload::stream(body, pace), digest)
        }
    };
    let cargo = Cargo { upload, digest, speaks, upgrade, patient: grpc };
    let sending = forward(&caller.gateway, &slot, receipt, cargo, pulse);
    let forwarded = tokio::select! {
        biased;
        forwarded = sending => forwarded,
        _cut = slot.gone() => return Err(refuse::cut(caller, &slot, head.accepts)),
    };
    match forwarded {
        Ok(forwarded) => answer(caller, &slot, &head, &classified, forwarded, changes).await,
        Err(error) => Err(failed(caller, &slot, &head, decision, &error)),
    }
}

/// The upstream did not answer; why, the log says.
fn failed(caller: &Caller, slot: &Slot, head: &Head, decision: DecisionId, error: &ForwardError) -> Answered {
    let url = &caller.gateway.parts.public_url;
    tracing::warn!(upstream = %slot.upstream.name, %decision, %error, "an upstream did not answer");
    let refusal = match error {
        ForwardError::Late => Refusal::upstream_slow(Some(decision), url),
        ForwardError::Dial(_)
        | ForwardError::Credential(_)
        | ForwardError::Sealed
        | ForwardError::Broken(_)
        | ForwardError::Stopping => Refusal::upstream_failed(Some(decision), url),
    };
    refuse::reply(caller, head.accepts, &refusal)
}

/// Makes the client's answer of the upstream's.
async fn answer(
    caller: &Arc<Caller>,
    slot: &Arc<Slot>,
    head: &Head,
    classified: &Classified,
    forwarded: Forwarded,
    changes: Option<OnUpgrade>,
) -> Result<Answered, Answered> {
    let Forwarded { decision, terms, response, link } = forwarded;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return change(caller, slot, head, response, changes, decision);
    }
    let (mut parts, body) = response.into_parts();
    let paths = classified.masks(&terms.masks);
    let masked = !paths.is_empty();
    headers::from_upstream(&mut parts.headers, ResponseRules { cookies: slot.upstream.cookies, masked });
    keep_credential(slot, &parts.status, &mut parts.headers);
    let limited = terms.limits.bytes.map(|bytes| format!("bytes={bytes}"));
    let names: Vec<&str> = paths.iter().map(|(path, _)| path.text().as_ref()).collect();
    announce(&mut parts.headers, decision, names, limited.as_deref());
    let most = terms.limits.bytes;
    if most.is_some_and(|most| body.size_hint().lower() > most) {
        return Err(too_long(caller, slot, head, &terms, decision));
    }
    let answer = if !masked || has_no_body(head, parts.status) || body.is_end_stream() {
        Answer::stream(body, slot, link, most)
    } else {
        let detect = Masks::new(&paths, Arc::clone(&slot.upstream.mask_keys), Detect::Off, None);
        match Masking::new(body, &mut parts.headers, detect) {
            Ok(masking) => Answer::masked(masking, slot, link, most),
            Err(_body) => return Err(withheld(caller, head, decision)),
        }
    };
    let mut response = Response::from_parts(parts, answer);
    *response.version_mut() = hyper::Version::default();
    Ok(response)
}

fn has_no_body(head: &Head, status: StatusCode) -> bool {
    head.method == hyper::Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// The gateway's own credential stays between it and the upstream.
fn keep_credential(slot: &Slot, status: &StatusCode, headers: &mut HeaderMap) {
    let Some(credential) = &slot.upstream.credential else { return };
    if *status == StatusCode::UNAUTHORIZED {
        credential.rejected();
        // The client is not to send a credential of its own for the upstream.
        headers.remove(WWW_AUTHENTICATE);
    }
    let Some(name) = credential.query_parameter() else { return };
    for place in [LOCATION, hyper::header::CONTENT_LOCATION, hyper::header::REFRESH, hyper::header::LINK] {
        let echoes = headers
            .get_all(&place)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.split(['?', '&']).any(|pair| pair.starts_with(name))));
        if echoes {
            headers.remove(place);
        }
    }
}

/// What the upstream sends cannot be masked, so none of it leaves.
fn withheld(caller: &Caller, head: &Head, decision: DecisionId) -> Answered {
    let url = &caller.gateway.parts.public_url;
    tracing::warn!(%decision, "an answer cannot be masked, and is withheld");
    refuse::reply(caller, head.accepts, &Refusal::undecided(Undecidable::CannotMask, Some(decision), url))
}

fn too_long(caller: &Caller, slot: &Slot, head: &Head, terms: &Terms, decision: DecisionId) -> Answered {
    let most = terms.limits.bytes.unwrap_or_default();
    tracing::info!(upstream = %slot.upstream.name, %decision, most, "an answer is longer than policy allows");
    let line = format!("blocked, the answer has more than {most} bytes [{decision}]");
    let mut answered = refuse::reply(caller, head.accepts, &Refusal::blocked(&line));
    announce(answered.headers_mut(), decision, [], Some(&format!("bytes={most}")));
    answered
}

/// The upstream changes to the protocol that was asked for: from now on bytes pass.
fn change(
    caller: &Arc<Caller>,
    slot: &Arc<Slot>,
    head: &Head,
    mut response: Response<Incoming>,
    changes: Option<OnUpgrade>,
    decision: DecisionId,
) -> Result<Answered, Answered> {
    let url = &caller.gateway.parts.public_url;
    let failed = || refuse::reply(caller, head.accepts, &Refusal::upstream_failed(Some(decision), url));
    let (Some(client), Some(asked)) = (changes, head.upgrade.as_deref()) else { return Err(failed()) };
    let given = response.headers().get(UPGRADE).and_then(|given| given.to_str().ok());
    if !given.is_some_and(|given| given.eq_ignore_ascii_case(asked)) || caller.line.release().is_err() {
        return Err(failed());
    }
    let upstream = hyper::upgrade::on(&mut response);
    let mut headers = std::mem::take(response.headers_mut());
    headers::from_upstream(&mut headers, ResponseRules { cookies: slot.upstream.cookies, masked: false });
    if let Ok(protocol) = HeaderValue::try_from(asked) {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    announce(&mut headers, decision, [], None);
    caller.set_tunnel(tunnel(Arc::clone(slot), client, upstream, caller.gateway.tasks.stopping()));
    Ok(refuse::empty(StatusCode::SWITCHING_PROTOCOLS, headers))
}
