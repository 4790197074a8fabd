//! Classes of columns: which there are, what is suggested, and what people decide. No value of a column comes here.

use std::sync::Arc;

use kernel::workload::Name;
use serde_json::{Value, json};
use store::classes::{Act, Subject};

use super::{list as list_of, object, said, time};
use crate::context::Context;
use crate::parts::{ClassView, SampleRefusal};
use crate::problem::Problem;

/// A decision that a person asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) column: [Arc<str>; 3],
    pub(crate) class: String,
    pub(crate) reason: Option<String>,
    /// Confirm, or else reject.
    pub(crate) confirm: bool,
}

pub(crate) fn list(context: &Context, name: &str, view: ClassView) -> Result<Value, Problem> {
    let name = known(context, name)?;
    let columns = (context.parts.classes)(&name, view).ok_or(Problem::CannotDecide)?;
    Ok(list_of("parapet.classes/v1", columns))
}

pub(crate) async fn scan(context: &Context, name: &str) -> Result<Value, Problem> {
    let name = known(context, name)?;
    context.enter("upstreams classes scan", name.as_str(), None).await?;
    match (context.parts.scan)(name).await {
        Ok(counts) => Ok(object("parapet.scan/v1", counts)),
        Err(SampleRefusal::NoUpstream) => Err(Problem::None),
        Err(SampleRefusal::Unavailable) => Err(Problem::CannotDecide),
        Err(SampleRefusal::NotStored) => Err(Problem::StoreUnavailable),
    }
}

pub(crate) async fn decide(context: &Context, name: &str, asked: Asked) -> Result<Value, Problem> {
    let upstream = known(context, name)?;
    let _class: Name = asked.class.parse().map_err(|_| Problem::Unreadable("the class is not a name"))?;
    // A name that was mistyped would protect nothing and look as if it did.
    if !(context.parts.knows_column)(&upstream, &asked.column) {
        return Err(Problem::Missing("column"));
    }
    let reason = asked.reason.as_deref().map(said).transpose()?;
    let subject = Subject { upstream, column: asked.column, class: asked.class.into() };
    let act = Act { subject: &subject, confirm: asked.confirm, by: &context.caller.person, reason };
    let decided = context.parts.class_decisions.decide(act).await.map_err(|_| Problem::StoreUnavailable)?;
    Ok(object(
        "parapet.class/v1",
        json!({
            "upstream": subject.upstream,
            "column": subject.column.join("."),
            "class": subject.class,
            "confirmed": decided.confirmed,
            "by": decided.by,
            "at": time(decided.at),
        }),
    ))
}

/// The name of an upstream that is configured.
fn known(context: &Context, name: &str) -> Result<Name, Problem> {
    let name: Name = name.parse().map_err(|_| Problem::None)?;
    let there = (context.parts.upstreams)().iter().any(|upstream| upstream.name == name);
    if there { Ok(name) } else { Err(Problem::None) }
}
