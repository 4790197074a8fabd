//! Reads policy files into a bundle, or says everything that is wrong with them. A bundle that does not validate never
//! comes to be, so the caller keeps the one that it has.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::{Effect, ParseErrors, Policy, PolicyId, PolicySet, ValidationMode, Validator};
use miette::Diagnostic;

use crate::approval::hex;
use crate::operation::{Action, ActionGroup};
use crate::policy::annotation::{self, Mistake, Remedy};
use crate::policy::http_reads::HttpReads;
use crate::policy::problem::{Problem, ProblemKind, place};
use crate::policy::reads::{Depends, Reads};
use crate::policy::scan;
use crate::policy::schema::Vocabulary;
use crate::policy::steps::{self, BetweenSteps};
use crate::resource::ResourceKind;
use crate::verdict::Deciding;

/// One file of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Its name, as problems and explanations show it.
    pub name: Arc<str>,
    /// Its text.
    pub text: Arc<str>,
}

/// A policy that was loaded, with its place.
#[derive(Debug)]
pub struct LoadedPolicy {
    pub(crate) cedar: Policy,
    pub(crate) remedy: Remedy,
    pub(crate) observed: bool,
    pub(crate) durable: bool,
    pub(crate) deciding: Deciding,
    pub(crate) reads: Reads,
    /// What else its answer depends on.
    pub(crate) depends: Depends,
    /// What it reads of an HTTP request.
    pub(crate) http_reads: HttpReads,
    file: PolicyFile,
    span: Range<usize>,
}

impl LoadedPolicy {
    /// Its `@id`.
    pub fn id(&self) -> &Arc<str> {
        &self.deciding.policy
    }

    /// Does it forbid? If not, it permits.
    pub fn forbids(&self) -> bool {
        self.cedar.effect() == Effect::Forbid
    }

    /// What it does instead of a plain block; meaningful for a forbid.
    pub fn remedy(&self) -> &Remedy {
        &self.remedy
    }

    /// Is it being rolled out, so that it only records?
    pub fn observed(&self) -> bool {
        self.observed
    }

    /// Must the entry of what it matches be on the disk before that is forwarded?
    pub fn durable(&self) -> bool {
        self.durable
    }

    /// Its id, reason, hint and severity.
    pub fn deciding(&self) -> &Deciding {
        &self.deciding
    }

    /// The file that it stands in.
    pub fn file(&self) -> &Arc<str> {
        &self.file.name
    }

    /// Its text with annotations, without the comments around it.
    pub fn source(&self) -> &str {
        self.file.text.get(self.span.clone()).unwrap_or_default()
    }

    /// Byte offsets of [`Self::source`] in the file.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line and column, counted from 1, of a byte offset in [`Self::source`].
    pub fn place(&self, offset: usize) -> (u32, u32) {
        place(&self.file.text, self.span.start + offset)
    }
}

/// Policies that validate together.
#[derive(Debug)]
pub struct Bundle {
    digest: Arc<str>,
    policies: Vec<LoadedPolicy>,
    positions: HashMap<PolicyId, usize>,
    pub(crate) vocabulary: Vocabulary,
}

impl Bundle {
    /// Reads and validates files, in order. On failure every problem is told.
    pub fn load(files: &[PolicyFile]) -> Result<Self, Vec<Problem>> {
        let Ok(vocabulary) = Vocabulary::new() else {
            return Err(vec![Problem {
                kind: ProblemKind::Type,
                file: "parapet.cedarschema".into(),
                line: 1,
                column: 1,
                span: (0, 0),
                message: "the embedded schema cannot be read".to_owned(),
                help: Some("report this".to_owned()),
            }]);
        };
        let mut loading = Loading::default();
        for file in files {
            for span in scan::statements(&file.text) {
                loading.statement(file, span);
            }
        }
        loading.validate(&vocabulary);
        let Loading { mut problems, policies, positions, .. } = loading;
        if problems.is_empty() {
            Ok(Self { digest: digest(files), policies, positions, vocabulary })
        } else {
            problems.sort_by(|one, other| {
                (&one.file, one.span, one.kind, &one.message).cmp(&(
                    &other.file,
                    other.span,
                    other.kind,
                    &other.message,
                ))
            });
            // Cedar says the same of a place once for each action that the policy is about.
            problems.dedup_by(|one, other| (&one.file, one.span, one.kind) == (&other.file, other.span, other.kind));
            Err(problems)
        }
    }

