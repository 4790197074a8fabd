//! What a request draws on: a use of its task, and the budgets of its terms. What then does not pass gives both back.

use kernel::id::DecisionId;
use kernel::operation::Operation;
use kernel::verdict::{Ask, Deny, Permit, Terms, Undecidable};

use super::Session;
use crate::budget::Draws;

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
        let draws = self.draws(permit.terms(), permit.subject().operations());
        let taken = self.parts.budgets.take_all(draws, self.around.now);
        match taken.map_err(|(budget, used_up)| (budget.clone(), used_up)) {
            Ok(()) => Ok(permit),
            Err((budget, used_up)) => Err(Box::new(permit.over_budget(&budget, used_up.frees_in))),
        }
    }

    /// Turns a permit of which nothing was sent into a denial, and gives back what it drew on.
    pub fn withhold(&mut self, permit: Permit, why: Undecidable) -> Deny {
        let operations = permit.subject().operations();
        if let Some(task) = self.who.task().filter(|_| kernel::task::costs(operations)) {
            self.parts.sessions.task_uses().give_back(task);
        }
        self.parts.budgets.give_all_back(self.draws(permit.terms(), operations), permit.subject().decision().at());
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

    fn draws<'a>(&'a self, terms: &'a Terms, operations: &'a [Operation]) -> Draws<'a> {
        Draws { budgets: &terms.budgets, operations, workload: self.who.workload() }
    }
}
