//! What a receipt admits is sent once. The twin that may.

use parapet_kernel::verdict::Receipt;

pub fn bytes(receipt: Receipt) -> Vec<u8> {
    [receipt.into_wire()].concat()
}
