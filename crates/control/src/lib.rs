//! Control administers: the local admin API and the approvals desk behind it. JSON over HTTP/1.1 on loopback.
//!
//! Every call is authenticated as a person (`context.rs`), allowed by the table in `routes.rs`, and entered in the audit log
//! if it changes something or reads the log. `api/` turns requests into calls of `app/`, a file per noun; `problem.rs` says
//! what went wrong. There is no dialler, no protocol and no policy here: what the API needs of the gateway comes as ports
//! and functions in [`ControlParts`].

mod api;
mod app;
mod context;
mod pages;
mod parts;
pub mod pdp;
mod people;
mod problem;
mod rate;
mod routes;
mod serve;
pub mod ssf;
mod tlog;
mod token;
pub mod token_endpoint;

pub use parts::{ClassList, ClassScan, ClassView, EndToken, IssuerViews, KnowsColumn, SampleRefusal};
pub use parts::{
    ControlParts, Decide, DecideRefusal, Explain, Foresee, ForeseeRefusal, Foreseen, HttpQuestion, Hypothetical,
    ListenerView, MasterKeyRefusal, PutMasterKey, Reload, RenewMasterKey, UpstreamView, Upstreams,
};
pub use parts::{ExchangeForTask, IssueTask, TaskAsked, TaskGiven, TaskParts};
pub use parts::{SignalParts, StreamView, StreamViews};
pub use people::{Caller, People, PersonEntry};
pub use problem::{CODES, CodeText};
pub use routes::{ROUTES, Right, RouteView};
pub use serve::{ServeError, serve};
pub use tlog::{TlogParts, serve_tlog};
pub use token::{InvalidToken, NoRandomness, Token, TokenHash};

#[cfg(test)]
mod tests;
