//! A permit is one. The twin that may.

use parapet_kernel::verdict::Permit;

pub fn one(permit: Permit) -> (Permit,) {
    (permit,)
}
