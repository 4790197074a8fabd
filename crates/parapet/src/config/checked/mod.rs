//! The configuration as understood: addresses, durations, paths and the kernel's own types, each part in its own struct.
//!
//! `check` is the only way to a [`Configuration`]; it reports everything that is wrong, not the first thing. What only a
//! running gateway can find out (does the upstream answer? is the certificate valid?) is for `parapet doctor`.

mod audit;
mod egress;
mod http;
mod identity;
mod listeners;
mod pdp;
mod signals;
mod templates;
mod upstreams;

pub(crate) use audit::AuditPart;
pub(crate) use egress::EgressPart;
pub(crate) use http::{ApiEntry, HttpListener, assemble};
pub(crate) use pdp::PdpPart;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::signals::{ListPlace, ReceiverEntry, SignalListener, SignalsPart, StreamEntry, ThreatEntry};
use kernel::policy::Upstream;
use kernel::time::Timestamp;
use kernel::trust::TrustRule;
use kernel::workload::{Name, Person, Workload};

use crate::config::problem::Problem;
use crate::config::raw::{Entry, Raw, Section};
use crate::config::value::Unreadable;

/// Everything that is configured.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// The gateway as a whole.
    pub(crate) gateway: GatewayPart,
    /// The admin API.
    pub(crate) admin: AdminListener,
    /// The PostgreSQL listener, if there is one.
    pub(crate) postgres: Option<PostgresListener>,
    /// The listener of HTTP APIs, if there is one.
    pub(crate) http: Option<HttpListener>,
    /// The egress gateway, if there is one.
    pub(crate) egress: Option<EgressPart>,
    /// The token endpoint, if there is one.
    pub(crate) tokens: Option<TokenListener>,
    /// The decision point, if there is one.
    pub(crate) pdp: Option<PdpPart>,
    /// The audit log.
    pub(crate) audit: AuditPart,
    /// Folders of policies, all of which exist.
    pub(crate) policy_folders: Vec<PathBuf>,
    /// The protected databases.
    pub(crate) upstreams: Vec<UpstreamEntry>,
    /// The protected HTTP APIs.
    pub(crate) apis: Vec<ApiEntry>,
    /// The registered non-human identities.
    pub(crate) workloads: Vec<Workload>,
    /// Which attestation is which workload.
    pub(crate) trust: Vec<TrustRule>,
    /// Who may sign attestations.
    pub(crate) issuers: Vec<Issuer>,
    /// Trust domains of SPIFFE whose SVIDs are accepted.
    pub(crate) spiffe: Vec<TrustDomain>,
    /// The agent of SPIFFE, if there is one.
    pub(crate) workload_api: Option<WorkloadApi>,
    /// The people who approve and administer.
    pub(crate) people: Vec<PersonEntry>,
    /// The threat lists.
    pub(crate) threats: Vec<ThreatEntry>,
    /// Security events, from others and to others.
    pub(crate) signals: SignalsPart,
    /// SHA-256, in hexadecimal, of the texts that were read, for the audit log.
    pub(crate) digest: String,
}

/// The gateway as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayPart {
    /// Folder for everything that Parapet keeps.
    pub(crate) state: PathBuf,
    /// What links begin with, without a slash at the end.
    pub(crate) public_url: String,
    /// How long running requests may go on after a stop.
    pub(crate) drain: Duration,
}

/// The admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminListener {
    /// A loopback address.
    pub(crate) listen: SocketAddr,
}

/// Where PostgreSQL clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PostgresListener {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// How connections are protected.
    pub(crate) tls: ListenerTls,
    /// Names that log in by OAUTHBEARER instead of a password; `*` is every name.
    pub(crate) oauthbearer: Vec<String>,
}

/// Where workloads exchange attestations for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenListener {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// Does it offer what the PostgreSQL listener does? If not, only on loopback.
    pub(crate) tls: bool,
    /// What workloads call it, without a slash at the end.
    pub(crate) url: Option<String>,
}

