//! What went wrong with a call, and its one form on the wire: problem details (RFC 9457) with a stable code.
//!
//! The only file that knows HTTP statuses. Details are fixed words; nothing that a caller or an upstream sent comes back.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kernel::approval::ApprovalRefusal;
use kernel::ports::DeskError;
use serde_json::{Value, json};
use store::approvals::ActError;
use store::incidents::IncidentError;
use store::log::{FindError, SearchError};
use store::risk::RiskError;
use store::signals::SignalError;
use store::tokens::TokenError;
use store::workloads::StandingError;

use crate::app::set;
use crate::parts::{DecideRefusal, MasterKeyRefusal};

/// Why a call did not do what it was meant to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("a token is needed, and this is none that the gateway knows")]
    Unauthenticated,
    #[error("the person may not do that")]
    Forbidden,
    #[error("there is no such route")]
    NoRoute,
    #[error("the route has no such method")]
    NoMethod,
    #[error("there is no such thing, or the person may not see it")]
    None,
    #[error("there is no such {0}, or the person may not see it")]
    Missing(&'static str),
    #[error("the beginning of the id fits several; give more of it")]
    Ambiguous,
    #[error("the request cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the request is larger than 64 KiB")]
    TooLarge,
    #[error("requests from web pages are refused")]
    Origin,
    #[error("the host of the request is not this gateway's")]
    Host,
    #[error(transparent)]
    Approval(#[from] ApprovalRefusal),
    #[error(transparent)]
    Standing(StandingError),
    #[error(transparent)]
    Judged(IncidentError),
    #[error(transparent)]
    TooManyTokens(TokenError),
    #[error("the audit log does not take entries, so nothing was done")]
    LogUnavailable,
    #[error("the audit log cannot be read to its end; verify it")]
    LogUnreadable,
    #[error("the approval desk cannot be reached")]
    DeskUnavailable,
    #[error("the store cannot be reached, so nothing was done")]
    StoreUnavailable,
    #[error("it cannot be judged now")]
    CannotDecide,
    #[error("there is nothing to approve: {0}")]
    NothingToApprove(&'static str),
    #[error("too many requests of the workload wait for an answer")]
    TooManyWait,
    #[error("no token is issued for the task: {0}")]
    NoTask(String),
    #[error("the master key is not changed: {0}")]
    MasterKey(&'static str),
    #[error("the configuration has mistakes, so nothing was changed")]
    Configuration(Vec<Value>),
    #[error("the request took too long")]
    TimedOut,
    #[error("too many calls from this address proved nobody; try again in a minute")]
    TooManyFailures,
    #[error("too many searches run; try again in a moment")]
    Busy,
    #[error("the gateway failed")]
    Failed,
}

/// A code of this crate with what it means and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeText {
    /// `PARnnnn`.
    pub code: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What to do.
    pub hint: &'static str,
}

const fn text(code: &'static str, meaning: &'static str, hint: &'static str) -> CodeText {
    CodeText { code, meaning, hint }
}

/// The codes that only the admin API has. Those that it shares with the command line have the meaning that they have there.
pub const CODES: [CodeText; 14] = [
    text("PAR0320", "nobody approves their own request", "ask another member of the group"),
    text("PAR0321", "the person is in none of the groups that must approve", "ask a member of the named groups"),
    text("PAR0322", "the person has approved already", "a quorum counts distinct people: ask another"),
    text("PAR0323", "the approval is no longer open", "ask again: run the statement once more"),
    text("PAR0324", "a web page called the admin API", "the API serves programs on this machine, not pages"),
    text("PAR0325", "the host of the request is not this gateway's", "call it as 127.0.0.1 or localhost"),
    text("PAR0326", "the request is too large", "send less than 64 KiB"),
    text("PAR0327", "the configuration has mistakes, so the old one stays", "run `parapet config check`"),
    text("PAR0328", "too many searches of the audit log run", "try again in a moment, or narrow the search"),
    text("PAR0329", "there is nothing to approve", "`parapet decide` says what would be decided, and why"),
    text("PAR0330", "too many requests of the workload wait for an answer", "let people answer them, or withdraw some"),
    text(
        "PAR0331",
        "no token is issued for the task",
        "ask for upstreams and actions that some policy permits to the workload, and for an hour at most",
    ),
    text(
        "PAR0332",
        "too many calls of the decision point from one address proved nobody",
        "wait a minute; look at what the caller shows",
    ),
    text(
        "PAR0333",
        "the master key is not changed by the gateway",
        "restart the gateway if a new one waits; where `audit.master_key` says where it is, put the new one before the old one there",
    ),
];

impl Problem {
    /// The status, the code, and a title of the sort of problem.
    fn form(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "PAR0307", "not authenticated"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "PAR0308", "not allowed"),
            Self::NoRoute | Self::None | Self::Missing(_) => (StatusCode::NOT_FOUND, "PAR0309", "not found"),
            Self::NoMethod => (StatusCode::METHOD_NOT_ALLOWED, "PAR0309", "no such method"),
            Self::Ambiguous => (StatusCode::CONFLICT, "PAR0310", "ambiguous"),
            Self::Unreadable(_) => (StatusCode::BAD_REQUEST, "PAR0300", "unreadable request"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAR0326", "too large"),
            Self::Origin => (StatusCode::FORBIDDEN, "PAR0324", "called by a web page"),
            Self::Host => (StatusCode::MISDIRECTED_REQUEST, "PAR0325", "wrong host"),
            Self::Approval(refusal) => match refusal {
                ApprovalRefusal::OwnRequest(_) => (StatusCode::FORBIDDEN, "PAR0320", "own request"),
                ApprovalRefusal::NotInGroup(_) => (StatusCode::FORBIDDEN, "PAR0321", "not in the group"),
                ApprovalRefusal::Twice(_) => (StatusCode::CONFLICT, "PAR0322", "approved already"),
                ApprovalRefusal::NotOpen(_) => (StatusCode::CONFLICT, "PAR0323", "no longer open"),
            },
            Self::TooManyTokens(_) => (StatusCode::CONFLICT, "PAR0310", "too many tokens"),
            Self::Standing(_) | Self::Judged(_) => (StatusCode::CONFLICT, "PAR0310", "not in that state"),
            Self::LogUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "PAR0210", "audit log unavailable"),
            Self::LogUnreadable => (StatusCode::INTERNAL_SERVER_ERROR, "PAR0312", "audit log damaged"),
            Self::DeskUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "PAR0211", "approval desk unavailable"),
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "PAR0301", "store unavailable"),
            Self::CannotDecide => (StatusCode::SERVICE_UNAVAILABLE, "PAR0208", "cannot decide now"),
            Self::NothingToApprove(_) => (StatusCode::CONFLICT, "PAR0329", "nothing to approve"),
            Self::TooManyWait => (StatusCode::CONFLICT, "PAR0330", "too many wait"),
            Self::NoTask(_) => (StatusCode::CONFLICT, "PAR0331", "no token for the task"),
            Self::MasterKey(_) => (StatusCode::CONFLICT, "PAR0333", "not changed"),
            Self::Configuration(_) => (StatusCode::UNPROCESSABLE_ENTITY, "PAR0327", "mistakes in the configuration"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "PAR0305", "timed out"),
            Self::TooManyFailures => (StatusCode::TOO_MANY_REQUESTS, "PAR0332", "too many failures"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "PAR0328", "busy"),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "PAR0301", "failed"),
        }
    }
}

