//! The template of a path, such as `/v1/refunds/{id}`, `/files/{name}.json`, `/v1/{name}:cancel`, `/static/**`, `/secret/data/{path...}`.

use std::fmt;
use std::sync::Arc;

/// The longest template, in bytes.
const LONGEST: usize = 2048;
/// The most segments.
const DEEPEST: usize = 64;

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// Exactly that text.
    Literal(Arc<str>),
    /// A text before, and for each parameter its name (none for `*`) and the text behind it.
    Pattern(Arc<str>, Vec<(Option<Arc<str>>, Arc<str>)>),
    /// Any segments, at the end only: `**` or `{name...}`; the latter at least one.
    Rest(Option<Arc<str>>),
}

/// Why a text is no template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with a slash.
    #[error("the path of an endpoint begins with `/`")]
    NoSlash,
    /// A segment is empty, a dot segment, or holds what no canonical path holds.
    #[error(
        "segment {0} of the path is empty, `.`, `..`, or holds a blank, `\"`, `?`, `#`, `\\`, or a control character"
    )]
    Segment(usize),
    /// Braces do not pair, hold no name, or follow each other without anything between.
    #[error("segment {0} of the path: a parameter is `{{name}}`, with something between two of them")]
    Parameter(usize),
    /// A name stands twice.
    #[error("segment {0} of the path names a parameter that another names")]
    Twice(usize),
    /// `**` stands before the end.
    #[error("`**` and `{{name...}}` stand for the rest of a path, so nothing follows them")]
    Rest,
    /// Longer than a template may be.
    #[error("a path has at most {DEEPEST} segments and {LONGEST} bytes")]
    TooLong,
}

/// The template of a path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

impl Template {
    /// Reads a template. A slash at the end is dropped; `%xx` of a literal is decoded.
    ///
    /// # Errors
    /// [`TemplateError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if text.len() > LONGEST || rest.split('/').count() > DEEPEST {
            return Err(TemplateError::TooLong);
        }
        let mut segments = Vec::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        if !rest.is_empty() {
            for (place, part) in rest.split('/').enumerate() {
                if matches!(segments.last(), Some(Segment::Rest(_))) {
                    return Err(TemplateError::Rest);
                }
                let segment = segment(part, place + 1)?;
                for name in segment.names() {
                    if names.contains(name) {
                        return Err(TemplateError::Twice(place + 1));
                    }
                    names.push(name.clone());
                }
                segments.push(segment);
            }
        }
        Ok(Self { text: format!("/{rest}").into(), segments: segments.into() })
    }

    /// As it was written, but for a slash at the end.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first segment of all its paths, decoded; none where they differ in it or have none.
    pub fn first(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Literal(text)) => Some(text),
            Some(Segment::Pattern(..) | Segment::Rest(_)) | None => None,
        }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of its parameters in order; `None` for one without a name. The rest of a path has none.
    pub(super) fn parameters(&self) -> impl Iterator<Item = Option<&Arc<str>>> {
        let pieces = self.segments.iter().flat_map(|segment| match segment {
            Segment::Pattern(_, pieces) => pieces.as_slice(),
            Segment::Literal(_) | Segment::Rest(_) => &[],
        });
        let rest = self.segments.iter().filter_map(|segment| match segment {
            Segment::Rest(name) => Some(name.as_ref()),
            Segment::Literal(_) | Segment::Pattern(..) => None,
        });
        pieces.map(|(name, _)| name.as_ref()).chain(rest)
    }

    /// Whether it has the same paths, whatever its parameters are called.
    pub fn same_form(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(other.segments.iter()).all(|(one, another)| one.same_form(another))
    }
}

impl Segment {
    pub(super) fn same_form(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(first, pieces), Self::Pattern(other_first, others)) => {
                first == other_first
                    && pieces.len() == others.len()
                    && pieces.iter().zip(others).all(|((_, text), (_, other))| text == other)
            }
            (Self::Rest(name), Self::Rest(other)) => name.is_some() == other.is_some(),
            (one, another) => one == another,
        }
    }

    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let (pieces, rest) = match self {
            Self::Pattern(_, pieces) => (pieces.as_slice(), None),
            Self::Rest(name) => (&[][..], name.as_ref()),
            Self::Literal(_) => (&[][..], None),
        };
        pieces.iter().filter_map(|(name, _)| name.as_ref()).chain(rest)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.text)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("..")
        && text.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.'))
}

fn segment(part: &str, place: usize) -> Result<Segment, TemplateError> {
    // A blank or a quotation mark would leave in doubt where the name of a resource ends.
    let odd = |letter: char| matches!(letter, '?' | '#' | '\\' | '"' | ' ') || letter.is_control();
    if matches!(part, "" | "." | "..") || part.contains(odd) {
        return Err(TemplateError::Segment(place));
    }
    match part {
        "**" => return Ok(Segment::Rest(None)),
        "*" => return Ok(Segment::Pattern("".into(), vec![(None, "".into())])),
        _ => {}
    }
    if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix("...}")) {
        return if is_name(name) { Ok(Segment::Rest(Some(name.into()))) } else { Err(TemplateError::Parameter(place)) };
    }
    let Some((first, mut rest)) = part.split_once('{') else {
        if part.contains(['}', '*']) {
            return Err(TemplateError::Parameter(place));
        }
        return Ok(Segment::Literal(decode(part).ok_or(TemplateError::Segment(place))?.into()));
    };
    let literal = |text: &str| {
        let decoded = decode(text).filter(|text| !text.contains(['}', '*'])).ok_or(TemplateError::Parameter(place))?;
        Ok(Arc::from(decoded))
    };
    let first = literal(first)?;
    let mut pieces = Vec::new();
    loop {
        let (name, after) = rest.split_once('}').ok_or(TemplateError::Parameter(place))?;
        if !is_name(name) {
            return Err(TemplateError::Parameter(place));
        }
        match after.split_once('{') {
            // Where one parameter ends and the next begins would be for each server to say.
            Some(("", _)) => return Err(TemplateError::Parameter(place)),
            Some((between, next)) => {
                pieces.push((Some(name.into()), literal(between)?));
                rest = next;
            }
            None => {
                pieces.push((Some(name.into()), literal(after)?));
                return Ok(Segment::Pattern(first, pieces));
            }
        }
    }
}

/// `%xx` as the byte; `None` if the result is no text, or holds a slash.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(|letter: char| letter == '/' || letter.is_control()))
}
