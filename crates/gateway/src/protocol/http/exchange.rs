//! One request, from its head to the head of its answer: read in one form, brought to its session, judged, entered, and only
//! then forwarded. A refusal is an answer like any other, and keeps the connection where the protocol lets it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, COOKIE, HeaderName, HeaderValue, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use kernel::id::DecisionId;
use kernel::policy::{HttpReads, Snapshot};
use kernel::verdict::{Content, Receipt, Undecidable, Verdict};
use wire::http::Violation;
use wire::http::classify::Classified;
use wire::http::head::{Accepts, Arrived, Head};
use wire::http::refuse::Refusal;
use wire::http::understand::Wanted;

use super::cargo::{Body, read_body};
use super::connection::Caller;
use super::forward::{Cargo, ForwardError, Speaks, forward};
use super::line::Busy;
use super::refuse::{self, Answered, Reached};
use super::returned::answer;
use super::sealed::seal;
use super::slot::{Alike, Slot};
use super::upload::{Breach, Pace, Unread, Upload};
use super::watch::Pulse;
use super::written::Written;
use super::{hold, kept, login};
use crate::session::Session;
use crate::sessions::Cut;

/// How much of a refused body is let come, in bytes, and for how long.
const SETTLED: usize = 64 * 1024;
const SETTLING: Duration = Duration::from_millis(50);
/// In which codings a client takes single messages of gRPC.
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// How often a request is judged anew because the policies have changed under it.
pub(super) const MOST_TURNS: usize = 4;

/// Answers one request. What happens seldom is boxed on the way: the future of every exchange has room for all that is not.
pub(super) async fn exchange(caller: &Arc<Caller>, mut request: Request<Incoming>, busy: Busy) -> Answered {
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
    /// What the policies read that its facts were read for.
    pub(super) reads: Arc<HttpReads>,
    pub(super) cargo: Body,
    /// What the client says it was granted before: `Parapet-Approval`.
    pub(super) approval: Option<String>,
    /// What must not come back in its body.
    written: Option<Box<Written>>,
}

async fn ask(
    caller: &Arc<Caller>,
    request: Request<Incoming>,
    changes: Option<OnUpgrade>,
    pulse: &Arc<Pulse>,
) -> Result<Answered, Answered> {
    let (parts, body) = request.into_parts();
    let arrived = Arrived { h2: caller.http2, sni: caller.sni.as_deref(), tls: caller.tls };
    let mut head = match Head::take(parts, arrived) {
        Ok(head) => head,
        Err(violation) => return Err(Box::pin(malformed(caller, violation)).await),
    };
    let slot = match login::slot(caller, &head).await {
        Ok(slot) => slot,
        Err(refused) => {
            Box::pin(settle(caller, body)).await;
            return Err(refused);
        }
    };
    head.accepts.store = slot.upstream.store;
    if kept::is_reserved(&head.path) {
        Box::pin(settle(caller, body)).await;
        return Ok(Box::pin(kept::look(caller, &slot, &head)).await);
    }
    let approval = head.approval.take();
    let cargo = match Body::of(&head, body) {
        Ok(cargo) => cargo,
        Err(violation) => return Err(Box::pin(violated(caller, &slot, &head, "", violation)).await),
    };
    let mut asked = understand(caller, slot, head, cargo, approval, pulse).await?;
    // What people granted in a turn whose facts had to be read again.
    let mut grant = None;
    for _ in 0..MOST_TURNS {
        no_mask_comes_back(&asked).await?;
        let receipt = match judge(&asked).await? {
            Judged::Passes(receipt) => receipt,
            Judged::Waits => match Box::pin(hold::hold(&mut asked, &mut grant)).await? {
                Some(receipt) => receipt,
                None => continue,
            },
            // The policies have changed since the facts were read, and the new ones read more.
            Judged::Stale => {
                let Asked { slot, head, cargo, approval, .. } = asked;
                asked = Box::pin(understand(caller, slot, head, cargo, approval, pulse)).await?;
                continue;
            }
        };
        return send(&mut asked, receipt, changes).await;
    }
    let (slot, head, template) = (&asked.slot, &asked.head, &asked.classified.template);
    Err(Box::pin(refuse_request(caller, slot, head, Undecidable::NoSnapshot, template)).await)
}