/// How a listener's connections are protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenerTls {
    /// Not at all; only on loopback.
    Off,
    /// With a certificate that Parapet makes and keeps in the state folder.
    SelfSigned,
    /// With the gateway's own X.509-SVID, from the Workload API.
    Spiffe,
    /// With a certificate from a file.
    Certificate {
        /// PEM file of the chain, leaf first.
        certificate: PathBuf,
        /// Where the private key is.
        key: SecretSource,
        /// PEM file of the authorities for client certificates.
        client_ca: Option<PathBuf>,
    },
}

/// A protected system: what policies see of it, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamEntry {
    /// What policies see.
    pub(crate) upstream: Upstream,
    /// How to reach it.
    pub(crate) connection: UpstreamConnection,
    /// How long a request may wait for its approval with the client attached.
    pub(crate) hold: Duration,
    /// The longest message of a client, in bytes.
    pub(crate) max_message: usize,
    /// How many sessions may be open at once.
    pub(crate) max_sessions: u32,
    /// Providers of security labels whose labels name classes.
    pub(crate) label_providers: Vec<String>,
    /// What is done about values that look sensitive, in columns without a class.
    pub(crate) detect: Detect,
}

/// What is done about values that look sensitive, in columns without a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detect {
    /// Nothing.
    Off,
    /// They are entered and suggested.
    Signal,
    /// They are replaced.
    Mask,
}

/// How to reach an upstream and log in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamConnection {
    /// Where it is.
    pub(crate) address: UpstreamAddress,
    /// The database that sessions are opened on.
    pub(crate) database: String,
    /// The user that Parapet logs in as.
    pub(crate) user: String,
    /// Where the password is; none where the server asks for none.
    pub(crate) password: Option<SecretSource>,
    /// How the connection is protected.
    pub(crate) tls: UpstreamTls,
    /// SCRAM channel binding.
    pub(crate) channel_binding: ChannelBinding,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamAddress {
    /// A host by name or address, without brackets, and a port.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The folder of a Unix socket, as `host` is for libpq.
    Unix(PathBuf),
}

/// How the connection to an upstream is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamTls {
    /// Not at all; only to loopback and over Unix sockets.
    Off,
    /// TLS with a certificate that chains to an authority and names the host.
    VerifyFull {
        /// PEM file of the authorities; the system's if there is none.
        ca: Option<PathBuf>,
    },
}

/// SCRAM channel binding towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    /// Where the server offers it.
    Prefer,
    /// A server that does not offer it is refused.
    Require,
}

/// Where a secret is. The secret itself is never in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// In a variable of the environment.
    Environment(String),
    /// In a file; one line end at its end does not count.
    File(PathBuf),
    /// On the standard output of a program.
    Command {
        /// Absolute path.
        program: PathBuf,
        /// Its arguments; no shell reads them.
        arguments: Vec<String>,
    },
}

/// Who may sign attestations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issuer {
    /// The exact `iss`.
    pub(crate) issuer: String,
    /// The `aud` that its tokens must have.
    pub(crate) audience: String,
    /// The algorithms that are accepted.
    pub(crate) algorithms: BTreeSet<SignatureAlgorithm>,
    /// Where its keys are.
    pub(crate) jwks: JwksSource,
    /// The longest life of a token.
    pub(crate) max_age: Duration,
}

/// A signature algorithm of RFC 7518 or RFC 8037 that Parapet accepts. `none` and the HMACs are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JwksSource {
    /// Fetched over HTTPS; over plain HTTP on loopback alone.
    Url(String),
    /// Where the issuer's own metadata says; the URL is the issuer.
    Discovery(String),
    /// Read from a file.
    File(PathBuf),
}

/// A trust domain of SPIFFE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustDomain {
    /// Its name, without `spiffe://`.
    pub(crate) name: String,
    /// Where its bundle is.
    pub(crate) bundle: BundleSource,
    /// The SPIFFE id of the server that serves it, and the file of the bundle that vouches for that at first.
    pub(crate) endpoint: Option<(String, Option<PathBuf>)>,
    /// The `aud` that JWT-SVIDs must have; without it none is accepted.
    pub(crate) audience: Option<String>,
    /// The longest that a JWT-SVID may still be valid for.
    pub(crate) max_age: Duration,
}

