//! Masks in JSON while it streams: values at the places that policy masks are replaced, whatever the bytes are cut into, and the rest
//! passes as it came.
//!
//! **Places.** Arrays are looked through: `$.customers.email` and `$.customers[*].email` are one place, so an answer that is a
//! list where the document said an object is masked all the same. Every member of that name is masked, once or ten times,
//! escaped or not. A masked object is replaced whole, names and all; a masked array element by element, but by `null` whole.
//!
//! **Values.** A text stays a text, a number a number (docs/reference/masks.md). One longer than [`LONGEST_VALUE`] is redacted
//! without being kept, so memory is bounded whatever comes. **Forms**: one document or many (`Json`, `Lines`), and server-sent events.
//!
//! **The way back.** The same places are searched in what a client sends for values that a mask made ([`JsonSeeker`]).
//!
//! What is not JSON stops the answer: a reader more lenient than this one could see what was not masked. `machine.rs` reads,
//! `places.rs` finds, `replace.rs` writes, `inspect.rs` runs the detectors, `events.rs` takes events apart.

mod events;
mod inspect;
mod machine;
mod places;
mod replace;
mod skim;

use std::sync::Arc;

use kernel::verdict::Mask;

use super::body::{is_json, is_utf8, media_type};
use super::json_path::JsonPath;
use crate::detect::{Detector, Kind};
use crate::mask::MaskKey;
use events::Events;
use machine::Machine;
use places::Places;

/// The longest value that is kept until its mask is made, in bytes as it comes; a longer one is redacted.
pub const LONGEST_VALUE: usize = 64 * 1024;
/// The longest text that detectors look at in whole, in bytes as it comes.
pub const LONGEST_INSPECTED: usize = 256 * 1024;
/// How deep an answer may be.
pub const DEEPEST_ANSWER: usize = 512;

/// What detectors do with the texts and numbers that are not masked by their place. They are a signal and never the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detect {
    /// Nothing.
    Off,
    /// They count what they find; of a long text only in its beginning.
    Signal,
    /// What they find is replaced by this mask; a text longer than [`LONGEST_INSPECTED`] is redacted.
    Mask(Mask),
}

/// What is masked in an answer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Masks {
    places: Arc<Places>,
    key: Arc<MaskKey>,
    detect: Detect,
    detector: Option<Arc<Detector>>,
}

impl Masks {
    /// The masks at those paths; where several are on one place, the strongest. `detector` is needed unless `detect` is
    /// off.
    pub fn new(paths: &[(JsonPath, Mask)], key: Arc<MaskKey>, detect: Detect, detector: Option<Arc<Detector>>) -> Self {
        let detect = if detector.is_some() { detect } else { Detect::Off };
        Self { places: Arc::new(Places::new(paths, false)), key, detect, detector }
    }

    /// Places to be searched for what a mask made: their names in any case, as many servers read them.
    pub(super) fn sought(paths: &[JsonPath], key: Arc<MaskKey>) -> Self {
        let places: Vec<_> = paths.iter().map(|path| (path.clone(), Mask::Redact)).collect();
        Self { places: Arc::new(Places::new(&places, true)), key, detect: Detect::Off, detector: None }
    }

    /// Whether nothing is masked and nothing detected: then answers need no masker.
    pub fn is_idle(&self) -> bool {
        self.places.are_none() && self.detect == Detect::Off
    }
}

/// How an answer's documents are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A document, or several behind each other.
    Json,
    /// JSON lines, RFC 7464 sequences and their kin.
    Lines,
    /// Server-sent events, each a document in its `data`.
    Events,
}

impl Form {
    /// The form of a content type; `None` for one that cannot be masked, or that names another encoding than UTF-8.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let (essence, parameters) = media_type(content_type)?;
        if !is_utf8(&parameters) {
            return None;
        }
        match essence.as_str() {
            "text/event-stream" => Some(Self::Events),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/x-jsonlines"
            | "application/json-seq"
            | "application/stream+json" => Some(Self::Lines),
            essence if is_json(essence) => Some(Self::Json),
            _ => None,
        }
    }
}

