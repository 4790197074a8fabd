//! Saying no in HTTP's words: problem details, a small page for people, gRPC's status with its details, and what the clients of
//! each secret store read.
//!
//! Statuses stand in the table of [`Kind`]: no 2xx for what was not done, no `Retry-After` where a retry would be denied
//! again. Each answer carries the decision's id and is not stored. Callers put no literal or upstream text into one. The
//! texts are `crate::refusal`'s; the bytes are `write`'s, and a store's own file's. Sources: RFC 9457; RFC 9110, §15; gRPC over
//! HTTP/2 and its richer error model (`google.rpc.Status`).

mod aws;
mod kubernetes;
mod vault;
mod write;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use kernel::id::{ApprovalId, DecisionId};
use kernel::policy::Disclosure;
use kernel::time::Timestamp;
use kernel::verdict::{Ask, Deny, DenyReason, Fault, Undecidable};
use kernel::workload::Workload;

use crate::http::head::Accepts;
use crate::http::secret_store::Profile;
use crate::http::violation::Violation;
use crate::refusal::{self, Desk, Refused};

/// The header that carries the decision's id.
pub const DECISION: HeaderName = HeaderName::from_static("parapet-decision");
/// The header that says which fields of an answer were replaced.
pub const MASKED: HeaderName = HeaderName::from_static("parapet-masked");
/// The header that says at what an answer was cut.
pub const LIMITED: HeaderName = HeaderName::from_static("parapet-limited");

/// When to look again at a request that waits for people: seconds.
const LOOK_AGAIN: u32 = 10;

/// Why a request does not get its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A policy says no, or none says yes.
    Denied,
    /// The workload may not act.
    Quarantined,
    /// People must approve.
    ApprovalRequired,
    /// People must approve, and the gateway carries it out when they have: only after `Prefer: respond-async`.
    Accepted,
    /// No request is kept there, or it is another workload's.
    NoSuchRequest,
    /// A kept request was not carried out, and will not be.
    NotCarriedOut,
    /// A kept request was being carried out when the gateway or the connection stopped.
    OutcomeUnknown,
    /// A kept request was carried out, and its answer is not kept.
    AnswerLost,
    /// The grant is for other content.
    GrantMismatch,
    /// A budget is used up.
    OverBudget,
    /// It cannot be decided, through no fault of the client.
    CannotDecide,
    /// It can be read in two ways, or not at all.
    Malformed(u16),
    /// Nobody has proved who they are.
    Unauthenticated,
    /// The upstream cannot be reached, or broke its answer off before it began.
    UpstreamFailed,
    /// The upstream did not answer in time.
    UpstreamSlow,
}

/// How one kind is said: status, the last part of the problem's type, title, gRPC's code.
struct Words {
    status: u16,
    problem: &'static str,
    title: &'static str,
    grpc: i32,
}

impl Kind {
    /// The status of the answer. gRPC's is 200, with its own in `grpc-status`.
    pub const fn status(self) -> u16 {
        self.words().status
    }

