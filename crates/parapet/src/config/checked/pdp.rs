//! The decision point: where it listens, who may ask it, and in which words.
//!
//! What would let a stranger ask is refused when it is loaded: a caller without a proof, an address that others reach without TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use control::pdp::{CallerEntry, CallerProof, HeaderFamily, Settings, TypeEndpoint, TypeEntry, Use};
use kernel::operation::Action;
use kernel::policy::Disclosure;
use kernel::resource::{Resource, ResourceKind};
use wire::http::endpoint::{ANY_METHOD, Endpoint, Field, Template, TemplateError};

use crate::config::checked::http::ApiEntry;
use crate::config::checked::identity::unhex;
use crate::config::checked::listeners::{listen_entry, listener, public_url};
use crate::config::checked::{ListenerTls, choose, choose_entry, file, name, parse, parse_name, read};
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};
use crate::config::value::Unreadable;

/// The decision point.
#[derive(Clone, Debug)]
pub(crate) struct PdpPart {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// How connections are protected.
    pub(crate) tls: ListenerTls,
    /// What callers call it, without a slash at the end.
    pub(crate) url: Option<String>,
    /// PEM file of the authorities of certificates that proxies pass on.
    pub(crate) client_authorities: Option<PathBuf>,
    /// Who may ask, and in which words.
    pub(crate) settings: Arc<Settings>,
}

