//! A receipt is one.

use parapet_kernel::verdict::Receipt;

pub fn two(receipt: Receipt) -> (Receipt, Receipt) {
    (receipt.clone(), receipt)
}

fn main() {}
