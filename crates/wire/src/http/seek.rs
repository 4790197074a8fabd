//! Searches the bodies of requests for what a mask made (hazards MK18), as they pass: JSON, forms, and the parts of multipart bodies.
//!
//! Sought is at every field that has the name of one that is masked, wherever it stands: what is written need not be laid out as what
//! was read, and names count in any case, as many servers read them. Nothing is kept of a body but one value, up to the longest that a mask makes. A body that says that it is of such
//! a type, and is not, cannot be searched: that is a [`Violation`]. GraphQL's documents stand in `graphql/seek.rs`.

mod form;
mod parts;

use std::sync::Arc;

use super::body::is_json;
use super::json_mask::{Form, JsonSeeker, MaskError, Masks};
use super::json_path::{JsonPath, Step};
use super::multipart::{Parts, boundary};
use super::names::Lenient;
use super::violation::Violation;
use crate::mask::MaskKey;
use form::Fields;
use parts::Values;

/// What is sought: values that masks of one key made, in fields of these names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sought {
    places: Masks,
    names: Arc<Names>,
    key: Arc<MaskKey>,
}

#[derive(Debug)]
struct Names {
    known: Vec<Lenient>,
    /// Some field is known by no name: then every one is sought.
    all: bool,
}

impl Sought {
    /// In the fields of these paths.
    pub fn in_fields<'p>(fields: impl Iterator<Item = &'p JsonPath>, key: &Arc<MaskKey>) -> Self {
        let fields: Vec<&JsonPath> = fields.collect();
        let places: Vec<_> = fields.iter().map(|path| anywhere(path)).collect();
        let named = |path: &&JsonPath| {
            let member = |step: &Step| if let Step::Member(name) = step { Some(Lenient::of(name)) } else { None };
            path.steps().iter().rev().find_map(member)
        };
        Self::new(&places, fields.iter().map(named), key)
    }

    /// In the fields that these GraphQL paths end in, such as `Query.customer.email`; `*` stands for any.
    pub fn in_selections<'p>(paths: impl Iterator<Item = &'p str>, key: &Arc<MaskKey>) -> Self {
        let named = |path: &'p str| {
            let name = path.rsplit('.').next().filter(|name| !name.contains('*'))?;
            Some(Lenient::of(name))
        };
        Self::new(&[], paths.map(named), key)
    }

    fn new(places: &[JsonPath], names: impl Iterator<Item = Option<Lenient>>, key: &Arc<MaskKey>) -> Self {
        let mut known = Vec::new();
        let mut all = false;
        for name in names {
            match name {
                Some(name) => known.push(name),
                None => all = true,
            }
        }
        let places = Masks::sought(places, Arc::clone(key));
        Self { places, names: Arc::new(Names { known, all }), key: Arc::clone(key) }
    }

    /// The places in JSON.
    pub const fn places(&self) -> &Masks {
        &self.places
    }

    /// Is a field of that name one that is sought, or a part of one, as in `customer[email]`?
    pub(super) fn is_in(&self, name: &str) -> bool {
        self.names.all || {
            let name = Lenient::of(name);
            self.names.known.iter().any(|known| name.holds(known))
        }
    }

    /// Is it what a mask made?
    pub(super) fn is_masked(&self, value: &[u8]) -> bool {
        self.key.is_masked(value)
    }

    /// Does such a value stand in a query, or in a parameter of the path?
    pub fn is_in_target(&self, query: Option<&str>, parameters: &[(Arc<str>, Arc<str>)]) -> bool {
        let mut fields = Fields::new(self.clone());
        let in_query = query.is_some_and(|query| fields.feed(query.as_bytes()) || fields.finish());
        in_query || parameters.iter().any(|(name, value)| self.is_in(name) && self.is_masked(value.as_bytes()))
    }

    /// Everything of a document, whatever its name.
    fn everywhere(&self) -> Masks {
        let whole: Vec<_> = JsonPath::of(Vec::new()).into_iter().collect();
        Masks::sought(&whole, Arc::clone(&self.key))
    }
}

