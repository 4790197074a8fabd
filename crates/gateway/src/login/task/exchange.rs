//! Token exchange (RFC 8693): attestations become a short token of Parapet's for one task. What is granted is no more than was
//! asked, than the shown token allowed, and than policy could ever permit; it ends no later than what it was bought with.
//!
//! Attestations are verified by the same code as at logins. Each exchange is a decision and stands in the audit log, whatever
//! comes of it; callers learn a fixed word. How requests travel is not known here.

mod rate;
mod request;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::audit::{Batch, Entry, Event, Exchange};
use kernel::id::{DecisionId, TaskId};
use kernel::policy::Snapshot;
use kernel::ports::{AuditLog, Clock, NewTask, Snapshots, Spent, SpentTokens, TaskRecords};
use kernel::provenance::Provenance;
use kernel::task::{Details, Link, Scope, Task};
use kernel::time::Timestamp;
use kernel::trust::{Authenticated, Evidence, Sender, VerifiedAttestation};
use kernel::workload::{Name, Person};

pub use self::request::{ExchangeError, ExchangeRequest};
use super::{Confirmation, Issued, LONGEST_LIFE, NewToken, ShownBeside, TaskTokens, USUAL_LIFE, Verified};
use crate::login::oidc::Issuers;

/// What an exchange yields.
#[derive(Debug)]
pub struct Exchanged {
    /// The token.
    pub issued: Issued,
    /// Its task.
    pub task: TaskId,
    /// Is it bound to a key that DPoP proves?
    pub dpop: bool,
    /// What was granted.
    pub details: Details,
    /// The decision.
    pub decision: DecisionId,
}

/// What a person asks for a workload.
#[derive(Debug)]
pub struct ByPerson<'a> {
    /// Who asks.
    pub person: &'a Person,
    /// For whom.
    pub workload: &'a Name,
    /// For what.
    pub details: Details,
    /// How long the token lives.
    pub life: Duration,
    /// The key that it is bound to.
    pub confirmation: Option<Confirmation>,
}

/// What exchanges need of the rest of the product.
#[derive(Clone)]
pub struct ExchangeParts {
    /// Who signs.
    pub tokens: Arc<TaskTokens>,
    /// Whose attestations count.
    pub issuers: Arc<Issuers>,
    /// Policies, workloads and trust rules.
    pub snapshots: Arc<dyn Snapshots>,
    /// Remembers what counts once.
    pub spent: Arc<dyn SpentTokens>,
    /// Remembers tasks.
    pub records: Arc<dyn TaskRecords>,
    /// The audit log.
    pub log: Arc<dyn AuditLog>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for ExchangeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeParts").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

/// Exchanges attestations for tokens.
#[derive(Clone)]
pub struct Exchanges {
    parts: ExchangeParts,
    rates: Arc<rate::Rates>,
}

impl fmt::Debug for Exchanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanges").finish_non_exhaustive()
    }
}

/// Somebody who showed a token.
enum Party {
    /// A token of an issuer, or of a certificate.
    Attested(Box<VerifiedAttestation>),
    /// A token of Parapet's own.
    Ours(Box<Verified>),
}

/// What is known of an exchange while it goes on, for its entry.
#[derive(Default)]
struct Known {
    workload: Option<Name>,
    evidence: Option<Evidence>,
    claims: Option<kernel::trust::Claims>,
    provenance: Option<Provenance>,
    details: Option<Details>,
    expires: Option<Timestamp>,
}

/// Everything that the token will say.
struct Grant {
    workload: Name,
    task: TaskId,
    details: Details,
    above: Vec<Link>,
    chain: Vec<Arc<str>>,
    provenance: Provenance,
    confirmation: Option<Confirmation>,
    expires: Timestamp,
    /// Is the task remembered already?
    known: bool,
}

impl Exchanges {
    /// With these parts.
    pub fn new(parts: ExchangeParts) -> Self {
        Self { parts, rates: Arc::default() }
    }