    /// May the same request be sent again and get another answer, once its time has come?
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::OverBudget)
    }

    const fn words(self) -> Words {
        let (status, problem, title, grpc) = match self {
            Self::Denied => (403, "denied", "Blocked by policy", grpc::PERMISSION_DENIED),
            Self::Quarantined => (403, "quarantined", "The workload may not act", grpc::PERMISSION_DENIED),
            Self::ApprovalRequired => (403, "approval-required", "Approval is required", grpc::FAILED_PRECONDITION),
            Self::Accepted => (202, "approval-required", "Waits for approval", grpc::FAILED_PRECONDITION),
            Self::NoSuchRequest => (404, "no-such-request", "No request is kept here", grpc::FAILED_PRECONDITION),
            Self::NotCarriedOut => (410, "not-carried-out", "Was not carried out", grpc::FAILED_PRECONDITION),
            Self::OutcomeUnknown => (410, "outcome-unknown", "May have been carried out", grpc::FAILED_PRECONDITION),
            Self::AnswerLost => (410, "answer-lost", "Was carried out, without an answer", grpc::FAILED_PRECONDITION),
            Self::GrantMismatch => {
                (412, "grant-mismatch", "What was approved is not what was sent", grpc::FAILED_PRECONDITION)
            }
            Self::OverBudget => (429, "over-budget", "A budget is used up", grpc::RESOURCE_EXHAUSTED),
            Self::CannotDecide => (503, "cannot-decide", "Cannot be decided", grpc::INTERNAL),
            Self::Malformed(status) => {
                let grpc = if status == 405 { grpc::UNIMPLEMENTED } else { grpc::INVALID_ARGUMENT };
                (status, "malformed", "Cannot be read in one way", grpc)
            }
            Self::Unauthenticated => (401, "unauthenticated", "Not authenticated", grpc::UNAUTHENTICATED),
            // Not UNAVAILABLE, on which clients of gRPC retry: what was sent may have been done.
            Self::UpstreamFailed => (502, "upstream-failed", "The upstream failed", grpc::INTERNAL),
            Self::UpstreamSlow => {
                (504, "upstream-slow", "The upstream did not answer in time", grpc::DEADLINE_EXCEEDED)
            }
        };
        Words { status, problem, title, grpc }
    }

    /// The kind and status of what cannot be decided: 503 where we are at fault, another where the client is.
    pub const fn of_undecidable(why: Undecidable) -> Self {
        match why.fault_by_http() {
            Fault::Unreadable => Self::Malformed(400),
            Fault::Method => Self::Malformed(405),
            Fault::Size => Self::Malformed(413),
            Fault::Refused => Self::Denied,
            Fault::Gateway => Self::CannotDecide,
        }
    }
}

/// gRPC's status codes. `UNAVAILABLE` is not among them, because clients retry it.
mod grpc {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const DEADLINE_EXCEEDED: i32 = 4;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const INTERNAL: i32 = 13;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// A request that waits for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub approval: ApprovalId,
    /// Until when it is open.
    pub expires: Option<Timestamp>,
}

/// What is said of a request that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// The message line.
    pub line: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
    /// What to do next.
    pub next: Option<&'a str>,
}

/// A refusal, before it has a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    kind: Kind,
    refused: Refused,
    decision: Option<DecisionId>,
    waiting: Option<Waiting>,
    /// `PARnnnn`.
    code: Option<&'static str>,
    /// Seconds.
    retry_after: Option<u32>,
    /// Where a kept request is looked after.
    kept_at: Option<String>,
    /// The connection ends behind the answer.
    close: bool,
    url: String,
}

/// The form that an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json`.
    Problem,
    /// A page for people.
    Html,
    /// gRPC: a head that is a trailer too.
    Grpc,
    /// gRPC-Web: the same under another content type.
    GrpcWeb,
    /// A `Status` object of Kubernetes.
    Kubernetes,
    /// The errors of OpenBao and Vault.
    Vault,
    /// The error of a service of AWS.
    Aws,
}

impl Form {
    /// The form that a caller reads.
    pub const fn of(accepts: Accepts) -> Self {
        match accepts {
            Accepts { grpc_web: true, .. } => Self::GrpcWeb,
            Accepts { grpc: true, .. } => Self::Grpc,
            Accepts { html: true, .. } => Self::Html,
            Accepts { store: Some(Profile::Kubernetes), .. } => Self::Kubernetes,
            Accepts { store: Some(Profile::Vault), .. } => Self::Vault,
            Accepts { store: Some(Profile::AwsSecretsManager), .. } => Self::Aws,
            Accepts { store: None, .. } => Self::Problem,
        }
    }
}

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, without those that the connection adds: length, date, `Connection`.
    pub headers: HeaderMap,
    /// The body; empty for gRPC.
    pub body: Vec<u8>,
    /// The connection of HTTP/1 ends behind it.
    pub close: bool,
}

