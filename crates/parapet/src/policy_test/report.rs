//! What came of a run of policy tests: for people, and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use kernel::policy::Snapshot;
use serde_json::{Value, json};

use crate::cli::style::{Styled, Tone, plain};
use crate::policy_test::{Decided, Outcome};

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Each test, in order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Each policy with its place.
    policies: BTreeMap<String, String>,
    exercised: BTreeSet<String>,
    /// Were only some tests run? Then coverage says nothing.
    pub(super) partial: bool,
}

impl Report {
    /// Notes which policies there are.
    pub(super) fn policies(&mut self, snapshot: &Snapshot) {
        for policy in snapshot.policies() {
            let (line, _) = policy.place(0);
            self.policies.insert(policy.id().to_string(), format!("{}:{line}", policy.file()));
        }
    }

    /// Notes which policies had a part in a verdict.
    pub(super) fn count(&mut self, decided: &Decided) {
        let terms = &decided.evaluation.terms;
        let masks = terms.masks.iter().map(|(_, _, policy)| &**policy);
        let observed = terms.observed.iter().map(|deciding| &*deciding.policy);
        let permits = terms.permits.iter().map(|permit| &**permit);
        let budgets = terms.budgets.iter().map(|budget| &*budget.by.policy);
        let all = masks.chain(observed).chain(permits).chain(budgets).chain(decided.by());
        self.exercised.extend(all.map(str::to_owned));
    }

    /// How many tests failed.
    pub(crate) fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count()
    }

    /// Policies that had no part in any test's verdict, with their places.
    pub(crate) fn never_exercised(&self) -> Vec<(&str, &str)> {
        let unused = self.policies.iter().filter(|(id, _)| !self.exercised.contains(*id));
        unused.map(|(id, place)| (id.as_str(), place.as_str())).collect()
    }

    /// How many of a hundred policies had a part in some test's verdict; none where only some tests were run.
    pub(crate) fn covered(&self) -> Option<usize> {
        let unused = self.never_exercised().len();
        (!self.partial && !self.policies.is_empty()).then(|| (self.policies.len() - unused) * 100 / self.policies.len())
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let test = |outcome: &Outcome| {
            json!({
                "name": outcome.name,
                "file": outcome.file.display().to_string(),
                "line": outcome.line,
                "passed": outcome.differences.is_empty(),
                "came": outcome.came,
                "differences": outcome.differences,
            })
        };
        let unused: Vec<&str> = self.never_exercised().into_iter().map(|(id, _)| id).collect();
        json!({
            "passed": self.outcomes.len() - self.failed(),
            "failed": self.failed(),
            "tests": self.outcomes.iter().map(test).collect::<Vec<_>>(),
            "never_exercised": unused,
            "covered_percent": self.covered(),
        })
    }

    /// For people: failures, then one line.
    pub(crate) fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        for outcome in &self.outcomes {
            if outcome.differences.is_empty() {
                if verbose {
                    let _infallible = writeln!(text, "{} {}", Styled(Tone::Good, "✓ passed"), plain(&outcome.name));
                }
                continue;
            }
            let place = format!("{}:{}", outcome.file.display(), outcome.line);
            let _infallible = writeln!(text, "{} {}   {place}", Styled(Tone::Bad, "✗ failed"), plain(&outcome.name));
            for difference in &outcome.differences {
                let (expected, came) = (plain(&difference.expected), plain(&difference.came));
                let _infallible = writeln!(text, "  {:<8} expected {expected}", difference.of);
                let _infallible = writeln!(text, "  {:<8} came     {came}", "");
            }
            let _infallible = writeln!(text, "  fix      change the policy, or expect: {}", plain(&outcome.came));
        }
        let failed = self.failed();
        let passed = self.outcomes.len() - failed;
        let tone = if failed == 0 { Tone::Good } else { Tone::Bad };
        let counts = format!("{}{passed} passed, {failed} failed", tone.mark());
        let _infallible = write!(text, "{}", Styled(tone, counts));
        if self.partial {
            text.push('\n');
            return text;
        }
        let unused = self.never_exercised();
        let exercised = self.policies.len() - unused.len();
        let _infallible = write!(text, ", {exercised} of {} policies exercised", self.policies.len());
        if !unused.is_empty() {
            let unused: Vec<String> = unused.iter().map(|(id, place)| format!("{id} at {place}")).collect();
            let _infallible = write!(text, " (never: {})", unused.join(", "));
        }
        text.push('\n');
        text
    }
}
