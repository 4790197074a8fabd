//! A permit comes from a judgement. The twin that may.

use parapet_kernel::verdict::{Permit, Verdict};

pub fn permit(verdict: Verdict) -> Option<Permit> {
    match verdict {
        Verdict::Permit(permit) => Some(permit),
        Verdict::Ask(_) | Verdict::Deny(_) => None,
    }
}