impl Refusal {
    /// A denial. A budget that is used up says when it has room again.
    pub fn denied(deny: &Deny, workload: Option<&Workload>, desk: Desk<'_>) -> Self {
        let (kind, code) = match deny.reason() {
            DenyReason::Policy(_)
            | DenyReason::NoPermit
            | DenyReason::NotApproved(_)
            | DenyReason::OutsideTask { .. } => (Kind::Denied, None),
            DenyReason::Quarantine(_) | DenyReason::Standing => (Kind::Quarantined, None),
            DenyReason::OverBudget(_) => (Kind::OverBudget, None),
            DenyReason::CannotDecide(why) => (Kind::of_undecidable(*why), Some(why.code())),
        };
        Self {
            kind,
            refused: refusal::denied(deny, workload, desk),
            decision: Some(deny.subject().decision()),
            waiting: None,
            code: code.filter(|_| desk.disclosure != Disclosure::Id),
            retry_after: deny
                .frees_in()
                .map(|time| u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)),
            kept_at: None,
            close: false,
            url: desk.url.to_owned(),
        }
    }

    /// A request that waits for people.
    pub fn asked(ask: &Ask, waiting: Waiting, workload: Option<&Workload>, desk: Desk<'_>) -> Self {
        Self {
            kind: Kind::ApprovalRequired,
            refused: refusal::asked(ask, waiting.approval, workload, desk),
            decision: Some(ask.subject().decision()),
            waiting: (desk.disclosure != Disclosure::Id).then_some(waiting),
            code: None,
            retry_after: None,
            kept_at: None,
            close: false,
            url: desk.url.to_owned(),
        }
    }

    /// What cannot be read in one way. `decision`: where the caller was known, so that there is one. Where the framing is in
    /// doubt, the connection ends.
    pub fn violated(violation: Violation, decision: Option<DecisionId>, url: &str) -> Self {
        let code = violation.undecidable().code();
        let id = decision.map(|decision| format!(" [{decision}]")).unwrap_or_default();
        let refused = Refused {
            line: format!("blocked, cannot decide ({code}): {violation}{id}"),
            reason: Some(violation.undecidable().explanation().to_owned()),
            next: Some(violation.undecidable().hint().to_owned()),
            policy: None,
            at: None,
        };
        let close = matches!(violation.hazard(), "HT01" | "HT03" | "HT05") || violation == Violation::EarlyBytes;
        let kind = Kind::Malformed(violation.status());
        let code = Some(code);
        Self {
            kind,
            refused,
            decision,
            waiting: None,
            code,
            retry_after: None,
            kept_at: None,
            close,
            url: url.to_owned(),
        }
    }

    /// Nobody has proved who they are. Says nothing else: whether the token, the trust rule or the upstream was wrong is in
    /// the audit log.
    pub fn unauthenticated() -> Self {
        Self::plain(Kind::Unauthenticated, "not authenticated", None, "")
    }

    /// A denial that tells only its line, such as `blocked [ses_…]`: to who may not know whether there is anything here.
    pub fn blocked(line: &str) -> Self {
        Self::plain(Kind::Denied, line, None, "")
    }

    /// The upstream failed.
    pub fn upstream_failed(decision: Option<DecisionId>, url: &str) -> Self {
        Self::plain(Kind::UpstreamFailed, "the upstream failed or cannot be reached", decision, url)
    }

    /// The upstream did not answer in time.
    pub fn upstream_slow(decision: Option<DecisionId>, url: &str) -> Self {
        Self::plain(Kind::UpstreamSlow, "the upstream did not answer in time", decision, url)
    }

    /// It cannot be decided, before there is a verdict that says so: no snapshot, no log, the gateway stops.
    pub fn undecided(why: Undecidable, decision: Option<DecisionId>, url: &str) -> Self {
        let id = decision.map(|decision| format!(" [{decision}]")).unwrap_or_default();
        let line = format!("blocked, cannot decide ({}): this request{id}", why.code());
        let mut refusal = Self::plain(Kind::of_undecidable(why), "", decision, url);
        refusal.code = Some(why.code());
        refusal.refused.line = line;
        refusal.refused.reason = Some(why.explanation().to_owned());
        refusal.refused.next = Some(why.hint().to_owned());
        refusal
    }

    fn plain(kind: Kind, text: &str, decision: Option<DecisionId>, url: &str) -> Self {
        let id = decision.map(|decision| format!(" [{decision}]")).unwrap_or_default();
        Self {
            kind,
            refused: Refused { line: format!("{text}{id}"), reason: None, next: None, policy: None, at: None },
            decision,
            waiting: None,
            code: None,
            retry_after: None,
            kept_at: None,
            close: false,
            url: url.to_owned(),
        }
    }

    /// The grant that the caller refers to is for other content, or has expired.
    #[must_use]
    pub fn as_grant_mismatch(mut self) -> Self {
        self.kind = Kind::GrantMismatch;
        self
    }

    /// The gateway keeps the request and carries it out once it is approved: 202, with the path where it is looked after.
    /// Only if the caller preferred `respond-async` and the upstream's configuration allows it.
    #[must_use]
    pub fn as_accepted(mut self, kept_at: String) -> Self {
        if self.kind == Kind::ApprovalRequired {
            self.kind = Kind::Accepted;
            self.retry_after = Some(LOOK_AGAIN);
            self.refused.next =
                self.refused.next.map(|_| format!("once it is approved it is carried out: GET {kept_at}"));
            self.kept_at = Some(kept_at);
        }
        self
    }

    /// What is said of a request that is kept, by its kind: a line, what to do next, and the decision under which it was sent
    /// or denied. One that is under way ([`Kind::Accepted`]) is to be looked at again at `kept_at`.
    pub fn kept(kind: Kind, said: Said<'_>, decision: Option<DecisionId>, kept_at: &str, url: &str) -> Self {
        let mut refusal = Self::plain(kind, said.line, decision, url);
        refusal.refused.reason = said.reason.map(str::to_owned);
        refusal.refused.next = said.next.map(str::to_owned);
        if kind == Kind::Accepted {
            refusal.retry_after = Some(LOOK_AGAIN);
            refusal.kept_at = Some(kept_at.to_owned());
        }
        refusal
    }

    /// When to come again, in seconds: when a budget has room, or to look after a kept request. No other refusal says so,
    /// because clients retry where it stands.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        if matches!(self.kind, Kind::OverBudget | Kind::Accepted) {
            self.retry_after = Some(seconds.max(1));
        }
        self
    }

    /// The connection of HTTP/1 ends behind the answer: the request's body was not read.
    #[must_use]
    pub const fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Why.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The message line and its fields.
    pub const fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Writes the answer.
    pub fn reply(&self, form: Form) -> Reply {
        let words = self.kind.words();
        let mut headers = HeaderMap::with_capacity(8);
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        set(header::CACHE_CONTROL, "no-store");
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        if let Some(decision) = self.decision {
            set(DECISION, &decision.to_string());
        }
        if let Some(seconds) = self.retry_after {
            set(header::RETRY_AFTER, &seconds.to_string());
        }
        match words.status {
            401 => set(header::WWW_AUTHENTICATE, "Bearer"),
            405 => set(header::ALLOW, "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),
            202 => {
                set(HeaderName::from_static("preference-applied"), "respond-async");
                if let Some(place) = &self.kept_at {
                    set(header::LOCATION, place);
                }
            }
            _ => {}
        }
        let (status, body) = match form {
            Form::Problem => {
                set(header::CONTENT_TYPE, "application/problem+json");
                (words.status, write::problem(self, &words))
            }
            Form::Kubernetes => {
                set(header::CONTENT_TYPE, "application/json");
                (words.status, kubernetes::status(self, &words))
            }
            Form::Vault => {
                // hvac reads the errors of this very type.
                set(header::CONTENT_TYPE, "application/json");
                (words.status, vault::errors(self, &words))
            }
            Form::Aws => {
                set(header::CONTENT_TYPE, "application/x-amz-json-1.1");
                set(HeaderName::from_static("x-amzn-errortype"), aws::kind(self));
                (words.status, aws::error(self))
            }
            Form::Html => {
                set(header::CONTENT_TYPE, "text/html; charset=utf-8");
                set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
                (words.status, write::page(self, &words))
            }
            Form::Grpc | Form::GrpcWeb => {
                let web = form == Form::GrpcWeb;
                set(header::CONTENT_TYPE, if web { "application/grpc-web+proto" } else { "application/grpc" });
                set(HeaderName::from_static("grpc-status"), &words.grpc.to_string());
                set(HeaderName::from_static("grpc-message"), &write::grpc_message(&self.refused.line));
                set(HeaderName::from_static("grpc-status-details-bin"), &write::grpc_details(self, &words));
                (200, Vec::new())
            }
        };
        Reply { status, headers, body, close: self.close }
    }

    /// All that a person needs in one text, for clients that show no other: the line, and below it why and what to do next.
    fn message(&self) -> String {
        let mut message = self.refused.line.clone();
        for (term, text) in [("why:  ", &self.refused.reason), ("next: ", &self.refused.next)] {
            if let Some(text) = text {
                message.extend(["\n  ", term, text]);
            }
        }
        message
    }

    /// Where people look it up.
    fn instance(&self) -> Option<String> {
        let decision = self.decision.filter(|_| !self.url.is_empty())?;
        Some(format!("{}/d/{decision}", self.url))
    }

    fn approve_at(&self, waiting: &Waiting) -> String {
        format!("{}/a/{}", self.url, waiting.approval)
    }

    fn poll(&self, waiting: &Waiting) -> String {
        format!("{}/v1/approvals/{}", self.url, waiting.approval)
    }
}