/// Why an answer stops. Without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// Not JSON, to the letter of RFC 8259.
    #[error("the answer is masked and is not valid json")]
    Invalid,
    /// Not UTF-8.
    #[error("the answer is masked and is not valid utf-8")]
    NotUtf8,
    /// Deeper than [`DEEPEST_ANSWER`].
    #[error("the answer is masked and is deeper than {DEEPEST_ANSWER} levels")]
    TooDeep,
    /// It ends within a document.
    #[error("the answer is masked and ends before its json does")]
    Truncated,
}

/// Masks one answer.
#[derive(Debug)]
pub struct JsonMasker {
    inner: Inner,
    failed: Option<MaskError>,
}

#[derive(Debug)]
enum Inner {
    Documents(Machine),
    Events(Events),
}

impl JsonMasker {
    /// A masker for one answer.
    pub fn new(masks: Masks, form: Form) -> Self {
        let whole = masks.places.mask(&masks.places.root()).is_some();
        let machine = Machine::new(masks, form == Form::Lines);
        let inner = match form {
            Form::Json | Form::Lines => Inner::Documents(machine),
            Form::Events => Inner::Events(Events::new(machine, whole)),
        };
        Self { inner, failed: None }
    }

    /// Takes the next bytes, and appends what may leave: at most the input's length and one value more.
    ///
    /// # Errors
    /// [`MaskError`] if the answer cannot go on; then nothing more of it may leave. What was appended before is masked.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.guarded(|inner| match inner {
            Inner::Documents(machine) => machine.feed(input, out),
            Inner::Events(events) => events.feed(input, out),
        })
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// [`MaskError`] if it ends within a document, or had failed before.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), MaskError> {
        self.guarded(|inner| match inner {
            Inner::Documents(machine) => machine.finish(out),
            Inner::Events(events) => events.finish(out),
        })
    }

    fn guarded(&mut self, step: impl FnOnce(&mut Inner) -> Result<(), MaskError>) -> Result<(), MaskError> {
        match self.failed {
            Some(error) => Err(error),
            None => step(&mut self.inner).inspect_err(|error| self.failed = Some(*error)),
        }
    }

    /// The detectors have seen enough, where they only count: what comes is masked by its place alone.
    pub fn look_no_more(&mut self) {
        match &mut self.inner {
            Inner::Documents(machine) => machine.look_no_more(),
            Inner::Events(events) => events.look_no_more(),
        }
    }

    /// How many values were replaced.
    pub const fn masked(&self) -> u64 {
        self.machine().masked()
    }

    /// What the detectors found, and how often.
    pub fn found(&self) -> impl Iterator<Item = (Kind, u32)> + '_ {
        self.machine().found()
    }

    const fn machine(&self) -> &Machine {
        match &self.inner {
            Inner::Documents(machine) => machine,
            Inner::Events(events) => events.machine(),
        }
    }
}

/// Searches JSON for values that a mask made (hazards MK18), at the places of masks; what stands below such a place is searched
/// whole. Nothing passes through it.
#[derive(Debug)]
pub struct JsonSeeker {
    machine: Machine,
    passed: Vec<u8>,
}

impl JsonSeeker {
    /// For one body. Events are no form of a body.
    pub fn new(masks: Masks, form: Form) -> Self {
        Self { machine: Machine::seeking(masks, form == Form::Lines), passed: Vec::new() }
    }

    /// Takes the next bytes: was such a value among them, or before?
    ///
    /// # Errors
    /// [`MaskError`] if it is no JSON, and there was none before that shows.
    pub fn feed(&mut self, input: &[u8]) -> Result<bool, MaskError> {
        self.passed.clear();
        let fed = self.machine.feed(input, &mut self.passed);
        self.found(fed)
    }

    /// Ends the body: was there such a value?
    ///
    /// # Errors
    /// [`MaskError`] if it ends within a document, and there was none.
    pub fn finish(&mut self) -> Result<bool, MaskError> {
        self.passed.clear();
        let ended = self.machine.finish(&mut self.passed);
        self.found(ended)
    }

    /// What was found counts, whatever follows: else it would depend on how the body is cut.
    fn found(&self, step: Result<(), MaskError>) -> Result<bool, MaskError> {
        if self.machine.has_found() { Ok(true) } else { step.map(|()| false) }
    }
}

#[cfg(test)]
mod tests;
