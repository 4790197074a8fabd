//! The flags that every command takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How data is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    #[default]
    Table,
    /// More columns
    Wide,
    /// One JSON object
    Json,
    /// One JSON object a line
    Jsonl,
    /// YAML, one document
    Yaml,
    /// Ids or names alone, one a line
    Id,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR or TERM=dumb say otherwise
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How times are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeFormat {
    /// In UTC, such as 2026-11-21T04:00:00Z
    #[default]
    Rfc3339,
    /// Such as `14 s ago`
    Relative,
}

/// The flags that every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// How data is shown
    #[arg(short = 'o', long = "output", global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Short for --output json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    /// No messages, only data
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// More messages
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Never ask; fail instead
    #[arg(long, global = true)]
    pub(crate) no_input: bool,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
    /// How long to wait for the gateway, such as 30s
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// When colours are used
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Colour,
    /// How times are shown
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) time: TimeFormat,
    /// State folder of the gateway to talk to
    #[arg(long = "state-folder", id = "state-folder", global = true, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
}

fn duration(text: &str) -> Result<std::time::Duration, &'static str> {
    crate::config::duration(text)
}

impl Globals {
    /// The format that was asked for.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// Is the output for programs? Where a command has no YAML of its own, its JSON is YAML too.
    pub(crate) fn for_programs(&self) -> bool {
        matches!(self.format(), Format::Json | Format::Jsonl | Format::Yaml)
    }

    /// Makes `--color` hold for both streams; without it each stream decides by itself.
    pub(crate) fn apply_colour(&self) {
        match self.color {
            Colour::Auto => {}
            Colour::Always => anstream::ColorChoice::Always.write_global(),
            Colour::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}
