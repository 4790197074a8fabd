//! Requests of HTTP as policy tests: made up again out of what the log knows, the template of a path and the names of what was
//! asked for. Parameters, queries and bodies are not in the log, and so not here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kernel::operation::{Action, ActionGroup};
use kernel::policy::Snapshot;
use kernel::resource::{Resource, ResourceKind};
use kernel::workload::Name;
use serde_json::{Value, json};

use crate::suggest::cedar::UNLISTED;
use crate::suggest::usage::{Deed, Requested, Sent, Usage};

/// What an upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Database,
    Api,
    Egress,
}

/// What was seen of an upstream tells what it is.
pub(super) fn system(usage: &Usage, upstream: &Name) -> System {
    let mut seen = usage.permitted.keys().filter(|deed| deed.resource.upstream == *upstream);
    let kind = seen.find_map(|deed| deed.resource.kind.is_http().then_some(deed.resource.kind));
    match kind {
        None => System::Database,
        Some(ResourceKind::Host) => System::Egress,
        Some(_) => System::Api,
    }
}

/// What a test asks.
pub(super) struct Question {
    /// The key of the test.
    key: &'static str,
    /// The statement, or the request's line.
    pub(super) text: String,
    headers: BTreeMap<&'static str, String>,
    body: Option<Value>,
}

impl Question {
    pub(super) fn statement(sql: &str) -> Self {
        Self { key: "sql", text: sql.to_owned(), headers: BTreeMap::new(), body: None }
    }

    fn line(text: String) -> Self {
        Self { key: "http", text, headers: BTreeMap::new(), body: None }
    }

    /// None where the log does not hold enough to make it up again.
    pub(super) fn request(seen: &Requested) -> Option<Self> {
        let (action, resource) = seen.asked.first()?;
        if resource.kind == ResourceKind::Host {
            let host = resource.name();
            let target = if seen.method == "CONNECT" { host.to_owned() } else { format!("http://{host}/") };
            return is_plain(&target).then(|| Self::line(format!("{} {target}", seen.method)));
        }
        if resource.kind == ResourceKind::Secret && seen.template == "/" {
            return amz(&seen.asked);
        }
        let values = if resource.kind == ResourceKind::Secret { secret(&seen.template, resource)? } else { Vec::new() };
        let mut question = Self::line(format!("{} {}", seen.method, filled(&seen.template, &values)?));
        if let Some(protocol) = &seen.upgrade {
            question.headers.insert("connection", "upgrade".to_owned());
            question.headers.insert("upgrade", protocol.clone());
            question.headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".to_owned());
            question.headers.insert("sec-websocket-version", "13".to_owned());
        }
        if matches!(action, Action::GraphqlQuery | Action::GraphqlSubscribe | Action::GraphqlMutate) {
            // By GET the document would stand in the query.
            let document = document(&seen.asked).filter(|_| seen.method == "POST")?;
            question.body = Some(json!({ "query": document }));
        }
        Some(question)
    }

    /// The lines of the test.
    pub(super) fn lines(&self) -> String {
        let mut text = format!("  {}: {}\n", self.key, json!(self.text));
        if !self.headers.is_empty() {
            let _infallible = writeln!(text, "  headers: {}", json!(self.headers));
        }
        if let Some(body) = &self.body {
            let _infallible = writeln!(text, "  body: {body}");
        }
        text
    }
}

/// May it stand in the line of a request?
fn is_plain(target: &str) -> bool {
    target.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A path of this template. Parameters get the values in their order; where there are none, `x`.
fn filled(template: &str, values: &[&str]) -> Option<String> {
    if template == UNLISTED {
        return Some("/never-named".to_owned());
    }
    let (mut path, mut rest, mut values) = (String::new(), template, values.iter());
    while let Some(start) = rest.find(['{', '*']) {
        let (before, from) = rest.split_at_checked(start)?;
        path.push_str(before);
        let length = match from.strip_prefix('{') {
            Some(_) => from.find('}')? + 1,
            None => from.len() - from.trim_start_matches('*').len(),
        };
        path.push_str(values.next().copied().unwrap_or("x"));
        rest = from.get(length..)?;
    }
    path.push_str(rest);
    is_plain(&path).then_some(path)
}

/// The parameters of a secret store's path, in their order: mount and path, namespace and name.
fn secret<'r>(template: &str, resource: &'r Resource) -> Option<Vec<&'r str>> {
    let [mount, path] = resource.path.as_slice() else { return None };
    let names = template.matches('{').count();
    // A literal before the last parameter is part of the secret's name there.
    let behind = path.rsplit_once("serviceaccounts/").map_or(&**path, |(_, name)| name);
    let values: Vec<&str> = match names {
        0 => Vec::new(),
        1 if &**path == "*" => vec![mount],
        1 => vec![path.strip_prefix("internal/ui/mounts/").unwrap_or(path)],
        2 if template.contains("/{namespace}/sys/") => vec![mount, path.strip_prefix("sys/")?],
        2 if template.contains("/{namespace}/auth/") => vec![mount, path.strip_prefix("auth/")?],
        2 => vec![mount, behind],
        _ => return None,
    };
    values.iter().all(|value| *value != "*" && is_plain(value)).then_some(values)
}

/// A call of Secrets Manager: the log has its group and its secrets, and not its name.
fn amz(asked: &[(Action, Resource)]) -> Option<Question> {
    let names: Vec<&str> = asked.iter().map(|(_, resource)| resource.name()).collect();
    let reveals = asked.iter().all(|(action, _)| *action == Action::HttpReveal);
    let (call, body) = match (reveals, names.as_slice()) {
        (true, ["*"]) => ("BatchGetSecretValue", json!({})),
        (true, [one]) => ("GetSecretValue", json!({ "SecretId": one })),
        (true, several) => ("BatchGetSecretValue", json!({ "SecretIdList": several })),
        (false, _) => return None,
    };
    let mut question = Question::line("POST /".to_owned());
    question.headers.insert("content-type", "application/x-amz-json-1.1".to_owned());
    question.headers.insert("x-amz-target", format!("secretsmanager.{call}"));
    question.body = Some(body);
    Some(question)
}

