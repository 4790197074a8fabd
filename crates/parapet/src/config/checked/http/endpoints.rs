//! The endpoints of an HTTP API, and the fields of its responses that carry classes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use kernel::operation::{Action, ActionGroup};
use kernel::policy::ClassPattern;
use kernel::workload::Name;
use wire::http::body::BodyField;
use wire::http::endpoint::{ANY_METHOD, Endpoint, Endpoints, Field, Template, Unlisted, merge};
use wire::http::json_path::JsonPath;
use wire::http::openapi;
use wire::http::secret_store::Profile;

use crate::config::checked::{choose_entry, file, parse_name};
use crate::config::layers::Place;
use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};

/// Why nothing of an upstream's may stand there.
pub(super) const RESERVED: &str = "no upstream has paths below `/.parapet`";

/// What may be asked of an API.
pub(crate) struct Found {
    /// Its endpoints.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Fields that any response may have.
    pub(crate) everywhere: Vec<Field>,
    /// The classes of fields, for the kernel: a pattern, and the class that it gives.
    pub(crate) classes: Vec<(String, String)>,
    /// What kind of secret store it is, if it is one.
    pub(crate) store: Option<Profile>,
}

/// Every endpoint, from wherever it comes.
pub(super) fn all(
    section: &Section<'_>,
    upstream: &Name,
    unlisted: Unlisted,
    problems: &mut Vec<Problem>,
) -> Option<Found> {
    let before = problems.len();
    let described = described(section, problems);
    let store = store(section, problems);
    let stored = store.and_then(|profile| profile.endpoints().ok()).unwrap_or_default();
    let configured: Vec<Endpoint> =
        section.section("endpoints").elements().iter().filter_map(|element| configured(element, problems)).collect();
    let mut fields = Vec::new();
    let mut places = HashMap::new();
    for (pattern, listed) in section.lists("fields") {
        let place = listed.first().map_or_else(|| section.section("fields").place(), |entry| entry.place.clone());
        fields.push((pattern.clone(), class_names(&pattern, &listed, problems)));
        places.insert(pattern, place);
    }
    let found = match assemble([described, stored, configured], fields, unlisted) {
        Ok(found) => Found { store, ..found },
        Err((pattern, why)) => {
            let place = places.remove(&pattern).unwrap_or(Place::NOWHERE);
            let problem = Problem::new("PAR0405", &place, format!("the field `{pattern}` cannot be read"));
            problems.push(problem.help(why));
            return None;
        }
    };
    if let Err(error) = Endpoints::new(upstream, found.endpoints.clone(), unlisted) {
        let problem = Problem::new("PAR0407", &section.section("endpoints").place(), error.to_string()).key_only();
        problems.push(problem.help("each method and form of path is one endpoint"));
    }
    (problems.len() == before).then_some(found)
}

/// Joins endpoints from the document, from a profile and from the configuration, and gives them their fields: patterns with
/// their classes. Says which pattern cannot be read, and why.
pub(crate) fn assemble(
    [described, stored, configured]: [Vec<Endpoint>; 3],
    fields: Vec<(String, Vec<Arc<str>>)>,
    unlisted: Unlisted,
) -> Result<Found, (String, String)> {
    let mut endpoints = merge(merge(described, stored), configured);
    let mut everywhere = Vec::new();
    let mut classes = BTreeSet::new();
    let selections: Vec<Arc<str>> = fields
        .iter()
        .filter(|(pattern, _)| !pattern.contains('$'))
        .map(|(pattern, _)| pattern.as_str().into())
        .collect();
    for (pattern, listed) in fields {
        let mut fields =
            Fields { endpoints: &mut endpoints, everywhere: &mut everywhere, classes: &mut classes, unlisted };
        fields.add(&pattern, &listed).map_err(|why| (pattern, why))?;
    }
    for endpoint in &mut endpoints {
        if endpoint.graphql {
            endpoint.selections.clone_from(&selections);
        }
        for field in &endpoint.fields {
            let pattern = format!("{} {}", endpoint.template.text(), field.path.text());
            classes.extend(field.classes.iter().map(|class| (pattern.clone(), class.to_string())));
        }
    }
    Ok(Found { endpoints, everywhere, classes: classes.into_iter().collect(), store: None })
}

/// What the OpenAPI document says.
fn described(section: &Section<'_>, problems: &mut Vec<Problem>) -> Vec<Endpoint> {
    let (Some(entry), Some(path)) = (section.get("openapi"), file(section, "openapi", problems)) else {
        return Vec::new();
    };
    // That the file is missing was said.
    let Ok(text) = std::fs::read_to_string(&path) else { return Vec::new() };
    match openapi::read(&text) {
        Ok(endpoints) => {
            for endpoint in endpoints.iter().filter(|endpoint| is_reserved(&endpoint.template)) {
                let message = format!("the path `{}` of the document is the gateway's own", endpoint.template);
                problems.push(Problem::new("PAR0405", &entry.place, message).help(RESERVED));
            }
            endpoints
        }
        Err(error) => {
            let problem = Problem::new("PAR0405", &entry.place, "the OpenAPI document cannot be used");
            problems.push(problem.help(error.to_string()));
            Vec::new()
        }
    }
}

