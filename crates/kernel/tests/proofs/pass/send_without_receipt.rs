//! The bytes for the upstream come out of a receipt, not out of a permit. The twin that may.

use parapet_kernel::verdict::{Permit, Receipt};

pub fn bytes(receipt: Receipt, _: fn(Permit)) -> Vec<u8> {
    receipt.into_wire()
}
