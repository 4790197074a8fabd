//! What a receipt admits is sent once.

use parapet_kernel::verdict::Receipt;

pub fn bytes(receipt: Receipt) -> Vec<u8> {
    [receipt.into_wire(), receipt.into_wire()].concat()
}

fn main() {}