/// `Some(None)`: no decision point is configured. `None`: it is, and wrong.
pub(super) fn pdp(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Option<PdpPart>> {
    let Some(entry) = listen_entry(section, "pdp", "127.0.0.1:18003", problems)? else { return Some(None) };
    let before = problems.len();
    let listener = listener(section, &entry, problems);
    let url = section.get("url").and_then(|entry| parse(&entry, "url", public_url, problems));
    let client_authorities = file(section, "client_authorities", problems);
    let subjects = section.list("subjects").into_iter().map(|entry| entry.text).collect();
    let callers = section.section("callers");
    let callers: Vec<_> =
        callers.named().into_iter().filter_map(|(label, section)| caller(label, &section, problems)).collect();
    let types = section.section("resources");
    let types = types.named().into_iter();
    let types: BTreeMap<_, _> =
        types.filter_map(|(label, section)| Some((label.to_owned(), own_type(&section, problems)?))).collect();
    let settings = Arc::new(Settings { callers, subjects, types });
    let (listen, tls) = listener?;
    let part = PdpPart { listen, tls, url, client_authorities, settings };
    (problems.len() == before).then_some(Some(part))
}

const USES: [(&str, Use); 4] =
    [("evaluate", Use::Evaluate), ("search", Use::Search), ("request", Use::Request), ("check", Use::Check)];

fn caller(label: &str, section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<CallerEntry> {
    let name = name(label, section, "a caller", problems);
    let hash = section.get("token_hash").map(|entry| token_hash(&entry, problems));
    let workload = section.get("workload").map(|entry| parse(&entry, "workload", parse_name, problems));
    let proof = match (hash, workload) {
        (Some(hash), None) => hash.map(CallerProof::Token),
        (None, Some(workload)) => workload.map(CallerProof::Workload),
        (None, None) | (Some(_), Some(_)) => {
            let message = "a caller has `token_hash` or `workload`, and not both";
            let problem = Problem::new("PAR0403", &section.place(), message).key_only();
            problems
                .push(problem.help("`token_hash = \"sha256:…\"` of its token, or the workload that it proves to be"));
            None
        }
    };
    let may: Option<BTreeSet<Use>> =
        section.list("may").iter().map(|entry| choose_entry(entry, "may", &USES, problems)).collect();
    let upstreams: Option<BTreeSet<_>> =
        section.list("upstreams").iter().map(|entry| parse(entry, "upstreams", parse_name, problems)).collect();
    let words = [("full", Disclosure::Full), ("policy", Disclosure::Policy), ("id", Disclosure::Id)];
    let disclosure = choose(section, "disclosure", &words, problems);
    let families = [("x-original", HeaderFamily::Original), ("x-forwarded", HeaderFamily::Forwarded)];
    let headers = choose(section, "headers", &families, problems);
    let certificates = choose(section, "certificates", &[("true", true), ("false", false)], problems);
    Some(CallerEntry {
        name: name?,
        proof: proof?,
        may: may?,
        upstreams: upstreams?,
        disclosure: disclosure?,
        headers: headers?,
        certificates: certificates?,
    })
}

fn token_hash(entry: &Entry, problems: &mut Vec<Problem>) -> Option<[u8; 32]> {
    let hash = entry.text.strip_prefix("sha256:").and_then(unhex);
    if hash.is_none() {
        let message = "`token_hash` must be the hash of the token, not the token";
        let problem = Problem::new("PAR0406", &entry.place, message).key_only();
        problems.push(problem.help("`sha256:` and 64 hexadecimal digits: `printf %s TOKEN | sha256sum`"));
    }
    hash
}

fn own_type(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<TypeEntry> {
    let upstream = read(section, "upstream", parse_name, problems);
    let mut actions = BTreeMap::new();
    for (action, entry) in section.map("actions") {
        actions.insert(action, parse(&entry, "actions", endpoint, problems)?);
    }
    let ids = section.list("ids").into_iter().map(|entry| entry.text.into()).collect();
    Some(TypeEntry { upstream: upstream?, actions, ids })
}

/// `PUT /records/{id}`
fn endpoint(text: &str) -> Result<TypeEndpoint, Unreadable> {
    const WANTED: Unreadable = "an action is a method and a path template, such as `PUT /records/{id}`";
    let (method, template) = text.split_once(' ').ok_or(WANTED)?;
    let action = Action::of_http_method(method).ok_or(WANTED)?;
    let clean = template.starts_with('/') && !template.contains(|letter: char| letter == ' ' || letter.is_control());
    if !clean {
        return Err(WANTED);
    }
    let (method, template) = (method.into(), template.into());
    Ok(TypeEndpoint { action, operation: None, fields: Vec::new(), method, template })
}

/// Endpoints that the configuration of their upstream knows are asked for as they are there: by the action of their group, under their
/// id, with the classed fields of their answers. Otherwise the decision point would say yes where the gateway says no.
pub(super) fn join(section: &Section<'_>, part: &mut PdpPart, apis: &[ApiEntry], problems: &mut Vec<Problem>) {
    let mut settings = Settings::clone(&part.settings);
    let types = section.section("resources");
    for (label, section) in types.named() {
        let Some(own) = settings.types.get_mut(label) else { continue };
        let Some(api) = apis.iter().find(|api| api.upstream.name == own.upstream) else { continue };
        for (action, entry) in section.map("actions") {
            let Some(asked) = own.actions.get_mut(&action) else { continue };
            if let Err((message, help)) = as_configured(asked, api) {
                problems.push(Problem::new("PAR0405", &entry.place, message).help(help));
            }
        }
    }
    part.settings = Arc::new(settings);
}

type Mistake = (&'static str, String);

fn as_configured(asked: &mut TypeEndpoint, api: &ApiEntry) -> Result<(), Mistake> {
    let invalid = |error: TemplateError| ("the path of the action cannot be read", error.to_string());
    let template = Template::parse(&asked.template).map_err(invalid)?;
    let same = |endpoint: &&Endpoint| endpoint.template.same_form(&template);
    let known: Vec<&Endpoint> = api.endpoints.iter().filter(same).collect();
    let by_method = known.iter().find(|endpoint| *endpoint.method == *asked.method);
    let endpoint = by_method.or_else(|| known.iter().find(|endpoint| &*endpoint.method == ANY_METHOD));
    let Some(endpoint) = endpoint else {
        asked.fields = fields(api, &asked.template, &api.everywhere);
        return Ok(());
    };
    if endpoint.template.text() != &*asked.template {
        let help = format!("its upstream calls it `{}`", endpoint.template.text());
        return Err(("the endpoint has other names for its parameters", help));
    }
    if endpoint.graphql || endpoint.secret.is_some() {
        let help = "name an endpoint whose method and path say it".to_owned();
        return Err(("what the endpoint is asked for stands in no method and path", help));
    }
    let action = Action::of_http_endpoint(&asked.method, endpoint.group);
    asked.action = action.ok_or(("the endpoint's group has no action", "give it another group".to_owned()))?;
    asked.operation = endpoint.id.clone();
    asked.fields = fields(api, &asked.template, &endpoint.fields);
    let more = fields(api, &asked.template, &api.everywhere);
    asked.fields.extend(
        more.into_iter().filter(|field| !endpoint.fields.iter().any(|own| own.path.text().as_ref() == field.name())),
    );
    Ok(())
}

fn fields(api: &ApiEntry, template: &str, fields: &[Field]) -> Vec<Arc<Resource>> {
    let field = |field: &Field| {
        let path = [template, field.path.text()];
        Arc::new(Resource::new(ResourceKind::Field, &api.upstream.name, path))
    };
    fields.iter().map(field).collect()
}
