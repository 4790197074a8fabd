//! What a client sends in each form that it has for a statement, and what comes back.

use crate::bed::raw::{self, Message, Raw, message};

use super::corpus::{Form, RunFormat, Step};

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) messages: Vec<Message>,
    /// The rows of the last step, with a mark for NULL.
    pub(super) rows: Vec<Vec<String>>,
    pub(super) copied: Vec<u8>,
    /// The first cell of the rows that came last.
    pub(super) last_cell: Option<String>,
    pub(super) closed: bool,
}

impl Came {
    pub(super) fn take(&mut self, messages: Vec<Message>) {
        self.closed |= !messages.iter().any(|message| message.tag == b'Z');
        for message in &messages {
            match message.tag {
                b'D' => {
                    let cells = cells(&message.body);
                    self.last_cell = cells.first().cloned();
                    self.rows.push(cells);
                }
                b'd' => self.copied.extend_from_slice(&message.body),
                _ => {}
            }
        }
        self.messages.extend(messages);
    }

    /// SQLSTATE and message of each error.
    pub(super) fn errors(&self) -> Vec<(String, String)> {
        let errors = self.messages.iter().filter(|message| message.tag == b'E');
        errors.map(|error| (error.field(b'C'), error.field(b'M'))).collect()
    }

    /// Refused by Parapet: the statement, or the whole session.
    pub(super) fn is_refused(&self) -> bool {
        self.errors().iter().any(|(_, message)| message.contains("[dec_") || message.contains("[ses_"))
    }

    /// Did any step's answer say this? Of a binary answer only that there is one.
    pub(super) fn says(&self, says: &str, form: Form) -> bool {
        let rows: Vec<&Message> = self.messages.iter().filter(|message| message.tag == b'D').collect();
        if form == Form::Binary {
            return !rows.is_empty() || !self.copied.is_empty();
        }
        let copied = String::from_utf8_lossy(&self.copied).replace("\"\"", "\"").replace(['\t', ','], "|");
        rows.iter().any(|row| cells(&row.body).join("|").contains(says)) || copied.contains(says)
    }

    pub(super) fn is_nulled(&self) -> bool {
        let nulls = |row: &Vec<String>| row.iter().any(|cell| cell == NULL);
        let copied = String::from_utf8_lossy(&self.copied);
        self.rows.iter().all(nulls)
            && copied.lines().all(|line| {
                line.contains("\\N")
                    || line.is_empty()
                    || line.contains(",,")
                    || line.ends_with(',')
                    || line.starts_with(',')
            })
    }

    pub(super) fn text(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|row| row.join("|")).collect();
        let notices = self.messages.iter().filter(|message| matches!(message.tag, b'N' | b'E'));
        let notices: String = notices.map(|notice| notice.field(b'M')).collect();
        format!("{}{}{notices}", rows.join("\n"), String::from_utf8_lossy(&self.copied))
    }

    pub(super) fn start(&self) -> String {
        let text = self.text();
        format!("[{}] {}", raw::tags(&self.messages), text.chars().take(120).collect::<String>().escape_debug())
    }

    /// In a word.
    pub(super) fn way(&self) -> &'static str {
        let errors = self.errors();
        if self.is_refused() {
            "refused"
        } else if !errors.is_empty() {
            "failed"
        } else if (!self.rows.is_empty() || !self.copied.is_empty()) && self.is_nulled() {
            "null"
        } else if self.text().contains('*') || self.text().contains("[redacted]") || self.text().contains("tok_") {
            "masked"
        } else {
            "without it"
        }
    }
}

/// What stands for the text of an error that may hold a masked value.
pub(super) const WITHHELD: &str = "its text is withheld";
pub(super) const NULL: &str = "\u{2400}";

/// The cells of a DataRow, binary ones escaped.
fn cells(body: &[u8]) -> Vec<String> {
    let count = u16::from_be_bytes([body[0], body[1]]);
    let mut rest = &body[2..];
    let mut cells = Vec::new();
    for _cell in 0..count {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let Ok(length) = usize::try_from(length) else {
            cells.push(NULL.to_owned());
            continue;
        };
        cells.push(match std::str::from_utf8(&rest[..length]) {
            Ok(text) => text.to_owned(),
            Err(_) => rest[..length].escape_ascii().to_string(),
        });
        rest = &rest[length..];
    }
    cells
}

/// `{{N*text}}` as N times the text.
pub(super) fn expand(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").unwrap();
        let (times, text) = inside.split_once('*').unwrap();
        out.push_str(before);
        out.push_str(&text.repeat(times.parse().unwrap()));
        rest = after;
    }
    out + rest
}

