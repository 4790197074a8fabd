//! `parapet policy`: checks, tests, formats and proposes policies. None of it needs a gateway.

mod suggest;
mod way_out;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum as _};
use kernel::policy::{Bundle, PolicyFile, Problem};
use kernel::ports::Clock as _;
use serde_json::json;

use crate::cli::config::refused;
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::cli::serve::Layers;
use crate::cli::style::{Styled, Tone, plain};
use crate::clock::SystemClock;
use crate::config::Configuration;
use crate::policy_test::{self, ReportForm, TestFileError, policy_files};

/// Check, test, format and propose policies; needs no gateway
#[derive(Debug, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Report every mistake in the policies, then run their tests
    Check {
        /// Folders or files, instead of the configured folders
        paths: Vec<PathBuf>,
        #[command(flatten)]
        layers: Layers,
    },
    /// Run the tests that stand beside the policies
    Test {
        /// Folders, instead of the configured ones
        paths: Vec<PathBuf>,
        /// Only tests whose name contains this
        #[arg(short = 'k', long = "only", value_name = "TEXT")]
        only: Option<String>,
        /// Exit 3, too, if fewer than so many percent of the policies had a part in a verdict
        #[arg(long, value_name = "PERCENT", conflicts_with = "only", value_parser = clap::value_parser!(u8).range(1..=100))]
        min: Option<u8>,
        /// Also write a report for CI, such as junit=report.xml; can be given again
        #[arg(long = "report", value_name = "FORM=FILE", value_parser = report_file)]
        reports: Vec<(ReportForm, PathBuf)>,
        #[command(flatten)]
        layers: Layers,
    },
    /// Bring policies into the standard form
    Fmt {
        /// Folders or files, instead of the configured folders
        paths: Vec<PathBuf>,
        /// Change nothing; exit 3 if something would change
        #[arg(long)]
        check: bool,
        #[command(flatten)]
        layers: Layers,
    },
    /// Propose permits for what the audit log says was done and passed, with tests; needs no gateway
    Suggest(suggest::Suggest),
}

impl Policy {
    pub(super) async fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        match self.verb {
            Verb::Check { paths, layers } if paths.is_empty() => match loaded(&layers, globals) {
                Ok(configuration) => check(&configuration.policy_folders, Some(&configuration), globals),
                Err(exit) => Ok(exit),
            },
            Verb::Check { paths, .. } => check(&paths, None, globals),
            Verb::Test { paths, only, min, reports, layers } => match folders(paths, &layers, globals)? {
                Ok(paths) => test(&paths, &Wanted { only: only.as_deref(), min, reports: &reports }, globals),
                Err(exit) => Ok(exit),
            },
            Verb::Fmt { paths, check, layers } => match folders(paths, &layers, globals)? {
                Ok(paths) => format(&paths, check, globals),
                Err(exit) => Ok(exit),
            },
            Verb::Suggest(suggest) => suggest.execute(globals).await,
        }
    }
}

/// What was named, or the configured folders. The inner error: the configuration has mistakes, which were shown.
fn folders(paths: Vec<PathBuf>, layers: &Layers, globals: &Globals) -> Result<Result<Vec<PathBuf>, Exit>, Failure> {
    if !paths.is_empty() {
        return Ok(Ok(paths));
    }
    Ok(loaded(layers, globals).map(|configuration| configuration.policy_folders))
}

/// The configuration; else how it ends, and its mistakes were shown.
fn loaded(layers: &Layers, globals: &Globals) -> Result<Configuration, Exit> {
    crate::config::load(layers.running_sources(globals)).map_err(|problems| refused(globals, &problems))
}

fn read(paths: &[PathBuf]) -> Result<Vec<PolicyFile>, Failure> {
    let files = policy_files(paths).map_err(|error| {
        let failure = Failure::new(Exit::Failed, "PAR0301", format!("the policies cannot be read: {error}"));
        failure.help("name folders that hold `*.cedar`, or such files")
    })?;
    if files.is_empty() {
        let failure = Failure::new(Exit::Invalid, "PAR0409", "there are no policies");
        return Err(failure.help("without a policy that permits, everything is denied"));
    }
    Ok(files)
}

