//! A grant answers one ask. The twin that may.

use parapet_kernel::approval::Grant;
use parapet_kernel::verdict::{Ask, Permit};

pub fn answer(first: Ask, _: Ask, grant: Grant) -> Vec<Permit> {
    [first.granted(grant)].into_iter().flatten().collect()
}
