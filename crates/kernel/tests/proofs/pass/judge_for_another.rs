//! A judgement needs the proof of who asks, not a name. The twin that may.

use parapet_kernel::circumstances::Circumstances;
use parapet_kernel::judge::{Memo, judge};
use parapet_kernel::policy::Snapshot;
use parapet_kernel::trust::Authenticated;
use parapet_kernel::verdict::{Request, Verdict};
use parapet_kernel::workload::Name;

pub fn decide(
    snapshot: &Snapshot,
    memo: &mut Memo,
    who: &Authenticated,
    request: Request,
    around: &Circumstances,
    _: &Name,
) -> Verdict {
    judge(snapshot, memo, who, request, around)
}
