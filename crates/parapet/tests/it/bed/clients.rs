//! Stock clients: psql, and the drivers of Python and Node, each fed the same steps.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Bed, skip};

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; 128 and the signal if one ended it.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Panics with everything that it said unless it exited with 0.
    pub(crate) fn assert_done(&self) {
        assert_eq!(self.code, 0, "{self:?}");
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    run_with(command, "")
}

/// Runs a program to its end with something to read.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A program that ends without reading closes the pipe.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
    Ran {
        code: output.status.code().unwrap_or(128 + signal),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A stock client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Psql,
    Psycopg,
    Asyncpg,
    NodePostgres,
}

impl Driver {
    /// Every one.
    pub(crate) const ALL: [Self; 4] = [Self::Psql, Self::Psycopg, Self::Asyncpg, Self::NodePostgres];

    /// Those that bind parameters and can ask for binary results.
    pub(crate) const EXTENDED: [Self; 3] = [Self::Psycopg, Self::Asyncpg, Self::NodePostgres];

    fn installed(self) -> bool {
        let target = target();
        match self {
            Self::Psql => true,
            Self::Psycopg | Self::Asyncpg => target.join("it-venv/bin/python").exists(),
            Self::NodePostgres => target.join("it-node/node_modules/pg").exists(),
        }
    }

    /// Does the steps in one session of the workload, and says what came of each. `None` if it is not installed.
    pub(crate) fn steps(self, bed: &Bed, workload: &str, steps: &[Step]) -> Option<Vec<Came>> {
        let script = match self {
            Self::Psql => return Some(psql_steps(bed, workload, steps)),
            Self::Psycopg => "psycopg_steps.py",
            Self::Asyncpg => "asyncpg_steps.py",
            Self::NodePostgres => "node_postgres_steps.mjs",
        };
        let mut command = skip_without_driver(self, script)?;
        let input = json!(steps.iter().map(Step::json).collect::<Vec<_>>()).to_string();
        let ran = run_with(environment(bed, workload, &mut command), &input);
        assert_eq!(ran.code, 0, "{self:?} failed: {ran:?}");
        let came: Vec<Value> = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{self:?}: {ran:?}"));
        assert_eq!(came.len(), steps.len(), "{self:?} stopped early: {ran:?}");
        Some(came.iter().map(Came::from_json).collect())
    }
}

/// The command that runs a script of `drivers/`; `None`, and a visible skip, if its driver is not installed.
pub(crate) fn skip_without_driver(driver: Driver, script: &str) -> Option<Command> {
    if !driver.installed() {
        skip(&format!("{driver:?} is not installed (scripts/install.sh drivers)"));
        return None;
    }
    let mut command = match driver {
        Driver::Psql | Driver::Psycopg | Driver::Asyncpg => Command::new(target().join("it-venv/bin/python")),
        Driver::NodePostgres => Command::new("node"),
    };
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/drivers").join(script));
    command.env("PARAPET_IT_NODE", target().join("it-node/node_modules"));
    Some(command)
}

/// One statement, with the values of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    sql: String,
    values: Vec<Value>,
    binary: bool,
}

/// A statement without parameters.
pub(crate) fn step(sql: &str) -> Step {
    Step { sql: sql.to_owned(), values: Vec::new(), binary: false }
}

impl Step {
    /// With values for `$1`, `$2` …
    pub(crate) fn bind(self, values: &[Value]) -> Self {
        Self { values: values.to_vec(), ..self }
    }

    /// With results in binary.
    pub(crate) fn binary(self) -> Self {
        Self { binary: true, ..self }
    }

    fn json(&self) -> Value {
        json!({"sql": self.sql, "values": self.values, "binary": self.binary})
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Rows, each value as text.
    Rows(Vec<Vec<String>>),
    /// An error.
    Error {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
    },
}

impl Came {
    fn from_json(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match value.get("error") {
            Some(error) => Self::Error { sqlstate: text(&error["sqlstate"]), message: text(&error["message"]) },
            None => {
                let rows = value["rows"].as_array().unwrap();
                Self::Rows(rows.iter().map(|row| row.as_array().unwrap().iter().map(text).collect()).collect())
            }
        }
    }

    /// The SQLSTATE; empty if there was no error.
    pub(crate) fn sqlstate(&self) -> &str {
        match self {
            Self::Rows(_) => "",
            Self::Error { sqlstate, .. } => sqlstate,
        }
    }

    /// The message; empty if there was no error.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Rows(_) => "",
            Self::Error { message, .. } => message,
        }
    }

    /// The rows.
    pub(crate) fn rows(&self) -> &[Vec<String>] {
        match self {
            Self::Rows(rows) => rows,
            Self::Error { .. } => panic!("expected rows: {self:?}"),
        }
    }
}

/// Where the folders of the drivers stand.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// Points a client at the gateway, as the workload.
pub(crate) fn environment<'c>(bed: &Bed, workload: &str, command: &'c mut Command) -> &'c mut Command {
    environment_with(bed.gateway.postgres(), workload, &bed.token(workload), command)
}

/// Points a client at a port, with a password.
pub(crate) fn environment_with<'c>(
    port: u16,
    workload: &str,
    password: &str,
    command: &'c mut Command,
) -> &'c mut Command {
    command
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", port.to_string())
        .env("PGUSER", workload)
        .env("PGPASSWORD", password)
        .env("PGDATABASE", super::shop::NAME)
        .env("PGSSLMODE", "disable")
        .env("PGCONNECT_TIMEOUT", "20")
}

/// psql as the workload, not yet started.
pub(crate) fn psql_command(bed: &Bed, workload: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-At", "-v", "VERBOSITY=verbose"]).args(arguments);
    environment(bed, workload, &mut command);
    command
}

/// psql as the workload, to its end.
pub(crate) fn psql(bed: &Bed, workload: &str, arguments: &[&str]) -> Ran {
    run(&mut psql_command(bed, workload, arguments))
}

/// A mark that separates the steps in psql's output.
const MARK: &str = "@@came";

/// The steps in one psql, which tells of each how it ended.
fn psql_steps(bed: &Bed, workload: &str, steps: &[Step]) -> Vec<Came> {
    let mut script = String::from("\\pset fieldsep '\\t'\n");
    for step in steps {
        assert!(step.values.is_empty() && !step.binary, "psql binds nothing");
        script.push_str(&format!("{};\n\\echo '{MARK}' :ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n", step.sql));
    }
    let ran = run_with(&mut psql_command(bed, workload, &["-q"]), &script);
    assert_eq!(ran.out.matches(MARK).count(), steps.len(), "psql stopped early: {ran:?}");
    let mut came = Vec::new();
    let mut rows = Vec::new();
    for line in ran.out.lines() {
        let Some(end) = line.strip_prefix(MARK) else {
            rows.push(line.split('\t').map(str::to_owned).collect());
            continue;
        };
        let rows = std::mem::take(&mut rows);
        let mut words = end.trim().splitn(3, ' ');
        came.push(if words.next() == Some("true") {
            let sqlstate = words.next().unwrap_or_default().to_owned();
            Came::Error { sqlstate, message: words.next().unwrap_or_default().to_owned() }
        } else {
            Came::Rows(rows)
        });
    }
    came
}
