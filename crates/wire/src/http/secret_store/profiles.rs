//! The endpoints of each profile.

use kernel::operation::ActionGroup;

use super::super::endpoint::{Endpoint, Template, TemplateError};
use super::{Part, Profile, SecretPlace};

/// Method, path, group (none is the method's), mount, path within it.
type Row = (&'static str, &'static str, Option<ActionGroup>, Part, Part);

const MOUNT: Part = Part::Parameter("mount");
const PATH: Part = Part::Parameter("path");
const NAMESPACE: Part = Part::Parameter("namespace");
const NAME: Part = Part::Parameter("name");
const ALL: Part = Part::Always("*");
const SYS: Part = Part::Always("sys");
const AUTH: Part = Part::Always("auth");

const DELETE: Option<ActionGroup> = Some(ActionGroup::Delete);
const DESTROY: Option<ActionGroup> = Some(ActionGroup::Destroy);
const REVEAL: Option<ActionGroup> = Some(ActionGroup::Reveal);
const GRANT: Option<ActionGroup> = Some(ActionGroup::Grant);
const ADMINISTER: Option<ActionGroup> = Some(ActionGroup::Administer);

/// OpenBao and Vault. Engines other than KV answer writes with secrets (`pki/issue`, `transit/decrypt`), so whatever is no
/// KV write reveals.
const VAULT: [Row; 27] = [
    ("GET", "/v1/{mount}/data/{path...}", REVEAL, MOUNT, PATH),
    ("POST", "/v1/{mount}/data/{path...}", None, MOUNT, PATH),
    ("PUT", "/v1/{mount}/data/{path...}", None, MOUNT, PATH),
    ("PATCH", "/v1/{mount}/data/{path...}", None, MOUNT, PATH),
    ("DELETE", "/v1/{mount}/data/{path...}", None, MOUNT, PATH),
    ("GET", "/v1/{mount}/metadata/{path...}", None, MOUNT, PATH),
    ("POST", "/v1/{mount}/metadata/{path...}", None, MOUNT, PATH),
    ("PUT", "/v1/{mount}/metadata/{path...}", None, MOUNT, PATH),
    ("PATCH", "/v1/{mount}/metadata/{path...}", None, MOUNT, PATH),
    ("DELETE", "/v1/{mount}/metadata/{path...}", DESTROY, MOUNT, PATH),
    ("GET", "/v1/{mount}/subkeys/{path...}", None, MOUNT, PATH),
    ("POST", "/v1/{mount}/delete/{path...}", DELETE, MOUNT, PATH),
    ("PUT", "/v1/{mount}/delete/{path...}", DELETE, MOUNT, PATH),
    ("POST", "/v1/{mount}/destroy/{path...}", DESTROY, MOUNT, PATH),
    ("PUT", "/v1/{mount}/destroy/{path...}", DESTROY, MOUNT, PATH),
    ("*", "/v1/{mount}/{path...}", REVEAL, MOUNT, PATH),
    ("*", "/v1/{mount}", REVEAL, MOUNT, ALL),
    ("*", "/v1/auth/{path...}", GRANT, AUTH, PATH),
    ("*", "/v1/sys/{path...}", ADMINISTER, SYS, PATH),
    ("*", "/v1/sys/wrapping/unwrap", REVEAL, SYS, Part::Always("wrapping/unwrap")),
    ("GET", "/v1/sys/health", None, SYS, Part::Always("health")),
    ("GET", "/v1/sys/seal-status", None, SYS, Part::Always("seal-status")),
    ("GET", "/v1/sys/leader", None, SYS, Part::Always("leader")),
    ("GET", "/v1/sys/init", None, SYS, Part::Always("init")),
    ("GET", "/v1/sys/internal/ui/mounts/{path...}", None, SYS, Part::Behind("internal/ui/mounts/", "path")),
    ("GET", "/v1/auth/token/lookup-self", None, AUTH, Part::Always("token/lookup-self")),
    ("*", "/v1/auth/token/renew-self", None, AUTH, Part::Always("token/renew-self")),
];

/// Kubernetes. Lists and watches hold what they list (hazards KU03), and a patch answers with the whole of what it patched.
const KUBERNETES: [Row; 13] = [
    ("GET", "/api/v1/namespaces/{namespace}/secrets/{name}", REVEAL, NAMESPACE, NAME),
    ("PUT", "/api/v1/namespaces/{namespace}/secrets/{name}", None, NAMESPACE, NAME),
    ("PATCH", "/api/v1/namespaces/{namespace}/secrets/{name}", REVEAL, NAMESPACE, NAME),
    ("DELETE", "/api/v1/namespaces/{namespace}/secrets/{name}", None, NAMESPACE, NAME),
    ("GET", "/api/v1/namespaces/{namespace}/secrets", REVEAL, NAMESPACE, ALL),
    ("POST", "/api/v1/namespaces/{namespace}/secrets", None, NAMESPACE, ALL),
    ("DELETE", "/api/v1/namespaces/{namespace}/secrets", DESTROY, NAMESPACE, ALL),
    ("GET", "/api/v1/secrets", REVEAL, ALL, ALL),
    ("GET", "/api/v1/watch/secrets", REVEAL, ALL, ALL),
    ("GET", "/api/v1/watch/namespaces/{namespace}/secrets", REVEAL, NAMESPACE, ALL),
    ("GET", "/api/v1/watch/namespaces/{namespace}/secrets/{name}", REVEAL, NAMESPACE, NAME),
    (
        "POST",
        "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
        GRANT,
        NAMESPACE,
        Part::Behind("serviceaccounts/", "name"),
    ),
    ("*", "/api/v1/namespaces/{namespace}/secrets/{name}/{rest...}", REVEAL, NAMESPACE, NAME),
];

impl Profile {
    /// The endpoints of a store, to be merged with what the configuration says.
    ///
    /// # Errors
    /// None in truth: the templates are constants, and a test reads them.
    pub fn endpoints(self) -> Result<Vec<Endpoint>, TemplateError> {
        let rows: &[Row] = match self {
            Self::Vault => &VAULT,
            Self::Kubernetes => &KUBERNETES,
            Self::AwsSecretsManager => {
                let mut endpoint = Endpoint::new("POST", Template::parse("/")?);
                endpoint.group = REVEAL;
                endpoint.secret = Some(SecretPlace::AmzTarget);
                return Ok(vec![endpoint]);
            }
        };
        let endpoint = |(method, path, group, mount, name): &Row| {
            let mut endpoint = Endpoint::new(method, Template::parse(path)?);
            endpoint.group = *group;
            endpoint.secret = Some(SecretPlace::Path { mount: *mount, path: *name });
            Ok(endpoint)
        };
        rows.iter().map(endpoint).collect()
    }
}
