//! Who may go anywhere through the egress. `http:tunnel` is in the group `connect`, so that a permit which is meant for
//! databases can open every host: `policy check` asks whether it does, and says so.

use std::collections::BTreeSet;

use gateway::protocol::egress;
use hyper::Request;
use kernel::policy::{Mode, PolicyFile, Snapshot, SnapshotParts, Upstream, evaluate};
use kernel::time::Timestamp;
use kernel::trust::Trust;
use kernel::workload::Workload;

use crate::cli::output;
use crate::recorded::hypothetical;

/// A host that no policy lists by its name.
const UNLISTED: &str = "a-host-that-nobody-lists.invalid:443";

/// What to say, if the policies let a workload open a tunnel to a host that none of them names. `upstream` is the egress's.
pub(super) fn warning(upstream: &Upstream, known: &[Workload], files: &[PolicyFile], now: Timestamp) -> Option<String> {
    if upstream.mode == Mode::Observe {
        // Everything passes there, and is noted.
        return None;
    }
    let asked = Request::connect(UNLISTED).header("host", UNLISTED).body(()).ok()?.into_parts().0;
    let operation = egress::operation(&upstream.name, &asked).ok()?;
    let parts = SnapshotParts {
        epoch: 1,
        policies: files.to_vec(),
        workloads: known.to_vec(),
        upstreams: vec![upstream.clone()],
        trust: Trust::default(),
    };
    let snapshot = Snapshot::build(parts).ok()?;
    let (mut workloads, mut policies) = (Vec::new(), BTreeSet::new());
    for workload in known {
        let about = hypothetical(now);
        let found = evaluate(&snapshot, &workload.name, &upstream.name, std::slice::from_ref(&operation), &about);
        if found.verdict == "permit" {
            workloads.push(workload.name.as_str());
            policies.extend(found.terms.permits.iter().cloned());
        }
    }
    let first = workloads.first()?;
    let who = if workloads.len() == 1 { format!("`{first}`") } else { output::count(workloads.len(), "workload") };
    let by: Vec<_> = policies.iter().map(|policy| format!("`{policy}`")).collect();
    Some(format!(
        "{who} may reach any host through the egress, by {}: permit `connect:session`, and `http:tunnel` by the hosts' names, \
         if that is not meant",
        by.join(", ")
    ))
}

#[cfg(test)]
mod tests;
