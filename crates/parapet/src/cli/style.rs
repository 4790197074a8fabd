//! Colours and marks: red denied or failed, yellow held or observed, green verified; always with a mark and a word, so
//! that nothing is said by colour alone. The streams strip colours where they are not wanted.

use std::fmt;

use clap::builder::styling::{AnsiColor, Effects, Styles};

/// How help pages look.
pub(crate) const HELP: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// What something means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing particular.
    #[default]
    Plain,
    /// Denied or failed.
    Bad,
    /// Held or observed.
    Waiting,
    /// Permitted or verified.
    Good,
    /// Less important.
    Faint,
}

impl Tone {
    const fn escape(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bad => "\x1b[31m",
            Self::Waiting => "\x1b[33m",
            Self::Good => "\x1b[32m",
            Self::Faint => "\x1b[2m",
        }
    }

    /// The mark before the word.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Bad => "✗ ",
            Self::Waiting => "◷ ",
            Self::Good => "✓ ",
            Self::Plain | Self::Faint => "",
        }
    }

    /// What a word of Parapet's vocabulary means.
    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "deny" | "denied" | "rejected" | "revoked" | "expired" | "quarantined" | "failed" | "refused" => Self::Bad,
            "ask" | "asked" | "observe" | "observed" | "withdrawn" => Self::Waiting,
            "permit" | "permitted" | "granted" | "active" | "verified" | "passed" => Self::Good,
            "used" | "retired" => Self::Faint,
            _ => Self::Plain,
        }
    }
}

/// Text in a tone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styled<T>(pub(crate) Tone, pub(crate) T);

impl<T: fmt::Display> fmt::Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = self.0.escape();
        if escape.is_empty() { self.1.fmt(f) } else { write!(f, "{escape}{}\x1b[0m", self.1) }
    }
}

/// Text from elsewhere (a statement, a purpose, an error of the server) without control characters: it could move the
/// cursor, change colours, or forge a line of ours.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => ' ',
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}