    /// Exchanges what is shown, and enters what came of it.
    pub async fn exchange(&self, request: &ExchangeRequest) -> Result<Exchanged, (ExchangeError, DecisionId)> {
        let now = self.parts.clock.now();
        let decision = DecisionId::new(now, self.parts.clock.random());
        let mut known = Known::default();
        let granted = match self.grant(request, now, &mut known).await {
            Ok(grant) => self.issue(grant, None, &mut known).await,
            Err(error) => Err(error),
        };
        let why = granted.as_ref().err().map(ToString::to_string);
        if self.enter(decision, request.source, &known, why.as_deref()).await.is_err() {
            // What does not stand in the log did not happen: the token is dropped unseen.
            return Err((ExchangeError::Unavailable("the audit log does not take entries"), decision));
        }
        granted.map(|(issued, grant)| exchanged(issued, grant, decision)).map_err(|error| (error, decision))
    }

    /// Issues a token to a workload because a person says so, who answers for it.
    pub async fn issue_by(&self, asked: ByPerson<'_>, source: IpAddr) -> Result<Exchanged, ExchangeError> {
        let now = self.parts.clock.now();
        let decision = DecisionId::new(now, self.parts.clock.random());
        let snapshot = self.parts.snapshots.current();
        let ByPerson { person, workload, details, life, confirmation } = asked;
        let registered =
            snapshot.workload(workload).ok_or(ExchangeError::Refused("there is no such workload".into()))?;
        if registered.standing(now) != kernel::workload::Standing::Good {
            return Err(ExchangeError::Refused("the workload may not act".into()));
        }
        if life > LONGEST_LIFE || life < Duration::from_secs(1) {
            return Err(ExchangeError::Request("a token lives for at most an hour, and at least a second"));
        }
        let ends = registered.expires.map_or(now.after(life), |ends| ends.min(now.after(life)));
        let mut known = Known { workload: Some(workload.clone()), ..Known::default() };
        let grant = Grant {
            workload: workload.clone(),
            task: TaskId::new(now, self.parts.clock.random()),
            details: within_rights(&snapshot, workload, details)?,
            above: Vec::new(),
            chain: vec![Arc::clone(&person.0), workload.as_str().into()],
            provenance: Provenance::default(),
            confirmation,
            expires: ends,
            known: false,
        };
        let (issued, grant) = self.issue(grant, Some(person), &mut known).await?;
        if self.enter(decision, source, &known, None).await.is_err() {
            return Err(ExchangeError::Unavailable("the audit log does not take entries"));
        }
        Ok(exchanged(issued, grant, decision))
    }

    /// Finds out what may be granted.
    async fn grant(
        &self,
        request: &ExchangeRequest,
        now: Timestamp,
        known: &mut Known,
    ) -> Result<Grant, ExchangeError> {
        let snapshot = self.parts.snapshots.current();
        let beside = ShownBeside { certificate: request.certificate.as_ref(), key: request.key.as_deref() };
        let subject = self.party(request.subject.expose(), beside, "subject").await?;
        let issuer = match &subject {
            Party::Attested(attestation) => attestation.evidence().issuer(),
            Party::Ours(_) => self.parts.tokens.issuer(),
        };
        if !self.rates.admit(issuer, now) {
            return Err(ExchangeError::TooMany(issuer.to_owned()));
        }
        let actor = match &request.actor {
            Some(token) => Some(self.party(token.expose(), beside, "actor").await?),
            None => None,
        };
        let acting = actor.as_ref().unwrap_or(&subject);
        let who = self.authenticated(acting, &snapshot, now, known).await?;
        let mut chain = match (&subject, &actor) {
            (Party::Ours(subject), _) => subject.task.chain().to_vec(),
            (Party::Attested(subject), Some(_)) => vec![self.origin(subject, &snapshot, now).await?],
            (Party::Attested(_), None) => Vec::new(),
        };
        if let (Party::Attested(subject), Some(actor)) = (&subject, &actor) {
            may_act(subject, actor, who.workload())?;
        }
        if chain.last().map(|last| &**last) != Some(who.workload().as_str()) {
            chain.push(who.workload().as_str().into());
        }
        let provenance =
            Provenance { task: None, ..who.provenance().map(|known| Provenance::clone(known)).unwrap_or_default() };
        let (above, task, inherited) = match &subject {
            Party::Ours(subject) => {
                let details = subject.task.links().last().map(|link| link.details.clone());
                (subject.task.links().to_vec(), Some(subject.task.id()), details)
            }
            Party::Attested(_) => (Vec::new(), None, None),
        };
        let asked = asked(request, inherited, &provenance)?;
        let details = within_rights(&snapshot, who.workload(), narrowed_to(asked, &request.audience)?)?;
        // Who asks for less gets less; a Parapet token lives on as long as it did.
        let most = match &subject {
            Party::Ours(_) => LONGEST_LIFE,
            Party::Attested(_) => who.task_life().unwrap_or(USUAL_LIFE).min(LONGEST_LIFE),
        };
        let life = request.life.map_or(most, |asked| asked.min(most));
        let ends = [Some(now.after(life)), who.until(), until(&subject)];
        let grant = Grant {
            workload: who.workload().clone(),
            task: task.unwrap_or_else(|| TaskId::new(now, self.parts.clock.random())),
            known: task.is_some(),
            details,
            above,
            chain,
            provenance,
            confirmation: confirmation(request, &subject, acting),
            expires: ends.into_iter().flatten().min().unwrap_or(now),
        };
        Ok(grant)
    }

