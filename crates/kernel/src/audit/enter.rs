//! The one way from a verdict to a receipt: its entry stands in the log first.

use crate::audit::{AppendError, Pending};
use crate::ports::AuditLog;
use crate::verdict::{Deny, Receipt, RefusalReceipt};

/// What entering yields, in the order in which the verdicts were added.
#[derive(Debug, Default)]
pub struct Entered {
    /// For each permit, the proof that it may be sent.
    pub receipts: Vec<Receipt>,
    /// For each denial, the denial and the proof that its refusal probe may be sent.
    pub refusals: Vec<(Deny, RefusalReceipt)>,
}

impl Pending {
    /// Appends every waiting entry and turns the verdicts into receipts. If the log fails, the verdicts are gone and
    /// nothing that they permitted can be sent.
    pub async fn enter(&mut self, log: &dyn AuditLog) -> Result<Entered, AppendError> {
        if self.batch.is_empty() {
            return Ok(Entered::default());
        }
        let appended = log.append(&self.batch).await;
        self.batch.clear();
        // Whatever becomes of them, they are taken out. The memory is used again.
        let (permits, denials) = (self.permits.drain(..), self.denials.drain(..));
        let first = self.first.drain(..);
        appended?;
        for (body, decision) in first {
            body.set_entered(decision);
        }
        Ok(Entered {
            receipts: permits.map(|permit| Receipt { permit }).collect(),
            refusals: denials
                .map(|deny| {
                    let decision = deny.subject.decision;
                    (deny, RefusalReceipt { decision })
                })
                .collect(),
        })
    }
}
