//! What would be decided about a way out that nobody asked for: the destination is read and judged as the egress does. Which addresses its
//! name leads to is not looked up, so what is refused for its address alone is not known here.

use gateway::protocol::egress::operation;
use kernel::circumstances::Circumstances;
use kernel::policy::Snapshot;
use kernel::verdict::Undecidable;
use kernel::workload::Name;

use super::http::Question;
use super::{Asked, DryRun};

/// Judges `CONNECT host:port`, or a request with a whole `http://` URL, as if `workload` sent it to the egress.
pub(crate) fn ask(
    upstream: &Name,
    snapshot: &Snapshot,
    workload: &Name,
    question: &Question,
    around: &Circumstances,
) -> DryRun {
    let operation = match question.parts("") {
        Some(parts) => operation(upstream, &parts).map_err(|violation| violation.undecidable()),
        None => Err(Undecidable::UnsupportedMessage),
    };
    match operation {
        Ok(operation) => {
            let template = format!("{} {}", operation.verb, operation.resource.name()).into();
            DryRun::judged(snapshot, workload, upstream, Asked { operations: [operation].into(), template }, around)
        }
        Err(why) => DryRun::refused(why, snapshot, None, workload, upstream),
    }
}
