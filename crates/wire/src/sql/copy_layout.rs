//! How `COPY … TO` writes its lines, where the options make it something that can be read again: text or CSV, with the
//! server's defaults (`ProcessCopyOptions` in PostgreSQL's copy.c). What is read differently there is not understood here.

use super::analysis::Refused;
use super::names::{option_flag, option_word, options};
use super::parse::pb;

/// The layout of lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopyLayout {
    /// CSV, with quotes; else text, with backslashes.
    pub csv: bool,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields of CSV.
    pub quote: u8,
    /// Before a quote, and before itself, in a quoted field of CSV.
    pub escape: u8,
    /// What stands for NULL.
    pub null: Box<[u8]>,
    /// The first line holds the columns' names.
    pub header: bool,
}

impl CopyLayout {
    /// Text as it is without options.
    pub fn text() -> Self {
        Self { csv: false, delimiter: b'\t', quote: b'"', escape: b'"', null: (*b"\\N").into(), header: false }
    }

    /// The layout that the options of a COPY … TO say; `None` if it is binary, or has an option that is not known.
    pub(super) fn of(nodes: &[pb::Node]) -> Result<Option<Self>, Refused> {
        let mut layout = Self::text();
        let (mut delimiter, mut quote, mut escape, mut null) = (None, None, None, None);
        for element in options(nodes)? {
            let word = option_word(element);
            match element.defname.as_str() {
                "format" => match word?.as_deref() {
                    Some("text") => {}
                    Some("csv") => layout.csv = true,
                    _ => return Ok(None),
                },
                "delimiter" => delimiter = word?,
                "quote" => quote = word?,
                "escape" => escape = word?,
                "null" => null = word?,
                "header" => match option_flag(element) {
                    Ok(header) => layout.header = header,
                    Err(_) => return Ok(None),
                },
                // Which fields are quoted is seen in the line itself, and any encoding but UTF-8 is refused before. The rest is
                // for COPY … FROM.
                "force_quote" | "encoding" | "freeze" | "on_error" | "log_verbosity" | "reject_limit" => {}
                _ => return Ok(None),
            }
        }
        if layout.csv {
            layout.delimiter = b',';
            layout.null = [].into();
        }
        // Each is one byte; if not, the server refuses the statement.
        let byte = |word: Option<String>, default: u8| match word.as_deref().map(str::as_bytes) {
            None => Some(default),
            Some([byte]) => Some(*byte),
            Some(_) => None,
        };
        let (Some(delimiter), Some(quote)) = (byte(delimiter, layout.delimiter), byte(quote, layout.quote)) else {
            return Ok(None);
        };
        let Some(escape) = byte(escape, quote) else { return Ok(None) };
        (layout.delimiter, layout.quote, layout.escape) = (delimiter, quote, escape);
        if let Some(null) = null {
            layout.null = null.into_bytes().into();
        }
        let reserved = |byte: u8| matches!(byte, b'\n' | b'\r' | b'\\' | b'.') || byte.is_ascii_alphanumeric();
        let clear = if layout.csv {
            !matches!(delimiter, b'\n' | b'\r') && delimiter != quote && !layout.null.contains(&quote)
        } else {
            !reserved(delimiter)
        };
        let null_is_clear = !layout.null.iter().any(|byte| matches!(byte, b'\n' | b'\r') || *byte == delimiter);
        Ok((clear && null_is_clear).then_some(layout))
    }
}
