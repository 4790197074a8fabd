//! Reading the configuration again, which either takes effect as a whole or changes nothing.

use serde_json::Value;

use super::object;
use crate::context::Context;
use crate::problem::Problem;

pub(crate) async fn reload(context: &Context) -> Result<Value, Problem> {
    context.enter("reload", "configuration", None).await?;
    let loaded = (context.parts.reload)().await.map_err(Problem::Configuration)?;
    Ok(object("parapet.reload/v1", loaded))
}
