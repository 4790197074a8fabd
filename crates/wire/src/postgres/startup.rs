//! What a client may ask for before login: an allow-list of startup parameters, and the same list within `options`.
//!
//! Anything that acts during login or changes how statements are read (`search_path`, `options=-c role=…`, replication)
//! is refused by name (CVE-2025-12819 is the case in a pooler). The result is a [`StartupRequest`] whose settings can be
//! repeated to the upstream as they stand. `user` is only a claim: the attestation says who the workload is. Source:
//! PostgreSQL documentation, §55.2.1, §55.7 "StartupMessage"; `pg_split_opts` and `ParseLongOption` for `options`.

use std::collections::HashSet;

use crate::postgres::message::{NegotiateProtocolVersion, ProtocolVersion, StartupMessage};
use crate::postgres::refuse::Sqlstate;

/// A setting that a client may choose at startup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting {
    /// `application_name`: printable ASCII, at most 63 bytes.
    ApplicationName,
    /// `client_encoding`: always `UTF8` in the result.
    ClientEncoding,
    /// `DateStyle`.
    DateStyle,
    /// `TimeZone`.
    TimeZone,
    /// `extra_float_digits`: −15 to 3.
    ExtraFloatDigits,
}

impl Setting {
    const ALL: [Self; 5] =
        [Self::ApplicationName, Self::ClientEncoding, Self::DateStyle, Self::TimeZone, Self::ExtraFloatDigits];

    /// The name as PostgreSQL writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApplicationName => "application_name",
            Self::ClientEncoding => "client_encoding",
            Self::DateStyle => "DateStyle",
            Self::TimeZone => "TimeZone",
            Self::ExtraFloatDigits => "extra_float_digits",
        }
    }

    /// Finds a setting by its name, in any case.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name().eq_ignore_ascii_case(name))
    }

    /// Checks a value and brings it into the form that goes upstream.
    fn checked(self, value: &str) -> Result<String, StartupRefusal> {
        let fits = |allowed: fn(char) -> bool| value.len() <= 64 && value.chars().all(allowed);
        let accepted = match self {
            // As PostgreSQL does: cut to the size of a name, unprintable characters become question marks.
            Self::ApplicationName => {
                let clean = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
                return Ok(value.chars().take(63).map(clean).collect());
            }
            Self::ClientEncoding => return client_encoding(value),
            Self::DateStyle => fits(|c| c.is_ascii_alphabetic() || matches!(c, ',' | ' ' | '_')),
            Self::TimeZone => {
                fits(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '/' | ':' | ',' | '.' | '<' | '>'))
                    && !value.contains("..")
                    && !value.starts_with('/')
            }
            Self::ExtraFloatDigits => value.parse::<i8>().is_ok_and(|digits| (-15..=3).contains(&digits)),
        };
        if accepted { Ok(value.to_owned()) } else { Err(StartupRefusal::Value { setting: self }) }
    }
}

/// Accepts the spellings of UTF-8 that PostgreSQL accepts (letters and digits only, any case). `SQL_ASCII` means "no
/// conversion" and is what psql sends in the C locale: it becomes UTF-8, which is what we check text against anyway.
fn client_encoding(value: &str) -> Result<String, StartupRefusal> {
    let clean: String = value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    match clean.as_str() {
        "utf8" | "unicode" | "sqlascii" => Ok("UTF8".to_owned()),
        _ => Err(StartupRefusal::Encoding),
    }
}

/// Why a session is not begun. The names in it come from the client, cut and cleaned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartupRefusal {
    /// Another major version than 3.
    #[error("frontend protocol {major}.{minor} is not supported, only 3.0 and 3.2 are")]
    Version {
        /// The major version asked for.
        major: u32,
        /// The minor version asked for.
        minor: u32,
    },
    /// No `user`, or an empty one.
    #[error("the startup packet names no user")]
    NoUser,
    /// The same parameter twice.
    #[error("startup parameter `{name}` is repeated")]
    Repeated {
        /// The parameter.
        name: String,
    },
    /// `replication`, with any value: it would give the whole database as a log stream.
    #[error("replication connections are not allowed")]
    Replication,
    /// A parameter that is not on the list.
    #[error("startup parameter `{name}` is not allowed")]
    NotAllowed {
        /// The parameter.
        name: String,
    },
    /// A value that its parameter cannot have.
    #[error("the value of startup parameter `{}` is not valid", setting.name())]
    Value {
        /// The parameter.
        setting: Setting,
    },
    /// Another client encoding than UTF-8.
    #[error("`client_encoding` must be UTF8")]
    Encoding,
    /// `options` holds something else than `-c name=value` and `--name=value`.
    #[error("`options` may only hold `-c name=value` and `--name=value`")]
    Options,
}

