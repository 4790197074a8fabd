//! `parapet config`: what is configured, by which layer, and what is wrong with it.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::{Format, Globals};
use crate::cli::output;
use crate::cli::serve::Layers;
use crate::cli::style::Tone;
use crate::cli::yaml;
use crate::config::{Configuration, Problems, Raw, explain, load};

/// Check and explain the configuration
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report every mistake in the configuration
    Check {
        #[command(flatten)]
        layers: Layers,
    },
    /// Make the running gateway read its configuration and policies again; with mistakes, nothing changes
    Reload,
    /// Show each value and the layer that set it
    Explain {
        /// A key, or the beginning of a path, such as upstreams.shop-db
        key: Option<String>,
        #[command(flatten)]
        layers: Layers,
    },
}

impl Config {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Reload => reload(globals).await,
            Verb::Check { layers } => match load(layers.sources()) {
                Ok(configuration) => {
                    output::data(&accepted(globals, &configuration));
                    Ok(Exit::Done)
                }
                Err(problems) => Ok(refused(globals, &problems)),
            },
            Verb::Explain { key, layers } => {
                let mut problems = Vec::new();
                let raw = Raw::read(layers.running_sources(globals), &mut problems);
                let lines = explain::lines(&raw, key.as_deref());
                if let (Some(key), true) = (&key, lines.is_empty()) {
                    let failure = Failure::new(Exit::Failed, "PAR0309", format!("nothing is configured at `{key}`"));
                    return Err(failure.help("`parapet config explain` shows every key"));
                }
                output::data(&explained(globals, &lines));
                if !problems.is_empty() {
                    let count = problems.len();
                    output::note(globals, &format!("{}: see `parapet config check`", output::count(count, "mistake")));
                }
                Ok(Exit::Done)
            }
        }
    }
}

async fn reload(globals: &Globals) -> Result<Exit, Failure> {
    let answer = Client::new(globals)?.post("/v1/reload", &json!({})).await?;
    if globals.for_programs() {
        output::data(&output::object("parapet.reload/v1", &answer));
    } else {
        let digest: String = answer.get("digest").map(output::scalar).unwrap_or_default().chars().take(12).collect();
        output::note(globals, &format!("{} {digest}", crate::cli::style::Styled(Tone::Good, "✓ loaded:")));
    }
    Ok(Exit::Done)
}

fn explained(globals: &Globals, lines: &[explain::Line]) -> String {
    match globals.format() {
        Format::Json => output::object("parapet.configuration/v1", &json!({ "items": lines })),
        Format::Yaml => yaml::document("parapet.configuration/v1", &json!({ "items": lines })),
        Format::Jsonl => {
            let line =
                |line| output::object("parapet.configuration/v1", &serde_json::to_value(line).unwrap_or_default());
            lines.iter().map(line).collect()
        }
        Format::Id => lines.iter().map(|line| format!("{}\n", line.key)).collect(),
        format @ (Format::Table | Format::Wide) => {
            let mut rows = vec![vec![
                (Tone::Faint, "KEY".to_owned()),
                (Tone::Faint, "VALUE".to_owned()),
                (Tone::Faint, "SET BY".to_owned()),
            ]];
            for line in lines {
                let set_by = if line.source.is_empty() {
                    line.layer.clone()
                } else {
                    format!("{}: {}", line.layer, line.source)
                };
                let mut row =
                    vec![(Tone::Plain, line.key.clone()), (Tone::Plain, line.value.clone()), (Tone::Faint, set_by)];
                if format == Format::Wide {
                    row.push((Tone::Faint, line.about.to_owned()));
                }
                rows.push(row);
            }
            output::aligned(&rows)
        }
    }
}

/// What a configuration without mistakes says.
pub(super) fn accepted(globals: &Globals, configuration: &Configuration) -> String {
    if globals.for_programs() {
        return output::object(
            "parapet.configuration-check/v1",
            &json!({ "valid": true, "digest": configuration.digest, "problems": [] }),
        );
    }
    format!(
        "{}: {}, {}, {}, {}\n",
        crate::cli::style::Styled(Tone::Good, "✓ the configuration is valid"),
        output::count(configuration.guarded().count(), "upstream"),
        output::count(configuration.workloads.len(), "workload"),
        output::count(configuration.trust.len(), "trust rule"),
        match configuration.people.len() {
            1 => "1 person".to_owned(),
            number => format!("{number} people"),
        },
    )
}

/// Shows every mistake, and how that ends.
pub(super) fn refused(globals: &Globals, problems: &Problems) -> Exit {
    if globals.for_programs() {
        let view = json!({ "valid": false, "problems": problems.views() });
        output::data(&output::object("parapet.configuration-check/v1", &view));
    } else {
        output::errors(&format!("{problems}\n"));
    }
    Exit::Invalid
}
