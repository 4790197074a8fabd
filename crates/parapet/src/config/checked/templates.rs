//! Trust templates: for each sort of issuer, which claims a rule may bind and under which names, which of them are never given
//! to another, and what a run must not be. A table, and the checks that follow it (standards §1.1).
//!
//! Without a template a rule binds what it names; with one, what it names must be what the issuer really writes.

use std::collections::BTreeMap;

use kernel::trust::{Claims, Terms};

use crate::config::problem::Problem;
use crate::config::raw::{Entry, Section};

/// What is known of a sort of issuer.
#[derive(Debug)]
pub(super) struct Template {
    /// Its name in `template = "…"`.
    pub(super) name: &'static str,
    /// The issuer where there is but one.
    pub(super) issuer: Option<&'static str>,
    /// What its issuers look like, for messages.
    looks: &'static str,
    fits: fn(&str) -> bool,
    /// Names under which a rule binds claims, and the claims.
    claims: &'static [(&'static str, &'static str)],
    /// Sets of names of which at least one must be bound as a whole: what is never given to another.
    lasting: &'static [&'static [&'static str]],
    /// Names of which one must be bound: from where in the repository a run comes. None where runs have no such place.
    place: &'static [&'static str],
    /// For a claim, the values with which no run is trusted, unless the rule names the claim itself.
    barred: &'static [(&'static str, &'static [&'static str])],
    /// Pairs of claims that must agree where the second is present.
    equal: &'static [(&'static str, &'static str)],
}