    /// SHA-256 over the files' names and texts, in hexadecimal.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// The beginning of the digest, for people.
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// The policies in order.
    pub fn policies(&self) -> &[LoadedPolicy] {
        &self.policies
    }

    /// A policy by its `@id`.
    pub fn policy(&self, id: &str) -> Option<&LoadedPolicy> {
        self.policies.iter().find(|policy| &**policy.id() == id)
    }

    /// Where a policy stands in order, by Cedar's id of it.
    pub(crate) fn position(&self, id: &PolicyId) -> Option<usize> {
        self.positions.get(id).copied()
    }
}

fn digest(files: &[PolicyFile]) -> Arc<str> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in files.iter().flat_map(|file| [&file.name, &file.text]) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref()).into()
}

/// What is known while files are read.
#[derive(Default)]
struct Loading {
    problems: Vec<Problem>,
    policies: Vec<LoadedPolicy>,
    positions: HashMap<PolicyId, usize>,
    set: PolicySet,
}

impl Loading {
    /// Reads one statement.
    fn statement(&mut self, file: &PolicyFile, span: Range<usize>) {
        let text = file.text.get(span.clone()).unwrap_or_default();
        let parsed = match Policy::parse(None, text) {
            Ok(policy) => policy,
            Err(errors) => return self.syntax(file, &span, &errors),
        };
        let annotations = match annotation::read(&parsed) {
            Ok(annotations) => annotations,
            Err(mistakes) => {
                for mistake in mistakes {
                    self.mistake(file, &span, text, mistake);
                }
                return;
            }
        };
        let id = PolicyId::new(&annotations.deciding.policy);
        if let Some(first) = self.positions.get(&id).and_then(|position| self.policies.get(*position)) {
            let (line, _) = first.place(0);
            let message = format!("`{}` is the `@id` of another policy", first.id());
            let help = format!("the other is at {}:{line}; give each its own", first.file());
            let mistake =
                Mistake { annotation: "id".into(), kind: ProblemKind::DuplicateId, message, help: Some(help) };
            return self.mistake(file, &span, text, mistake);
        }
        let cedar = parsed.new_id(id.clone());
        if let Some(found) = steps::between_steps(&cedar) {
            let at = text.find("session").map_or(span.clone(), |at| span.start + at..span.start + at + "session".len());
            let BetweenSteps { number, below, above } = found;
            let message = format!("a counter of the session is compared with {number}, which falls between its steps");
            let help =
                format!("counters move in steps of 1, 2, 5, 10, 20 …: compare by `>=` or `<` with {below} or {above}");
            self.problem(file, ProblemKind::Suspicious, at, message, Some(help));
        }
        let (reads, depends) = (Reads::of(&cedar), Depends::of(&cedar));
        if self.set.add(cedar.clone()).is_ok() {
            self.positions.insert(id, self.policies.len());
            let annotation::Annotations { remedy, observed, durable, deciding } = annotations;
            let http_reads = HttpReads::of(&cedar, &remedy);
            self.policies.push(LoadedPolicy {
                cedar,
                remedy,
                observed,
                durable,
                deciding,
                reads,
                depends,
                http_reads,
                file: file.clone(),
                span,
            });
        }
    }

    fn problem(
        &mut self,
        file: &PolicyFile,
        kind: ProblemKind,
        span: Range<usize>,
        message: String,
        help: Option<String>,
    ) {
        let (line, column) = place(&file.text, span.start);
        self.problems.push(Problem {
            kind,
            file: file.name.clone(),
            line,
            column,
            span: (span.start, span.end),
            message,
            help,
        });
    }

    fn syntax(&mut self, file: &PolicyFile, span: &Range<usize>, errors: &ParseErrors) {
        for error in errors.iter() {
            let at = labelled(error, span);
            let help = error.help().map(|help| help.to_string());
            self.problem(file, ProblemKind::Syntax, at, error.to_string(), help);
        }
    }

    /// A mistake in an annotation: at the annotation if it is there, else at the statement.
    fn mistake(&mut self, file: &PolicyFile, span: &Range<usize>, text: &str, mistake: Mistake) {
        let name = format!("@{}", mistake.annotation);
        let at = text.find(&name).map_or(span.start..span.start, |at| {
            let start = span.start + at;
            start..start + name.len()
        });
        self.problem(file, mistake.kind, at, mistake.message, mistake.help);
    }

