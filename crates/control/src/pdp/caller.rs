//! Who asks, and what they may ask: everything behind the decision point passes here first.
//!
//! A caller is a program with a token of its own, a workload that proves itself as it does to the gateway (by a token or by
//! mutual TLS), or a person with their token. A proxy that passes on its client's `Authorization` shows its own token in
//! `Parapet-Caller`.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderName, header};
use kernel::policy::Disclosure;
use kernel::secret::Secret;
use kernel::workload::Name;
use subtle::ConstantTimeEq as _;

use super::forwarded::HeaderFamily;
use super::parts::{Settings, ShownProof};
use super::{Arrived, Point};
use crate::problem::Problem;

/// The header in which a proxy shows its own token, because `Authorization` is its client's.
const OWN: HeaderName = HeaderName::from_static("parapet-caller");

/// What a caller may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Ask for a decision about a workload that it names: AuthZEN's evaluations, and OPA's shape.
    Evaluate,
    /// Search who may do what.
    Search,
    /// Ask people for approval of what was denied.
    Request,
    /// Pass on requests of its clients, as a proxy: `ext_authz` and `auth_request`.
    Check,
}

/// How a program proves that it is a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerProof {
    /// By a token, of which this is the SHA-256.
    Token([u8; 32]),
    /// As this workload, by whatever attests it to the gateway.
    Workload(Name),
}

/// A program that may ask.
#[derive(Clone, Debug)]
pub struct CallerEntry {
    /// Its name, for the log.
    pub name: Name,
    /// How it proves itself.
    pub proof: CallerProof,
    /// What it may use.
    pub may: BTreeSet<Use>,
    /// The upstreams that it may ask about; every one where it is empty.
    pub upstreams: BTreeSet<Name>,
    /// How much it is told.
    pub disclosure: Disclosure,
    /// In which headers it passes on method, host and path for `auth_request`.
    pub headers: HeaderFamily,
    /// Is its word taken that the key of a certificate which it passes on was proved to it?
    pub certificates: bool,
}

/// Somebody who proved that they may ask.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: Arc<str>,
    pub(super) may: BTreeSet<Use>,
    pub(super) upstreams: BTreeSet<Name>,
    pub(super) disclosure: Disclosure,
    pub(super) headers: HeaderFamily,
    pub(super) certificates: bool,
    /// A person, who asks ahead for others: never an approver of it.
    pub(super) person: Option<kernel::workload::Person>,
}

impl Caller {
    /// May it ask about this upstream?
    pub(super) fn may_ask_about(&self, upstream: &Name) -> bool {
        self.upstreams.is_empty() || self.upstreams.contains(upstream)
    }

    fn of(entry: &CallerEntry) -> Self {
        Self {
            name: entry.name.as_str().into(),
            may: entry.may.clone(),
            upstreams: entry.upstreams.clone(),
            disclosure: entry.disclosure,
            headers: entry.headers,
            certificates: entry.certificates,
            person: None,
        }
    }
}

/// Whose the `Authorization` of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    /// The caller's.
    Own,
    /// That of the caller's client, which the caller passes on.
    PassedOn,
}

/// Lets in who may use this.
pub(super) async fn admit(
    point: &Point,
    arrived: &Arrived,
    headers: &HeaderMap,
    authorization: Authorization,
    wanted: Use,
) -> Result<Caller, Problem> {
    let own = one(headers, &OWN)?.map(|text| text.strip_prefix("Bearer ").unwrap_or(text));
    let token = match own {
        Some(own) => Some(own),
        None if authorization == Authorization::PassedOn => None,
        None => one(headers, &header::AUTHORIZATION)?.and_then(|text| text.strip_prefix("Bearer ")),
    };
    let caller = find(point, arrived, token).await?;
    if caller.may.contains(&wanted) { Ok(caller) } else { Err(Problem::Forbidden) }
}

/// The value of a header that stands there once at most.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(Problem::Unauthenticated),
    }
}

/// Who calls. Tokens that are compared are always looked at; what costs a verification is not, where the address has failed too
/// often.
async fn find(point: &Point, arrived: &Arrived, token: Option<&str>) -> Result<Caller, Problem> {
    let settings = (point.parts.settings)();
    if let Some(caller) = token.and_then(|token| known(point, &settings, token)) {
        return Ok(caller);
    }
    let (source, now) = (arrived.connected.source, point.parts.clock.now());
    if point.failed.is_spent(source, now) {
        return Err(Problem::TooManyFailures);
    }
    match proved(point, &settings, arrived, token).await {
        Some(caller) => Ok(caller),
        None => {
            point.failed.admit(source, now);
            Err(Problem::Unauthenticated)
        }
    }
}

/// A caller with a token of its own, or a person.
fn known(point: &Point, settings: &Settings, token: &str) -> Option<Caller> {
    if let Some(entry) = by_token(&settings.callers, token) {
        return Some(Caller::of(entry));
    }
    let people = point.parts.people.borrow().clone();
    let person = people.find(token)?;
    Some(Caller {
        name: person.person.0.clone(),
        may: [Use::Evaluate, Use::Search, Use::Request].into(),
        upstreams: BTreeSet::new(),
        disclosure: Disclosure::Full,
        headers: HeaderFamily::default(),
        certificates: false,
        person: Some(person.person),
    })
}

/// A caller that proves itself as a workload.
async fn proved(point: &Point, settings: &Settings, arrived: &Arrived, token: Option<&str>) -> Option<Caller> {
    let certificates = arrived.connected.certificates.clone();
    let workloads = settings.callers.iter().any(|entry| matches!(entry.proof, CallerProof::Workload(_)));
    if !workloads || (token.is_none() && certificates.is_empty()) {
        return None;
    }
    let shown = ShownProof {
        token: token.map(|token| Secret::new(token.to_owned())),
        certificates,
        passed_on: false,
        source: arrived.connected.source,
        costs: false,
    };
    match (point.parts.identify)(shown).await {
        Ok(who) => {
            let is = |entry: &&CallerEntry| entry.proof == CallerProof::Workload(who.workload.clone());
            settings.callers.iter().find(is).map(Caller::of)
        }
        Err(why) => {
            tracing::debug!(why = why.0, "a caller of the decision point did not prove who it is");
            None
        }
    }
}

/// The caller whose token it is. Every entry is compared, so that the time says nothing about which one it was.
fn by_token<'e>(entries: &'e [CallerEntry], token: &str) -> Option<&'e CallerEntry> {
    let shown = digest(&SHA256, token.as_bytes());
    let mut found = None;
    for entry in entries {
        if let CallerProof::Token(hash) = &entry.proof
            && bool::from(hash.as_slice().ct_eq(shown.as_ref()))
        {
            found = Some(entry);
        }
    }
    found
}