impl StartupRefusal {
    /// The code to refuse with, at severity FATAL.
    pub const fn sqlstate(&self) -> Sqlstate {
        match self {
            Self::Version { .. } | Self::Encoding => Sqlstate::FEATURE_NOT_SUPPORTED,
            Self::NoUser | Self::Replication | Self::NotAllowed { .. } => Sqlstate::INVALID_AUTHORIZATION,
            Self::Repeated { .. } | Self::Options => Sqlstate::PROTOCOL_VIOLATION,
            Self::Value { .. } => Sqlstate::INVALID_PARAMETER_VALUE,
        }
    }

    fn not_allowed(name: &str) -> Self {
        Self::NotAllowed { name: shown(name) }
    }
}

/// A client's parameter name, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().take(63).map(|c| if c.is_ascii_graphic() && c != '`' { c } else { '?' }).collect()
}

/// A checked request to begin a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupRequest {
    /// The version that will be spoken: 3.0 or 3.2.
    pub version: ProtocolVersion,
    /// The version that the client asked for.
    pub asked: ProtocolVersion,
    /// Whom the client claims to be. Not proof of anything.
    pub user: String,
    /// The database; the user's name if the client named none.
    pub database: String,
    /// Settings, each at most once, checked.
    pub settings: Vec<(Setting, String)>,
    /// `_pq_.…` parameters: protocol extensions, none of which is known.
    pub unknown_protocol_extensions: Vec<String>,
}

impl StartupRequest {
    /// Checks a startup message.
    ///
    /// # Errors
    /// The first reason to refuse it. Repeated parameters are found whatever their case.
    pub fn check(message: &StartupMessage<'_>) -> Result<Self, StartupRefusal> {
        let asked = message.version;
        let version = asked.spoken().ok_or(StartupRefusal::Version { major: asked.major(), minor: asked.minor() })?;
        let (mut user, mut database) = (None, None);
        let (mut direct, mut within_options, mut unknown_protocol_extensions) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for (name, value) in &message.parameters {
            // Two values for one name are two readings of one packet: ours and the upstream's.
            if !seen.insert(name.to_ascii_lowercase()) {
                return Err(StartupRefusal::Repeated { name: shown(name) });
            }
            match *name {
                "user" => user = Some(*value).filter(|user| !user.is_empty()),
                "database" => database = Some(*value).filter(|database| !database.is_empty()),
                "options" => within_options = options(value)?,
                "replication" => return Err(StartupRefusal::Replication),
                name if name.starts_with("_pq_.") => unknown_protocol_extensions.push(name.to_owned()),
                name => {
                    let setting = Setting::named(name).ok_or_else(|| StartupRefusal::not_allowed(name))?;
                    direct.push((setting, setting.checked(value)?));
                }
            }
        }
        let user = user.ok_or(StartupRefusal::NoUser)?;
        // As in PostgreSQL, a parameter of its own comes after `options` and so has the last word.
        within_options.retain(|(setting, _)| direct.iter().all(|(other, _)| other != setting));
        within_options.append(&mut direct);
        Ok(Self {
            version,
            asked,
            user: user.to_owned(),
            database: database.unwrap_or(user).to_owned(),
            settings: within_options,
            unknown_protocol_extensions,
        })
    }

    /// What to send before authentication if the client must be told of another version or of unknown extensions.
    pub fn negotiation(&self) -> Option<NegotiateProtocolVersion<'_>> {
        let unknown_extensions: Vec<_> = self.unknown_protocol_extensions.iter().map(String::as_str).collect();
        if self.asked == self.version && unknown_extensions.is_empty() {
            None
        } else {
            Some(NegotiateProtocolVersion { version: self.version, unknown_extensions })
        }
    }
}

/// Splits `options` as PostgreSQL does: at white space, where a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    // `isspace` of the C locale.
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let (mut words, mut word, mut characters) = (Vec::new(), None::<String>, text.chars());
    while let Some(c) = characters.next() {
        match c {
            c if is_space(c) => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Reads `options`. Only settings of the list may be in it, each once.
fn options(text: &str) -> Result<Vec<(Setting, String)>, StartupRefusal> {
    let mut settings: Vec<(Setting, String)> = Vec::new();
    let mut words = split(text).into_iter();
    while let Some(word) = words.next() {
        let assignment = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(long), _) => long.to_owned(),
            (None, Some("")) => words.next().ok_or(StartupRefusal::Options)?,
            (None, Some(attached)) => attached.to_owned(),
            (None, None) => return Err(StartupRefusal::Options),
        };
        let (name, value) = assignment.split_once('=').ok_or(StartupRefusal::Options)?;
        let name = name.replace('-', "_");
        let setting = Setting::named(&name).ok_or_else(|| StartupRefusal::not_allowed(&name))?;
        if settings.iter().any(|(other, _)| *other == setting) {
            return Err(StartupRefusal::Repeated { name });
        }
        settings.push((setting, setting.checked(value)?));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
