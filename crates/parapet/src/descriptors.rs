//! File descriptors: a session takes two, and the soft limit that shells hand out (often 1,024) is there for programs that
//! use `select`. A gateway takes what the hard limit allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. A refusal is told and stops nothing: the limit that was there holds on.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, current = ?limit.current, "the limit of open files cannot be raised");
    }
}
