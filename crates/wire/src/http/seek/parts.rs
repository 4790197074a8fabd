//! The parts of a multipart body as they pass: the values of fields that are sought, and parts that are JSON themselves. A line that
//! begins with the boundary begins a part; the beginning of each line is held until it is known not to be one.

use super::super::json_mask::{Form, JsonSeeker, LONGEST_VALUE};
use super::super::overrides::decoded;
use super::super::violation::Violation;
use super::{Sought, says_json, unread};

/// The longest head of a part, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Parts {
    sought: Sought,
    /// With its two hyphens.
    boundary: Vec<u8>,
    /// The line under way: in heads all of it, elsewhere no more than can be a boundary, and the two hyphens of the last.
    line: Vec<u8>,
    /// The line is no boundary, and what of it was held has been passed on.
    passes: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Before the first part, behind the last, and in a part that is not looked at.
    Skipped,
    /// The lines of the head under way.
    Head(Vec<u8>),
    /// A value, unless it was too long to be what a mask made.
    Value(Option<Vec<u8>>),
    Json(Box<JsonSeeker>),
}

impl Parts {
    pub(super) fn new(boundary: &str, sought: Sought) -> Self {
        let boundary = format!("--{boundary}").into_bytes();
        Self { sought, boundary, line: Vec::new(), passes: false, place: Place::Skipped }
    }

    /// Takes the next bytes: was a value among them that a mask made?
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (part, after) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
            let found = self.keep(part)? || end.is_some() && self.end_line()?;
            if found {
                return Ok(true);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        Ok(false)
    }

    /// Ends the body.
    pub(super) fn finish(&mut self) -> Result<bool, Violation> {
        if self.is_boundary() {
            return self.end_part();
        }
        let line = std::mem::take(&mut self.line);
        Ok(self.pass(&line)? || self.end_part()?)
    }

    fn is_boundary(&self) -> bool {
        !self.passes && !matches!(self.place, Place::Head(_)) && self.line.starts_with(&self.boundary)
    }

    /// A piece of a line.
    fn keep(&mut self, part: &[u8]) -> Result<bool, Violation> {
        if let Place::Head(head) = &self.place {
            if head.len() + self.line.len() + part.len() > LONGEST_HEAD {
                return Err(Violation::Body);
            }
            self.line.extend_from_slice(part);
            return Ok(false);
        }
        if self.passes {
            return self.pass(part);
        }
        let room = (self.boundary.len() + 2).saturating_sub(self.line.len()).min(part.len());
        let (held, rest) = part.split_at_checked(room).unwrap_or((part, &[]));
        self.line.extend_from_slice(held);
        if self.is_boundary() || rest.is_empty() {
            return Ok(false);
        }
        self.passes = true;
        let line = std::mem::take(&mut self.line);
        Ok(self.pass(&line)? || self.pass(rest)?)
    }

    fn end_line(&mut self) -> Result<bool, Violation> {
        let line = std::mem::take(&mut self.line);
        if let Place::Head(head) = &mut self.place {
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                let head = std::mem::take(head);
                self.place = self.part(&String::from_utf8_lossy(&head))?;
            } else {
                // A line that begins with a blank goes on with the one before.
                let folded = line.starts_with(b" ") || line.starts_with(b"\t");
                head.extend_from_slice(if folded || head.is_empty() { b"" } else { b"\n" });
                head.extend_from_slice(line);
            }
            return Ok(false);
        }
        let passed = std::mem::take(&mut self.passes);
        if !passed && line.starts_with(&self.boundary) {
            let found = self.end_part()?;
            let is_last = line.get(self.boundary.len()..) == Some(b"--");
            self.place = if is_last { Place::Skipped } else { Place::Head(Vec::new()) };
            return Ok(found);
        }
        Ok(self.pass(&line)? || self.pass(b"\n")?)
    }

    /// What belongs to a part.
    fn pass(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        match &mut self.place {
            Place::Skipped | Place::Head(_) | Place::Value(None) => Ok(false),
            Place::Value(Some(value)) if value.len() + bytes.len() > LONGEST_VALUE => {
                self.place = Place::Value(None);
                Ok(false)
            }
            Place::Value(Some(value)) => {
                value.extend_from_slice(bytes);
                Ok(false)
            }
            Place::Json(json) => json.feed(bytes).map_err(unread),
        }
    }

    /// A part is over: is its value what a mask made?
    fn end_part(&mut self) -> Result<bool, Violation> {
        match std::mem::replace(&mut self.place, Place::Skipped) {
            Place::Skipped | Place::Head(_) | Place::Value(None) => Ok(false),
            Place::Value(Some(value)) => {
                // The last line's end belongs to the boundary.
                let value = value.strip_suffix(b"\n").unwrap_or(&value);
                Ok(self.sought.is_masked(value.strip_suffix(b"\r").unwrap_or(value)))
            }
            Place::Json(mut json) => json.finish().map_err(unread),
        }
    }

    /// What becomes of the part that has this head.
    fn part(&self, head: &str) -> Result<Place, Violation> {
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(field, _)| field.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        let kind = field("content-type").unwrap_or_default();
        let lower = kind.to_ascii_lowercase();
        let is_named = field("content-disposition").is_some_and(|disposition| match names(disposition) {
            names if names.is_empty() => lower.is_empty(),
            names => names.iter().any(|name| self.sought.is_in(name)),
        });
        let json = says_json(&lower);
        if !is_named && !json && !lower.starts_with("multipart/") {
            return Ok(Place::Skipped);
        }
        let encoding = field("content-transfer-encoding").unwrap_or("binary").to_ascii_lowercase();
        if lower.starts_with("multipart/") || !matches!(encoding.as_str(), "7bit" | "8bit" | "binary") {
            return Err(Violation::BodyType);
        }
        if !json {
            return Ok(Place::Value(Some(Vec::new())));
        }
        let places = if is_named { self.sought.everywhere() } else { self.sought.places.clone() };
        let form = Form::of_content_type(kind).ok_or(Violation::BodyType)?;
        Ok(Place::Json(Box::new(JsonSeeker::new(places, form))))
    }
}

/// The names that a disposition gives its part, as one reader or another takes them.
fn names(disposition: &str) -> Vec<String> {
    let parameters = disposition.split(';').filter_map(|parameter| parameter.split_once('='));
    let named = parameters.filter(|(key, _)| matches!(key.trim().to_ascii_lowercase().as_str(), "name" | "name*"));
    let plain = named.map(|(key, value)| {
        let value: String = value.trim().chars().filter(|letter| !matches!(letter, '"' | '\\')).collect();
        // `name*=utf-8'en'email`
        let extended = key.trim_end().ends_with('*');
        let value = if extended { value.rsplit('\'').next().unwrap_or_default() } else { value.as_str() };
        decoded(value.as_bytes())
    });
    plain.collect()
}
