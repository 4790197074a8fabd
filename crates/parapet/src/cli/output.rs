//! What commands print: tables and trees for people, one JSON object for programs. Data on stdout, messages on stderr.
//!
//! Everything is rendered to text first, so that tests see exactly what users see; a closed pipe ends a command quietly.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::style::{Styled, Tone, plain};
use crate::cli::{time, yaml};

/// Writes data to stdout. Who closed the pipe has seen enough: that is no failure.
pub(crate) fn data(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let _closed_pipe = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A number of things: `1 upstream`, `2 upstreams`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Writes a message to stderr.
pub(crate) fn message(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _closed_pipe = writeln!(stderr, "{text}");
}

/// Writes a message to stderr, unless `--quiet`.
pub(crate) fn note(globals: &Globals, text: &str) {
    if !globals.quiet {
        message(text);
    }
}

/// Shows why a command did not do what was asked. Also with `--quiet`: a failure is no chatter.
pub(crate) fn show_failure(globals: &Globals, failure: &Failure) {
    let mut stderr = anstream::stderr().lock();
    let _closed_pipe = stderr.write_all(render_failure(globals.for_programs(), failure).as_bytes());
}

/// A failure as text.
pub(crate) fn render_failure(for_programs: bool, failure: &Failure) -> String {
    if for_programs {
        let view = json!({
            "schema": "parapet.error/v1",
            "code": failure.code,
            "message": failure.message,
            "help": failure.help,
            "exit": failure.exit.code(),
        });
        return format!("{view}\n");
    }
    let mut text = Styled(Tone::Bad, "✗ error").to_string();
    if let Some(code) = &failure.code {
        let _infallible = write!(text, "[{}]", plain(code));
    }
    let _infallible = writeln!(text, ": {}", failure.message);
    if let Some(help) = &failure.help {
        let _infallible = writeln!(text, "  = help: {help}");
    }
    text
}

/// How a cell's value is read from an item and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it is.
    Text,
    /// A word with its mark and colour.
    Word,
    /// A time.
    Time,
    /// A list, by commas.
    List,
}

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its header.
    pub(crate) header: &'static str,
    /// Where the value is in an item: a JSON pointer; the first of several that is there.
    pub(crate) pointers: &'static [&'static str],
    /// How it is shown.
    pub(crate) shape: Shape,
    /// Only in wide tables?
    pub(crate) wide: bool,
}

impl Column {
    /// A column of plain text.
    pub(crate) const fn new(header: &'static str, pointers: &'static [&'static str]) -> Self {
        Self { header, pointers, shape: Shape::Text, wide: false }
    }

    /// Shown in another way.
    pub(crate) const fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// Only in wide tables.
    pub(crate) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    fn value<'i>(&self, item: &'i Value) -> Option<&'i Value> {
        self.pointers.iter().find_map(|pointer| item.pointer(pointer)).filter(|value| !value.is_null())
    }

    fn cell(&self, item: &Value, globals: &Globals) -> (Tone, String) {
        let Some(value) = self.value(item) else { return (Tone::Faint, "-".to_owned()) };
        match self.shape {
            Shape::Text => (Tone::Plain, scalar(value)),
            Shape::Word => {
                let word = scalar(value);
                let tone = Tone::of_word(&word);
                (tone, format!("{}{word}", tone.mark()))
            }
            Shape::Time => match time::read(value) {
                Some(at) => (Tone::Plain, time::show(at, globals.time, time::now())),
                None => (Tone::Plain, scalar(value)),
            },
            Shape::List => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let items: Vec<String> = items.iter().map(scalar).collect();
                if items.is_empty() { (Tone::Faint, "-".to_owned()) } else { (Tone::Plain, items.join(",")) }
            }
        }
    }
}

/// A JSON scalar as text, safe for a terminal.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Null => "-".to_owned(),
        other => plain(&other.to_string()),
    }
}

/// A list of the API: what it is called in JSON, its columns, and what identifies an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    /// Such as `parapet.workloads/v1`.
    pub(crate) schema: &'static str,
    /// What is listed, in the plural.
    pub(crate) noun: &'static str,
    /// Pointer to the id or the name.
    pub(crate) id: &'static str,
    /// The columns.
    pub(crate) columns: &'static [Column],
}

