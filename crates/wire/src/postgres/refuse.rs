//! Saying no in PostgreSQL's own words: errors and notices with their fields, and the refusal probe.
//!
//! SQLSTATEs stand here and nowhere else. Writing a refusal cannot fail: texts are cut, and zero bytes in them replaced.
//! The probe is the statement that always fails: a single word that no grammar accepts, sent where the upstream itself
//! must learn that a statement failed. Source: PostgreSQL documentation, §55.8 "Error and Notice Message Fields",
//! appendix A.

use kernel::id::DecisionId;

use crate::postgres::message::{Bind, CopyFail, EncodeError, Execute, Formats, Parse, Query, Values};
use crate::postgres::write::Body;

/// A code of five characters. Refusals never use the classes 08, 40, 53 or 57, on which pools reconnect or retry, but for
/// protocol errors, cancellation and kill, where that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sqlstate(&'static str);

impl Sqlstate {
    /// 42501 `insufficient_privilege`: denied.
    pub const DENIED: Self = Self("42501");
    /// PP001: approval is required.
    pub const APPROVAL_REQUIRED: Self = Self("PP001");
    /// PP002: the workload is quarantined.
    pub const QUARANTINED: Self = Self("PP002");
    /// PP003: a limit is reached.
    pub const LIMIT: Self = Self("PP003");
    /// PP004: the statement cannot be decided.
    pub const CANNOT_DECIDE: Self = Self("PP004");
    /// PP005: the grant has expired, or the content has changed.
    pub const GRANT_VOID: Self = Self("PP005");
    /// 57014 `query_canceled`: the client cancelled.
    pub const QUERY_CANCELED: Self = Self("57014");
    /// 57P01 `admin_shutdown`: the session was killed, or the gateway stops.
    pub const KILLED: Self = Self("57P01");
    /// 28000 `invalid_authorization_specification`: login failed.
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    /// As many sessions as may be: not a refusal, so a pool may try again.
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    /// 28P01 `invalid_password`: the attestation is not accepted.
    pub const INVALID_PASSWORD: Self = Self("28P01");
    /// 3D000 `invalid_catalog_name`: no such upstream, or not for this workload.
    pub const INVALID_CATALOG_NAME: Self = Self("3D000");
    /// 08P01 `protocol_violation`.
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    /// 08006 `connection_failure`: the upstream is gone.
    pub const CONNECTION_FAILURE: Self = Self("08006");
    /// 0A000 `feature_not_supported`.
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// 22021 `character_not_in_repertoire`: text that is not UTF-8.
    pub const NOT_UTF8: Self = Self("22021");
    /// 22023 `invalid_parameter_value`.
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    /// 26000 `invalid_sql_statement_name`: no such prepared statement.
    pub const NO_SUCH_STATEMENT: Self = Self("26000");
    /// 34000 `invalid_cursor_name`: no such portal.
    pub const NO_SUCH_PORTAL: Self = Self("34000");
    /// 25P02 `in_failed_sql_transaction`.
    pub const IN_FAILED_TRANSACTION: Self = Self("25P02");
    /// 54000 `program_limit_exceeded`: too long, too deep, too many.
    pub const PROGRAM_LIMIT: Self = Self("54000");
    /// 00000 `successful_completion`: in notices.
    pub const SUCCESS: Self = Self("00000");
    /// XX000 `internal_error`.
    pub const INTERNAL: Self = Self("XX000");

    /// The five characters.
    pub const fn code(self) -> &'static str {
        self.0
    }
}

/// How much an error or a notice ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Ends the statement.
    Error,
    /// Ends the session: login and kill only.
    Fatal,
    /// Ends nothing: a notice.
    Notice,
    /// Ends nothing: a notice that something is wrong.
    Warning,
}

impl Severity {
    /// The word in the fields S and V. Never translated.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// The texts of an error or a notice. Callers put no literal, row value or upstream text into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// S and V.
    pub severity: Severity,
    /// C.
    pub sqlstate: Sqlstate,
    /// M: the message line, the only text that some drivers show.
    pub message: &'a str,
    /// D: reason and owner.
    pub detail: Option<&'a str>,
    /// H: the next step.
    pub hint: Option<&'a str>,
    /// P: where in the client's own text, in characters from 1.
    pub position: Option<u32>,
    /// s.
    pub schema: Option<&'a str>,
    /// t.
    pub table: Option<&'a str>,
    /// c.
    pub column: Option<&'a str>,
    /// W: the policy and its version.
    pub context: Option<&'a str>,
}