/// For listeners beside the admin API, whose callers are no people.
pub(crate) fn not_found() -> Response {
    Problem::NoRoute.into_response()
}

/// The same for a method that a route does not have.
pub(crate) fn no_method() -> Response {
    Problem::NoMethod.into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, title) = self.form();
        let mut body = json!({
            "type": format!("urn:parapet:{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.to_string(),
            "code": code,
        });
        if let Some(known) = CODES.iter().find(|known| known.code == code) {
            set(&mut body, "hint", known.hint);
        }
        if let Self::Configuration(mistakes) = &self {
            set(&mut body, "errors", mistakes.clone());
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"parapet\""));
        }
        response
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Unavailable => Self::DeskUnavailable,
            DeskError::TooMany => Self::TooManyWait,
        }
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        match error {
            ActError::None => Self::None,
            ActError::Ambiguous => Self::Ambiguous,
            ActError::Refused(refusal) => Self::Approval(refusal),
            ActError::Desk(error) => error.into(),
        }
    }
}

impl From<DecideRefusal> for Problem {
    fn from(refusal: DecideRefusal) -> Self {
        match refusal {
            DecideRefusal::NoWorkload => Self::Missing("workload"),
            DecideRefusal::NoUpstream => Self::Missing("upstream"),
            DecideRefusal::OtherUpstream => Self::Unreadable("its host and path lead to another upstream than `on`"),
            DecideRefusal::Unavailable => Self::CannotDecide,
        }
    }
}

impl From<MasterKeyRefusal> for Problem {
    fn from(refusal: MasterKeyRefusal) -> Self {
        match refusal {
            MasterKeyRefusal::Configured => Self::MasterKey(
                "it stands where people keep it: `audit.master_key`, or the link `master.key`, says where",
            ),
            MasterKeyRefusal::Waiting => Self::MasterKey("a new one waits for the next start"),
            MasterKeyRefusal::Unwritable => Self::StoreUnavailable,
        }
    }
}

impl From<StandingError> for Problem {
    fn from(error: StandingError) -> Self {
        match error {
            StandingError::Unavailable => Self::StoreUnavailable,
            other => Self::Standing(other),
        }
    }
}

impl From<RiskError> for Problem {
    fn from(error: RiskError) -> Self {
        match error {
            RiskError::None => Self::Missing("risk to take back"),
            RiskError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<SignalError> for Problem {
    fn from(error: SignalError) -> Self {
        match error {
            SignalError::None => Self::Missing("signal"),
            SignalError::Unavailable | SignalError::Full => Self::StoreUnavailable,
        }
    }
}

impl From<IncidentError> for Problem {
    fn from(error: IncidentError) -> Self {
        match error {
            IncidentError::None => Self::Missing("incident"),
            IncidentError::NotOpen => Self::Judged(error),
            IncidentError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Life => Self::Unreadable("a token lives for at most 90 days, and at least a minute"),
            TokenError::TooMany => Self::TooManyTokens(error),
            TokenError::None => Self::Missing("token in force"),
            TokenError::Unavailable => Self::StoreUnavailable,
        }
    }
}

impl From<SearchError> for Problem {
    fn from(_error: SearchError) -> Self {
        Self::LogUnreadable
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Search(error) => error.into(),
            FindError::None => Self::None,
            FindError::Ambiguous => Self::Ambiguous,
            FindError::NotAnId => Self::Unreadable("a decision is named by `last`, its id, or the id's beginning"),
        }
    }
}
