//! The endpoints of each profile.

use kernel::operation::ActionGroup;

use super::super::endpoint::{Endpoint, Template, TemplateError};
use super::{Part, Profile, SecretPlace};

/// Method, path, what is done, mount, path within it.
type Row = (&'static str, &'static str, Does, Part, Part);
/// A group (none is the method's), and whether the answer can hold the value besides.
type Does = (Option<ActionGroup>, bool);

const MOUNT: Part = Part::Parameter("mount");
const PATH: Part = Part::Parameter("path");
const NAMESPACE: Part = Part::Parameter("namespace");
const NAME: Part = Part::Parameter("name");
const ALL: Part = Part::Always("*");
const SYS: Part = Part::Always("sys");
const AUTH: Part = Part::Always("auth");

const PLAIN: Does = (None, false);
const ANSWERED: Does = (None, true);
const DELETE: Does = (Some(ActionGroup::Delete), false);
const DESTROY: Does = (Some(ActionGroup::Destroy), false);
const DESTROY_ANSWERED: Does = (Some(ActionGroup::Destroy), true);
const REVEAL: Does = (Some(ActionGroup::Reveal), false);
const GRANT: Does = (Some(ActionGroup::Grant), false);
const ADMINISTER: Does = (Some(ActionGroup::Administer), false);

/// OpenBao and Vault. Engines other than KV answer writes with secrets (`pki/issue`, `transit/decrypt`), so whatever is no
/// KV write reveals, too. A namespace of one name may stand before `sys` and `auth`.
const VAULT: [Row; 41] = [
    ("GET", "/v1/{mount}/data/{path...}", REVEAL, MOUNT, PATH),
    ("POST", "/v1/{mount}/data/{path...}", PLAIN, MOUNT, PATH),
    ("PUT", "/v1/{mount}/data/{path...}", PLAIN, MOUNT, PATH),
    ("PATCH", "/v1/{mount}/data/{path...}", PLAIN, MOUNT, PATH),
    ("DELETE", "/v1/{mount}/data/{path...}", PLAIN, MOUNT, PATH),
    ("GET", "/v1/{mount}/metadata", PLAIN, MOUNT, ALL),
    ("GET", "/v1/{mount}/metadata/{path...}", PLAIN, MOUNT, PATH),
    ("POST", "/v1/{mount}/metadata/{path...}", PLAIN, MOUNT, PATH),
    ("PUT", "/v1/{mount}/metadata/{path...}", PLAIN, MOUNT, PATH),
    ("PATCH", "/v1/{mount}/metadata/{path...}", PLAIN, MOUNT, PATH),
    ("DELETE", "/v1/{mount}/metadata/{path...}", DESTROY, MOUNT, PATH),
    ("GET", "/v1/{mount}/subkeys/{path...}", PLAIN, MOUNT, PATH),
    ("POST", "/v1/{mount}/delete/{path...}", DELETE, MOUNT, PATH),
    ("PUT", "/v1/{mount}/delete/{path...}", DELETE, MOUNT, PATH),
    ("POST", "/v1/{mount}/undelete/{path...}", PLAIN, MOUNT, PATH),
    ("PUT", "/v1/{mount}/undelete/{path...}", PLAIN, MOUNT, PATH),
    ("POST", "/v1/{mount}/destroy/{path...}", DESTROY, MOUNT, PATH),
    ("PUT", "/v1/{mount}/destroy/{path...}", DESTROY, MOUNT, PATH),
    ("*", "/v1/{mount}/{path...}", REVEAL, MOUNT, PATH),
    ("POST", "/v1/{mount}/{path...}", ANSWERED, MOUNT, PATH),
    ("PUT", "/v1/{mount}/{path...}", ANSWERED, MOUNT, PATH),
    ("PATCH", "/v1/{mount}/{path...}", ANSWERED, MOUNT, PATH),
    ("DELETE", "/v1/{mount}/{path...}", PLAIN, MOUNT, PATH),
    ("*", "/v1/{mount}", REVEAL, MOUNT, ALL),
    ("POST", "/v1/{mount}", ANSWERED, MOUNT, ALL),
    ("PUT", "/v1/{mount}", ANSWERED, MOUNT, ALL),
    ("PATCH", "/v1/{mount}", ANSWERED, MOUNT, ALL),
    ("DELETE", "/v1/{mount}", DESTROY, MOUNT, ALL),
    ("*", "/v1/identity/{path...}", GRANT, Part::Always("identity"), PATH),
    ("*", "/v1/auth/{path...}", GRANT, AUTH, PATH),
    ("*", "/v1/{namespace}/auth/{path...}", GRANT, NAMESPACE, Part::Behind("auth/", "path")),
    ("*", "/v1/sys/{path...}", ADMINISTER, SYS, PATH),
    ("*", "/v1/{namespace}/sys/{path...}", ADMINISTER, NAMESPACE, Part::Behind("sys/", "path")),
    ("*", "/v1/sys/wrapping/unwrap", REVEAL, SYS, Part::Always("wrapping/unwrap")),
    ("GET", "/v1/sys/health", PLAIN, SYS, Part::Always("health")),
    ("GET", "/v1/sys/seal-status", PLAIN, SYS, Part::Always("seal-status")),
    ("GET", "/v1/sys/leader", PLAIN, SYS, Part::Always("leader")),
    ("GET", "/v1/sys/init", PLAIN, SYS, Part::Always("init")),
    ("GET", "/v1/sys/internal/ui/mounts/{path...}", PLAIN, SYS, Part::Behind("internal/ui/mounts/", "path")),
    ("GET", "/v1/auth/token/lookup-self", PLAIN, AUTH, Part::Always("token/lookup-self")),
    ("*", "/v1/auth/token/renew-self", PLAIN, AUTH, Part::Always("token/renew-self")),
];

