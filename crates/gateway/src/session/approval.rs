//! Asking people: an approval is opened or joined, and a use of one that was given before is taken. Whether and how long a
//! client is held meanwhile is each protocol's own.

use std::sync::Arc;
use std::time::Duration;

use kernel::approval::{Asked, Grant, GrantMismatch};
use kernel::id::ApprovalId;
use kernel::ports::{Answer, ApprovalDesk, DeskError};
use kernel::verdict::{Ask, Deny, Permit, Undecidable};

use super::Session;

/// Why a grant permits nothing.
#[derive(Debug)]
pub enum NotGranted {
    /// It is for something else. The ask comes back.
    Mismatch(Box<Ask>, GrantMismatch),
    /// A budget is used up, whoever approves.
    OverBudget(Box<Deny>),
}

impl Session {
    /// Opens a request for approval, or joins an open one. Where nobody can be asked: the denial, to be entered.
    pub async fn ask(&mut self, ask: &Ask) -> Result<ApprovalId, Deny> {
        match self.open_approval(ask).await {
            Ok(approval) => Ok(approval),
            Err(error) => {
                tracing::warn!(session = %self.id, %error, "an approval could not be asked for");
                Err(self.refuse(Undecidable::DeskUnavailable, ask.template()))
            }
        }
    }

    async fn open_approval(&self, ask: &Ask) -> Result<ApprovalId, DeskError> {
        let snapshot = self.parts.snapshots.current();
        let workload = snapshot.workload(self.who.workload()).ok_or(DeskError::Unavailable)?;
        let asked = Asked {
            decision: ask.subject().decision(),
            session: Some(self.id),
            workload: self.who.workload().clone(),
            owner: workload.owner.clone(),
            started_by: None,
            upstream: self.upstream.clone(),
            digest: kernel::approval::hex(&ask.digest()),
            summary: wire::refusal::what(ask.subject().deciding_operation()),
            text: ask.text().to_string(),
            template: ask.template().to_string(),
            terms: (**ask.approval()).clone(),
            reason: None,
            at: self.around.now,
        };
        self.parts.desk.ask(asked).await
    }

    /// The desk, to wait at.
    pub fn desk(&self) -> Arc<dyn ApprovalDesk> {
        Arc::clone(&self.parts.desk)
    }

    /// Turns an ask into a permit by a grant, which is used up, and so are a use of the task and what it draws from budgets.
    pub fn granted(&mut self, ask: Ask, grant: Grant) -> Result<Permit, NotGranted> {
        let operations = ask.subject().operations();
        let taken = self.take_use(operations);
        let left = self.around.left;
        if !taken && kernel::task::costs(operations) && (left.uses == Some(0) || left.rows == Some(0)) {
            return Err(NotGranted::Mismatch(Box::new(ask), GrantMismatch::Task));
        }
        let granted = match ask.granted(grant) {
            Ok(permit) => self.within_budgets(permit).map_err(NotGranted::OverBudget),
            Err((ask, mismatch)) => Err(NotGranted::Mismatch(ask, mismatch)),
        };
        if let (true, Err(_), Some(task)) = (taken, &granted, self.who.task()) {
            self.parts.sessions.task_uses().give_back(task);
        }
        granted
    }

    /// Takes a use of an approval that is granted already.
    pub async fn grant_at_hand(&self, approval: ApprovalId) -> Result<Option<Grant>, DeskError> {
        match self.parts.desk.wait(approval, Duration::ZERO).await? {
            Answer::Granted(grant) => Ok(Some(grant)),
            Answer::Ended(_) | Answer::StillWaiting => Ok(None),
        }
    }
}