impl Reply {
    /// As bytes of HTTP/1.1, for a connection on which nothing else can be said any more. It ends behind them.
    pub fn to_http1(&self) -> Vec<u8> {
        let reason = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason());
        let mut out = format!("HTTP/1.1 {} {}\r\n", self.status, reason.unwrap_or_default()).into_bytes();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(&self.body);
        out
    }

    /// As hyper takes it. `Connection: close` stands in it where the connection of HTTP/1 ends (`h2`: never).
    pub fn into_response(self, h2: bool) -> http::Response<Vec<u8>> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::FORBIDDEN);
        *response.headers_mut() = self.headers;
        if self.close && !h2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What an answer that passes says of its masks and limits: `Parapet-Decision`, `Parapet-Masked: card,email`,
/// `Parapet-Limited: bytes=1000`. Names are the configuration's; what is not ASCII is left out.
pub fn announce<'a>(
    headers: &mut HeaderMap,
    decision: DecisionId,
    masked: impl IntoIterator<Item = &'a str>,
    limited: Option<&str>,
) {
    if let Ok(value) = HeaderValue::try_from(decision.to_string()) {
        headers.insert(DECISION, value);
    }
    // A field is named as people write it: `email`, not `$.email`.
    let plain = |name: &'a str| name.strip_prefix("$.").unwrap_or(name);
    let mut names: Vec<&str> =
        masked.into_iter().map(plain).filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())).collect();
    names.sort_unstable();
    names.dedup();
    // A header of a bounded length, whatever the configuration has.
    let mut text = String::new();
    for name in names.into_iter().take(32) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
    }
    if !text.is_empty()
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(MASKED, value);
    }
    if let Some(value) = limited.and_then(|limited| HeaderValue::try_from(limited).ok()) {
        headers.insert(LIMITED, value);
    }
}

#[cfg(test)]
mod tests;