/// Kubernetes. Lists and watches hold what they list (hazards KU03). A patch answers with the whole of what it patched, and so does
/// a deletion that waits for something else, or one of several, even if it is only tried (`dryRun`).
const KUBERNETES: [Row; 13] = [
    ("GET", "/api/v1/namespaces/{namespace}/secrets/{name}", REVEAL, NAMESPACE, NAME),
    ("PUT", "/api/v1/namespaces/{namespace}/secrets/{name}", PLAIN, NAMESPACE, NAME),
    ("PATCH", "/api/v1/namespaces/{namespace}/secrets/{name}", ANSWERED, NAMESPACE, NAME),
    ("DELETE", "/api/v1/namespaces/{namespace}/secrets/{name}", ANSWERED, NAMESPACE, NAME),
    ("GET", "/api/v1/namespaces/{namespace}/secrets", REVEAL, NAMESPACE, ALL),
    ("POST", "/api/v1/namespaces/{namespace}/secrets", PLAIN, NAMESPACE, ALL),
    ("DELETE", "/api/v1/namespaces/{namespace}/secrets", DESTROY_ANSWERED, NAMESPACE, ALL),
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

/// What a stock client of Kubernetes looks at before it asks for anything. There is no secret in it.
const DISCOVERY: [&str; 9] = [
    "/version",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/{group}",
    "/apis/{group}/{version}",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/{path...}",
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
                endpoint.group = Some(ActionGroup::Reveal);
                endpoint.secret = Some(SecretPlace::AmzTarget);
                return Ok(vec![endpoint]);
            }
        };
        let endpoint = |(method, path, (group, reveals), mount, name): &Row| {
            let mut endpoint = Endpoint::new(method, Template::parse(path)?);
            endpoint.group = *group;
            endpoint.secret = Some(SecretPlace::Path { mount: *mount, path: *name, reveals: *reveals });
            Ok(endpoint)
        };
        let discovery = if self == Self::Kubernetes { &DISCOVERY[..] } else { &[] };
        let discovery = discovery.iter().map(|path| Ok(Endpoint::new("GET", Template::parse(path)?)));
        rows.iter().map(endpoint).chain(discovery).collect()
    }
}
