//! What the gateway adds to requests so that an API takes them for its own. The secret itself is never in the configuration.

use gateway::upstream::credential::{AccessKey, ClientCredentials, Kind};
use gateway::upstream::origin::Origin;
use gateway::upstream::secret::SecretSource;

use crate::config::checked::{file, secret_source};
use crate::config::problem::Problem;
use crate::config::raw::Section;
use crate::parts;

/// The keys of each kind, besides `kind`; the first are required.
const KINDS: [(&str, &[&str], &[&str]); 7] = [
    ("bearer", &["secret"], &[]),
    ("basic", &["user", "secret"], &[]),
    ("header", &["name", "secret"], &[]),
    ("query", &["name", "secret"], &[]),
    ("mtls", &["certificate", "secret"], &[]),
    ("oauth2", &["token_url", "client_id", "secret"], &["scope", "audience"]),
    ("sigv4", &["access_key_id", "secret", "region", "service"], &["session_token"]),
];

/// Every key of the table but `kind`.
const KEYS: [&str; 12] = [
    "secret",
    "user",
    "name",
    "certificate",
    "token_url",
    "client_id",
    "scope",
    "audience",
    "region",
    "service",
    "access_key_id",
    "session_token",
];

/// None where there is no credential, or where it is wrong, which is then said.
pub(super) fn read(section: &Section<'_>, origin: Option<&Origin>, problems: &mut Vec<Problem>) -> Option<Kind> {
    let kind = section.get("kind")?;
    let Some((_, required, optional)) = KINDS.iter().find(|(word, ..)| *word == kind.text) else {
        let known = KINDS.map(|(word, ..)| format!("`{word}`")).join(", ");
        let problem = Problem::new("PAR0405", &kind.place, "`kind` cannot be read");
        problems.push(problem.help(format!("it takes {known}")));
        return None;
    };
    let before = problems.len();
    for key in KEYS {
        let there = section.section(key).exists();
        if required.contains(&key) && !there {
            let message = format!("the credential has no `{key}`");
            problems.push(Problem::new("PAR0403", &section.place(), message).key_only());
        } else if there && !required.contains(&key) && !optional.contains(&key) {
            let problem = Problem::new("PAR0402", &section.section(key).place(), format!("`{key}` means nothing here"));
            problems.push(problem.key_only().help(format!("a credential of kind `{}` does not have it", kind.text)));
        }
    }
    let read = of_kind(&kind.text, section, problems);
    if problems.len() > before {
        return None;
    }
    let read = read?;
    if let Some(Err(invalid)) = origin.map(|origin| read.fits(origin)) {
        let problem = Problem::new("PAR0405", &kind.place, "the credential cannot be sent");
        problems.push(problem.key_only().help(invalid.to_string()));
        return None;
    }
    Some(read)
}

fn of_kind(kind: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Kind> {
    let text = |key: &'static str| section.get(key).map(|entry| entry.text);
    let mut secret = |key: &'static str| -> Option<SecretSource> {
        section.get(key)?;
        secret_source(section, key, problems).map(|source| parts::secret(&source))
    };
    let main = secret("secret");
    let session_token = secret("session_token");
    Some(match kind {
        "bearer" => Kind::Bearer(main?),
        "basic" => Kind::Basic { user: text("user")?, password: main? },
        "header" => {
            let name = section.get("name")?;
            match name.text.parse() {
                Ok(name) => Kind::Header { name, value: main? },
                Err(_) => {
                    problems.push(Problem::new("PAR0405", &name.place, "`name` is not the name of a header"));
                    return None;
                }
            }
        }
        "query" => Kind::Query { name: text("name")?, value: main? },
        "mtls" => Kind::Mtls { certificate: file(section, "certificate", problems)?, key: main? },
        "oauth2" => {
            let url = section.get("token_url")?;
            match url.text.parse() {
                Ok(token_url) => Kind::OAuth2(ClientCredentials {
                    token_url,
                    client_id: text("client_id")?,
                    client_secret: main?,
                    scope: text("scope"),
                    audience: text("audience"),
                }),
                Err(invalid) => {
                    let problem = Problem::new("PAR0405", &url.place, "`token_url` cannot be read").key_only();
                    problems.push(problem.help(invalid.to_string()));
                    return None;
                }
            }
        }
        "sigv4" => Kind::SigV4(AccessKey {
            id: text("access_key_id")?,
            secret: main?,
            session_token,
            region: text("region")?,
            service: text("service")?,
        }),
        _ => return None,
    })
}