    /// Verifies one token that is shown.
    async fn party(&self, token: &str, beside: ShownBeside<'_>, which: &'static str) -> Result<Party, ExchangeError> {
        let refused = |why: String| ExchangeError::Refused(format!("{which} token: {why}"));
        if TaskTokens::is_meant(token) {
            let verified = self.parts.tokens.verify_unbound(token).map_err(|error| refused(error.to_string()))?;
            super::sender(verified.confirmation.as_ref(), beside).map_err(|error| refused(error.to_string()))?;
            return Ok(Party::Ours(Box::new(verified)));
        }
        let verified = self.parts.issuers.verify_beside(token, beside.certificate).await;
        verified.map(|found| Party::Attested(Box::new(found))).map_err(|error| refused(error.to_string()))
    }

    /// The workload that acts, bound by its trust rule as at a login.
    async fn authenticated(
        &self,
        acting: &Party,
        snapshot: &Snapshot,
        now: Timestamp,
        known: &mut Known,
    ) -> Result<Authenticated, ExchangeError> {
        let attestation = match acting {
            Party::Attested(attestation) => VerifiedAttestation::clone(attestation),
            Party::Ours(verified) => {
                let bound = verified.confirmation.is_some();
                verified.attested(if bound { Sender::Bound } else { Sender::Bearer })
            }
        };
        known.evidence = Some(attestation.evidence().clone());
        let find = |name: &Name| snapshot.workload(name).map(|workload| &**workload);
        let who = snapshot
            .trust()
            .authenticate(&attestation, None, find, now)
            .and_then(|who| snapshot.revocations().check(&who).map(|()| who))
            .map_err(|error| ExchangeError::Refused(error.to_string()))?;
        known.workload = Some(who.workload().clone());
        known.claims = Some(who.accepted().clone());
        for token in who.once() {
            match self.parts.spent.spend(token).await {
                Ok(Spent::Consumed) => {}
                Ok(Spent::AlreadyUsed) => {
                    return Err(ExchangeError::Refused("the token was shown before, and counts once".into()));
                }
                Err(_) => return Err(ExchangeError::Unavailable("spent tokens cannot be looked up")),
            }
        }
        Ok(who)
    }

