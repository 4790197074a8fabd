//! The bytes for the upstream come out of a receipt, not out of a permit.

use parapet_kernel::verdict::{Permit, Receipt};

pub fn bytes(permit: Permit, _: fn(Receipt)) -> Vec<u8> {
    Permit::into_wire(permit)
}

fn main() {}
