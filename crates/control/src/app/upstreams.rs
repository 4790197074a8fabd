//! Upstreams: which there are, and whether they can be used.

use kernel::workload::Name;
use serde_json::{Value, json};

use super::{list as list_of, object, set};
use crate::context::Context;
use crate::problem::Problem;

pub(crate) fn list(context: &Context) -> Value {
    let sessions = context.parts.sessions.list();
    let views = (context.parts.upstreams)().into_iter().map(|upstream| {
        let open = sessions.iter().filter(|session| session.upstream == upstream.name).count();
        let mut view = serde_json::to_value(upstream).unwrap_or_default();
        set(&mut view, "sessions", open);
        view
    });
    list_of("parapet.upstreams/v1", views.collect())
}

pub(crate) async fn test(context: &Context, name: &str) -> Result<Value, Problem> {
    let name: Name = name.parse().map_err(|_| Problem::None)?;
    let known = (context.parts.upstreams)().iter().any(|upstream| upstream.name == name);
    if !known {
        return Err(Problem::None);
    }
    context.enter("upstreams test", name.as_str(), None).await?;
    let checks = context.parts.probe.test(&name).await.ok_or(Problem::None)?;
    let passed = !checks.is_empty() && checks.iter().all(|check| check.passed);
    Ok(object("parapet.checks/v1", json!({ "upstream": name, "passed": passed, "checks": checks })))
}
