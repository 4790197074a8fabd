//! A grant is one.

use parapet_kernel::approval::Grant;

pub fn two(grant: Grant) -> (Grant, Grant) {
    (grant.clone(), grant)
}

fn main() {}
