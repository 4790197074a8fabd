//! HTTP APIs that do not exist: endpoints as `fixtures.yaml` says them, in the words of the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kernel::operation::ActionGroup;
use kernel::workload::Name;
use serde::Deserialize;
use wire::http::body::BodyField;
use wire::http::endpoint::{ANY_METHOD, Endpoint, Endpoints, Template, Unlisted};
use wire::http::openapi;
use wire::http::secret_store::Profile;

use crate::config::checked::assemble;
use crate::dry_run;

/// `http` of an upstream.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiEntry {
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    endpoints: Vec<EndpointEntry>,
    #[serde(default)]
    fields: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    unlisted: UnlistedEntry,
    openapi: Option<String>,
    store: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnlistedEntry {
    #[default]
    Deny,
    Allow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointEntry {
    id: Option<String>,
    method: Option<String>,
    path: String,
    group: Option<String>,
    #[serde(default)]
    body: BTreeMap<String, String>,
    #[serde(default)]
    graphql: bool,
}

/// An API, understood.
#[derive(Debug)]
pub(super) struct Api {
    host: String,
    endpoints: Endpoints,
    /// The classes of fields, as the kernel takes them.
    pub(super) classes: Vec<(String, String)>,
}

impl Api {
    pub(super) fn new(upstream: &Name, entry: &ApiEntry, folder: &Path) -> Result<Self, String> {
        let described = match &entry.openapi {
            None => Vec::new(),
            Some(file) => {
                let text = std::fs::read_to_string(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
                openapi::read(&text).map_err(|error| format!("{file}: {error}"))?
            }
        };
        let stored = match &entry.store {
            None => Vec::new(),
            Some(word) => {
                let profile = Profile::named(word).ok_or_else(|| format!("no store is called `{word}`"))?;
                profile.endpoints().map_err(|error| error.to_string())?
            }
        };
        let configured = entry.endpoints.iter().map(endpoint).collect::<Result<_, String>>()?;
        let unlisted = match entry.unlisted {
            UnlistedEntry::Deny => Unlisted::Deny,
            UnlistedEntry::Allow => Unlisted::Allow,
        };
        let classes = |classes: &Vec<String>| classes.iter().map(|class| Arc::from(class.as_str())).collect();
        let fields = entry.fields.iter().map(|(pattern, listed)| (pattern.clone(), classes(listed))).collect();
        let found = assemble([described, stored, configured], fields, unlisted)
            .map_err(|(pattern, why)| format!("the field `{pattern}`: {why}"))?;
        let endpoints = Endpoints::with_fields(upstream, found.endpoints, unlisted, &found.everywhere);
        Ok(Self {
            host: entry.hosts.first().cloned().unwrap_or_else(|| upstream.as_str().to_owned()),
            endpoints: endpoints.map_err(|error| error.to_string())?,
            classes: found.classes,
        })
    }

    /// As a request is asked of it.
    pub(super) fn of<'a>(&'a self, name: &'a Name) -> dry_run::Api<'a> {
        dry_run::Api { name, host: &self.host, endpoints: &self.endpoints }
    }
}

fn endpoint(entry: &EndpointEntry) -> Result<Endpoint, String> {
    let template = Template::parse(&entry.path).map_err(|error| error.to_string())?;
    let mut endpoint = Endpoint::new(entry.method.as_deref().unwrap_or(ANY_METHOD), template);
    endpoint.id = entry.id.as_deref().map(Arc::from);
    endpoint.graphql = entry.graphql;
    if let Some(word) = &entry.group {
        let group = ActionGroup::ALL.into_iter().find(|group| group.as_str() == word);
        endpoint.group = Some(group.ok_or_else(|| format!("no group of actions is called `{word}`"))?);
    }
    for (name, path) in &entry.body {
        endpoint.body.push(BodyField::parse(name, path).map_err(|error| format!("`{name}`: {error}"))?);
    }
    Ok(endpoint)
}