/// The kind of secret store.
fn store(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Profile> {
    let entry = section.get("store")?;
    let profile = Profile::named(&entry.text);
    if profile.is_none() {
        let problem = Problem::new("PAR0405", &entry.place, "`store` cannot be read");
        problems.push(problem.help("it takes `vault`, `kubernetes`, `aws`"));
    }
    profile
}

/// Would the gateway answer itself whatever the template is for? Then it matches nothing.
fn is_reserved(template: &Template) -> bool {
    template.first() == Some(".parapet")
}

fn configured(section: &Section<'_>, problems: &mut Vec<Problem>) -> Option<Endpoint> {
    let before = problems.len();
    let path = section.get("path")?;
    let template = template(&path, problems)?;
    let method = section.get("method")?;
    if method.text != ANY_METHOD && Action::of_http_method(&method.text).is_none() {
        let problem = Problem::new("PAR0405", &method.place, "the method is not let through");
        problems.push(problem.help("it takes GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE, or `*` for any of them"));
    }
    let mut endpoint = Endpoint::new(&method.text, template);
    if let Some(id) = section.get("id") {
        if parse_name(&id.text).is_err() {
            let problem = Problem::new("PAR0405", &id.place, "the endpoint cannot be named so");
            problems.push(problem.help("letters, digits, `-`, `_` or `.`, at most 63"));
        }
        endpoint.id = Some(id.text.into());
    }
    if let Some(entry) = section.get("group") {
        let groups: Vec<(&str, ActionGroup)> = ActionGroup::ALL
            .into_iter()
            .filter(|group| *group != ActionGroup::Connect)
            .map(|group| (group.as_str(), group))
            .collect();
        endpoint.group = choose_entry(&entry, "group", &groups, problems);
    }
    for (name, entry) in section.map("body") {
        match BodyField::parse(&name, &entry.text) {
            Ok(field) if parse_name(&name).is_ok() => endpoint.body.push(field),
            Ok(_) => {
                let problem = Problem::new("PAR0405", &entry.place, format!("a field cannot be named `{name}`"));
                problems.push(problem.key_only().help("letters, digits, `-`, `_` or `.`, at most 63"));
            }
            Err(error) => {
                let problem = Problem::new("PAR0405", &entry.place, format!("the field `{name}` cannot be read"));
                problems.push(problem.help(error.to_string()));
            }
        }
    }
    endpoint.graphql = section.get("graphql").is_some_and(|entry| entry.text == "true");
    (problems.len() == before).then_some(endpoint)
}

fn template(entry: &Entry, problems: &mut Vec<Problem>) -> Option<Template> {
    match Template::parse(&entry.text) {
        Ok(template) if is_reserved(&template) => {
            let problem = Problem::new("PAR0405", &entry.place, "the path of an endpoint is the gateway's own");
            problems.push(problem.help(RESERVED));
            None
        }
        Ok(template) => Some(template),
        Err(error) => {
            let problem = Problem::new("PAR0405", &entry.place, "the path of an endpoint cannot be read");
            problems.push(problem.help(error.to_string()));
            None
        }
    }
}

fn class_names(pattern: &str, listed: &[Entry], problems: &mut Vec<Problem>) -> Vec<Arc<str>> {
    let mut classes = BTreeSet::new();
    for entry in listed {
        if parse_name(&entry.text).is_ok() {
            classes.insert(Arc::from(entry.text.as_str()));
        } else {
            let problem = Problem::new("PAR0405", &entry.place, format!("a class of `{pattern}` cannot be named so"));
            problems.push(problem.help("such as `pii`"));
        }
    }
    if listed.is_empty() {
        let message = format!("the field `{pattern}` has no class");
        problems.push(Problem::new("PAR0405", &Place::NOWHERE, message).help("such as `[\"pii\"]`"));
    }
    classes.into_iter().collect()
}

/// Where fields go.
struct Fields<'f> {
    endpoints: &'f mut Vec<Endpoint>,
    everywhere: &'f mut Vec<Field>,
    classes: &'f mut BTreeSet<(String, String)>,
    unlisted: Unlisted,
}

impl Fields<'_> {
    /// `$.email`, `/v1/customers/{id} $.email`, `GET /v1/customers/{id} $.email`, `Query.customer.email`
    fn add(&mut self, pattern: &str, classes: &[Arc<str>]) -> Result<(), String> {
        const FORMS: &str = "it is `$.email`, `GET /v1/customers/{id} $.email` or `Query.customer.email`";
        let Some((before, path)) = pattern.find('$').and_then(|at| pattern.split_at_checked(at)) else {
            let graphql = ["Query.", "Mutation.", "Subscription."].iter().any(|root| pattern.starts_with(root));
            if !graphql || ClassPattern::new(pattern, "class").is_err() {
                return Err(FORMS.to_owned());
            }
            self.classes.extend(classes.iter().map(|class| (pattern.to_owned(), class.to_string())));
            return Ok(());
        };
        let path = JsonPath::parse(path).map_err(|error| error.to_string())?;
        let field = Field { path, classes: classes.to_vec() };
        let words: Vec<&str> = before.split_ascii_whitespace().collect();
        let (method, template) = match words.as_slice() {
            [] => {
                let text = field.path.text().to_string();
                self.classes.extend(classes.iter().map(|class| (text.clone(), class.to_string())));
                self.everywhere.push(field);
                return Ok(());
            }
            [template] => (ANY_METHOD, *template),
            [method, template] => (*method, *template),
            _ => return Err(FORMS.to_owned()),
        };
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        if is_reserved(&template) {
            return Err(RESERVED.to_owned());
        }
        let mut known = false;
        for endpoint in self.endpoints.iter_mut().filter(|one| one.template.same_form(&template)) {
            if method == ANY_METHOD || *endpoint.method == *method || &*endpoint.method == ANY_METHOD {
                endpoint.fields.push(field.clone());
                known = true;
            }
        }
        if known {
            return Ok(());
        }
        if self.unlisted == Unlisted::Deny {
            return Err(format!("no endpoint `{}` is known; name it in `endpoints`", before.trim_end()));
        }
        let mut endpoint = Endpoint::new(method, template);
        endpoint.fields.push(field);
        self.endpoints.push(endpoint);
        Ok(())
    }
}
