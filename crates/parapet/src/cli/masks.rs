//! `parapet masks`: what masks would do to a statement's result, column by column. Nothing reaches the upstream.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::decide::{self, Hypothetical};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::output::{self, Column, Listing, Shape};
use crate::cli::page;

/// Show what masks do to a result
#[derive(Debug, Args)]
pub(super) struct Masks {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// For each column of a result: what it is made of, which mask, by which policy, and an example
    Preview(Hypothetical),
}

const LISTING: Listing = Listing {
    schema: "parapet.masks/v1",
    noun: "columns",
    id: "/column",
    columns: &[
        Column::new("COLUMN", &["/column"]),
        Column::new("VALUE", &["/flow"]),
        Column::new("FROM", &["/sources"]).shape(Shape::List),
        Column::new("CLASSES", &["/classes"]).shape(Shape::List),
        Column::new("MASK", &["/mask"]),
        Column::new("POLICY", &["/policies"]).shape(Shape::List),
        Column::new("EXAMPLE", &["/shown"]),
    ],
};

impl Masks {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let Verb::Preview(request) = self.verb;
        let answer = request.decided(globals).await?;
        let exit = decide::exit(&answer)?;
        if exit == Exit::Denied {
            // No column leaves: the page of the decision says why.
            output::data(&page::decision(&answer, globals));
            return Ok(exit);
        }
        output::data(&LISTING.render(&columns(&answer, globals), globals));
        if !globals.for_programs() {
            note(&answer, globals);
        }
        Ok(exit)
    }
}

/// The columns, each with its example in a line for people.
fn columns(answer: &Value, globals: &Globals) -> Value {
    let mut columns = answer.get("columns").and_then(Value::as_array).cloned().unwrap_or_default();
    if matches!(globals.format(), Format::Table | Format::Wide) {
        for column in &mut columns {
            let text = |member: &str| column.pointer(member).map(output::scalar);
            let shown = text("/example/value").map(|value| match text("/example/masked") {
                Some(masked) if masked != "-" => format!("{value} → {masked}"),
                _ => format!("{value} → NULL"),
            });
            if let (Some(shown), Some(members)) = (shown, column.as_object_mut()) {
                members.insert("shown".to_owned(), json!(shown));
            }
        }
    }
    json!({ "items": columns })
}

fn note(answer: &Value, globals: &Globals) {
    let masked = answer.pointer("/terms/masks").and_then(Value::as_array).is_some_and(|masks| !masks.is_empty());
    if masked {
        output::note(globals, "values are invented; errors and notices of this statement lose their text");
    }
    if decide::verdict(answer) == Some("ask") {
        output::note(globals, "it is held for approval first; see `parapet decide`");
    }
}
