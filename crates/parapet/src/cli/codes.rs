//! Every code `PARnnnn` with what it means and what to do, so that `parapet explain PARnnnn` works without a gateway.
//!
//! 01xx are mistakes in policies and 02xx requests that cannot be decided: both come from the kernel. 03xx are failures of
//! commands and of the admin API, 04xx mistakes in the configuration. A code is never given another meaning.

use kernel::policy::ProblemKind;
use kernel::verdict::Undecidable;

/// One code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    /// `PARnnnn`.
    pub(crate) code: &'static str,
    /// What it means, in a sentence.
    pub(crate) meaning: &'static str,
    /// What to do.
    pub(crate) hint: &'static str,
}

const fn code(code: &'static str, meaning: &'static str, hint: &'static str) -> Code {
    Code { code, meaning, hint }
}

/// Codes of the command line and the configuration.
const OURS: &[Code] = &[
    code("PAR0300", "the command is used in a way that it cannot be", "see `--help` of the command"),
    code("PAR0301", "the command failed while it ran", "the message says at what; `-v` says more"),
    code("PAR0302", "the command was not confirmed, so nothing was done", "answer `y`, or give `--yes`"),
    code(
        "PAR0303",
        "the credential for the admin API is missing or readable by others",
        "set PARAPET_TOKEN, or run as the gateway's user; the token file must have mode 0600",
    ),
    code(
        "PAR0304",
        "the gateway cannot be reached",
        "start it with `parapet serve`, or say where it is with `--state-folder` or PARAPET_ADMIN",
    ),
    code("PAR0305", "the gateway did not answer in time", "raise `--timeout`; see `parapet doctor`"),
    code(
        "PAR0306",
        "the gateway answered in a way that this version does not understand",
        "use the same version of the command and the gateway",
    ),
    code(
        "PAR0307",
        "the admin API refused the credential",
        "check PARAPET_TOKEN; a new start of the gateway makes a new token file",
    ),
    code("PAR0308", "the credential may not do that", "ask an administrator: `admin = true` in `[people]`"),
    code("PAR0309", "there is no such thing", "list what there is with the noun's `list`"),
    code("PAR0310", "it has changed in the meantime", "look at it again, then decide"),
    code("PAR0311", "a test failed", "the report says what was expected, and what came"),
    code(
        "PAR0312",
        "the audit log is not what was written",
        "keep the files as they are, and find out who could write there",
    ),
    code("PAR0313", "there is no credential for the workload", "give `--token-file` or set PARAPET_WORKLOAD_TOKEN"),
    code("PAR0314", "a file of policy tests cannot be run", "docs/reference/policy-tests.md has the form of the file"),
    code(
        "PAR0315",
        "the audit log holds nothing that permits could be made of",
        "let the workload do its work for a while, on an upstream that observes",
    ),
    code(
        "PAR0400",
        "a file, variable or flag of the configuration cannot be used",
        "check its name and its permissions",
    ),
    code("PAR0401", "a file of the configuration is not TOML", "check quotes and brackets at the place"),
    code("PAR0402", "a key that does not exist", "see `docs/reference/configuration.md`; a close key is suggested"),
    code("PAR0403", "a key that must be there is missing", "add it; the help line says what it is"),
    code("PAR0404", "a value has the wrong type", "text has quotes, numbers and truth values have none"),
    code("PAR0405", "a value cannot be read", "the help line says what is taken"),
    code(
        "PAR0406",
        "a secret stands in the configuration",
        "say where it is instead: `env://`, `file://` or `command://`; then change the secret",
    ),
    code("PAR0407", "the same thing is configured twice", "remove one"),
    code("PAR0408", "something is named that is not configured", "add it, or correct the name"),
    code(
        "PAR0409",
        "there are no policies",
        "name a folder with a policy that permits; without one everything is denied",
    ),
    code("PAR0410", "a listener that other hosts reach has no TLS", "configure TLS, or listen on loopback"),
    code("PAR0411", "a connection to another host has no TLS", "leave `tls` at `verify-full`"),
    code(
        "PAR0412",
        "a file that the configuration names is not there",
        "check the path; relative paths are relative to the file that names them",
    ),
    code(
        "PAR0413",
        "the certificate of a listener cannot be used, so the old one stays",
        "put a certificate that counts now and its own key in place; `parapet doctor` looks at them",
    ),
    code(
        "PAR0421",
        "an issuer has no audience",
        "set `audience`: without it, a token for another service would be taken",
    ),
    code(
        "PAR0422",
        "a trust rule binds nothing that lasts",
        "add a claim that is never given to another, such as `repository_id` or `sub`",
    ),
    code("PAR0423", "a trust rule for a CI job does not say from where the job runs", "add `ref` or `environment`"),
    code(
        "PAR0424",
        "two trust rules have the same issuer and claims",
        "an attestation is one workload's alone: remove one",
    ),
    code("PAR0425", "a signature algorithm that proves nothing", "use `ES256`, `EdDSA`, `PS256` or `RS256`"),
    code("PAR0426", "an issuer's keys come over plain HTTP", "use `https://` or `file:///`"),
    code(
        "PAR0427",
        "a trust rule binds a claim that its template does not have",
        "the help line names a close one, or all of them",
    ),
    code(
        "PAR0428",
        "a trust rule's issuer is none of its template's",
        "name the exact issuer, with its own tenant or account",
    ),
];

/// Every code, in order.
pub(crate) fn all() -> Vec<Code> {
    let api = control::CODES.iter().map(|text| code(text.code, text.meaning, text.hint));
    let undecidable = Undecidable::ALL.into_iter().map(|why| code(why.code(), why.explanation(), why.hint()));
    let policy =
        ProblemKind::ALL.into_iter().map(|kind| code(kind.code(), kind.explanation(), "see `parapet policy check`"));
    let mut codes: Vec<Code> = policy.chain(undecidable).chain(OURS.iter().cloned()).chain(api).collect();
    codes.sort_by_key(|code| code.code);
    codes
}

/// One code, in any case of letters.
pub(crate) fn find(text: &str) -> Option<Code> {
    all().into_iter().find(|code| code.code.eq_ignore_ascii_case(text))
}
