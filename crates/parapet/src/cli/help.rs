//! `parapet help`: the page of a command, or a topic that belongs to no single command.

use clap::{Args, CommandFactory as _, ValueEnum};

use crate::cli::exit::{Exit, Failure};
use crate::cli::style::Tone;
use crate::cli::{Cli, output};

/// Explain a command, or a topic: exit-codes, environment, formatting
#[derive(Debug, Args)]
pub(super) struct Help {
    /// A command, such as `policy test`, or a topic
    #[arg(value_name = "COMMAND|TOPIC")]
    what: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Topic {
    /// What each exit code means
    ExitCodes,
    /// Which environment variables are read
    Environment,
    /// Output formats, colours and times
    Formatting,
}

/// Variables that are not configuration keys.
pub(super) const VARIABLES: [(&str, &str); 9] = [
    ("PARAPET_ADMIN", "address of the admin API, 127.0.0.1:PORT"),
    ("PARAPET_TOKEN", "credential for the admin API"),
    ("PARAPET_WORKLOAD_TOKEN", "credential of the workload, for `run` and `env`"),
    ("PARAPET_CONFIG", "configuration file, as `--config`"),
    ("PARAPET_LOG", "what `serve` logs, such as `info` or `gateway=debug`"),
    ("PARAPET_SECTION_KEY", "any configuration key without a chosen name: PARAPET_GATEWAY_DRAIN sets gateway.drain"),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME", "where the user's configuration and state are"),
    ("NO_COLOR, CLICOLOR_FORCE, TERM", "whether colours are used"),
    ("PGHOST, PGPORT, …", "set by `run`, for its child alone"),
];

const FORMATTING: &str = "\
-o table   columns for people (the default)
-o wide    more columns
-o json    one object; lists are in `items`; `schema` names the form, which only grows
-o jsonl   one object a line
-o yaml    the same as -o json, in YAML
-o id      ids or names alone, one a line

Data goes to stdout, messages to stderr. Times in JSON are RFC 3339 in UTC or milliseconds since
1970, durations are integers that end in `_ms`. Colours stand beside a mark and a word (✗ denied or
failed, ◷ held or observed, ✓ verified) and are used on terminals; NO_COLOR, TERM=dumb,
CLICOLOR_FORCE and --color are honoured, for each stream by itself.
";

impl Help {
    pub(super) fn execute(self) -> Result<Exit, Failure> {
        if let [topic] = self.what.as_slice()
            && let Ok(topic) = Topic::from_str(topic, true)
        {
            output::data(&topic.text());
            return Ok(Exit::Done);
        }
        let mut tree = Cli::command();
        tree.build();
        let mut command = &mut tree;
        for word in &self.what {
            command = command.find_subcommand_mut(word).ok_or_else(|| {
                let failure = Failure::usage(format!("there is no command or topic `{}`", self.what.join(" ")));
                failure.help("`parapet help` lists the commands; topics are exit-codes, environment and formatting")
            })?;
        }
        output::data(&command.render_long_help().ansi().to_string());
        Ok(Exit::Done)
    }
}

impl Topic {
    fn text(self) -> String {
        let pair = |name: String, about: &str| vec![(Tone::Plain, name), (Tone::Plain, about.to_owned())];
        match self {
            Self::ExitCodes => {
                let mut rows: Vec<_> =
                    Exit::MEANINGS.iter().map(|(exit, meaning)| pair(exit.code().to_string(), meaning)).collect();
                rows.push(pair("126".to_owned(), "run: the command cannot be executed"));
                rows.push(pair("127".to_owned(), "run: the command was not found"));
                rows.push(pair("128+n".to_owned(), "run: the command was ended by signal n"));
                output::aligned(&rows)
            }
            Self::Environment => {
                let rows: Vec<_> = VARIABLES.iter().map(|(name, about)| pair((*name).to_owned(), about)).collect();
                output::aligned(&rows)
            }
            Self::Formatting => FORMATTING.to_owned(),
        }
    }
}