/// Lets the body of a refused request come to its end, if that is soon: what is wrong with the end of an HTTP/2 stream is said
/// to a client only while the stream is open.
async fn settle(caller: &Caller, mut body: Incoming) {
    if !caller.http2 || body.is_end_stream() {
        return;
    }
    let ending = async {
        let mut left = SETTLED;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(1, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    if tokio::time::timeout(SETTLING, ending).await.is_err() {
        tracing::debug!("a refused request's body has not ended");
    }
}

/// A request that cannot be read in one way is known by no session. It is entered all the same.
async fn malformed(caller: &Caller, violation: Violation) -> Answered {
    enter_violation(caller, violation).await;
    let accepts = Accepts::default();
    let refusal = Refusal::violated(violation, None, &caller.gateway.parts.public_url);
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
    if let Some(violation) = caller.line.violation_to_enter() {
        enter_violation(caller, violation).await;
    }
}

/// Finds out what a request asks for, reading of its body what policies read.
pub(super) async fn understand<'c>(
    caller: &'c Arc<Caller>,
    slot: Arc<Slot>,
    mut head: Head,
    mut cargo: Body,
    approval: Option<String>,
    pulse: &'c Arc<Pulse>,
) -> Result<Asked<'c>, Answered> {
    let upstream = Arc::clone(&slot.upstream);
    if head.upgrade.as_deref().is_some_and(|protocol| caller.http2 || !upstream.upgrades.allow(protocol)) {
        return Err(Box::pin(violated(caller, &slot, &head, "", Violation::Upgrade)).await);
    }
    let segments: Vec<&str> = head.path.segments().collect();
    let Some(matched) = upstream.endpoints.find(head.method.as_str(), &segments) else {
        drop(segments);
        return Err(Box::pin(refuse_request(caller, &slot, &head, Undecidable::UnknownEndpoint, "")).await);
    };
    let reads = caller.gateway.parts.snapshots.current().http_reads(&upstream.name);
    let wanted = Wanted::of(&matched, &reads);
    let covers_body = upstream.credential.as_ref().is_some_and(|credential| credential.needs_body_digest());
    if (wanted.any() || covers_body || cargo.is_looked_through_at_once(&head))
        && let Err(why) = Box::pin(read_body(&mut cargo, &slot, pulse)).await
    {
        return Err(Box::pin(unread(caller, &slot, &head, matched.endpoint.template.text(), why)).await);
    }
    let whole = match &cargo {
        Body::Whole(whole, _) => Some(whole.as_ref()),
        // That nothing comes is known at once.
        Body::Coming(body, _) => body.is_end_stream().then_some(&[][..]),
    };
    let alike = Alike::of(&head, &matched, &reads, &wanted);
    let classified = match alike.as_ref().and_then(|alike| slot.recall(alike, &reads)) {
        Some(classified) => classified,
        None => match wire::http::understand::understand(&upstream.name, &head, &matched, &reads, &wanted, whole) {
            Ok(classified) => {
                if let Some(alike) = alike {
                    slot.remember(alike, &reads, &classified);
                }
                classified
            }
            Err(violation) => {
                let template = matched.endpoint.template.text();
                return Err(Box::pin(violated(caller, &slot, &head, template, violation)).await);
            }
        },
    };
    let written = Written::of(&upstream, &head, &matched, &segments, &classified.operations, &reads).map(Box::new);
    drop(segments);
    // What is sent at once is searched before it is judged; the rest, as it leaves.
    if let Some(written) = &written
        && !head.expects_continue
        && head.content_length().is_some_and(|length| length <= upstream.limits.body as u64)
        && !shows_in_clear(&slot, written).await
        && let Err(why) = Box::pin(read_body(&mut cargo, &slot, pulse)).await
    {
        return Err(Box::pin(unread(caller, &slot, &head, &classified.template, why)).await);
    }
    // Whether a value is masked is not known yet; what would keep it from being masked is not asked for (HT10, HT14).
    let may_be_masked = classified.answers().next().is_some();
    if may_be_masked {
        head.ask_for_the_whole();
    }
    // What is masked, or overwritten because it repeats the credential (HT13), must be there to be read.
    let may_come_back = upstream.credential.as_ref().is_some_and(|credential| credential.may_come_back());
    if may_be_masked || may_come_back {
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if may_come_back && head.accepts.grpc {
        head.headers.insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if head.upgrade.is_some() {
        // Compressed frames could not be looked at, and are refused; so they are not offered.
        head.headers.remove(SEC_WEBSOCKET_EXTENSIONS);
    }
    if upstream.cookies
        && let Some(cookies) = head.cookies.take()
    {
        head.headers.insert(COOKIE, cookies);
    }
    Ok(Asked { caller, slot, head, pulse, classified, reads, cargo, approval, written })
}

/// Refuses a body that brings back what a mask made (hazards MK18), or of which that cannot be told, from who is shown nothing else.
pub(super) async fn no_mask_comes_back(asked: &Asked<'_>) -> Result<(), Answered> {
    let Some(written) = &asked.written else { return Ok(()) };
    if shows_in_clear(&asked.slot, written).await {
        return Ok(());
    }
    let found = match &asked.cargo {
        _ if written.is_in_target() => Ok(true),
        Body::Whole(whole, _) => Box::pin(written.is_in(whole)).await,
        // Whether anything comes is not known yet.
        Body::Coming(body, _) if body.size_hint().lower() == 0 => Ok(false),
        // It is searched as it leaves.
        Body::Coming(..) => written.search().map(|_search| false),
    };
    let (caller, slot, template) = (asked.caller, &asked.slot, &asked.classified.template);
    match found {
        Ok(false) => Ok(()),
        Ok(true) => Err(Box::pin(refuse_request(caller, slot, &asked.head, Undecidable::MaskedValue, template)).await),
        Err(violation) => Err(Box::pin(violated(caller, slot, &asked.head, template, violation)).await),
    }
}

/// Does policy show the workload all of the fields that masks are sought in? One that may not read them counts as one that sees
/// masks: what it writes may have been handed on by another.
async fn shows_in_clear(slot: &Slot, written: &Written) -> bool {
    let mut session = slot.session().await;
    session.as_mut().is_some_and(|session| session.shows_in_clear(Arc::clone(&written.fields), Some(written.shape)))
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
    refuse::reply(caller, head.accepts, &Refusal::violated(violation, Some(decision), session.public_url()))
}

pub(super) async fn unread(caller: &Caller, slot: &Slot, head: &Head, template: &str, why: Unread) -> Answered {
    match why {
        Unread::Violation(violation) => violated(caller, slot, head, template, violation).await,
        Unread::Broken if slot.cut().is_some() => refuse::cut(caller, slot, head.accepts),
        // What stopped the body is what the client is told, if it still listens.
        Unread::Broken => {
            let violation = caller.line.violation_to_enter().unwrap_or(Violation::Body);
            violated(caller, slot, head, template, violation).await
        }
    }
}

/// What became of a judgement that did not end in a refusal.
pub(super) enum Judged {
    Passes(Receipt),
    /// People must approve.
    Waits,
    /// Its facts must be read again.
    Stale,
}

impl Asked<'_> {
    /// The request, to be understood anew.
    pub(super) fn taken_apart(self) -> (Head, Body) {
        (self.head, self.cargo)
    }

    /// Are its facts enough for this snapshot?
    pub(super) fn holds(&self, snapshot: &Snapshot) -> bool {
        let reads = snapshot.http_reads(&self.slot.upstream.name);
        Arc::ptr_eq(&reads, &self.reads) || reads == self.reads
    }
}

/// Judges a request under the current snapshot, and enters what passes or is refused.
async fn judge(asked: &Asked<'_>) -> Result<Judged, Answered> {
    let content = content(asked);
    let (caller, slot, accepts) = (asked.caller, &asked.slot, asked.head.accepts);
    let mut session = slot.session().await;
    let Some(session) = session.as_mut().filter(|_| slot.cut().is_none()) else {
        return Err(refuse::cut(caller, slot, accepts));
    };
    let operations = Arc::clone(&asked.classified.operations);
    match session.judge_if(|snapshot| asked.holds(snapshot), operations, asked.classified.shape, content) {
        Some(Verdict::Permit(permit)) => {
            session.add_permit(permit);
            enter_permit(caller, session, asked).await.map(Judged::Passes)
        }
        Some(Verdict::Deny(deny)) => Err(Box::pin(refuse::enter_denial(caller, session, accepts, deny)).await),
        Some(Verdict::Ask(_)) => Ok(Judged::Waits),
        None => stale(caller, slot, session, accepts).map_or(Ok(Judged::Stale), Err),
    }
}

/// Nothing was decided: because the policies have changed, or because the session must end.
pub(super) fn stale(caller: &Caller, slot: &Slot, session: &Session, accepts: Accepts) -> Option<Answered> {
    if session.snapshot().revocations().check(session.who()).is_err() {
        slot.live.cut(Cut::Revoked);
        return Some(refuse::cut(caller, slot, accepts));
    }
    None
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
pub(super) async fn send(
    asked: &mut Asked<'_>,
    receipt: Receipt,
    changes: Option<OnUpgrade>,
) -> Result<Answered, Answered> {
    let cargo = std::mem::replace(&mut asked.cargo, Body::Whole(Bytes::new(), None));
    let Asked { caller, slot, head, pulse, classified, written, .. } = &*asked;
    let decision = receipt.decision();
    let grpc = head.accepts.grpc;
    let upgrade = head.upgrade.as_deref().and_then(|protocol| HeaderValue::try_from(protocol).ok());
    let speaks = match (&upgrade, grpc) {
        (Some(_), _) => Speaks::Http1,
        (None, true) => Speaks::Http2,
        (None, false) => Speaks::Any,
    };
    let credential = slot.upstream.credential.as_ref();
    let (upload, digest) = match cargo {
        Body::Whole(whole, trailers) => {
            let needs = credential.is_some_and(|credential| credential.needs_body_digest());
            let digest = needs.then(|| hold::sha256(&whole));
            (Upload::Whole(Some(whole), trailers), digest)
        }
        Body::Coming(body, overrides) => {
            let digest = (credential.is_some() && body.is_end_stream()).then(|| hold::sha256(b""));
            let limits = &slot.upstream.limits;
            let pace = Pace { pulse: Arc::clone(pulse), pause: limits.upload, answer: limits.answer };
            let pace = (!grpc).then_some(pace);
            let mut upload = Upload::stream(body, pace);
            if let Some(overrides) = overrides {
                upload.look_for(overrides);
            }
            if let Some(written) = written
                && !shows_in_clear(slot, written).await
            {
                upload.seek(written.search());
            }
            (upload, digest)
        }
    };
    let breach = upload.breach();
    let cargo = Cargo { upload, digest, speaks, upgrade, patient: grpc };
    let sending = forward(&caller.gateway, slot, receipt, cargo, pulse);
    let forwarded = tokio::select! {
        biased;
        forwarded = sending => forwarded,
        _cut = slot.gone() => return Err(refuse::cut(caller, slot, head.accepts)),
    };
    match forwarded {
        Ok(forwarded) => {
            let answered = answer(caller, slot, head, classified, forwarded, changes);
            answered.map_err(|unfit| unfit.refuse(caller, slot, head, decision))
        }
        Err(ForwardError::Broken(_)) if let Some(breach) = breach.as_ref().and_then(|breach| breach.get()) => {
            let template = &classified.template;
            Err(match breach {
                Breach::Violation(violation) => Box::pin(violated(caller, slot, head, template, *violation)).await,
                Breach::MaskedValue => {
                    Box::pin(refuse_request(caller, slot, head, Undecidable::MaskedValue, template)).await
                }
            })
        }
        // It was the client that broke the exchange, by a body that cannot be read in one way.
        Err(ForwardError::Broken(_)) if caller.line.violation().is_some() => {
            let violation = caller.line.violation().unwrap_or(Violation::Body);
            let refusal = Refusal::violated(violation, Some(decision), &caller.gateway.parts.public_url).closing();
            Err(refuse::reply(caller, head.accepts, &refusal))
        }
        Err(error) => Err(failed(caller, slot, head, decision, &error)),
    }
}

/// The upstream did not answer; why, the log says.
fn failed(caller: &Caller, slot: &Slot, head: &Head, decision: DecisionId, error: &ForwardError) -> Answered {
    let url = &caller.gateway.parts.public_url;
    tracing::warn!(upstream = %slot.upstream.name, %decision, %error, "an upstream did not answer");
    let (refusal, reached) = match error {
        ForwardError::Late => (Refusal::upstream_slow(Some(decision), url), None),
        ForwardError::Broken(_) => (Refusal::upstream_failed(Some(decision), url), None),
        ForwardError::Dial(_) | ForwardError::Credential(_) | ForwardError::Sealed | ForwardError::Stopping => {
            (Refusal::upstream_failed(Some(decision), url), Some(Reached::Not))
        }
    };
    let mut answered = refuse::reply(caller, head.accepts, &refusal);
    reached.map(|reached| answered.extensions_mut().insert(reached));
    answered
}