/// At any depth, the last name of a path; what ends in no name stays where it is.
fn anywhere(path: &JsonPath) -> JsonPath {
    match path.steps().iter().rev().find(|step| **step != Step::Elements) {
        Some(Step::Member(name)) => JsonPath::of(vec![Step::Deep, Step::Member(Arc::clone(name))]).ok(),
        _ => None,
    }
    .unwrap_or_else(|| path.clone())
}

/// Searches one body.
#[derive(Debug)]
pub struct Seeker(Scan);

#[derive(Debug)]
enum Scan {
    Json(Box<JsonSeeker>),
    /// A form; or JSON all the same, which many handlers read whatever the type says.
    Form(Box<Fields>, Option<Box<JsonSeeker>>),
    /// YAML, as long as it is JSON, which is YAML too: kubectl applies so.
    Yaml(Option<Box<JsonSeeker>>),
    Parts(Box<Parts<Values>>),
}

impl Seeker {
    /// For the body of a request; none where it is of a type that is not searched. Some take what has no type for a form.
    ///
    /// # Errors
    /// [`Violation::BodyType`] for JSON in another encoding, and for a multipart body whose boundary cannot be told in one way.
    pub fn of(content_type: Option<&[u8]>, sought: &Sought) -> Result<Option<Self>, Violation> {
        let text = content_type.map(String::from_utf8_lossy);
        let kind = text.as_deref().unwrap_or_default();
        let lower = kind.trim().to_ascii_lowercase();
        let json = |form| Box::new(JsonSeeker::new(sought.places.clone(), form));
        let scan = if lower.starts_with("multipart/") {
            Scan::Parts(Box::new(Parts::new(&boundary(kind)?, Values::new(sought.clone()))))
        } else if lower.is_empty() || lower.contains("x-www-form-urlencoded") {
            Scan::Form(Box::new(Fields::new(sought.clone())), Some(json(Form::Json)))
        } else if lower.split(';').next().is_some_and(|essence| essence.trim().ends_with("yaml")) {
            Scan::Yaml(Some(json(Form::Json)))
        } else {
            match Form::of_content_type(kind) {
                Some(Form::Events) => return Ok(None),
                Some(form) => Scan::Json(json(form)),
                None if says_json(&lower) => return Err(Violation::BodyType),
                None => return Ok(None),
            }
        };
        Ok(Some(Self(scan)))
    }

    /// Takes the next bytes: was such a value among them, or before?
    ///
    /// # Errors
    /// A [`Violation`] if the body is not what its type says, and so cannot be searched.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        match &mut self.0 {
            Scan::Json(json) => json.feed(bytes).map_err(unread),
            Scan::Form(fields, json) => Ok(fields.feed(bytes) | if_json(json, |json| json.feed(bytes))),
            Scan::Yaml(json) => Ok(if_json(json, |json| json.feed(bytes))),
            Scan::Parts(parts) => parts.feed(bytes),
        }
    }

    /// Ends the body: was there such a value?
    ///
    /// # Errors
    /// A [`Violation`] if it ends too early.
    pub fn finish(&mut self) -> Result<bool, Violation> {
        match &mut self.0 {
            Scan::Json(json) => json.finish().map_err(unread),
            Scan::Form(fields, json) => Ok(fields.finish() | if_json(json, JsonSeeker::finish)),
            Scan::Yaml(json) => Ok(if_json(json, JsonSeeker::finish)),
            Scan::Parts(parts) => parts.finish(),
        }
    }
}

/// Goes on with what may be JSON, until it is seen not to be.
fn if_json(json: &mut Option<Box<JsonSeeker>>, step: impl FnOnce(&mut JsonSeeker) -> Result<bool, MaskError>) -> bool {
    match json.as_deref_mut().map(step) {
        Some(Ok(found)) => found,
        Some(Err(_other)) => {
            *json = None;
            false
        }
        None => false,
    }
}

/// Would some reader take this type, in lower case, for JSON?
fn says_json(kind: &str) -> bool {
    kind.split([',', ';']).any(|part| is_json(part.trim()))
}

const fn unread(error: MaskError) -> Violation {
    match error {
        MaskError::TooDeep => Violation::BodyDepth,
        MaskError::Invalid | MaskError::NotUtf8 | MaskError::Truncated => Violation::Body,
    }
}

#[cfg(test)]
mod tests;