/// Checks policies. Where they are those of a configuration, they are looked at beside what they guard.
fn check(paths: &[PathBuf], configuration: Option<&Configuration>, globals: &Globals) -> Result<Exit, Failure> {
    let files = read(paths)?;
    let bundle = match Bundle::load(&files) {
        Ok(bundle) => bundle,
        Err(problems) => return Ok(invalid(&problems, &files, globals)),
    };
    let permits = bundle.policies().iter().filter(|policy| !policy.forbids()).count();
    let forbids = bundle.policies().len() - permits;
    let observed = bundle.policies().iter().filter(|policy| policy.observed()).count();
    let egress = configuration.and_then(|configuration| Some((configuration, configuration.egress.as_ref()?)));
    let warning = egress.and_then(|(configuration, egress)| {
        way_out::warning(&egress.upstream, &configuration.workloads, &files, SystemClock.now())
    });
    let report = run_tests(paths, None)?;
    let exit = if report.failed() == 0 { Exit::Done } else { Exit::Invalid };
    if globals.for_programs() {
        let view = json!({
            "valid": true,
            "bundle": &**bundle.digest(),
            "permits": permits,
            "forbids": forbids,
            "observed": observed,
            "problems": [],
            "warnings": warning.as_slice(),
            "tests": report.json(),
        });
        output::data(&output::object("parapet.policy-check/v1", &view));
        return Ok(exit);
    }
    let valid = Styled(Tone::Good, "✓ the policies are valid");
    let digest = bundle.short_digest();
    output::data(&format!(
        "{valid}: {}, {}, {observed} observed, bundle {digest}\n",
        output::count(permits, "permit"),
        output::count(forbids, "forbid")
    ));
    if permits == 0 {
        output::note(globals, "no policy permits anything: every request is denied");
    }
    if let Some(warning) = &warning {
        output::note(globals, &format!("warning: {warning}"));
    }
    if report.outcomes.is_empty() {
        output::note(globals, "there are no tests beside the policies");
    } else {
        output::data(&report.text(globals.verbose));
    }
    Ok(exit)
}

/// Shows every problem with its line.
fn invalid(problems: &[Problem], files: &[PolicyFile], globals: &Globals) -> Exit {
    if globals.for_programs() {
        let view = |problem: &Problem| {
            json!({
                "code": problem.code(),
                "message": problem.message,
                "source": &*problem.file,
                "line": problem.line,
                "column": problem.column,
                "help": problem.help,
            })
        };
        let problems: Vec<_> = problems.iter().map(view).collect();
        output::data(&output::object("parapet.policy-check/v1", &json!({ "valid": false, "problems": problems })));
    } else {
        output::errors(&render_problems(problems, files));
    }
    Exit::Invalid
}

fn render_problems(problems: &[Problem], files: &[PolicyFile]) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&format!("error[{}]: {}\n", problem.code(), plain(&problem.message)));
        let number = problem.line.to_string();
        let margin = " ".repeat(number.len());
        text.push_str(&format!("{margin}--> {}:{}:{}\n", problem.file, problem.line, problem.column));
        let line = usize::try_from(problem.line.saturating_sub(1)).unwrap_or(0);
        let source = files.iter().find(|file| file.name == problem.file).and_then(|file| file.text.lines().nth(line));
        if let Some(source) = source {
            let column = usize::try_from(problem.column.saturating_sub(1)).unwrap_or(0);
            let rest = source.chars().count().saturating_sub(column);
            let width = problem.span.1.saturating_sub(problem.span.0).clamp(1, rest.max(1));
            let (indent, carets) = (" ".repeat(column), "^".repeat(width));
            text.push_str(&format!("{margin} |\n{number} | {}\n{margin} | {indent}{carets}\n", plain(source)));
        }
        if let Some(help) = &problem.help {
            text.push_str(&format!("{margin} = help: {}\n", plain(help)));
        }
        text.push('\n');
    }
    let count = if problems.len() == 1 { "1 mistake".to_owned() } else { format!("{} mistakes", problems.len()) };
    text.push_str(&format!("{count} in the policies; see `parapet explain PARnnnn`\n"));
    text
}

