//! The upstream's messages: matched by position, masked where the terms say so, and otherwise passed on as they are, in
//! as few writes as they came.

use std::sync::Arc;

use wire::mask::{DescribedField, MaskKey, check_description};
use wire::postgres::frame::{self, FrameError, HARD_CAP, HEADER};
use wire::postgres::message::{
    BackendMessage, CommandComplete, Format, ReadyForQuery, RowDescription, TransactionStatus,
};
use wire::postgres::refuse::{Refusal, Severity, Sqlstate};
use wire::postgres::state::Reply;
use wire::sql::Outputs;

use super::catalogue::Guarded;
use super::diagnostics::write_redacted;
use super::prepared::{Due, Running};
use super::serve::{Conversation, End, Skipping};
use crate::session::Session;

/// A message that must be read whole to be passed on may be this long.
const READ_CAP: usize = 64 << 20;

/// What becomes of a message of the upstream's.
enum Fate {
    /// It is passed on as it is.
    Pass,
    /// It is left out; what stands for it, if anything, was queued.
    Replaced,
    /// It is passed on as it is, and then the session ends.
    PassAndEnd,
}

impl Conversation<'_> {
    /// Handles everything that the upstream has sent.
    pub(super) fn on_upstream(&mut self) -> Result<(), End> {
        let taken = self.relay.take_from_upstream();
        let mut consumed = 0;
        let result = self.pass_on(taken.bytes(), &mut consumed);
        self.relay.put_back_to_upstream(taken, consumed);
        result
    }

    fn pass_on(&mut self, bytes: &[u8], consumed: &mut usize) -> Result<(), End> {
        // The run of bytes that is passed on unchanged, up to `consumed`.
        let mut run = 0;
        let mut end = None;
        loop {
            if self.passing > 0 {
                let step = self.passing.min(bytes.len() - *consumed);
                *consumed += step;
                self.passing -= step;
            }
            let rest = bytes.get(*consumed..).unwrap_or_default();
            let header = match frame::header(rest, HARD_CAP) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(FrameError::Length | FrameError::Oversize { .. }) => {
                    end = Some(End::UpstreamProtocol);
                    break;
                }
            };
            let Some(body) = rest.get(HEADER..header.total) else {
                if rest.len() < header.total && self.may_stream(header.tag) {
                    // A long row of which nothing needs to be read: it passes in pieces, and memory stays bounded.
                    match self.replies.on_backend(header.tag, &[]) {
                        Ok(Reply::Part(Due::Running(running))) => running.count(header.total),
                        Ok(_) => {}
                        Err(error) => {
                            end = Some(error.into());
                            break;
                        }
                    }
                    self.passing = header.total;
                    continue;
                }
                if header.total > READ_CAP {
                    end = Some(End::UpstreamProtocol);
                }
                break;
            };
            // What comes before must stay before: the run is sent when something is put in its place.
            let start = *consumed;
            let before = bytes.get(run..start).unwrap_or_default();
            match self.message(header.tag, body, before) {
                Ok(Fate::Pass) => *consumed += header.total,
                Ok(Fate::Replaced) => {
                    *consumed += header.total;
                    run = *consumed;
                }
                Ok(Fate::PassAndEnd) => {
                    *consumed += header.total;
                    end = Some(End::UpstreamFatal);
                    break;
                }
                Err(error) => {
                    end = Some(error);
                    break;
                }
            }
        }
        let rest = bytes.get(run..*consumed).unwrap_or_default();
        if self.is_stale() {
            // The answer to a definition leaves once the catalogue is read again: then it counts in every session.
            self.relay.client.queue().extend_from_slice(rest);
        } else {
            self.relay.client.send(rest);
        }
        match end {
            Some(end) => Err(end),
            None => self.judge_again(),
        }
    }

    /// May a message of this type pass before all of it has come?
    fn may_stream(&self, tag: u8) -> bool {
        matches!(tag, b'D' | b'd')
            && matches!(self.replies.oldest(), Some(Due::Running(running)) if !running.looks_at_rows())
    }

    /// Decides what becomes of one message. `before` is what came before it and has not been sent yet: it is sent first if
    /// the message is replaced.
    fn message(&mut self, tag: u8, body: &[u8], before: &[u8]) -> Result<Fate, End> {
        let client = &mut self.relay.client;
        match self.replies.on_backend(tag, body)? {
            Reply::Part(Due::Running(running)) => match tag {
                b'D' | b'd' => {
                    if !running.looks_at_rows() {
                        running.watch(tag, body, &self.guarded, &self.session);
                        running.count(body.len());
                        return Ok(Fate::Pass);
                    }
                    client.send(before);
                    let start = client.queue().len();
                    running.row(tag, body, self.guarded.mask_key(), client.queue())?;
                    running.watch_written(tag, start, client.queue(), &self.guarded, &self.session)?;
                    Ok(Fate::Replaced)
                }
                b'T' => {
                    running.describe(body, self.guarded.mask_key())?;
                    Ok(Fate::Pass)
                }
                b'c' => {
                    running.copy_ended()?;
                    Ok(Fate::Pass)
                }
                b'C' if running.is_capped() => {
                    client.send(before);
                    running.cap_complete(body, client.queue())?;
                    running.ended(&self.guarded, &mut self.session);
                    running.next_statement();
                    Ok(Fate::Replaced)
                }
                b'C' | b'I' => {
                    running.ended(&self.guarded, &mut self.session);
                    running.next_statement();
                    Ok(Fate::Pass)
                }
                _ => Ok(Fate::Pass),
            },
            Reply::Part(_) => Ok(Fate::Pass),
            Reply::Done(Due::Described(prepared)) => {
                if tag == b'T' {
                    // What is described now may come without a description later.
                    let outputs = prepared.analysis.statements.first().map(|statement| &statement.outputs);
                    let fields = described(body)?;
                    check_description(outputs.unwrap_or(&Outputs::None), &fields).map_err(|_drift| End::Drift)?;
                    // The upstream refuses to run a statement whose columns have changed since.
                    prepared.described.get_or_init(|| fields);
                }
                Ok(Fate::Pass)
            }
            Reply::Done(Due::Running(mut running)) => {
                running.ended(&self.guarded, &mut self.session);
                self.names_confirmed(&running);
                if tag == b'C' && running.is_capped() {
                    let client = &mut self.relay.client;
                    client.send(before);
                    running.cap_complete(body, client.queue())?;
                    return Ok(Fate::Replaced);
                }
                Ok(Fate::Pass)
            }
            Reply::Done(Due::Other(change)) => {
                if let Some(change) = change {
                    self.names.confirm(change);
                }
                Ok(Fate::Pass)
            }
            Reply::Done(Due::Refusal(_)) => Err(End::UpstreamProtocol),
            Reply::Aside => self.aside(tag, body, before),
            Reply::Error(due) => {
                let unit_failed = self.answers_due == 0;
                if let Due::Running(running) = due {
                    running.failed = true;
                }
                let redact = self.withholds_words();
                if unit_failed {
                    // The upstream leaves out the rest of the unit, and so do we.
                    self.begin_skipping(Skipping::Upstream);
                }
                if redact {
                    let client = &mut self.relay.client;
                    client.send(before);
                    write_redacted(body, client.queue())?;
                    return Ok(Fate::Replaced);
                }
                Ok(Fate::Pass)
            }
            Reply::Refused(due) => {
                let Due::Refusal(refusal) = due else {
                    return Err(End::UpstreamProtocol);
                };
                client.send(before);
                client.queue().append(refusal);
                Ok(Fate::Replaced)
            }
            Reply::Fatal => Ok(Fate::PassAndEnd),
            Reply::Ready { of, status, undone } => {
                self.ready(of, status, undone);
                Ok(Fate::Pass)
            }
        }
    }

    fn names_confirmed(&mut self, running: &Running) {
        for change in &running.changes {
            self.names.confirm(*change);
        }
    }

    /// A unit is complete.
    fn ready(&mut self, of: Due, status: TransactionStatus, undone: Vec<Due>) {
        for due in undone {
            match due {
                Due::Other(Some(change)) => self.names.cancel(change),
                Due::Running(running) => running.changes.iter().for_each(|change| self.names.cancel(*change)),
                Due::Other(None) | Due::Described(_) | Due::Refusal(_) => {}
            }
        }
        if let Due::Running(running) = of {
            if running.failed {
                running.changes.iter().for_each(|change| self.names.cancel(*change));
            } else {
                self.names_confirmed(&running);
            }
        }
        self.answers_due = self.answers_due.saturating_sub(1);
        let open = status != TransactionStatus::Idle;
        self.session.set_in_transaction(open);
        if !open {
            self.wrote = false;
            self.names.transaction_ended();
        }
    }

    /// A notice, a setting's new value, or a notification.
    fn aside(&mut self, tag: u8, body: &[u8], before: &[u8]) -> Result<Fate, End> {
        match tag {
            // A notice of a statement that touches masked columns can quote them (MK07).
            b'N' if self.withholds_words() => {
                self.relay.client.send(before);
                Ok(Fate::Replaced)
            }
            b'S' => match BackendMessage::decode(tag, body) {
                Ok(BackendMessage::ParameterStatus(status)) => match (status.name, status.value) {
                    // The lexical environment is pinned: a server that changes it reads statements otherwise (PL05).
                    ("standard_conforming_strings", b"on") | ("client_encoding", b"UTF8") => Ok(Fate::Pass),
                    ("standard_conforming_strings" | "client_encoding", _) => Err(End::UpstreamProtocol),
                    ("session_authorization" | "is_superuser", _) => {
                        self.relay.client.send(before);
                        Ok(Fate::Replaced)
                    }
                    _ => Ok(Fate::Pass),
                },
                _ => Err(End::UpstreamProtocol),
            },
            _ => Ok(Fate::Pass),
        }
    }

    /// Where a counter has grown by much, what runs is judged again under the new circumstances.
    fn judge_again(&mut self) -> Result<(), End> {
        let Some(Due::Running(running)) = self.replies.oldest() else {
            return Ok(());
        };
        let (rows, bytes) = (running.rows_sent, running.bytes_sent);
        if !self.session.step_is_due(rows) {
            return Ok(());
        }
        let (operations, shape) = (running.operations.clone(), running.shape);
        match self.session.still_permitted(operations, shape, rows, bytes) {
            None => Ok(()),
            Some(deny) => {
                let line = self.stop_line(&deny);
                self.session.add_denial(deny);
                Err(End::Stopped(line))
            }
        }
    }
}

