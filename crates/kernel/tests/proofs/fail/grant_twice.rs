//! A grant answers one ask.

use parapet_kernel::approval::Grant;
use parapet_kernel::verdict::{Ask, Permit};

pub fn answer(first: Ask, second: Ask, grant: Grant) -> Vec<Permit> {
    [first.granted(grant), second.granted(grant)].into_iter().flatten().collect()
}

fn main() {}