/// Where a trust domain's bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleSource {
    /// In a file, as a JWK set.
    File(PathBuf),
    /// At its bundle endpoint, of the profile `https_web` or, with an endpoint's id, `https_spiffe`.
    Url(String),
    /// The Workload API brings it.
    WorkloadApi,
}

/// The agent of SPIFFE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadApi {
    /// Its Unix socket.
    pub(crate) socket: PathBuf,
    /// Which of its SVIDs is the gateway's own; the first unless set.
    pub(crate) id: Option<String>,
}

/// A person who approves or administers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PersonEntry {
    /// Who.
    pub(crate) person: Person,
    /// Groups that `@approve` may name.
    pub(crate) groups: BTreeSet<Name>,
    /// May they use the administrative verbs?
    pub(crate) admin: bool,
    /// Have they left? Then nobody answers for what they own.
    pub(crate) left: bool,
    /// SHA-256 of their API token.
    pub(crate) token_hash: Option<[u8; 32]>,
}

impl Configuration {
    /// The listeners that end TLS for workloads, by their tables, with how their connections are protected.
    pub(crate) fn listeners(&self) -> [(&'static str, Option<&ListenerTls>); 4] {
        [
            ("postgres", self.postgres.as_ref().map(|listener| &listener.tls)),
            ("http", self.http.as_ref().map(|listener| &listener.tls)),
            ("egress", self.egress.as_ref().map(|egress| &egress.tls)),
            ("pdp", self.pdp.as_ref().map(|pdp| &pdp.tls)),
        ]
    }

    /// How the connections of one of [`Self::listeners`] are protected.
    pub(crate) fn listener_tls(&self, table: &str) -> Option<&ListenerTls> {
        self.listeners().into_iter().find_map(|(name, tls)| tls.filter(|_| name == table))
    }

    /// Every protected system, as policies see it.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = &Upstream> {
        let databases = self.upstreams.iter().map(|entry| &entry.upstream);
        let egress = self.egress.iter().map(|egress| &egress.upstream);
        databases.chain(self.apis.iter().map(|entry| &entry.upstream)).chain(egress)
    }
}

/// Understands a merged configuration. `None` only if something was added to `problems`.
pub(crate) fn check(raw: &Raw, problems: &mut Vec<Problem>) -> Option<Configuration> {
    let root = raw.root();
    let gateway = listeners::gateway(&root.section("gateway"), problems);
    let admin = listeners::admin(&root.section("admin"), problems);
    let postgres = listeners::postgres(&root.section("postgres"), problems);
    let http = listeners::http(&root.section("http"), problems);
    let egress = egress::egress(&root.section("egress"), &root.section("upstreams"), problems);
    let tokens = listeners::tokens(&root.section("tokens"), problems);
    let pdp = pdp::pdp(&root.section("pdp"), problems);
    let upstreams = upstreams::all(&root.section("upstreams"), problems);
    let policy_folders = listeners::policy_folders(&root.section("policies"), problems);
    let workloads = identity::workloads(&root.section("workloads"), problems);
    let issuers = identity::issuers(&root.section("issuers"), problems);
    let spiffe = identity::spiffe(&root.section("spiffe"), problems);
    let workload_api = identity::workload_api(&root, problems);
    let trust = identity::trust(&root, problems);
    let people = identity::people(&root.section("people"), problems);
    let threats = signals::threats(&root.section("threats"), problems);
    let signals = signals::all(&root.section("signals"), problems);
    if let (Some(admin), Some(Some(postgres))) = (admin, &postgres)
        && admin.listen == postgres.listen
        && admin.listen.port() != 0
    {
        let place = root.section("postgres").get("listen").map(|entry| entry.place);
        let message = format!("`{}` is the address of the admin API already", admin.listen);
        problems.push(Problem::new("PAR0407", &place.unwrap_or(crate::config::layers::Place::NOWHERE), message));
    }
    let gateway = gateway?;
    let upstreams::Upstreams { databases, apis } = upstreams?;
    let mut pdp = pdp;
    if let Some(Some(part)) = &mut pdp {
        pdp::join(&root.section("pdp"), part, &apis, problems);
    }
    let audit = audit::audit(&root.section("audit"), &gateway.state, problems);
    Some(Configuration {
        gateway,
        admin: admin?,
        postgres: postgres?,
        http: http?,
        egress: egress?,
        tokens: tokens?,
        pdp: pdp?,
        audit: audit?,
        policy_folders: policy_folders?,
        upstreams: databases,
        apis,
        workloads: workloads?,
        trust: trust?,
        issuers: issuers?,
        spiffe: spiffe?,
        workload_api: workload_api?,
        people: people?,
        threats: threats?,
        signals: signals?,
        digest: digest(raw),
    })
}

