//! A receipt is one. The twin that may.

use parapet_kernel::verdict::Receipt;

pub fn one(receipt: Receipt) -> (Receipt,) {
    (receipt,)
}
