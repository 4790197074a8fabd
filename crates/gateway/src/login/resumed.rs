//! A proof that was kept beside a request, counted again when the request is carried out. It was verified by another file of
//! this folder when the request was asked, and proves nothing more now, and for no longer.

use kernel::policy::Snapshot;
use kernel::time::Timestamp;
use kernel::trust::{Authenticated, NotResumed};

/// Counts a kept proof again under a snapshot: the workload may still act, and what was issued to it was not revoked.
///
/// # Errors
/// Why it counts no more.
#[expect(clippy::disallowed_methods, reason = "what is kept was verified by a login, and is sealed since")]
pub(crate) fn resume(snapshot: &Snapshot, kept: &[u8], now: Timestamp) -> Result<Authenticated, NotResumed> {
    let find = |name: &_| snapshot.workload(name).map(|workload| &**workload);
    let who = Authenticated::resume(kept, find, now)?;
    snapshot.revocations().check(&who)?;
    Ok(who)
}
