//! What a request draws on: a use of its task, and the budgets of its terms. What then does not pass gives both back.

use std::sync::Arc;

use kernel::id::DecisionId;
use kernel::operation::Operation;
use kernel::verdict::{Ask, Budget, Deny, Permit, Undecidable};

use super::Session;

impl Session {
    /// Takes a use of the task before the request is judged, so that two sessions cannot both take the last one. Was one
    /// taken?
    pub(super) fn take_use(&mut self, operations: &[Operation]) -> bool {
        let Some(task) = self.who.task() else { return false };
        let uses = self.parts.sessions.task_uses();
        if !kernel::task::costs(operations) {
            return false;
        }
        self.around.left = uses.take(task, self.around.now);
        self.around.left.uses != Some(0) && self.around.left.rows != Some(0)
    }

    /// Takes what a permit draws on from its budgets; a denial, and nothing taken, if one of them is used up.
    pub(super) fn within_budgets(&self, permit: Permit) -> Result<Permit, Box<Deny>> {
        let terms = Arc::clone(permit.terms());
        for (place, budget) in terms.budgets.iter().enumerate() {
            let operation = permit.subject().operations().get(budget.operation);
            let frees_in = match operation.map(|operation| {
                let (budgets, now) = (&self.parts.budgets, self.around.now);
                budgets.take(budget, self.who.workload(), &operation.resource, now)
            }) {
                Some(Ok(())) => continue,
                Some(Err(used_up)) => used_up.frees_in,
                None => None,
            };
            self.give_back(&permit, terms.budgets.iter().take(place));
            return Err(Box::new(permit.over_budget(budget, frees_in)));
        }
        Ok(permit)
    }

    /// Turns a permit of which nothing was sent into a denial, and gives back what it drew on.
    pub fn withhold(&mut self, permit: Permit, why: Undecidable) -> Deny {
        let costs = kernel::task::costs(permit.subject().operations());
        if let Some(task) = self.who.task().filter(|_| costs) {
            self.parts.sessions.task_uses().give_back(task);
        }
        self.give_back(&permit, permit.terms().budgets.iter());
        self.count_denial(permit.subject().decision());
        permit.withheld(why)
    }

    /// Turns an ask, which has drawn on nothing, into a denial before people are asked.
    pub fn withhold_ask(&mut self, ask: Ask, why: Undecidable) -> Deny {
        self.count_denial(ask.subject().decision());
        ask.withheld(why)
    }

    fn count_denial(&mut self, decision: DecisionId) {
        self.around.session.denials += 1;
        self.note(decision);
    }

    fn give_back<'b>(&self, permit: &Permit, drawn: impl Iterator<Item = &'b Budget>) {
        let taken = permit.subject().decision().at();
        for budget in drawn {
            if let Some(operation) = permit.subject().operations().get(budget.operation) {
                self.parts.budgets.give_back(budget, self.who.workload(), &operation.resource, taken);
            }
        }
    }
}
