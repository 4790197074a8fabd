//! What a mask made in the parts of a multipart body: the values of fields that are sought, and parts that are JSON themselves.

use super::super::json_mask::{Form, JsonSeeker, LONGEST_VALUE};
use super::super::multipart::Look;
use super::super::overrides::decoded;
use super::super::violation::Violation;
use super::{Sought, says_json, unread};

/// What the parts of one body are searched for.
#[derive(Debug)]
pub(super) struct Values {
    sought: Sought,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Before the first part, and in one that is not looked at.
    Skipped,
    /// A value, unless it was too long to be what a mask made.
    Value(Option<Vec<u8>>),
    Json(Box<JsonSeeker>),
}

impl Values {
    pub(super) const fn new(sought: Sought) -> Self {
        Self { sought, place: Place::Skipped }
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

impl Look for Values {
    fn head(&mut self, head: &[u8]) -> Result<(), Violation> {
        self.place = self.part(&String::from_utf8_lossy(head))?;
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<bool, Violation> {
        match &mut self.place {
            Place::Skipped | Place::Value(None) => Ok(false),
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

    fn end(&mut self) -> Result<bool, Violation> {
        match std::mem::replace(&mut self.place, Place::Skipped) {
            Place::Skipped | Place::Value(None) => Ok(false),
            Place::Value(Some(value)) => {
                // The last line's end belongs to the boundary.
                let value = value.strip_suffix(b"\n").unwrap_or(&value);
                Ok(self.sought.is_masked(value.strip_suffix(b"\r").unwrap_or(value)))
            }
            Place::Json(mut json) => json.finish().map_err(unread),
        }
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
