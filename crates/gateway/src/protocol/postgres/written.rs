//! What a mask made and a client writes back (MK18): an application that reads a row, changes one field and writes the whole row
//! would put masks where the values were. It is refused for workloads to which a column of the written table is masked.
//!
//! Statements, bound values and COPY data are looked through for masks; that is all that is done unless one is found.

use std::sync::Arc;

use kernel::operation::{Action, Operation};
use kernel::verdict::{Deny, Undecidable, Verdict};
use wire::postgres::message::{Bind, CopyData, CopyFail};
use wire::postgres::refuse::Sqlstate;
use wire::postgres::state::Answer;

use super::client::Stop;
use super::control::Control;
use super::prepared::Due;
use super::refuse::error;
use super::serve::{Conversation, End, Skipping};

impl Conversation<'_> {
    /// Denies what would store a mask, also before people are asked.
    pub(super) fn unless_mask_comes_back(&mut self, verdict: Verdict) -> Verdict {
        let stores = match &verdict {
            Verdict::Permit(permit) => self.stores_mask(permit.asked(), permit.subject().operations()),
            Verdict::Ask(ask) => self.stores_mask(ask.asked(), ask.subject().operations()),
            Verdict::Deny(_) => Ok(false),
        };
        let why = match stores {
            Ok(false) => return verdict,
            Ok(true) => Undecidable::MaskedValue,
            Err(why) => why,
        };
        match verdict {
            Verdict::Permit(permit) => Verdict::Deny(self.session.withhold(permit, why)),
            Verdict::Ask(ask) => Verdict::Deny(self.session.withhold_ask(ask, why)),
            deny @ Verdict::Deny(_) => deny,
        }
    }

    fn stores_mask(&mut self, asked: (&Arc<str>, &[u8]), operations: &[Operation]) -> Result<bool, Undecidable> {
        let (text, values) = asked;
        let key = self.guarded.mask_key();
        let masked = key.is_masked_statement(text) || (!values.is_empty() && self.binds_mask(values)?);
        Ok(masked && self.writes_masked_table(operations))
    }

    /// Is a bound value a mask? `values` is a Bind's body without its names.
    fn binds_mask(&self, values: &[u8]) -> Result<bool, Undecidable> {
        let body = [b"\0\0", values].concat();
        let bind = Bind::decode(&body).map_err(|_malformed| Undecidable::UnsupportedMessage)?;
        let key = self.guarded.mask_key();
        Ok(bind.parameters().any(|(_, value)| value.is_some_and(|value| key.is_masked(value))))
    }

    /// Is a table written of which not every labelled column would be shown in clear?
    fn writes_masked_table(&mut self, operations: &[Operation]) -> bool {
        let stores = |operation: &&Operation| matches!(operation.action, Action::SqlInsert | Action::SqlUpdate);
        let writes: Vec<Operation> = operations.iter().filter(stores).cloned().collect();
        let labelled = self.labelled_columns(&writes);
        !labelled.is_empty() && !self.session.shows_in_clear(labelled.into(), None)
    }

    /// COPY data goes up only while the upstream waits for it; stray data vanishes, as at the server.
    pub(super) fn copy_data(&mut self, data: CopyData<'_>) -> Result<(), Stop> {
        if !self.replies.copy_in() {
            return Ok(());
        }
        if self.guarded.mask_key().is_masked_copy(data.data) {
            let operations = match self.replies.oldest() {
                Some(Due::Running(running)) => Arc::clone(&running.operations),
                _ => Arc::new([]),
            };
            if self.writes_masked_table(&operations) {
                return Err(Stop::RefuseCopy(Box::new(self.session.refuse(Undecidable::MaskedValue, ""))));
            }
        }
        self.outgoing.control(Control::copy_data(data)?);
        Ok(())
    }

    /// Ends a COPY that would store a mask: the upstream is told that it fails, and the client why.
    pub(super) async fn refuse_copy(&mut self, deny: Deny) -> Result<(), End> {
        let told = self.describe_denial(&deny);
        self.session.add_denial(deny);
        self.session.enter().await?;
        if self.replies.end_copy_in(Answer::Refusal).is_err() {
            return Ok(());
        }
        if let Some(due) = self.replies.oldest_mut() {
            *due = Due::Refusal(error(Sqlstate::CANNOT_DECIDE, &told));
        }
        let fail = Control::copy_fail(CopyFail { reason: "refused" });
        self.outgoing.control(fail.map_err(|_unencodable| End::ClientProtocol("a message cannot be written"))?);
        if self.unit_begun {
            self.begin_skipping(Skipping::Upstream);
        }
        Ok(())
    }
}