fn digest(raw: &Raw) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for source in raw.sources() {
        context.update(&(source.text.len() as u64).to_be_bytes());
        context.update(source.text.as_bytes());
    }
    kernel::approval::hex(context.finish().as_ref())
}

/// Reads a value, or says what is taken instead.
fn read<T>(
    section: &Section<'_>,
    key: &'static str,
    how: impl FnOnce(&str) -> Result<T, Unreadable>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    parse(&section.get(key)?, key, how, problems)
}

fn parse<T>(
    entry: &Entry,
    key: &str,
    how: impl FnOnce(&str) -> Result<T, Unreadable>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    match how(&entry.text) {
        Ok(value) => Some(value),
        Err(wanted) => {
            problems.push(Problem::new("PAR0405", &entry.place, format!("`{key}` cannot be read")).help(wanted));
            None
        }
    }
}

/// Reads one of a few words.
fn choose<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: &[(&str, T)],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let entry = section.get(key)?;
    choose_entry(&entry, key, words, problems)
}

fn choose_entry<T: Copy>(entry: &Entry, key: &str, words: &[(&str, T)], problems: &mut Vec<Problem>) -> Option<T> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == entry.text) {
        return Some(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let mut help = format!("it takes {}", known.join(", "));
    let close = crate::config::layers::closest(&entry.text, words.iter().map(|(word, _)| *word));
    if let Some(close) = close {
        help = format!("did you mean `{close}`? {help}");
    }
    problems.push(Problem::new("PAR0405", &entry.place, format!("`{key}` cannot be read")).help(help));
    None
}

/// Reads where a secret is; anything else is refused without being shown.
fn secret_source(section: &Section<'_>, key: &'static str, problems: &mut Vec<Problem>) -> Option<SecretSource> {
    let entry = section.get(key)?;
    let source = crate::config::value::secret_source(&entry.text);
    if source.is_none() {
        let problem =
            Problem::new("PAR0406", &entry.place, format!("`{key}` must say where the secret is, not what it is"));
        problems.push(problem.key_only().help("use `env://NAME`, `file:///path` or `command:///program arguments`"));
    }
    source
}

/// A path to a file that must be there.
fn file(section: &Section<'_>, key: &'static str, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let entry = section.get(key)?;
    let path = section.raw().resolve(&entry.place, &entry.text);
    must_be_file(&path, &entry, key, problems);
    Some(path)
}

fn must_be_file(path: &std::path::Path, entry: &Entry, key: &str, problems: &mut Vec<Problem>) {
    if !path.is_file() {
        let message = format!("`{key}` names a file that is not there");
        problems.push(Problem::new("PAR0412", &entry.place, message).help(format!("looked for {}", path.display())));
    }
}

/// A name that the user chose, as the header of a table.
fn name(text: &str, section: &Section<'_>, what: &str, problems: &mut Vec<Problem>) -> Option<Name> {
    match text.parse() {
        Ok(name) => Some(name),
        Err(invalid) => {
            let kernel::workload::InvalidName = invalid;
            let problem = Problem::new("PAR0405", &section.place(), format!("{what} cannot be named so"));
            problems.push(problem.key_only().help(invalid.to_string()));
            None
        }
    }
}

fn parse_name(text: &str) -> Result<Name, Unreadable> {
    text.parse().map_err(|kernel::workload::InvalidName| {
        "a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit"
    })
}

fn parse_timestamp(text: &str) -> Result<Timestamp, Unreadable> {
    crate::config::value::timestamp(text)
}
