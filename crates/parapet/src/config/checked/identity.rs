//! Who: workloads, the rules and issuers that prove them, and the people who approve and administer.
//!
//! A trust rule is refused when it is loaded, rather than when somebody uses it, if what it binds could be taken over by
//! another: a repository's name, an e-mail address and a branch are given anew after they were given up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use kernel::trust::{Claims, Terms, TrustRule};
use kernel::workload::{Name, Person, Workload, WorkloadKind, WorkloadStatus};

use crate::config::checked::templates;
use crate::config::checked::{
    BundleSource, Issuer, JwksSource, PersonEntry, SignatureAlgorithm, TrustDomain, WorkloadApi, choose, choose_entry,
    must_be_file, name, parse, parse_name, parse_timestamp, read,
};
use crate::config::layers::Place;
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};
use crate::config::value::{self, Unreadable};

/// The issuer of trust rules for client certificates.
const CERTIFICATE: &str = "certificate";

/// Claims whose values are never given to another: numeric and opaque ids, and the names in a certificate that our own
/// authority vouches for. Kubernetes writes its ids into a nested claim.
const LASTING_CLAIMS: [&str; 16] = [
    "sub",
    "repository_id",
    "repository_owner_id",
    "project_id",
    "job_project_id",
    "namespace_id",
    "oid",
    "azp",
    "appid",
    "client_id",
    "xms_mirid",
    "san:uri",
    "san:dns",
    "san:email",
    "/kubernetes.io/serviceaccount/uid",
    "/kubernetes.io/pod/uid",
];

/// Claims that say from where in a pipeline's configuration a run comes.
const PLACE_CLAIMS: [&str; 4] = ["ref", "environment", "job_workflow_ref", "ci_config_ref_uri"];