/// The most bytes of one field.
const FIELD_CAP: usize = 8 << 10;

/// Appends a field, cut at a character, without zero bytes.
fn field(body: &mut Body<'_>, letter: u8, text: &str) {
    body.u8(letter);
    let text = text.get(..text.floor_char_boundary(FIELD_CAP)).unwrap_or_default();
    body.with(|out| out.extend(text.bytes().map(|byte| if byte == 0 { b'?' } else { byte })));
    body.u8(0);
}

impl<'a> Refusal<'a> {
    /// A refusal with the three fields that are always there.
    pub const fn new(severity: Severity, sqlstate: Sqlstate, message: &'a str) -> Self {
        Self {
            severity,
            sqlstate,
            message,
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            context: None,
        }
    }

    fn write(&self, tag: u8, version: &str, out: &mut Vec<u8>) {
        let mut body = Body::tagged(out, tag);
        field(&mut body, b'S', self.severity.word());
        field(&mut body, b'V', self.severity.word());
        field(&mut body, b'C', self.sqlstate.code());
        field(&mut body, b'M', self.message);
        let position = self.position.map(|position| position.to_string());
        let optional = [
            (b'D', self.detail),
            (b'H', self.hint),
            (b'P', position.as_deref()),
            (b'W', self.context),
            (b's', self.schema),
            (b't', self.table),
            (b'c', self.column),
            // File and routine say whose error this is, so that nobody blames PostgreSQL.
            (b'F', Some(version)),
            (b'R', Some("parapet")),
        ];
        for (letter, text) in optional {
            if let Some(text) = text {
                field(&mut body, letter, text);
            }
        }
        body.u8(0);
        // Every field is cut, so the message is always far below the hard cap.
        body.finish_bounded();
    }

    /// Appends an `ErrorResponse`. `version` is the gateway's.
    pub fn write_error(&self, version: &str, out: &mut Vec<u8>) {
        self.write(b'E', version, out);
    }

    /// Appends a `NoticeResponse`. `version` is the gateway's.
    pub fn write_notice(&self, version: &str, out: &mut Vec<u8>) {
        self.write(b'N', version, out);
    }
}

/// The refusal probe: frames that always fail upstream and hold nothing of the client's but, in a Parse, the name under
/// which the denied statement would have been prepared. Sending one takes the receipt of the denial.
///
/// A bare word fails in the grammar (42601), in an aborted transaction as well, without a look into the catalog, whatever
/// the settings; and the upstream's log shows which decision it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    word: String,
}

impl Probe {
    /// The probe of a denial.
    pub fn new(decision: &DecisionId) -> Self {
        Self { word: format!("parapet_denied__{decision}") }
    }

    /// The statement's text: one word.
    pub fn text(&self) -> &str {
        &self.word
    }

    /// Appends it as a Query. Due: `ErrorResponse`, `ReadyForQuery`.
    ///
    /// # Errors
    /// None in practice: the word holds no zero byte.
    pub fn write_query(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Query { text: &self.word }.encode(out)
    }

    /// Appends it as a Parse under the name of the denied statement. Due: `ErrorResponse`.
    ///
    /// # Errors
    /// [`EncodeError::ZeroByte`] if the name holds a zero byte.
    pub fn write_parse(&self, statement: &str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Parse { statement, text: &self.word, parameter_types: Vec::new() }.encode(out)
    }

    /// Appends a Bind to a statement that does not exist (26000), for a statement prepared before and denied now.
    ///
    /// # Errors
    /// None in practice: the word holds no zero byte.
    pub fn write_bind(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let bind = Bind {
            portal: "",
            statement: &self.word,
            formats: Formats::TEXT,
            values: Values::EMPTY,
            result_formats: Formats::TEXT,
        };
        bind.encode(out)
    }

    /// Appends an Execute of a portal that does not exist (34000), for a portal made before and denied now.
    ///
    /// # Errors
    /// None in practice: the word holds no zero byte.
    pub fn write_execute(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Execute { portal: &self.word, max_rows: 0 }.encode(out)
    }

    /// Appends a `CopyFail`, for COPY data denied half way (57014 from the upstream).
    ///
    /// # Errors
    /// None in practice: the word holds no zero byte.
    pub fn write_copy_fail(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        CopyFail { reason: &self.word }.encode(out)
    }
}

#[cfg(test)]
mod tests;