pub(super) fn send(raw: &mut Raw, form: Form, step: &Step, came: &mut Came) {
    let bytes = match step {
        Step::Sql(sql) => return send_sql(raw, form, &expand(sql), came),
        Step::Bytes { tag, bytes } => {
            let tag = u8::try_from(*tag).unwrap();
            let sync = if tag == b'Q' { Vec::new() } else { raw::sync() };
            [message(tag, &[&unescape(bytes)]), sync].concat()
        }
        Step::Bound { sql, bind } => bound(sql, bind, form == Form::Binary),
        Step::Prepare { prepare } => {
            [message(b'P', &[b"kept\0", prepare.as_bytes(), b"\0\0\0"]), message(b'D', &[b"Skept\0"]), raw::sync()]
                .concat()
        }
        Step::Run { run } => {
            let format = u8::from(*run == RunFormat::Binary);
            let bind = message(b'B', &[b"\0kept\0\0\0\0\0\0\x01\0", &[format]]);
            [bind, message(b'E', &[b"\0\0\0\0\0"]), raw::sync()].concat()
        }
        Step::Back { back } => {
            let cell = came.last_cell.clone().unwrap_or_default();
            return send_sql(raw, form, &back.replace("{}", &cell), came);
        }
        Step::Copy { copy, lines } => return send_copy(raw, copy, lines, came),
        Step::Pipeline { pipeline } => {
            let mut bytes: Vec<u8> = pipeline.iter().flat_map(|sql| raw::extended(sql)).collect();
            bytes.extend(raw::sync());
            bytes
        }
    };
    if raw.try_send(&bytes) {
        came.take(answers(raw));
    } else {
        came.closed = true;
    }
}

/// A COPY FROM STDIN with its rows, sent when they are asked for.
fn send_copy(raw: &mut Raw, copy: &str, lines: &str, came: &mut Came) {
    let mut messages = Vec::new();
    let mut open = raw.try_send(&raw::query(copy));
    while open && let Some(message) = raw.receive() {
        let tag = message.tag;
        messages.push(message);
        match tag {
            b'Z' => break,
            b'G' => open = raw.try_send(&[raw::message(b'd', &[lines.as_bytes()]), raw::message(b'c', &[])].concat()),
            _ => {}
        }
    }
    came.take(messages);
}

/// Everything up to ReadyForQuery; a COPY that waits for rows is given none.
fn answers(raw: &mut Raw) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = raw.receive() {
        let tag = message.tag;
        messages.push(message);
        match tag {
            b'Z' => break,
            b'G' if !raw.try_send(&[raw::message(b'f', &[b"none\0"]), raw::sync()].concat()) => break,
            _ => {}
        }
    }
    messages
}

fn bound(sql: &str, values: &[String], binary: bool) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes();
    let mut parameters = Vec::new();
    for value in values {
        parameters.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        parameters.extend(value.as_bytes());
    }
    [
        message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"]),
        message(b'B', &[b"\0\0\0\0", &count, &parameters, b"\0\x01\0", &[u8::from(binary)]]),
        message(b'D', &[b"P\0"]),
        message(b'E', &[b"\0\0\0\0\0"]),
        raw::sync(),
    ]
    .concat()
}

pub(super) fn send_sql(raw: &mut Raw, form: Form, sql: &str, came: &mut Came) {
    let bare = sql.trim_end().trim_end_matches(';');
    let simple = |sqls: &[String]| sqls.iter().map(|sql| raw::query(sql)).collect::<Vec<_>>();
    let batches = match form {
        Form::Simple => vec![raw::query(sql)],
        Form::Extended => vec![bound(sql, &[], false)],
        Form::Binary => vec![bound(sql, &[], true)],
        Form::Undescribed => vec![[raw::extended(sql), raw::sync()].concat()],
        Form::Cursor => simple(&[
            "begin".to_owned(),
            format!("declare held cursor for {bare}"),
            "fetch all from held".to_owned(),
            "rollback".to_owned(),
        ]),
        Form::Copy => simple(&[format!("copy ({bare}) to stdout")]),
        Form::Csv => simple(&[format!("copy ({bare}) to stdout (format csv)")]),
        Form::Execute => {
            simple(&[format!("prepare held as {bare}"), "execute held".to_owned(), "deallocate all".to_owned()])
        }
    };
    for bytes in batches {
        if !raw.try_send(&bytes) {
            came.closed = true;
            return;
        }
        came.take(answers(raw));
    }
}

/// `\xNN` as a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = text.split("\\x");
    out.extend(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend(&part.as_bytes()[2..]);
    }
    out
}
