//! A receipt comes from the log. The twin that may.

use parapet_kernel::audit::Pending;
use parapet_kernel::ports::AuditLog;
use parapet_kernel::verdict::Receipt;

pub async fn receipts(pending: &mut Pending, log: &dyn AuditLog) -> Vec<Receipt> {
    pending.enter(log).await.map(|entered| entered.receipts).unwrap_or_default()
}
