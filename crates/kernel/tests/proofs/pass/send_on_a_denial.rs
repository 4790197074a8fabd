//! The receipt of a denial admits no operation: it knows the decision and holds no bytes. The twin that may.

use parapet_kernel::verdict::RefusalReceipt;

pub fn probe(refusal: RefusalReceipt) -> String {
    format!("parapet_denied__{}", refusal.decision())
}