/// Every template.
pub(super) const ALL: [Template; 8] = [
    Template {
        name: "github-actions",
        issuer: Some("https://token.actions.githubusercontent.com"),
        looks: "`https://token.actions.githubusercontent.com`, `https://HOST/_services/token` or `https://token.actions.SUB.ghe.com`",
        fits: is_github,
        claims: &[
            ("repository_id", "repository_id"),
            ("repository_owner_id", "repository_owner_id"),
            ("repository", "repository"),
            ("repository_owner", "repository_owner"),
            ("repository_visibility", "repository_visibility"),
            ("enterprise_id", "enterprise_id"),
            ("ref", "ref"),
            ("ref_type", "ref_type"),
            ("ref_protected", "ref_protected"),
            ("environment", "environment"),
            ("event_name", "event_name"),
            ("workflow_ref", "workflow_ref"),
            ("workflow_sha", "workflow_sha"),
            ("job_workflow_ref", "job_workflow_ref"),
            ("job_workflow_sha", "job_workflow_sha"),
            ("runner_environment", "runner_environment"),
            ("actor_id", "actor_id"),
        ],
        lasting: &[&["repository_id"], &["repository_owner_id", "job_workflow_ref"]],
        place: &["ref", "environment", "job_workflow_ref"],
        barred: &[(
            "event_name",
            &["pull_request", "pull_request_target", "pull_request_review", "pull_request_review_comment"],
        )],
        equal: &[],
    },
    Template {
        name: "gitlab",
        issuer: Some("https://gitlab.com"),
        looks: "the URL of the GitLab instance",
        fits: is_url,
        claims: &[
            ("project_id", "project_id"),
            ("namespace_id", "namespace_id"),
            ("job_project_id", "job_project_id"),
            ("job_namespace_id", "job_namespace_id"),
            ("project_path", "project_path"),
            ("ref", "ref"),
            ("ref_type", "ref_type"),
            ("ref_protected", "ref_protected"),
            ("environment", "environment"),
            ("environment_protected", "environment_protected"),
            ("pipeline_source", "pipeline_source"),
            ("ci_config_ref_uri", "ci_config_ref_uri"),
            ("ci_config_sha", "ci_config_sha"),
            ("runner_environment", "runner_environment"),
            ("runner_id", "runner_id"),
            ("user_id", "user_id"),
        ],
        lasting: &[&["project_id"], &["namespace_id", "ci_config_ref_uri"]],
        place: &["ref", "environment", "ci_config_ref_uri"],
        barred: &[("pipeline_source", &["merge_request_event", "external_pull_request_event"])],
        equal: &[("project_id", "job_project_id"), ("namespace_id", "job_namespace_id")],
    },
    Template {
        name: "kubernetes",
        issuer: None,
        looks: "the URL of the cluster's issuer",
        fits: is_url,
        claims: &[
            ("sub", "sub"),
            ("namespace", "/kubernetes.io/namespace"),
            ("service_account", "/kubernetes.io/serviceaccount/name"),
            ("service_account_uid", "/kubernetes.io/serviceaccount/uid"),
            ("pod", "/kubernetes.io/pod/name"),
            ("pod_uid", "/kubernetes.io/pod/uid"),
            ("node", "/kubernetes.io/node/name"),
            ("node_uid", "/kubernetes.io/node/uid"),
        ],
        lasting: &[&["service_account_uid"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
    Template {
        name: "gcp",
        issuer: Some("https://accounts.google.com"),
        looks: "`https://accounts.google.com`",
        fits: |issuer| issuer == "https://accounts.google.com",
        claims: &[
            ("sub", "sub"),
            ("azp", "azp"),
            ("email", "email"),
            ("email_verified", "email_verified"),
            ("project_number", "/google/compute_engine/project_number"),
            ("project_id", "/google/compute_engine/project_id"),
            ("instance_id", "/google/compute_engine/instance_id"),
            ("zone", "/google/compute_engine/zone"),
        ],
        lasting: &[&["sub"], &["azp"], &["instance_id", "project_number"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
    Template {
        name: "azure",
        issuer: None,
        looks: "`https://login.microsoftonline.com/TENANT/v2.0` or `https://sts.windows.net/TENANT/` with the tenant's own id",
        fits: |issuer| tenant(issuer).is_some(),
        claims: &[
            ("tid", "tid"),
            ("oid", "oid"),
            ("sub", "sub"),
            ("azp", "azp"),
            ("appid", "appid"),
            ("idtyp", "idtyp"),
            ("xms_mirid", "xms_mirid"),
        ],
        lasting: &[&["oid"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
    Template {
        name: "aws",
        issuer: None,
        looks: "`https://ID.tokens.sts.global.api.aws`, the account's own",
        fits: is_aws,
        claims: &[
            ("sub", "sub"),
            ("account", "/https:~1~1sts.amazonaws.com~1/aws_account"),
            ("organization", "/https:~1~1sts.amazonaws.com~1/org_id"),
            ("region", "/https:~1~1sts.amazonaws.com~1/source_region"),
            ("lambda_function_arn", "/https:~1~1sts.amazonaws.com~1/lambda_source_function_arn"),
            ("instance_arn", "/https:~1~1sts.amazonaws.com~1/ec2_instance_source_instance_arn"),
        ],
        lasting: &[&["sub", "account"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
    Template {
        name: "spiffe",
        issuer: None,
        looks: "`spiffe://` and a trust domain of `[spiffe.…]`",
        fits: |issuer| issuer.starts_with("spiffe://"),
        claims: &[("spiffe_id", "sub")],
        lasting: &[&["spiffe_id"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
    Template {
        name: "spiffe-jwt",
        issuer: None,
        looks: "`spiffe://` and a trust domain of `[spiffe.…]`, or the issuer of its JWT-SVIDs",
        fits: |issuer| issuer.starts_with("spiffe://") || is_url(issuer),
        claims: &[("spiffe_id", "sub")],
        lasting: &[&["spiffe_id"]],
        place: &[],
        barred: &[],
        equal: &[],
    },
];

/// GitHub's issuers write a `sub` from names, in forms that customers choose (hazard ID04).
pub(super) fn is_github(issuer: &str) -> bool {
    issuer == "https://token.actions.githubusercontent.com"
        || issuer.strip_prefix("https://").is_some_and(|rest| rest.ends_with("/_services/token"))
        || (issuer.starts_with("https://token.actions.") && issuer.ends_with(".ghe.com"))
}

fn is_url(issuer: &str) -> bool {
    issuer.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
}

fn is_aws(issuer: &str) -> bool {
    let id = issuer.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".tokens.sts.global.api.aws"));
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// The tenant of an Azure issuer. `common`, `organizations` and the like stand for every tenant there is (hazard ID09).
fn tenant(issuer: &str) -> Option<&str> {
    let v2 = issuer.strip_prefix("https://login.microsoftonline.com/").and_then(|rest| rest.strip_suffix("/v2.0"));
    let v1 = issuer.strip_prefix("https://sts.windows.net/").and_then(|rest| rest.strip_suffix('/'));
    v2.or(v1).filter(|id| is_uuid(id))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The template that a rule names, or that its issuer needs: GitHub's is never left out.
pub(super) fn of_rule(
    section: &Section<'_>,
    issuer: Option<&Entry>,
    problems: &mut Vec<Problem>,
) -> Option<&'static Template> {
    let Some(entry) = section.get("template") else {
        let github = issuer.is_some_and(|issuer| is_github(&issuer.text));
        return ALL.iter().find(|template| github && template.name == "github-actions");
    };
    let found = ALL.iter().find(|template| template.name == entry.text);
    if found.is_none() {
        let names = ALL.iter().map(|template| template.name);
        let problem = Problem::new("PAR0405", &entry.place, format!("there is no template `{}`", entry.text));
        problems.push(match crate::config::layers::closest(&entry.text, names.clone()) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help(format!("templates: {}", names.collect::<Vec<_>>().join(", "))),
        });
    }
    found
}

impl Template {
    /// The claims and terms of a rule, as attestations have them. What is wrong with the rule is added to `problems`.
    pub(super) fn apply(
        &self,
        issuer: &Entry,
        table: &Section<'_>,
        bound: BTreeMap<String, Entry>,
        problems: &mut Vec<Problem>,
    ) -> (Claims, Terms) {
        if !(self.fits)(&issuer.text) {
            let message = format!("`{}` is no issuer of `{}`", issuer.text, self.name);
            problems.push(Problem::new("PAR0428", &issuer.place, message).help(format!("its issuers: {}", self.looks)));
        }
        let mut claims = Claims::new();
        let mut names: Vec<String> = Vec::new();
        for (name, entry) in bound {
            match self.claims.iter().find(|(known, _)| *known == name) {
                Some((_, claim)) => {
                    self.check_value(&name, &entry, problems);
                    claims.insert((*claim).to_owned(), entry.text);
                    names.push(name);
                }
                None => problems.push(self.unknown(&name, &entry)),
            }
        }
        if self.name == "azure"
            && let Some(tenant) = tenant(&issuer.text)
        {
            // The tenant stands in the issuer, and again in the token: both must say the same.
            claims.entry("tid".to_owned()).or_insert_with(|| tenant.to_owned());
        }
        let has = |name: &&str| names.iter().any(|bound| bound == name);
        if table.exists() && !self.lasting.iter().any(|set| set.iter().all(&has)) {
            let sets: Vec<String> = self.lasting.iter().map(|set| joined(set, " with ")).collect();
            let message = "no claim of the rule is safe from being given to another";
            let problem = Problem::new("PAR0422", &table.place(), message).key_only();
            problems.push(problem.help(format!("names are given anew: bind {}", sets.join(", or "))));
        }
        if table.exists() && !self.place.is_empty() && !self.place.iter().any(has) {
            let message = "a rule for a CI job says from where it must run";
            let problem = Problem::new("PAR0423", &table.place(), message).key_only();
            let help = format!("bind {}: otherwise any branch is trusted", joined(self.place, ", or "));
            problems.push(problem.help(help));
        }
        let barred = self.barred.iter().filter(|(claim, _)| !claims.contains_key(*claim));
        let barred =
            barred.map(|(claim, values)| ((*claim).to_owned(), values.iter().map(|v| (*v).to_owned()).collect()));
        let equal = self.equal.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned()));
        let terms = Terms { barred: barred.collect(), equal: equal.collect(), ..Terms::default() };
        (claims, terms)
    }

    fn unknown(&self, name: &str, entry: &Entry) -> Problem {
        let message = format!("`{}` has no claim `{name}` that a rule can bind", self.name);
        let problem = Problem::new("PAR0427", &entry.place, message).key_only();
        let names = self.claims.iter().map(|(known, _)| *known);
        match crate::config::layers::closest(name, names.clone()) {
            Some(close) => problem.help(format!("did you mean `{close}`?")),
            None => problem.help(format!("claims: {}", names.collect::<Vec<_>>().join(", "))),
        }
    }

    /// A value that the claim can never have binds nothing, and often shows that a name was written where an id is wanted.
    fn check_value(&self, name: &str, entry: &Entry, problems: &mut Vec<Problem>) {
        let text = &entry.text;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let wanted = match (self.name, name) {
            ("github-actions" | "gitlab", _) if name.ends_with("_id") && !digits => "a number, as text",
            ("gcp", "sub" | "azp" | "instance_id" | "project_number") if !digits => "a number, as text",
            ("kubernetes", _) if name.ends_with("_uid") && !is_uuid(text) => "a UID, such as `0b3b…-…`",
            ("azure", "oid" | "tid" | "azp" | "appid") if !is_uuid(text) => "a UUID",
            ("aws", "account") if !digits || text.len() != 12 => "twelve digits",
            ("aws", "sub") if !text.starts_with("arn:aws") => {
                "the ARN of a role, such as `arn:aws:iam::123456789012:role/x`"
            }
            ("spiffe" | "spiffe-jwt", "spiffe_id") if gateway::login::spiffe::SpiffeId::parse(text).is_none() => {
                "a SPIFFE id, such as `spiffe://example.org/ns/shop/sa/deploy`"
            }
            ("github-actions", "ref") if !text.starts_with("refs/") => "a full ref, such as `refs/heads/main`",
            _ => return,
        };
        let message = format!("`{name}` of `{}` is {wanted}", self.name);
        problems.push(Problem::new("PAR0405", &entry.place, message).help("names and patterns bind nothing here"));
    }
}

fn joined(names: &[&str], word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(word)
}
