//! A second look at open sessions whenever the snapshot changes: one that a policy would now answer with `@quarantine` is
//! acted on at once, though its client asks nothing.
//!
//! Only quarantine is acted on. Whatever else a policy says of connecting binds the next operation: a denial does not end a
//! session that lives.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel::circumstances::Circumstances;
use kernel::facts::Facts;
use kernel::operation::{Action, Operation};
use kernel::policy::{Remedy, Snapshot, evaluate};
use kernel::ports::{Clock, Containment, Snapshots};
use kernel::resource::{Resource, ResourceKind};
use kernel::verdict::DenyReason;

use crate::sessions::{Cut, Live, Sessions};

/// How many sessions are looked at before others get their turn.
const AT_A_TIME: usize = 64;

/// Looks again whenever the snapshot changes. Never returns.
pub async fn follow(sessions: &Sessions, snapshots: &dyn Snapshots, containment: &dyn Containment, clock: &dyn Clock) {
    loop {
        let snapshot = snapshots.current();
        look(sessions, &snapshot, containment, clock).await;
        snapshots.changed(snapshot.epoch()).await;
    }
}

/// Looks at every open session once.
pub(crate) async fn look(sessions: &Sessions, snapshot: &Snapshot, containment: &dyn Containment, clock: &dyn Clock) {
    let quarantines = |policy: &kernel::policy::LoadedPolicy| matches!(policy.remedy(), Remedy::Quarantine);
    if !snapshot.policies().iter().any(quarantines) {
        return;
    }
    let mut contained = BTreeSet::new();
    for (number, live) in sessions.open().iter().enumerate() {
        if number % AT_A_TIME == AT_A_TIME - 1 {
            tokio::task::yield_now().await;
        }
        let workload = &live.start().workload;
        if contained.contains(workload) || live.is_cut().is_some() {
            continue;
        }
        let Some(DenyReason::Quarantine(deciding)) = again(snapshot, live, clock) else { continue };
        // Durable or not, what is open ends here.
        if containment.quarantine(workload, &deciding).await.is_err() {
            tracing::error!(%workload, "a quarantine could not be stored");
        }
        live.cut(Cut::Quarantined);
        contained.insert(workload.clone());
    }
}

/// What policy would say if the session asked to connect now, where that is a denial.
fn again(snapshot: &Snapshot, live: &Live, clock: &dyn Clock) -> Option<DenyReason> {
    let start = live.start();
    let connect = Operation {
        action: Action::Connect,
        resource: Arc::new(Resource::new(ResourceKind::Upstream, &start.upstream, [""; 0])),
        facts: Arc::new(Facts::default()),
        verb: "CONNECT",
        span: None,
    };
    let around = Circumstances { now: clock.now(), ..start.around.clone() }.under(snapshot.threats());
    evaluate(snapshot, &start.workload, &start.upstream, &[connect], &around).reason
}
