//! Native tokens: given, listed, revoked. A token is shown in the answer that gives it, and nowhere after.

use std::time::Duration;

use serde_json::{Value, json};
use store::tokens::{Issue, TokenRecord};

use super::workloads::known;
use super::{list as list_of, object, set, time};
use crate::context::Context;
use crate::problem::Problem;
use crate::token::Token;

pub(crate) fn list(context: &Context, workload: Option<&str>) -> Value {
    let mut tokens = context.parts.tokens.list();
    tokens.retain(|token| workload.is_none_or(|name| token.workload.as_str() == name));
    list_of("parapet.tokens/v1", tokens.iter().map(|token| view(context, token)).collect())
}

pub(crate) async fn issue(context: &Context, name: &str, life: Duration, reason: &str) -> Result<Value, Problem> {
    let workload = known(context, name)?;
    let token = Token::generate().map_err(|_| Problem::Failed)?;
    let issue = Issue { workload: &workload, life, by: &context.caller.person, reason };
    let record = context.parts.tokens.issue(token.hash().bytes(), issue).await?;
    let mut given = view(context, &record);
    set(&mut given, "token", token.expose());
    Ok(object("parapet.token/v1", given))
}

pub(crate) async fn revoke(context: &Context, id: &str, reason: &str) -> Result<Value, Problem> {
    let record = context.parts.tokens.revoke(id, &context.caller.person, reason).await?;
    (context.parts.end_token)(&record.id);
    Ok(object("parapet.token/v1", view(context, &record)))
}

fn view(context: &Context, token: &TokenRecord) -> Value {
    let state = match token.revoked_at {
        Some(_) => "revoked",
        None if token.in_force(context.parts.clock.now()) => "active",
        None => "expired",
    };
    json!({
        "id": token.id,
        "workload": token.workload,
        "state": state,
        "issued_at": time(token.issued_at),
        "issued_by": token.issued_by,
        "reason": token.reason,
        "expires_at": time(token.expires_at),
        "revoked_at": token.revoked_at.map(time),
        "revoked_by": token.revoked_by,
    })
}