impl Running {
    fn count(&mut self, bytes: usize) {
        self.rows += 1;
        self.rows_sent += 1;
        self.bytes_sent += bytes as u64;
    }

    pub(super) fn masks_anything(&self) -> bool {
        !self.plans.is_empty()
    }

    /// A statement's answer is complete: what has left counts, and what was found is told.
    fn ended(&mut self, guarded: &Guarded, session: &mut Session) {
        session.count_rows(self.rows_sent, self.bytes_sent);
        self.report(guarded, session);
    }

    fn next_statement(&mut self) {
        self.statement += 1;
        self.rewriting = None;
        self.copying = None;
        self.rows = 0;
        self.rows_sent = 0;
        self.bytes_sent = 0;
    }

    /// Do the limits cut off rows of this statement?
    fn is_capped(&self) -> bool {
        self.rows != self.rows_sent
    }

    fn is_over(&self, bytes: usize) -> bool {
        let (rows, sent) = self.sent().map_or((self.rows_sent, self.bytes_sent), |sent| sent.so_far());
        self.limits.rows.is_some_and(|most| rows >= most)
            || self.limits.bytes.is_some_and(|most| sent + bytes as u64 > most)
            // Once a row was left out, so are all behind it.
            || self.rows - 1 != self.rows_sent
    }

