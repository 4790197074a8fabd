//! `parapet doctor` on certificates: can they be read, do they count for a while yet, and is the key their own? It looks at
//! the files; what a running gateway made of them is in its log and in the audit log.

use std::path::Path;
use std::time::Duration;

use gateway::tls::{ServerTls, private_key, read_certificates, validity};
use kernel::time::Timestamp;
use serde_json::Value;

use super::{line, warning};
use crate::certificates::self_signed_path;
use crate::config::Configuration;
use crate::config::checked::{ListenerTls, SecretSource, UpstreamTls};
use crate::egress::authority_path;

/// How long before its end a certificate should be renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A line for each file.
pub(super) fn certificates(configuration: &Configuration, now: Timestamp) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut seen = Vec::new();
    for tls in configuration.listeners().into_iter().filter_map(|(_, tls)| tls) {
        // Listeners may share their files.
        if seen.contains(&tls) {
            continue;
        }
        seen.push(tls);
        match tls {
            // What the Workload API brings, the gateway tells of.
            ListenerTls::Off | ListenerTls::Spiffe => {}
            ListenerTls::SelfSigned => {
                let path = self_signed_path(&configuration.gateway.state);
                // It is made at the first start.
                if path.is_file() {
                    lines.push(certificate("certificate", &path, now));
                }
            }
            ListenerTls::Certificate { certificate: path, key, client_ca } => {
                lines.push(match key {
                    SecretSource::File(key) => pair(path, key).unwrap_or_else(|| certificate("certificate", path, now)),
                    // What is in a variable or behind a program is the gateway's to read.
                    SecretSource::Environment(_) | SecretSource::Command { .. } => {
                        certificate("certificate", path, now)
                    }
                });
                lines.extend(client_ca.as_deref().map(|path| certificate("client authorities", path, now)));
            }
        }
    }
    if configuration.egress.as_ref().is_some_and(|egress| egress.intercept) {
        let path = authority_path(&configuration.gateway.state);
        // It is made at the first start.
        if path.is_file() {
            lines.push(certificate("egress authority", &path, now));
        }
    }
    for api in &configuration.apis {
        if let Some(path) = &api.ca {
            lines.push(certificate(&format!("{} authorities", api.upstream.name), path, now));
        }
    }
    for entry in &configuration.upstreams {
        if let UpstreamTls::VerifyFull { ca: Some(path) } = &entry.connection.tls {
            lines.push(certificate(&format!("{} authorities", entry.upstream.name), path, now));
        }
    }
    lines
}

/// A file of certificates, judged by the one that ends first.
fn certificate(check: &str, path: &Path, now: Timestamp) -> Value {
    const RENEW: &str = "put a renewed one in its place; the gateway notices by itself";
    let shown = path.display();
    let found = match read_certificates(path) {
        Ok(found) => found,
        Err(error) => return line(check, Err((error.to_string(), "see `tls` in docs/reference/configuration.md"))),
    };
    let spans: Option<Vec<_>> = found.iter().map(validity).collect();
    let Some(spans) = spans else {
        return line(check, Err((format!("a certificate in {shown} cannot be parsed"), RENEW)));
    };
    let from = spans.iter().map(|(from, _)| *from).max().unwrap_or(now);
    let until = spans.iter().map(|(_, until)| *until).min().unwrap_or(now);
    if until < now {
        return line(check, Err((format!("{shown} has ended at {until}"), RENEW)));
    }
    if now < from {
        return line(check, Err((format!("{shown} does not count before {from}"), RENEW)));
    }
    let left = until.since(now);
    let said = format!("{} in {shown}, until {until}", found.len());
    if left < SOON {
        let days = usize::try_from(left.as_secs() / 86_400).unwrap_or(usize::MAX);
        return warning(check, &format!("{said}: {} left", crate::cli::output::count(days, "day")), RENEW);
    }
    line(check, Ok(said))
}

/// A line only if certificate and key do not fit, or the key cannot be read.
fn pair(certificate: &Path, key: &Path) -> Option<Value> {
    let fix = "put the certificate and its own key in place";
    let chain = read_certificates(certificate).ok()?;
    let problem = match std::fs::read(key).map(zeroize::Zeroizing::new) {
        Err(error) => format!("{}: {}", key.display(), error.kind()),
        Ok(text) => {
            private_key(&text).and_then(|key| ServerTls::new(chain, key, None)).err().map(|error| error.to_string())?
        }
    };
    Some(line("certificate", Err((problem, fix))))
}
