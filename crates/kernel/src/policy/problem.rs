//! What is wrong with a policy bundle, in the form that people fix it by: place, code, message, help.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::policy::class::InvalidPattern;

/// What sort of mistake it is. Each has a stable code `PAR01xx` with a page of its own in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The text is not Cedar.
    Syntax,
    /// A name or a type that the schema does not have.
    Type,
    /// A policy without a usable `@id`.
    Id,
    /// Two policies have the same `@id`.
    DuplicateId,
    /// An annotation that Parapet does not know.
    UnknownAnnotation,
    /// An annotation whose value cannot be read.
    BadAnnotation,
    /// A remedy on a permit.
    RemedyOnPermit,
    /// More than one remedy on one policy.
    ManyRemedies,
    /// A policy that can never apply, or text that looks like what it is not.
    Suspicious,
    /// A mask on something that has no value to mask.
    MaskScope,
    /// A class whose pattern cannot be read.
    ClassPattern,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Syntax,
        Self::Type,
        Self::Id,
        Self::DuplicateId,
        Self::UnknownAnnotation,
        Self::BadAnnotation,
        Self::RemedyOnPermit,
        Self::ManyRemedies,
        Self::Suspicious,
        Self::MaskScope,
        Self::ClassPattern,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "PAR0101",
            Self::Type => "PAR0102",
            Self::Id => "PAR0103",
            Self::DuplicateId => "PAR0104",
            Self::UnknownAnnotation => "PAR0105",
            Self::BadAnnotation => "PAR0106",
            Self::RemedyOnPermit => "PAR0107",
            Self::ManyRemedies => "PAR0108",
            Self::Suspicious => "PAR0110",
            Self::MaskScope => "PAR0111",
            Self::ClassPattern => "PAR0112",
        }
    }

    /// What it means, in a sentence for the code's page.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Syntax => "the text is not Cedar",
            Self::Type => "a name or a type that Parapet's schema does not have",
            Self::Id => "each policy needs an `@id` of its own: letters, digits, `-`, `_` and `.`",
            Self::DuplicateId => "two policies of a bundle have the same `@id`",
            Self::UnknownAnnotation => "an annotation that Parapet does not know",
            Self::BadAnnotation => "an annotation whose value cannot be read",
            Self::RemedyOnPermit => "remedies say what happens instead of a plain block, so they stand on a forbid",
            Self::ManyRemedies => "one forbid has one remedy",
            Self::Suspicious => "the policy can never apply, or its text looks like what it is not",
            Self::MaskScope => "a mask replaces values that are read, so its policy is about columns that are read",
            Self::ClassPattern => {
                "a class is given by a pattern over `schema.table`, `schema.table.column` or a field such as `$.email`"
            }
        }
    }
}

/// One mistake, with its place. Lines and columns count from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What sort of mistake it is.
    pub kind: ProblemKind,
    /// The file's name as the caller gave it; for a class, the upstream's name.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
    /// Byte offsets in the file.
    pub span: (usize, usize),
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Problem {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// A class pattern of an upstream that cannot be read. The file is the upstream's name; there is no line to show.
    pub(crate) fn of_class(upstream: &str, pattern: &str, invalid: &InvalidPattern) -> Self {
        Self {
            kind: ProblemKind::ClassPattern,
            file: upstream.into(),
            line: 1,
            column: 1,
            span: (0, 0),
            message: format!("`{pattern}`: {invalid}"),
            help: Some("for example `public.customers.email` or `public.card_*`".to_owned()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {} ({})", self.file, self.line, self.column, self.message, self.code())?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// Line and column, counted from 1, of a byte offset in `text`. A column is a character.
pub(crate) fn place(text: &str, offset: usize) -> (u32, u32) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    (
        u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1),
        u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1),
    )
}
