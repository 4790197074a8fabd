//! A permit is one.

use parapet_kernel::verdict::Permit;

pub fn two(permit: Permit) -> (Permit, Permit) {
    (permit.clone(), permit)
}

fn main() {}
