//! A grant is one. The twin that may.

use parapet_kernel::approval::Grant;

pub fn one(grant: Grant) -> (Grant,) {
    (grant,)
}
