//! A receipt comes from the log.

use parapet_kernel::audit::Pending;
use parapet_kernel::ports::AuditLog;
use parapet_kernel::verdict::{Permit, Receipt};

pub async fn receipts(_: &mut Pending, _: &dyn AuditLog, permit: Permit) -> Vec<Receipt> {
    vec![Receipt::from(permit)]
}

fn main() {}
