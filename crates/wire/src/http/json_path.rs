//! Paths into JSON documents: the small part of RFC 9535 that names places rather than searches for them.
//!
//! `$.customers[*].email`, `$['odd key']`, `$.*` for any member, `$..email` for a member at any depth. There are no indices,
//! slices or filters: a mask that depends on a position is one that another position escapes. What a path does in a response
//! is said in `json_mask.rs`, in a request in `body.rs`.

use std::fmt;
use std::sync::Arc;

/// The longest path, in bytes.
pub const LONGEST_PATH: usize = 1024;
/// The most steps of a path.
pub const MOST_STEPS: usize = 64;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The member of that name.
    Member(Arc<str>),
    /// Any member: `.*`.
    AnyMember,
    /// Any element of an array: `[*]`.
    Elements,
    /// What follows may stand at any depth: `..`. Always before a member.
    Deep,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// Paths begin at the root.
    #[error("a path begins with `$`")]
    NoRoot,
    /// Something that no step begins with, or that a step does not go on with.
    #[error("at byte {0}: expected `.name`, `['name']`, `[*]`, `.*` or `..name`")]
    Step(usize),
    /// More than [`LONGEST_PATH`] or [`MOST_STEPS`].
    #[error("a path has at most {MOST_STEPS} steps and {LONGEST_PATH} bytes")]
    TooLong,
}

/// A path into a JSON document. Two that mean the same have one text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPath {
    text: Arc<str>,
    steps: Arc<[Step]>,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`JsonPathError`] says where it stops being one.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        if text.len() > LONGEST_PATH {
            return Err(JsonPathError::TooLong);
        }
        let mut rest = text.strip_prefix('$').ok_or(JsonPathError::NoRoot)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let place = text.len() - rest.len();
            rest = step(rest, &mut steps).ok_or(JsonPathError::Step(place))?;
        }
        Self::of(steps)
    }

    /// The path of those steps.
    ///
    /// # Errors
    /// [`JsonPathError::TooLong`]; [`JsonPathError::Step`] if `..` does not stand before a member.
    pub fn of(steps: Vec<Step>) -> Result<Self, JsonPathError> {
        let dangling = |pair: &[Step]| matches!(pair, [Step::Deep, Step::Deep | Step::Elements]);
        if steps.last() == Some(&Step::Deep) || steps.windows(2).any(dangling) {
            return Err(JsonPathError::Step(0));
        }
        let mut text = String::from("$");
        for (place, one) in steps.iter().enumerate() {
            let after_deep = place.checked_sub(1).and_then(|before| steps.get(before)) == Some(&Step::Deep);
            write_step(one, after_deep, &mut text);
        }
        if steps.len() > MOST_STEPS || text.len() > LONGEST_PATH {
            return Err(JsonPathError::TooLong);
        }
        Ok(Self { text: text.into(), steps: steps.into() })
    }

    /// Its one text.
    pub const fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Its steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The names of its members, if it has nothing else: then it names one place of a document at most.
    pub fn single(&self) -> Option<Vec<&Arc<str>>> {
        let name = |one: &'_ Step| matches!(one, Step::Member(_));
        if !self.steps.iter().all(name) {
            return None;
        }
        Some(self.steps.iter().filter_map(|one| if let Step::Member(name) = one { Some(name) } else { None }).collect())
    }
}

/// Takes one step off the front.
fn step<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(rest) = rest.strip_prefix("..") {
        steps.push(Step::Deep);
        return if rest.starts_with("['") || rest.starts_with("[\"") {
            bracket(rest, steps)
        } else {
            name(rest, steps)
        };
    }
    match rest.strip_prefix('.') {
        Some(rest) => name(rest, steps),
        None => bracket(rest, steps),
    }
}

fn name<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(rest) = rest.strip_prefix('*') {
        steps.push(Step::AnyMember);
        return Some(rest);
    }
    let end = rest.find(|letter: char| !is_plain(letter)).unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    steps.push(Step::Member(name.into()));
    Some(rest)
}

fn bracket<'t>(rest: &'t str, steps: &mut Vec<Step>) -> Option<&'t str> {
    if let Some(rest) = rest.strip_prefix("[*]") {
        steps.push(Step::Elements);
        return Some(rest);
    }
    let rest = rest.strip_prefix('[')?;
    let mut letters = rest.chars();
    let quote = letters.next().filter(|quote| matches!(quote, '\'' | '"'))?;
    let mut name = String::new();
    loop {
        match letters.next()? {
            '\\' => name.push(letters.next().filter(|letter| matches!(letter, '\\' | '\'' | '"'))?),
            letter if letter == quote => break,
            letter => name.push(letter),
        }
    }
    steps.push(Step::Member(name.into()));
    letters.as_str().strip_prefix(']')
}

/// A letter of a name that needs no quotes.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '@') || !letter.is_ascii()
}

fn write_step(step: &Step, after_deep: bool, text: &mut String) {
    match step {
        Step::Elements => text.push_str("[*]"),
        Step::Deep => text.push_str(".."),
        Step::AnyMember => text.push_str(if after_deep { "*" } else { ".*" }),
        Step::Member(name) if !name.is_empty() && name.chars().all(is_plain) => {
            if !after_deep {
                text.push('.');
            }
            text.push_str(name);
        }
        Step::Member(name) => {
            text.push_str("['");
            for letter in name.chars() {
                if matches!(letter, '\\' | '\'') {
                    text.push('\\');
                }
                text.push(letter);
            }
            text.push_str("']");
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPath({})", self.text)
    }
}

#[cfg(test)]
mod tests;
