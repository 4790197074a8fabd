//! The receipt of a denial admits no operation: it knows the decision and holds no bytes.

use parapet_kernel::verdict::RefusalReceipt;

pub fn bytes(refusal: RefusalReceipt) -> Vec<u8> {
    RefusalReceipt::into_wire(refusal)
}

fn main() {}