pub(super) fn workloads(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Workload>> {
    let named = section.named();
    let count = named.len();
    let workloads: Vec<Workload> =
        named.into_iter().filter_map(|(label, section)| workload(label, &section, problems)).collect();
    (workloads.len() == count).then_some(workloads)
}

const KINDS: [(&str, WorkloadKind); 5] = [
    ("service", WorkloadKind::Service),
    ("ci", WorkloadKind::Ci),
    ("agent", WorkloadKind::Agent),
    ("bot", WorkloadKind::Bot),
    ("device", WorkloadKind::Device),
];

fn workload(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Workload> {
    let name = name(label, section, "a workload", problems);
    let owner = read(section, "owner", person, problems);
    let kind = choose(section, "kind", &KINDS, problems);
    let environment = read(section, "environment", parse_name, problems);
    let purpose = section.get("purpose").map(|entry| entry.text);
    let groups = groups(section, problems);
    let expires = match section.get("expires") {
        Some(entry) => Some(parse(&entry, "expires", parse_timestamp, problems)?),
        None => None,
    };
    Some(Workload {
        name: name?,
        owner: owner?,
        kind: kind?,
        environment: environment?,
        purpose: purpose?,
        groups: groups?,
        expires,
        status: WorkloadStatus::Active,
        risk: 0,
    })
}

fn groups(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<BTreeSet<Name>> {
    let entries = section.list("groups");
    let groups: Vec<Option<Name>> = entries.iter().map(|entry| parse(entry, "groups", parse_name, problems)).collect();
    groups.into_iter().collect()
}

fn person(text: &str) -> Result<Person, Unreadable> {
    let fits = !text.is_empty() && text.len() <= 254 && text.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if fits {
        Ok(Person(text.into()))
    } else {
        Err("a person is named by an address without spaces, such as `ann@example.com`")
    }
}

pub(super) fn issuers(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<Issuer>> {
    let named = section.named();
    let count = named.len();
    let issuers: Vec<Issuer> =
        named.into_iter().filter_map(|(label, section)| issuer(label, &section, problems)).collect();
    (issuers.len() == count).then_some(issuers)
}

const ALGORITHMS: [(&str, SignatureAlgorithm); 4] = [
    ("RS256", SignatureAlgorithm::Rs256),
    ("PS256", SignatureAlgorithm::Ps256),
    ("ES256", SignatureAlgorithm::Es256),
    ("EdDSA", SignatureAlgorithm::EdDsa),
];

fn issuer(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Issuer> {
    if label.is_empty() || label == CERTIFICATE {
        let message = format!("`{label}` cannot be an issuer of tokens");
        problems.push(
            Problem::new("PAR0405", &section.place(), message).key_only().help("use the exact `iss` of its tokens"),
        );
    }
    let audience = section.get("audience").map(|entry| entry.text).filter(|audience| !audience.is_empty());
    if audience.is_none() {
        // Without an audience, a token that was given for another service would be taken.
        let problem =
            Problem::new("PAR0421", &section.place(), "an issuer without an audience is not trusted").key_only();
        problems.push(problem.help("set `audience` to the `aud` that its tokens for Parapet have, such as `parapet`"));
    }
    let mut algorithms = BTreeSet::new();
    let entries = section.list("algorithms");
    for entry in &entries {
        if let Some(algorithm) = algorithm(entry, problems) {
            algorithms.insert(algorithm);
        }
    }
    if entries.is_empty() {
        let problem =
            Problem::new("PAR0425", &section.place(), "an issuer without an algorithm signs nothing").key_only();
        problems.push(problem.help("name at least one of `RS256`, `PS256`, `ES256`, `EdDSA`"));
    }
    let jwks = jwks(label, section, problems);
    let max_age = read(section, "max_age", value::duration, problems);
    Some(Issuer { issuer: label.to_owned(), audience: audience?, algorithms, jwks: jwks?, max_age: max_age? })
}

fn algorithm(entry: &Entry, problems: &mut Vec<Problem>) -> Option<SignatureAlgorithm> {
    if entry.text == "none" || entry.text.starts_with("HS") {
        let message = format!("algorithm `{}` proves nothing about who signed", entry.text);
        problems.push(Problem::new("PAR0425", &entry.place, message).help("use `ES256`, `EdDSA`, `PS256` or `RS256`"));
        return None;
    }
    choose_entry(entry, "algorithms", &ALGORITHMS, problems)
}

fn jwks(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<JwksSource> {
    let Some(entry) = section.get("jwks") else { return discovery(label, section, problems) };
    let text = &entry.text;
    if let Some(path) = text.strip_prefix("file://") {
        let path = section.raw().resolve(&entry.place, path);
        must_be_file(&path, &entry, "jwks", problems);
        return Some(JwksSource::File(path));
    }
    if is_safe_url(text) {
        return Some(JwksSource::Url(text.clone()));
    }
    let problem = Problem::new("PAR0426", &entry.place, "`jwks` must be `https://…` or `file:///…`");
    problems.push(problem.help("whoever can change the keys on their way can be any workload"));
    None
}

/// HTTPS, or plain HTTP that stays on this machine.
pub(super) fn is_safe_url(text: &str) -> bool {
    let loopback = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
        || loopback.iter().any(|prefix| text.starts_with(prefix))
}

/// Without `jwks` the issuer says itself where its keys are (OpenID Connect Discovery 1.0), which takes an issuer that is a
/// URL.
fn discovery(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<JwksSource> {
    if is_safe_url(label) {
        return Some(JwksSource::Discovery(label.to_owned()));
    }
    let message = format!("`{label}` is no URL, so where its keys are cannot be found out");
    let problem = Problem::new("PAR0426", &section.place(), message).key_only();
    problems.push(problem.help("set `jwks` to where its keys are: `https://…` or `file:///…`"));
    None
}

/// The trust domains of SPIFFE whose SVIDs are accepted.
pub(super) fn spiffe(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<TrustDomain>> {
    let named = section.named();
    let count = named.len();
    let names: BTreeSet<String> = named.iter().map(|(label, _)| (*label).to_owned()).collect();
    let domains: Vec<TrustDomain> =
        named.into_iter().filter_map(|(label, section)| trust_domain(label, &names, &section, problems)).collect();
    (domains.len() == count).then_some(domains)
}

fn trust_domain(
    label: &str,
    names: &BTreeSet<String>,
    section: &Section<'_>,
    problems: &mut Vec<Problem>,
) -> Option<TrustDomain> {
    if gateway::login::spiffe::SpiffeId::parse(&format!("spiffe://{label}/x")).is_none() {
        let message = format!("`{label}` is no trust domain");
        let problem = Problem::new("PAR0405", &section.place(), message).key_only();
        problems.push(problem.help("lower-case letters, digits, `.`, `-` and `_`, such as `example.org`"));
        return None;
    }
    let bundle = bundle(section, problems);
    let audience = section.get("audience").map(|entry| entry.text).filter(|audience| !audience.is_empty());
    let max_age = read(section, "max_age", value::duration, problems)?;
    let endpoint = endpoint(label, names, section, problems)?;
    Some(TrustDomain { name: label.to_owned(), bundle: bundle?, endpoint, audience, max_age })
}

/// Who serves the bundle, where that is known by an SVID. `Some(None)`: it is known by its host's name.
fn endpoint(
    label: &str,
    names: &BTreeSet<String>,
    section: &Section<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Option<(String, Option<PathBuf>)>> {
    let (id, bootstrap) = (section.get("endpoint_id"), section.get("bootstrap"));
    let Some(id) = id else {
        let Some(entry) = bootstrap else { return Some(None) };
        let problem = Problem::new("PAR0405", &entry.place, "`bootstrap` counts beside `endpoint_id` alone");
        problems.push(problem.help("without it the server at `bundle` is known by its host's name"));
        return None;
    };
    if !section.get("bundle").is_some_and(|bundle| bundle.text.starts_with("https://")) {
        let problem = Problem::new("PAR0405", &id.place, "`endpoint_id` is that of a server, and `bundle` names none");
        problems.push(problem.help("set `bundle` to the URL of its bundle endpoint"));
        return None;
    }
    let parsed = gateway::login::spiffe::SpiffeId::parse(&id.text);
    let Some(parsed) = parsed.filter(|parsed| names.contains(parsed.trust_domain())) else {
        let message = format!("`{}` is no SPIFFE id of a trust domain that is configured", id.text);
        let problem = Problem::new("PAR0405", &id.place, message);
        problems.push(problem.help(format!("such as `spiffe://{label}/spire/server`")));
        return None;
    };
    let path = match &bootstrap {
        Some(entry) => {
            let Some(path) = entry.text.strip_prefix("file://") else {
                problems.push(Problem::new("PAR0405", &entry.place, "`bootstrap` must be `file:///…`"));
                return None;
            };
            let path = section.raw().resolve(&entry.place, path);
            must_be_file(&path, entry, "bootstrap", problems);
            Some(path)
        }
        // Its own domain's server, of which nothing is known before it has served.
        None if parsed.trust_domain() == label => {
            let problem = Problem::new("PAR0403", &id.place, "`bootstrap` is missing");
            problems.push(problem.help("write the bundle to a file: `spire-server bundle show -format spiffe`"));
            return None;
        }
        None => None,
    };
    Some(Some((id.text.clone(), path)))
}

fn bundle(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<BundleSource> {
    let entry = section.get("bundle")?;
    if entry.text == "workload-api" {
        return Some(BundleSource::WorkloadApi);
    }
    if let Some(path) = entry.text.strip_prefix("file://") {
        let path = section.raw().resolve(&entry.place, path);
        must_be_file(&path, &entry, "bundle", problems);
        return Some(BundleSource::File(path));
    }
    if is_safe_url(&entry.text) {
        return Some(BundleSource::Url(entry.text));
    }
    let problem = Problem::new("PAR0426", &entry.place, "`bundle` must be `https://…`, `file:///…` or `workload-api`");
    problems.push(problem.help("write the bundle to a file: `spire-server bundle show -format spiffe`"));
    None
}

/// The agent of SPIFFE. `Some(None)`: none is configured, and nothing needs one. `None`: something is wrong.
pub(super) fn workload_api(root: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<WorkloadApi>> {
    let section = root.section("workload_api");
    let Some(entry) = section.get("socket") else {
        let needing = root.section("spiffe").named().into_iter().filter_map(|(_, domain)| domain.get("bundle"));
        let needing = needing.filter(|entry| entry.text == "workload-api");
        let listener = root.section("postgres");
        let shown = if listener.section("tls").is_table() { None } else { listener.get("tls") };
        let shown = shown.filter(|entry| entry.text == "spiffe");
        let mut place = needing.chain(shown).map(|entry| entry.place);
        let place = place.next().or_else(|| section.exists().then(|| section.place()));
        let Some(place) = place else { return Some(None) };
        let problem = Problem::new("PAR0403", &place, "`workload_api.socket` is missing");
        problems
            .push(problem.help("the socket of the SPIFFE agent, such as `unix:///run/spire/agent/public/api.sock`"));
        return None;
    };
    let Some(path) = entry.text.strip_prefix("unix://").filter(|path| path.starts_with('/')) else {
        let problem = Problem::new("PAR0405", &entry.place, "`socket` must be `unix:///…`");
        problems.push(problem.help("such as `unix:///run/spire/agent/public/api.sock`"));
        return None;
    };
    let id = section.get("id");
    if let Some(id) = id.as_ref().filter(|id| gateway::login::spiffe::SpiffeId::parse(&id.text).is_none()) {
        let problem = Problem::new("PAR0405", &id.place, format!("`{}` is no SPIFFE id of a workload", id.text));
        problems.push(problem.help("such as `spiffe://example.org/parapet`"));
        return None;
    }
    Some(Some(WorkloadApi { socket: path.into(), id: id.map(|id| id.text) }))
}

pub(super) fn trust(root: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<TrustRule>> {
    let before = problems.len();
    let workloads: BTreeMap<&str, Section<'_>> = root.section("workloads").named().into_iter().collect();
    let issuers: BTreeSet<&str> = root.section("issuers").named().into_iter().map(|(label, _)| label).collect();
    let trust_domains = root.section("spiffe").named().into_iter().map(|(label, _)| label.to_owned()).collect();
    let mut listeners = ["postgres", "http", "egress", "pdp"].into_iter().map(|listener| root.section(listener));
    let certificates = listeners.any(|listener| listener.section("tls").get("client_ca").is_some())
        || root.section("pdp").get("client_authorities").is_some();
    let known = Known { workloads, issuers, trust_domains, certificates };
    let mut rules: Vec<TrustRule> = Vec::new();
    for section in root.section("trust").elements() {
        let Some((rule, place)) = rule(&section, &known, problems) else { continue };
        if let Some(same) = rules.iter().find(|other| other.issuer == rule.issuer && other.claims == rule.claims) {
            let message = format!("a rule for `{}` has the same issuer and claims", same.workload);
            problems.push(Problem::new("PAR0424", &place, message).help("an attestation is one workload's alone"));
        }
        rules.push(rule);
    }
    (problems.len() == before).then_some(rules)
}

/// What rules may name.
struct Known<'r> {
    workloads: BTreeMap<&'r str, Section<'r>>,
    issuers: BTreeSet<&'r str>,
    trust_domains: BTreeSet<String>,
    certificates: bool,
}

/// A rule, and the place of its workload's name.
fn rule(section: &Section<'_>, known: &Known<'_>, problems: &mut Vec<Problem>) -> Option<(TrustRule, Place)> {
    let workload = section.get("workload")?;
    let named = section.get("issuer");
    let template = templates::of_rule(section, named.as_ref(), problems);
    let well_known = template.and_then(|template| template.issuer);
    let Some(issuer) =
        named.or_else(|| well_known.map(|issuer| Entry { text: issuer.to_owned(), place: workload.place.clone() }))
    else {
        let problem = Problem::new("PAR0403", &section.place(), "`trust.issuer` is missing").key_only();
        problems.push(problem.help("a configured issuer; a template with a well-known issuer needs none"));
        return None;
    };
    let name = parse(&workload, "workload", parse_name, problems)?;
    let Some(registered) = known.workloads.get(workload.text.as_str()) else {
        let names = known.workloads.keys().copied();
        problems.push(not_there(&workload, "workload", crate::config::layers::closest(&workload.text, names)));
        return None;
    };
    check_issuer(&issuer, known, problems);
    let table = section.section("claims");
    let bound = section.map("claims");
    let (claims, terms) = match template {
        Some(template) => template.apply(&issuer, &table, bound, problems),
        None => {
            let claims: Claims = bound.into_iter().map(|(claim, entry)| (claim, entry.text)).collect();
            let is_ci = registered.get("kind").is_some_and(|kind| kind.text == "ci");
            check_claims(&table, &issuer.text, &claims, is_ci, problems);
            (claims, Terms::default())
        }
    };
    let yes = |key: &'static str, problems: &mut Vec<Problem>| {
        choose(section, key, &[("true", true), ("false", false)], problems).unwrap_or(false)
    };
    let terms = Terms { once: yes("once", problems), bound: yes("bound", problems), ..terms };
    let task_life = read(section, "task_life", value::duration, problems);
    if task_life.is_some_and(|life| life > gateway::login::task::LONGEST_LIFE || life.is_zero())
        && let Some(entry) = section.get("task_life")
    {
        problems.push(Problem::new("PAR0405", &entry.place, "a token for a task lives for at most an hour"));
    }
    let terms = Terms { task_life, ..terms };
    let rule = TrustRule { issuer: Arc::from(issuer.text), claims, workload: name, terms };
    Some((rule, workload.place))
}

fn check_issuer(issuer: &Entry, known: &Known<'_>, problems: &mut Vec<Problem>) {
    if issuer.text == CERTIFICATE {
        if !known.certificates {
            let problem = Problem::new("PAR0408", &issuer.place, "no listener accepts client certificates");
            problems.push(problem.help("set `client_ca` in a listener's table, such as `[postgres.tls]`"));
        }
    } else if let Some(domain) = issuer.text.strip_prefix("spiffe://") {
        if !known.trust_domains.contains(domain) {
            let problem = Problem::new("PAR0408", &issuer.place, format!("trust domain `{domain}` is not configured"));
            problems.push(problem.help(format!("add `[spiffe.\"{domain}\"]` with its bundle")));
        }
    } else if !known.issuers.contains(issuer.text.as_str()) {
        let names = known.issuers.iter().copied();
        problems.push(not_there(issuer, "issuer", crate::config::layers::closest(&issuer.text, names)));
    }
}

fn not_there(entry: &Entry, what: &str, close: Option<&str>) -> Problem {
    let problem = Problem::new("PAR0408", &entry.place, format!("{what} `{}` is not configured", entry.text));
    match close {
        Some(close) => problem.help(format!("did you mean `{close}`?")),
        None => problem.help(format!("add `[{what}s.\"{}\"]`", entry.text)),
    }
}

fn check_claims(table: &Section<'_>, issuer: &str, claims: &Claims, is_ci: bool, problems: &mut Vec<Problem>) {
    if !table.exists() {
        return; // reported as missing
    }
    if !claims.keys().any(|claim| LASTING_CLAIMS.contains(&claim.as_str())) {
        let problem =
            Problem::new("PAR0422", &table.place(), "no claim of the rule is safe from being given to another");
        let help =
            "names and addresses are given anew: add `sub`, `repository_id`, `project_id`, `oid` or another lasting id";
        problems.push(problem.key_only().help(help));
    }
    let issues_runs = issuer != CERTIFICATE && !issuer.starts_with("spiffe://");
    if is_ci && issues_runs && !claims.keys().any(|claim| PLACE_CLAIMS.contains(&claim.as_str())) {
        let problem = Problem::new("PAR0423", &table.place(), "a rule for a CI job says from where it must run");
        problems
            .push(problem.key_only().help("add `ref` or `environment`: otherwise a pull request's run is trusted too"));
    }
}

pub(super) fn people(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Vec<PersonEntry>> {
    let before = problems.len();
    let mut people: Vec<PersonEntry> = Vec::new();
    for (label, section) in section.named() {
        let person = match person(label) {
            Ok(person) => Some(person),
            Err(wanted) => {
                problems.push(
                    Problem::new("PAR0405", &section.place(), "a person cannot be named so").key_only().help(wanted),
                );
                None
            }
        };
        let groups = groups(&section, problems);
        let admin = choose(&section, "admin", &[("true", true), ("false", false)], problems);
        let left = choose(&section, "left", &[("true", true), ("false", false)], problems).unwrap_or(false);
        let token_hash = match section.get("token_hash") {
            Some(entry) => token_hash(&entry, &people, problems),
            None => None,
        };
        if let (Some(person), Some(groups), Some(admin)) = (person, groups, admin) {
            people.push(PersonEntry { person, groups, admin, left, token_hash });
        }
    }
    (problems.len() == before).then_some(people)
}

fn token_hash(entry: &Entry, others: &[PersonEntry], problems: &mut Vec<Problem>) -> Option<[u8; 32]> {
    let Some(hash) = entry.text.strip_prefix("sha256:").and_then(unhex) else {
        // It could be the token itself.
        let problem =
            Problem::new("PAR0406", &entry.place, "`token_hash` must be the hash of the token, not the token");
        problems.push(problem.key_only().help("`sha256:` and 64 hexadecimal digits: `printf %s TOKEN | sha256sum`"));
        return None;
    };
    if let Some(other) = others.iter().find(|other| other.token_hash == Some(hash)) {
        let message = format!("the token is that of `{}` too; a quorum counts distinct people", other.person);
        problems.push(Problem::new("PAR0407", &entry.place, message).key_only());
    }
    Some(hash)
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (slot, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        *slot = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}
