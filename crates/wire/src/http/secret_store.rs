//! Secret stores as choke points: what a request to one asks for is a secret with a name, in the group `reveal`, whichever API it is.
//!
//! A profile gives the endpoints of a kind of store and says where a request names its secret: in its path (OpenBao and
//! Vault, Kubernetes), or in a header and its body (`amz.rs`). Values are never looked at. What could name another secret
//! than the one that policy sees, such as a namespace in a header or an ARN, is refused.

mod amz;
mod profiles;

use std::sync::Arc;

use kernel::operation::ActionGroup;

use super::violation::Violation;

/// A sort of secret store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// OpenBao and HashiCorp Vault: `/v1/{mount}/data/{path...}` and the other engines.
    Vault,
    /// The Secrets of a Kubernetes API server.
    Kubernetes,
    /// AWS Secrets Manager: `X-Amz-Target` and a JSON body.
    AwsSecretsManager,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::Vault, Self::Kubernetes, Self::AwsSecretsManager];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Kubernetes => "kubernetes",
            Self::AwsSecretsManager => "aws",
        }
    }

    /// The profile of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == word)
    }
}

/// A secret by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The engine's mount, the namespace, the service.
    pub mount: Arc<str>,
    /// Its path or name within that; `*` for all of them.
    pub path: Arc<str>,
    /// What is done with it, where its endpoint does not say so.
    pub group: Option<ActionGroup>,
}

/// Where a request names its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In its path.
    Path {
        /// The mount.
        mount: Part,
        /// The path within it.
        path: Part,
        /// Can the answer hold the secret's value besides, so that the request is a reading of it, too?
        reveals: bool,
    },
    /// In `X-Amz-Target` and a JSON body.
    AmzTarget,
}

/// A part of a secret's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value of a parameter of the path.
    Parameter(&'static str),
    /// The value of a parameter behind a text.
    Behind(&'static str, &'static str),
    /// Always the same.
    Always(&'static str),
}

impl Part {
    fn value(self, parameters: &[(Arc<str>, Arc<str>)]) -> Option<Arc<str>> {
        let find = |name: &str| parameters.iter().find(|(known, _)| &**known == name).map(|(_, value)| value.clone());
        match self {
            Self::Always(text) => Some(text.into()),
            Self::Parameter(name) => find(name),
            Self::Behind(text, name) => find(name).map(|value| format!("{text}{value}").into()),
        }
    }
}

impl SecretPlace {
    /// Whether the body must be read before the request can be judged.
    pub const fn needs_body(self) -> bool {
        matches!(self, Self::AmzTarget)
    }

    /// Headers that would make the store look elsewhere than where the path says; a request that has one is refused.
    pub const fn refused_headers(self) -> &'static [&'static str] {
        match self {
            Self::Path { .. } => &["x-vault-namespace"],
            Self::AmzTarget => &[],
        }
    }

    /// The secrets that a request asks for. `target` is its only `X-Amz-Target`, and `body` the whole of it where
    /// [`needs_body`](Self::needs_body) says so.
    ///
    /// # Errors
    /// A [`Violation`] if it cannot be said which they are.
    pub fn secrets(
        self,
        parameters: &[(Arc<str>, Arc<str>)],
        target: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<Secret>, Violation> {
        match self {
            Self::Path { mount, path, reveals } => {
                let (mount, path) = (mount.value(parameters), path.value(parameters));
                let secret = mount.zip(path).map(|(mount, path)| Secret { mount, path, group: None });
                let asked = secret.ok_or(Violation::TargetForm)?;
                let read = reveals.then(|| Secret { group: Some(ActionGroup::Reveal), ..asked.clone() });
                Ok([asked].into_iter().chain(read).collect())
            }
            Self::AmzTarget => amz::secrets(target.ok_or(Violation::Body)?, body),
        }
    }
}

#[cfg(test)]
mod tests;