/// What a GraphQL document selected, by the paths of its fields.
#[derive(Default)]
struct Selected<'p>(BTreeMap<&'p str, Selected<'p>>);

impl Selected<'_> {
    fn write(&self, text: &mut String) {
        text.push('{');
        for (name, below) in &self.0 {
            text.push(' ');
            text.push_str(name);
            if !below.0.is_empty() {
                text.push(' ');
                below.write(text);
            }
        }
        text.push_str(" }");
    }
}

/// A document that selects the same fields.
fn document(asked: &[(Action, Resource)]) -> Option<String> {
    let is_name = |name: &str| {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    let mut all: BTreeMap<&str, Selected<'_>> = BTreeMap::new();
    for (_, resource) in asked.iter().filter(|(_, resource)| resource.kind == ResourceKind::Field) {
        let mut names = resource.name().split('.');
        let mut place = all.entry(names.next()?).or_default();
        for name in names {
            if !is_name(name) {
                return None;
            }
            place = place.0.entry(name).or_default();
        }
    }
    let (root, selected) = all.into_iter().next()?;
    let mut text = match root {
        "Query" => String::from("query "),
        "Mutation" => String::from("mutation "),
        "Subscription" => String::from("subscription "),
        _ => return None,
    };
    selected.write(&mut text);
    Some(text)
}

/// The fixture of an API: what was asked of it.
pub(super) fn api(usage: &Usage, upstream: &Name, labels: &Snapshot) -> Value {
    let mut endpoints: BTreeMap<(&str, &str), Value> = BTreeMap::new();
    let mut store = None;
    let requests =
        usage.shapes.keys().filter(|shape| shape.upstream == *upstream).filter_map(|shape| match &shape.sent {
            Sent::Request(request) => Some(request),
            Sent::Statement(_) => None,
        });
    let mut unlisted = "deny";
    for request in requests {
        let Some((action, resource)) = request.asked.first() else { continue };
        match (resource.kind, request.template.as_str()) {
            (ResourceKind::Secret, "/") => store = Some("aws"),
            (ResourceKind::Secret, template) if template.starts_with("/api/") => store = Some("kubernetes"),
            (ResourceKind::Secret, _) => store = Some("vault"),
            (_, UNLISTED) => unlisted = "allow",
            (_, template) => {
                endpoints.insert((template, &request.method), endpoint(request, *action));
            }
        }
    }
    let mut fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for resource in usage.permitted.keys().map(|deed| &deed.resource) {
        if let (ResourceKind::Field, [template, path]) = (resource.kind, resource.path.as_slice())
            && resource.upstream == *upstream
        {
            let pattern = if path.starts_with('$') { format!("{template} {path}") } else { path.to_string() };
            let classes = labels.classes(resource);
            if !classes.is_empty() {
                fields.entry(pattern).or_default().extend(classes.iter().map(ToString::to_string));
            }
        }
    }
    let mut api = json!({ "endpoints": endpoints.into_values().collect::<Vec<_>>(), "unlisted": unlisted });
    if !fields.is_empty() {
        crate::recorded::set(&mut api, "fields", json!(fields));
    }
    if let Some(store) = store {
        crate::recorded::set(&mut api, "store", store);
    }
    api
}

fn endpoint(request: &Requested, action: Action) -> Value {
    let mut endpoint = json!({ "method": request.method, "path": request.template });
    if let Some(id) = &request.operation {
        crate::recorded::set(&mut endpoint, "id", id.as_str());
    }
    if matches!(action, Action::GraphqlQuery | Action::GraphqlSubscribe | Action::GraphqlMutate) {
        crate::recorded::set(&mut endpoint, "graphql", true);
    } else if Action::of_http_method(&request.method) != Some(action) {
        crate::recorded::set(&mut endpoint, "group", action.group().as_str());
    }
    endpoint
}

/// What the workload never did: leave by another way, remove what it reads, ask for what nobody asked for.
pub(super) fn never(usage: &Usage, workload: &Name, upstream: &Name) -> Vec<(Question, &'static str)> {
    let ours = |deed: &&Deed| deed.workload == *workload && deed.resource.upstream == *upstream;
    let deeds: Vec<&Deed> = usage.permitted.keys().filter(ours).collect();
    match system(usage, upstream) {
        System::Database => Vec::new(),
        System::Egress => {
            let elsewhere = Question::line("CONNECT never-asked-for.invalid:443".to_owned());
            vec![(elsewhere, "reach another host")]
        }
        System::Api => {
            let mut never = Vec::new();
            let unlisted = deeds.iter().any(|deed| deed.resource.name() == UNLISTED);
            if !unlisted && deeds.iter().any(|deed| deed.resource.kind == ResourceKind::Endpoint) {
                never.push((Question::line("GET /never-asked-for".to_owned()), "ask for other paths"));
            }
            let removes = |deed: &&&Deed| matches!(deed.action.group(), ActionGroup::Delete | ActionGroup::Destroy);
            let known = deeds.iter().find(|deed| {
                deed.resource.kind == ResourceKind::Endpoint
                    && deed.resource.name() != UNLISTED
                    && !deed.resource.name().is_empty()
            });
            if let (None, Some(known)) = (deeds.iter().find(removes), known)
                && let Some(path) = filled(known.resource.name(), &[])
            {
                never.push((Question::line(format!("DELETE {path}")), "remove anything"));
            }
            never
        }
    }
}
