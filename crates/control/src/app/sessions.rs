//! Open sessions: who is connected, and cutting one.

use kernel::id::SessionId;
use kernel::ports::SessionView;
use serde_json::{Value, json};

use super::{list as list_of, object, set, time};
use crate::context::Context;
use crate::problem::Problem;

pub(crate) fn list(context: &Context) -> Value {
    list_of("parapet.sessions/v1", context.parts.sessions.list().iter().map(view).collect())
}

pub(crate) fn show(context: &Context, named: &str) -> Result<Value, Problem> {
    let session = find(context, named)?;
    Ok(object("parapet.session/v1", view(&session)))
}

pub(crate) async fn kill(context: &Context, named: &str, reason: &str) -> Result<Value, Problem> {
    let session = find(context, named)?;
    context.enter("sessions kill", &session.id.to_string(), Some(reason)).await?;
    if !context.parts.sessions.kill(session.id) {
        // It ended by itself meanwhile.
        return Err(Problem::None);
    }
    Ok(object("parapet.session/v1", json!({ "id": session.id, "killed": true, "reason": reason })))
}

/// The open session that `named` names: `last`, an id, or the beginning of exactly one id.
fn find(context: &Context, named: &str) -> Result<SessionView, Problem> {
    let mut sessions = context.parts.sessions.list();
    if named == "last" {
        return sessions.into_iter().max_by_key(|session| session.id).ok_or(Problem::None);
    }
    if named.len() <= SessionId::PREFIX.len() || !named.starts_with(SessionId::PREFIX) {
        return Err(Problem::None);
    }
    sessions.retain(|session| session.id.to_string().starts_with(named));
    let one = sessions.pop().ok_or(Problem::None)?;
    if sessions.is_empty() { Ok(one) } else { Err(Problem::Ambiguous) }
}

fn view(session: &SessionView) -> Value {
    let mut view = serde_json::to_value(session).unwrap_or_default();
    set(&mut view, "began", time(session.began));
    view
}