    /// Checks the policies against the schema, strictly. A warning is a problem too: a forbid that can never apply is a
    /// hole, not a matter of style.
    fn validate(&mut self, vocabulary: &Vocabulary) {
        let result = Validator::new(vocabulary.schema.clone()).validate(&self.set, ValidationMode::Strict);
        let errors = result
            .validation_errors()
            .map(|error| (error.policy_id().clone(), ProblemKind::Type, error as &dyn Diagnostic, error.to_string()));
        let warnings = result.validation_warnings().map(|warning| {
            (warning.policy_id().clone(), ProblemKind::Suspicious, warning as &dyn Diagnostic, warning.to_string())
        });
        let found: Vec<(PolicyId, ProblemKind, &dyn Diagnostic, String)> = errors.chain(warnings).collect();
        let mut told = HashSet::new();
        for (id, kind, diagnostic, message) in found {
            // What Cedar warns of follows from the error, or from the warning before.
            if !told.insert(id.clone()) && kind == ProblemKind::Suspicious {
                continue;
            }
            let Some(policy) = self.positions.get(&id).and_then(|position| self.policies.get(*position)) else {
                continue;
            };
            let (file, at) = (policy.file.clone(), labelled(diagnostic, &policy.span));
            let written = file.text.get(at.clone()).unwrap_or_default();
            let help = nearest_action(written).or_else(|| diagnostic.help().map(|help| help.to_string()));
            // Cedar names the policy by its id first; the place says that already.
            let prefix = format!("for policy `{id}`, ");
            let message = message.strip_prefix(&prefix).map(str::to_owned).unwrap_or(message);
            self.problem(&file, kind, at, message, help);
        }
        self.mask_scopes(vocabulary);
    }

    /// A mask replaces a value that is read. On anything else it would do nothing, and the operation would pass.
    fn mask_scopes(&mut self, vocabulary: &Vocabulary) {
        let values = [ResourceKind::Column, ResourceKind::Field].map(|kind| vocabulary.kind(kind));
        let reads: Vec<&str> = Action::ALL
            .iter()
            .filter(|action| action.group() == ActionGroup::Read)
            .map(|action| action.as_str())
            .collect();
        let wrong: Vec<(PolicyFile, Range<usize>)> = self
            .policies
            .iter()
            .filter(|policy| matches!(policy.remedy, Remedy::Mask(_)))
            .filter(|policy| {
                policy.cedar.get_valid_request_envs(&vocabulary.schema).any(|env| {
                    !values.contains(&Some(env.resource())) || !reads.contains(&env.action().id().unescaped())
                })
            })
            .map(|policy| (policy.file.clone(), policy.span.clone()))
            .collect();
        for (file, span) in wrong {
            let text = file.text.get(span.clone()).unwrap_or_default().to_owned();
            let help = "write `action in Action::\"read\", resource is Column` (or `is Field`) in its scope".to_owned();
            let message = "`@mask` on more than columns or fields that are read".to_owned();
            let mistake =
                Mistake { annotation: "mask".into(), kind: ProblemKind::MaskScope, message, help: Some(help) };
            self.mistake(&file, &span, &text, mistake);
        }
    }
}

/// Where an action is misspelt: the one that is meant. Cedar suggests others that are far off.
fn nearest_action(written: &str) -> Option<String> {
    let id = written.strip_prefix("Action::\"")?.strip_suffix('"')?;
    let groups = ActionGroup::ALL.iter().map(|group| group.as_str());
    let known = Action::ALL.iter().map(|action| action.as_str()).chain(groups);
    let (distance, nearest) = known.map(|known| (strsim::damerau_levenshtein(known, id), known)).min()?;
    (1..=3).contains(&distance).then(|| format!("did you mean `Action::\"{nearest}\"`?"))
}

/// Where a diagnostic of a statement points to in its file: its first label, or the statement.
fn labelled(diagnostic: &(impl Diagnostic + ?Sized), statement: &Range<usize>) -> Range<usize> {
    diagnostic.labels().and_then(|mut labels| labels.next()).map_or(statement.clone(), |label| {
        let start = (statement.start + label.offset()).min(statement.end);
        start..(start + label.len()).min(statement.end)
    })
}

#[cfg(test)]
mod tests;