/// The items of an API answer: an array, or an object with `items`.
pub(crate) fn items(answer: &Value) -> Vec<Value> {
    let array = answer.as_array().or_else(|| answer.get("items").and_then(Value::as_array));
    array.cloned().unwrap_or_default()
}

impl Listing {
    /// The list as asked for.
    pub(crate) fn render(&self, answer: &Value, globals: &Globals) -> String {
        let items = items(answer);
        match globals.format() {
            Format::Json => object(self.schema, &json!({ "items": items })),
            Format::Yaml => yaml::document(self.schema, &json!({ "items": items })),
            Format::Jsonl => items.iter().map(|item| object(self.schema, item)).collect(),
            Format::Id => {
                let id = |item: &Value| item.pointer(self.id).map(|id| scalar(id) + "\n");
                items.iter().filter_map(id).collect()
            }
            Format::Table | Format::Wide => self.table(&items, globals),
        }
    }

    fn table(&self, items: &[Value], globals: &Globals) -> String {
        if items.is_empty() {
            return format!("no {}\n", self.noun);
        }
        let wide = globals.format() == Format::Wide;
        let columns: Vec<&Column> = self.columns.iter().filter(|column| wide || !column.wide).collect();
        let header = columns.iter().map(|column| (Tone::Faint, column.header.to_owned())).collect();
        let rows = items.iter().map(|item| columns.iter().map(|column| column.cell(item, globals)).collect());
        aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
    }
}

/// Rows with aligned columns, two spaces apart.
pub(crate) fn aligned(rows: &[Vec<(Tone, String)>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(_, text)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, ((tone, cell), width)) in row.iter().zip(&widths).enumerate() {
            let _infallible = write!(line, "{}", Styled(*tone, cell));
            if index + 1 < row.len() {
                line.push_str(&" ".repeat(width.saturating_sub(cell.chars().count()) + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Labels and values, one a line.
pub(crate) fn fields(rows: &[(&str, (Tone, String))]) -> String {
    let rows: Vec<Vec<(Tone, String)>> =
        rows.iter().map(|(label, cell)| vec![(Tone::Faint, format!("  {label}")), cell.clone()]).collect();
    aligned(&rows)
}

/// One object as asked for: JSON for programs, otherwise one line per column of the listing.
impl Listing {
    /// A single item.
    pub(crate) fn render_one(&self, schema: &str, item: &Value, globals: &Globals) -> String {
        match globals.format() {
            Format::Json | Format::Jsonl => object(schema, item),
            Format::Yaml => yaml::document(schema, item),
            Format::Id => item.pointer(self.id).map(|id| scalar(id) + "\n").unwrap_or_default(),
            Format::Table | Format::Wide => {
                let title = item.pointer(self.id).map(scalar).unwrap_or_default();
                let line = |column: &Column| (column.header, column.cell(item, globals));
                let rows: Vec<(&str, (Tone, String))> =
                    self.columns.iter().filter(|column| !column.pointers.contains(&self.id)).map(line).collect();
                format!("{title}\n{}", fields(&rows))
            }
        }
    }
}

/// One line of JSON that begins with its schema.
pub(crate) fn object(schema: &str, value: &Value) -> String {
    let mut object = serde_json::Map::new();
    object.insert("schema".to_owned(), Value::from(schema));
    match value {
        Value::Object(members) => {
            object.extend(
                members.iter().filter(|(name, _)| *name != "schema").map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        other => {
            object.insert("value".to_owned(), other.clone());
        }
    }
    format!("{}\n", Value::Object(object))
}

/// Says what a destructive verb will do, and stops unless that is wanted: `--yes`, or a yes on the terminal.
pub(crate) fn confirm(globals: &Globals, what: &str) -> Result<(), Failure> {
    use std::io::IsTerminal as _;
    note(globals, what);
    if globals.yes {
        return Ok(());
    }
    if globals.no_input || !std::io::stdin().is_terminal() {
        let failure = Failure::usage("this needs a yes, and nobody can be asked");
        return Err(failure.help("add `--yes`"));
    }
    let mut stderr = anstream::stderr().lock();
    let _closed_pipe = write!(stderr, "Go on? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "PAR0302", "nothing was done").help("answer `y` to go on"))
    }
}

/// Writes errors to stderr, also with `--quiet`.
pub(crate) fn errors(text: &str) {
    let mut stderr = anstream::stderr().lock();
    let _closed_pipe = stderr.write_all(text.as_bytes());
}