    /// Writes a row, or a line of `COPY … TO STDOUT`, as it may leave; or nothing.
    fn row(&mut self, tag: u8, body: &[u8], key: &Arc<MaskKey>, out: &mut Vec<u8>) -> Result<(), End> {
        self.rows += 1;
        if self.is_over(body.len()) {
            return Ok(());
        }
        if tag == b'D' && self.rewriting.is_none() {
            // No description came with this answer: what was described earlier, or the catalogue, knows the types.
            self.rewriting = self.plan().map(|plan| {
                let portal = self.portal.as_ref();
                let earlier = portal.and_then(|portal| portal.prepared.described.get());
                let formats = portal.map_or(&[][..], |portal| &portal.formats);
                plan.undescribed(earlier.map(Vec::as_slice), formats, key)
            });
        } else if tag == b'd' && self.copying.is_none() {
            self.copying = self.plan().filter(|plan| plan.rewrites_rows()).map(|plan| plan.copied(key));
        }
        let start = out.len();
        out.extend_from_slice(&[tag, 0, 0, 0, 0]);
        let written = match (tag, &self.rewriting, &mut self.copying) {
            (b'D', Some(mask), _) => mask.apply_row(body, out),
            (b'd', _, Some(mask)) => mask.push(body, out),
            _ => {
                out.extend_from_slice(body);
                Ok(())
            }
        };
        if written.is_err() {
            // The last words to the client come next: nothing half-written may stand before them.
            out.truncate(start);
            return Err(End::Drift);
        }
        if out.len() == start + 5 && tag == b'd' {
            // The beginning of a line: it leaves with its end.
            out.truncate(start);
            self.rows -= 1;
            return Ok(());
        }
        let length = u32::try_from(out.len() - start - 1).map_err(|_too_long| End::UpstreamProtocol)?;
        if let Some(slot) = out.get_mut(start + 1..start + 5) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
        self.rows_sent += 1;
        self.bytes_sent += body.len() as u64;
        if let Some(sent) = self.sent() {
            sent.add(1, body.len() as u64);
        }
        Ok(())
    }