    /// For whom an actor acts: a workload by its trust rule, or else the person whom the token names. It gives no right.
    async fn origin(
        &self,
        subject: &VerifiedAttestation,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Arc<str>, ExchangeError> {
        let find = |name: &Name| snapshot.workload(name).map(|workload| &**workload);
        if let Ok(who) = snapshot.trust().authenticate(subject, None, find, now) {
            // Nobody acts for a workload whose proof was revoked.
            let revoked = |error: kernel::trust::IdentityRefusal| ExchangeError::Refused(error.to_string());
            return snapshot.revocations().check(&who).map_err(revoked).map(|()| who.workload().as_str().into());
        }
        let claim = |name: &str| subject.claims().get(name);
        let named = claim("email").or_else(|| claim("sub"));
        named
            .map(|name| crate::login::shortened(name).into())
            .ok_or_else(|| ExchangeError::Refused("the subject token names nobody".into()))
    }

    async fn issue(
        &self,
        grant: Grant,
        by: Option<&Person>,
        known: &mut Known,
    ) -> Result<(Issued, Grant), ExchangeError> {
        let now = self.parts.clock.now();
        let new = NewToken {
            workload: grant.workload.clone(),
            task: grant.task,
            details: grant.details.clone(),
            above: grant.above.clone(),
            chain: grant.chain.clone(),
            provenance: grant.provenance.clone(),
            confirmation: grant.confirmation.clone(),
            expires: grant.expires,
        };
        let issued =
            self.parts.tokens.sign(&new).map_err(|_| ExchangeError::Unavailable("the token could not be signed"))?;
        if issued.expires <= now {
            return Err(ExchangeError::Refused("what was shown ends now".into()));
        }
        // What is signed must hold where it is shown: no token leaves that would be refused there, such as one that widens.
        let own = Link { mark: [0; 32], details: grant.details.clone(), expires: issued.expires };
        let task = Task::new(grant.task, grant.chain.clone(), grant.above.iter().cloned().chain([own]).collect())
            .map_err(|error| ExchangeError::Details(error.to_string()))?;
        known.provenance = Some(Provenance { task: Some(Arc::new(task)), ..grant.provenance.clone() });
        known.details = Some(grant.details.clone());
        known.expires = Some(issued.expires);
        if !grant.known {
            let record = NewTask {
                id: grant.task,
                workload: grant.workload.clone(),
                issued_at: now,
                issued_by: by.cloned(),
                expires_at: issued.expires,
                chain: grant.chain.clone(),
                details: grant.details.clone(),
                bound: grant.confirmation.is_some(),
            };
            let added = self.parts.records.add(&record).await;
            added.map_err(|_| ExchangeError::Unavailable("the task could not be stored"))?;
        }
        Ok((issued, grant))
    }

    async fn enter(
        &self,
        decision: DecisionId,
        source: IpAddr,
        known: &Known,
        why: Option<&str>,
    ) -> Result<(), kernel::audit::AppendError> {
        let details = known.details.as_ref().map(Details::value);
        let exchange = Exchange {
            decision,
            workload: known.workload.as_ref(),
            source,
            evidence: known.evidence.as_ref(),
            claims: known.claims.as_ref(),
            provenance: known.provenance.as_ref(),
            details: details.as_ref(),
            expires: known.expires,
            why,
        };
        let mut batch = Batch::default();
        batch.push(&Entry { at: self.parts.clock.now(), event: Event::Exchange(Box::new(exchange)) });
        self.parts.log.append(&batch).await.map(drop)
    }
}

fn exchanged(issued: Issued, grant: Grant, decision: DecisionId) -> Exchanged {
    let dpop = grant.confirmation.as_ref().is_some_and(|bound| bound.jkt.is_some());
    Exchanged { issued, task: grant.task, dpop, details: grant.details, decision }
}

fn until(party: &Party) -> Option<Timestamp> {
    match party {
        Party::Attested(attestation) => attestation.expires(),
        Party::Ours(verified) => Some(verified.expires),
    }
}

/// How the token is bound. What was bound stays so, and in the same way: a token that is bought with it must not be freer.
fn confirmation(request: &ExchangeRequest, subject: &Party, acting: &Party) -> Option<Confirmation> {
    if let Party::Ours(verified) = subject
        && verified.confirmation.is_some()
    {
        return verified.confirmation.clone();
    }
    let bound = matches!(acting, Party::Attested(attestation) if attestation.sender() == Sender::Bound);
    match (bound, &request.certificate, &request.key) {
        (true, Some(certificate), _) => Some(Confirmation::of_certificate(certificate)),
        (_, _, Some(key)) => Some(Confirmation::of_key(key)),
        (_, _, None) => None,
    }
}

/// Does the subject let this actor act for it (RFC 8693, section 4.4)? A subject that says nothing lets any: it gives no
/// rights, and takes none.
fn may_act(subject: &VerifiedAttestation, actor: &Party, workload: &Name) -> Result<(), ExchangeError> {
    let claims = subject.claims();
    if !claims.keys().any(|name| name == "may_act" || name.starts_with("/may_act")) {
        return Ok(());
    }
    let (sub, iss) = match actor {
        Party::Attested(actor) => (actor.claims().get("sub").cloned(), Some(actor.evidence().issuer().to_owned())),
        Party::Ours(_) => (None, None),
    };
    let named = claims.get("/may_act/sub");
    let is_actor = named.is_some() && (named == sub.as_ref() || named.map(String::as_str) == Some(workload.as_str()));
    let of_issuer = claims.get("/may_act/iss").is_none_or(|wanted| Some(wanted) == iss.as_ref());
    if is_actor && of_issuer {
        Ok(())
    } else {
        Err(ExchangeError::Refused("the subject token lets another act (`may_act`)".into()))
    }
}

/// What was asked: what the request says, or else what the shown token allows.
fn asked(
    request: &ExchangeRequest,
    inherited: Option<Details>,
    provenance: &Provenance,
) -> Result<Details, ExchangeError> {
    let mut details = match (&request.details, &inherited) {
        (Some(details), _) => details.clone(),
        (None, Some(inherited)) => inherited.clone(),
        (None, None) => Details { scopes: vec![Scope::default()], ..Details::default() },
    };
    if let Some(inherited) = &inherited {
        details
            .within(inherited)
            .map_err(|wider| ExchangeError::Details(format!("wider than the token shown: {wider}")))?;
        return Ok(details);
    }
    // Of which run it is, the issuer of the attestation knows better than the caller.
    for (said, proven) in [(&mut details.run, &provenance.run), (&mut details.commit, &provenance.commit)] {
        match (said.as_ref(), proven) {
            (Some(said), Some(proven)) if said != proven => {
                return Err(ExchangeError::Details("run or commit are not those of the attestation".into()));
            }
            (None, Some(proven)) => *said = Some(Arc::clone(proven)),
            _ => {}
        }
    }
    Ok(details)
}

/// Leaves the upstreams that the request named as its audience.
fn narrowed_to(mut details: Details, audience: &[Name]) -> Result<Details, ExchangeError> {
    if audience.is_empty() {
        return Ok(details);
    }
    for scope in &mut details.scopes {
        scope.locations = Some(match &scope.locations {
            None => audience.iter().cloned().collect(),
            Some(own) => own.iter().filter(|name| audience.contains(name)).cloned().collect(),
        });
    }
    details.scopes.retain(|scope| scope.locations.as_ref().is_some_and(|names| !names.is_empty()));
    if details.scopes.is_empty() { Err(ExchangeError::Target) } else { Ok(details) }
}

/// Holds a task against what policy could ever permit: upstreams that there are, and actions that some permit of the workload
/// is about. What is asked beyond is refused rather than left out, so that nobody believes to have it.
fn within_rights(snapshot: &Snapshot, workload: &Name, mut details: Details) -> Result<Details, ExchangeError> {
    if details.scopes.is_empty() {
        details.scopes.push(Scope::default());
    }
    for scope in &mut details.scopes {
        let connects = |upstream: &Name| snapshot.may_ever(workload, upstream, "connect");
        let locations = match scope.locations.take() {
            Some(named) => {
                if !named.iter().all(connects) {
                    return Err(ExchangeError::Target);
                }
                named
            }
            None => snapshot.upstreams().map(|upstream| upstream.name.clone()).filter(connects).collect(),
        };
        if locations.is_empty() {
            return Err(ExchangeError::Target);
        }
        for action in scope.actions.iter().flatten() {
            if !locations.iter().any(|upstream| snapshot.may_ever(workload, upstream, action)) {
                return Err(ExchangeError::Details(format!("no policy could permit `{action}` there")));
            }
        }
        scope.locations = Some(locations);
    }
    Ok(details)
}
