//! The extended protocol: Parse, Bind, Describe, Execute, Close, Sync.
//!
//! A Parse and a Bind wait for their Execute, and are judged with it, by what runs and its values; so the upstream does not
//! see what is then denied. What is prepared by itself is judged as preparation, and again whenever it is executed.

use std::sync::{Arc, OnceLock};

use kernel::verdict::{Content, Undecidable, Verdict};
use wire::postgres::message::{Bind, Execute, Format, Name, Parse};
use wire::postgres::session_names::{Life, Lookup, TooMany};
use wire::postgres::state::{Answer, Asked, NotNow};
use wire::sql::Analysis;

use super::client::{Item, Place, Staged, Stop, encode, too_many};
use super::control::Control;
use super::prepared::{Due, Portal, Prepared, Sent};
use super::serve::{Conversation, End};

/// Room for what usually goes with a statement's text: its Bind, Describe and Execute.
const ROOM: usize = 192;
/// Room for what usually goes with a Bind: its header, Describe and Execute.
const ROOM_BEHIND_BIND: usize = 64;

impl Conversation<'_> {
    pub(super) fn parse(&mut self, parse: &Parse<'_>) -> Result<(), Stop> {
        self.unstage()?;
        self.may_judge()?;
        let place = || Place::Parse(parse.statement.to_owned());
        // Read before the analysis: a catalogue that comes in between makes it look older than it is, never newer.
        let epoch = self.epoch();
        // The unnamed statement once more. A name could stand for what SQL prepared, of which only a template is known.
        let (text, analysis) = match parse.statement.is_empty().then(|| self.names.statement("")) {
            Some(Lookup::Found(known)) if known.epoch == epoch && *known.text == *parse.text => {
                (Arc::clone(&known.text), Arc::clone(&known.analysis))
            }
            _ => (parse.text.into(), self.analyse(parse.text, place())?),
        };
        if self.declares_cast_type(parse) {
            return Err(Stop::Refuse(place(), Box::new(self.session.refuse(Undecidable::UnknownForm, ""))));
        }
        let empty = analysis.statements.is_empty();
        let prepared = Arc::new(Prepared { text, analysis, epoch, described: OnceLock::new() });
        let change = self.names.insert_statement(parse.statement, Arc::clone(&prepared));
        let due = Due::Other(Some(change.map_err(|TooMany| too_many())?));
        if empty {
            self.push(Asked::Parse, due)?;
            self.outgoing.control(Control::empty_parse(parse.statement)?);
            self.unit_begun = true;
            return Ok(());
        }
        let staged = &mut self.outgoing.staged;
        staged.wire.reserve(parse.text.len() + ROOM);
        encode(parse.encode(&mut staged.wire))?;
        staged.due.push((Asked::Parse, due));
        staged.parse = Some((prepared, parse.statement.to_owned()));
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: &Bind<'_>, body: &[u8]) -> Result<(), Stop> {
        let prepared = match self.names.statement(bind.statement) {
            Lookup::Found(prepared) => Arc::clone(prepared),
            Lookup::Pending => return self.after_unstaging(Stop::Settle),
            Lookup::Missing => return self.after_unstaging(Stop::NoSuchName(Place::Bind)),
        };
        let staged = &self.outgoing.staged;
        let of_staged = staged.parse.as_ref().is_some_and(|(parsed, _)| Arc::ptr_eq(parsed, &prepared));
        if staged.portal.is_some() || !of_staged {
            self.unstage()?;
        }
        // Names apart, a Bind's body is what a grant must bind: formats, values and result formats.
        let names = bind.portal.len() + bind.statement.len() + 2;
        let formats = match bind.result_formats {
            formats if formats.is_text() => Vec::new(),
            formats => formats.iter().map(|format| format == Format::Binary).collect(),
        };
        let values = body.get(names..).unwrap_or_default().to_vec();
        let portal = Arc::new(Portal { prepared, values, formats, sent: Sent::default() });
        let change = self
            .names
            .insert_portal(bind.portal, Arc::clone(&portal), Life::Transaction)
            .map_err(|TooMany| too_many())?;
        let staged = &mut self.outgoing.staged;
        staged.wire.reserve(body.len() + ROOM_BEHIND_BIND);
        encode(bind.encode(&mut staged.wire))?;
        staged.due.push((Asked::Bind, Due::Other(Some(change))));
        staged.portal = Some(portal);
        Ok(())
    }

    pub(super) fn execute(&mut self, execute: Execute<'_>) -> Result<(), Stop> {
        self.may_judge()?;
        let portal = match self.names.portal(execute.portal) {
            Lookup::Found(portal) => Arc::clone(portal),
            Lookup::Pending => return self.after_unstaging(Stop::Settle),
            Lookup::Missing => return self.after_unstaging(Stop::NoSuchName(Place::Execute)),
        };
        // What waits is not what runs: it goes ahead by itself.
        if !self.outgoing.staged.awaits(&portal) {
            self.unstage()?;
        }
        let epoch = self.epoch();
        let analysis = self.current_analysis(&portal.prepared)?;
        let mut effective = self.effective(&analysis, epoch, Place::Execute)?;
        let mut staged = std::mem::take(&mut self.outgoing.staged);
        let place = staged.place().unwrap_or(Place::Execute);
        let (mut wire, mut due) = (std::mem::take(&mut staged.wire), std::mem::take(&mut staged.due));
        let staged_wire = wire.len();
        encode(execute.encode(&mut wire))?;
        if analysis.statements.is_empty() {
            due.push((Asked::Execute, Due::Other(None)));
            self.push_all(&mut due)?;
            self.outgoing.control(Control::of_empty_statement(wire));
            return Ok(());
        }
        let content = Content {
            wire,
            text: Arc::clone(&portal.prepared.text),
            template: Arc::clone(&analysis.template),
            values: portal.values.clone(),
        };
        let verdict = self.session.judge(Arc::clone(&effective.operations), effective.shape, content);
        let mut running = match self.permit(verdict, place, &analysis, &mut effective) {
            Ok(running) => running,
            Err(Stop::Hold(place, ask)) => {
                // The Execute is looked at again; what stands before it waits on.
                let wire = ask.wire().get(..staged_wire).unwrap_or_default().to_vec();
                self.outgoing.staged = Staged { wire, due, ..staged };
                return Err(Stop::Hold(place, ask));
            }
            Err(stop) => {
                // Neither Parse nor Bind went up: nothing under their names does exist there.
                self.forget(due);
                return Err(if staged.parse.is_some() { self.located(stop, &portal.prepared.text) } else { stop });
            }
        };
        running.portal = Some(portal);
        due.push((Asked::Execute, Due::Running(running)));
        self.push_all(&mut due)?;
        // The memory is used again.
        self.outgoing.staged.due = due;
        self.outgoing.items.push(Item::Permitted);
        self.unit_begun = true;
        if effective.begins_copy { Err(Stop::CopyBegins) } else { Ok(()) }
    }

    /// Does the client declare a parameter of a type that somebody added a cast from? The analysis takes a parameter for what
    /// it is cast to, which then would be a call.
    fn declares_cast_type(&self, parse: &Parse<'_>) -> bool {
        !parse.parameter_types.is_empty()
            && self.guarded.catalogue().is_some_and(|catalogue| {
                !catalogue.casts().is_empty()
                    && parse.parameter_types.iter().any(|oid| catalogue.has_added_cast_from(*oid))
            })
    }

    fn after_unstaging(&mut self, stop: Stop) -> Result<(), Stop> {
        self.unstage()?;
        Err(stop)
    }

    pub(super) fn describe(&mut self, name: Name<'_>) -> Result<(), Stop> {
        let (found, asked) = match name {
            Name::Statement(name) => (known(self.names.statement(name), Arc::clone), Asked::DescribeStatement),
            Name::Portal(name) => {
                (known(self.names.portal(name), |portal| Arc::clone(&portal.prepared)), Asked::DescribePortal)
            }
        };
        let prepared = match found {
            Ok(prepared) => prepared,
            Err(stop) => return self.after_unstaging(stop),
        };
        if self.outgoing.staged.wire.is_empty() {
            let control = Control::describe(name)?;
            self.push(asked, Due::Described(prepared))?;
            self.outgoing.control(control);
            self.unit_begun = true;
        } else {
            encode(name.encode_describe(&mut self.outgoing.staged.wire))?;
            self.outgoing.staged.due.push((asked, Due::Described(prepared)));
        }
        Ok(())
    }

    pub(super) fn close_name(&mut self, name: Name<'_>) -> Result<(), Stop> {
        self.unstage()?;
        let change = match name {
            Name::Statement(name) => self.names.remove_statement(name),
            Name::Portal(name) => self.names.remove_portal(name),
        };
        let change = change.map_err(|TooMany| too_many())?;
        let control = Control::close(name)?;
        self.push(Asked::Close, Due::Other(Some(change)))?;
        self.outgoing.control(control);
        self.unit_begun = true;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> Result<(), Stop> {
        self.unstage()?;
        match self.replies.push(Asked::Sync, Answer::Upstream, Due::Other(None)) {
            Ok(()) => {}
            // While it waits for COPY data the server ignores Sync, so it is not forwarded.
            Err(NotNow::CopyIn) => return Ok(()),
            Err(NotNow::Full) => return Err(Stop::Settle),
            Err(NotNow::Refused) => return Err(End::ClientProtocol("a message is out of place").into()),
        }
        self.answers_due += 1;
        self.outgoing.control(Control::sync());
        self.names.end_unit();
        self.unit_begun = false;
        Ok(())
    }

    /// A Parse or Bind whose Execute does not follow at once is judged as preparation and goes up by itself.
    pub(super) fn unstage(&mut self) -> Result<(), Stop> {
        let Some(place) = self.outgoing.staged.place() else {
            return Ok(());
        };
        let Staged { wire, mut due, parse, portal } = std::mem::take(&mut self.outgoing.staged);
        let (prepared, values) = match (&portal, &parse) {
            (Some(portal), _) => (&portal.prepared, portal.values.clone()),
            (None, Some((prepared, _))) => (prepared, Vec::new()),
            (None, None) => return Ok(()),
        };
        let analysis = &prepared.analysis;
        if analysis.statements.is_empty() {
            self.push_all(&mut due)?;
            self.outgoing.control(Control::of_empty_statement(wire));
            return Ok(());
        }
        let content =
            Content { wire, text: Arc::clone(&prepared.text), template: Arc::clone(&analysis.template), values };
        let verdict = self.session.judge_preparation(Arc::clone(&analysis.operations), analysis.shape, content);
        let deny = match verdict {
            Verdict::Permit(permit) => {
                self.session.add_permit(permit);
                self.push_all(&mut due)?;
                self.outgoing.items.push(Item::Permitted);
                self.unit_begun = true;
                return Ok(());
            }
            Verdict::Ask(ask) => ask.refused(),
            Verdict::Deny(deny) => deny,
        };
        self.forget(due);
        let stop = Stop::RefuseStaged(place, Box::new(deny));
        Err(if parse.is_some() { self.located(stop, &prepared.text) } else { stop })
    }

    /// A prepared statement's analysis, made again if the catalogue has changed since (PL18).
    fn current_analysis(&mut self, prepared: &Prepared) -> Result<Arc<Analysis>, Stop> {
        if prepared.epoch == self.epoch() {
            return Ok(Arc::clone(&prepared.analysis));
        }
        self.analyse(&prepared.text, Place::Execute)
    }
}

/// What a name stands for, or why the message must stop.
fn known<V>(lookup: Lookup<'_, V>, prepared: impl FnOnce(&V) -> Arc<Prepared>) -> Result<Arc<Prepared>, Stop> {
    match lookup {
        Lookup::Found(found) => Ok(prepared(found)),
        Lookup::Missing => Err(Stop::NoSuchName(Place::Execute)),
        Lookup::Pending => Err(Stop::Settle),
    }
}