fn run_tests(paths: &[PathBuf], only: Option<&str>) -> Result<policy_test::Report, Failure> {
    policy_test::run(paths, only).map_err(|error| {
        let failure = Failure::new(Exit::Invalid, "PAR0314", error.to_string());
        match error {
            TestFileError::Policies(_) => failure.help("see `parapet policy check`"),
            TestFileError::Unreadable { .. } | TestFileError::Malformed { .. } => {
                failure.help("docs/reference/policy-tests.md has the form of the file")
            }
        }
    })
}

/// Which tests are run, and what is wanted of them.
struct Wanted<'a> {
    only: Option<&'a str>,
    min: Option<u8>,
    reports: &'a [(ReportForm, PathBuf)],
}

/// `junit=report.xml`.
fn report_file(text: &str) -> Result<(ReportForm, PathBuf), String> {
    let (form, file) = text.split_once('=').unwrap_or((text, ""));
    if file.is_empty() {
        return Err("it is FORM=FILE, such as junit=report.xml".to_owned());
    }
    let form =
        ReportForm::from_str(form, false).map_err(|_| "the forms are junit, sarif, github, tap and md".to_owned())?;
    Ok((form, PathBuf::from(file)))
}

fn test(paths: &[PathBuf], wanted: &Wanted<'_>, globals: &Globals) -> Result<Exit, Failure> {
    let files = read(paths)?;
    if let Err(problems) = Bundle::load(&files) {
        return Ok(invalid(&problems, &files, globals));
    }
    let report = run_tests(paths, wanted.only)?;
    if report.outcomes.is_empty() {
        // Nothing was proved: that must not look like success.
        let failure = Failure::new(Exit::Invalid, "PAR0311", "no test was run");
        return Err(failure.help(format!("put `{}` beside the policies, or check `--only`", policy_test::TESTS)));
    }
    if globals.for_programs() {
        output::data(&output::object("parapet.policy-test/v1", &report.json()));
    } else {
        output::data(&report.text(globals.verbose));
    }
    for (form, file) in wanted.reports {
        std::fs::write(file, form.render(&report))
            .map_err(|error| Failure::new(Exit::Failed, "PAR0301", format!("{}: {}", file.display(), error.kind())))?;
    }
    if let (Some(min), Some(covered)) = (wanted.min, report.covered())
        && covered < usize::from(min)
    {
        let message = format!("{covered} % of the policies are exercised, and {min} % are wanted");
        return Err(Failure::new(Exit::Invalid, "PAR0311", message).help("write a test for each that is named above"));
    }
    Ok(if report.failed() == 0 { Exit::Done } else { Exit::Invalid })
}

fn format(paths: &[PathBuf], check: bool, globals: &Globals) -> Result<Exit, Failure> {
    let files = read(paths)?;
    let mut changed = Vec::new();
    for file in &files {
        let formatted = formatted(&file.text).ok_or_else(|| {
            let failure = Failure::new(Exit::Invalid, "PAR0101", format!("{} is not Cedar", file.name));
            failure.help("see `parapet policy check`")
        })?;
        if formatted != *file.text {
            if !check {
                std::fs::write(Path::new(&*file.name), &formatted)?;
            }
            changed.push(&*file.name);
        }
    }
    if globals.for_programs() {
        let view = json!({ "files": files.len(), "changed": changed, "written": !check });
        output::data(&output::object("parapet.policy-fmt/v1", &view));
    } else {
        let word = if check { "would change" } else { "changed" };
        changed.iter().for_each(|file| output::data(&format!("{word}  {file}\n")));
        output::note(globals, &format!("{} of {} files {word}", changed.len(), files.len()));
    }
    Ok(if check && !changed.is_empty() { Exit::Invalid } else { Exit::Done })
}

/// The standard form: Cedar's own formatter, 100 columns. It refuses to return a text that means something else.
fn formatted(text: &str) -> Option<String> {
    let config = cedar_policy_formatter::Config { line_width: 100, indent_width: 2 };
    let mut formatted = cedar_policy_formatter::policies_str_to_pretty(text, &config).ok()?;
    if !formatted.ends_with('\n') {
        formatted.push('\n');
    }
    Some(formatted)
}