    /// A COPY's data is complete: no part of a line may be left.
    fn copy_ended(&self) -> Result<(), End> {
        match &self.copying {
            Some(mask) => mask.finish().map_err(|_cut| End::Drift),
            None => Ok(()),
        }
    }

    /// Checks that the columns are those of the analysis, before the first row leaves, and learns their types.
    fn describe(&mut self, body: &[u8], key: &Arc<MaskKey>) -> Result<(), End> {
        let fields = described(body)?;
        let outputs = self.outputs().unwrap_or(&Outputs::None);
        check_description(outputs, &fields).map_err(|_drift| End::Drift)?;
        if let Some(plan) = self.plan() {
            self.rewriting = Some(plan.described(&fields, key).map_err(|_drift| End::Drift)?);
        }
        self.watch.described(fields);
        Ok(())
    }

    /// Says that rows were left out: a warning, and a tag that counts what was sent.
    fn cap_complete(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), End> {
        let complete = CommandComplete::decode(body).map_err(|_malformed| End::UpstreamProtocol)?;
        let line = format!(
            "limited by policy: {} of {} rows left out [{}]",
            self.rows - self.rows_sent,
            self.rows,
            self.decision
        );
        Refusal::new(Severity::Warning, Sqlstate::LIMIT, &line).write_notice(crate::VERSION, out);
        let verb = complete.tag.rsplit_once(' ').map_or(complete.tag, |(verb, _)| verb);
        let tag = format!("{verb} {}", self.rows_sent);
        CommandComplete { tag: &tag }.encode(out).map_err(|_unencodable| End::UpstreamProtocol)
    }
}

/// The columns as the server describes them.
fn described(body: &[u8]) -> Result<Vec<DescribedField>, End> {
    let mut fields = Vec::new();
    let read = RowDescription::read(body, |field| {
        fields.push(DescribedField {
            table_oid: field.table_oid,
            column: field.attribute,
            type_oid: field.type_oid,
            type_modifier: field.type_modifier,
            binary: field.format == Format::Binary,
        });
    });
    read.map_err(|_malformed| End::UpstreamProtocol)?;
    Ok(fields)
}

/// `ReadyForQuery` of the gateway's own.
pub(super) fn write_idle(out: &mut Vec<u8>) {
    ReadyForQuery { status: TransactionStatus::Idle }.encode(out);
}
