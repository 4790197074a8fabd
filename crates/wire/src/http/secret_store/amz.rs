//! AWS Secrets Manager (API version 2017-10-17): what is asked stands in `X-Amz-Target`, of which secret in the body.

use kernel::operation::ActionGroup;
use serde_json::Value;

use super::super::body;
use super::super::violation::Violation;
use super::Secret;

/// What stands before the names of secrets.
const MOUNT: &str = "secretsmanager";
/// The most secrets of one request, as the service has it.
const MOST_SECRETS: usize = 20;

/// Where a call names its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Id,
    Name,
    List,
    /// It is about all of them, or none.
    All,
}

fn call(target: &str) -> Option<(ActionGroup, Names)> {
    Some(match target.strip_prefix("secretsmanager.")? {
        "GetSecretValue" => (ActionGroup::Reveal, Names::Id),
        "BatchGetSecretValue" => (ActionGroup::Reveal, Names::List),
        "DescribeSecret" | "ListSecretVersionIds" | "GetResourcePolicy" => (ActionGroup::Read, Names::Id),
        "ListSecrets" | "GetRandomPassword" | "ValidateResourcePolicy" => (ActionGroup::Read, Names::All),
        "CreateSecret" => (ActionGroup::Write, Names::Name),
        "PutSecretValue"
        | "UpdateSecret"
        | "UpdateSecretVersionStage"
        | "TagResource"
        | "UntagResource"
        | "RestoreSecret" => (ActionGroup::Write, Names::Id),
        "DeleteSecret" => (ActionGroup::Destroy, Names::Id),
        "RotateSecret" | "CancelRotateSecret" => (ActionGroup::Execute, Names::Id),
        "PutResourcePolicy" | "DeleteResourcePolicy" => (ActionGroup::Grant, Names::Id),
        "ReplicateSecretToRegions" | "RemoveRegionsFromReplication" | "StopReplicationToReplica" => {
            (ActionGroup::Administer, Names::Id)
        }
        _ => return None,
    })
}

pub(super) fn secrets(target: &str, whole: &[u8]) -> Result<Vec<Secret>, Violation> {
    let (group, names) = call(target).ok_or(Violation::Body)?;
    // Members that stand twice, and everything else that is read in two ways.
    body::read(Some("application/json"), whole, &[]).map_err(|error| Violation::from(&error))?;
    let body: Value = serde_json::from_slice(whole).map_err(|_| Violation::Body)?;
    let body = body.as_object().ok_or(Violation::Body)?;
    let secret = |path: &str| Secret { mount: MOUNT.into(), path: path.into(), group: Some(group) };
    let named = |value: Option<&Value>| {
        let name = value.and_then(Value::as_str).filter(|name| is_name(name)).ok_or(Violation::Body)?;
        Ok(secret(name))
    };
    match names {
        Names::Id => Ok(vec![named(body.get("SecretId"))?]),
        Names::Name => Ok(vec![named(body.get("Name"))?]),
        Names::All => Ok(vec![secret("*")]),
        Names::List => match body.get("SecretIdList") {
            None => Ok(vec![secret("*")]),
            Some(_) if body.contains_key("Filters") => Err(Violation::Body),
            Some(Value::Array(all)) if (1..=MOST_SECRETS).contains(&all.len()) => {
                all.iter().map(|one| named(Some(one))).collect()
            }
            Some(_) => Err(Violation::Body),
        },
    }
}

/// The service's own rule for names, and no ARN: whether what stands behind the last hyphen of one belongs to the name, only the
/// service knows.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
    (1..=512).contains(&text.len()) && text.bytes().all(plain)
}
