//! Exit codes, and the failures that lead to them. Codes are an interface: scripts and cron jobs act on them.

use std::process::ExitCode;

/// How a command ended. `docs/reference/exit-codes.md` is checked against this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or permitted.
    Done,
    /// Failed while running.
    Failed,
    /// Used wrongly; the argument parser's own code, hence never a denial.
    Usage,
    /// Validation or tests failed.
    Invalid,
    /// Not authenticated.
    NotAuthenticated,
    /// Denied.
    Denied,
    /// An approval is pending, expired or rejected.
    NotApproved,
    /// A conflict: stale plan, changed content, version mismatch.
    Conflict,
    /// A proof did not verify.
    ProofFailed,
    /// The gateway or an upstream cannot be reached.
    Unreachable,
    /// `run`: what the child exited with, 126, 127, or 128 and the signal.
    Child(u8),
}

impl Exit {
    /// Every code of Parapet's own with its meaning.
    pub(crate) const MEANINGS: [(Self, &str); 10] = [
        (Self::Done, "done, or permitted"),
        (Self::Failed, "failed while running"),
        (Self::Usage, "usage error (the argument parser's own code, hence never a denial)"),
        (Self::Invalid, "validation or tests failed"),
        (Self::NotAuthenticated, "not authenticated"),
        (Self::Denied, "denied"),
        (Self::NotApproved, "approval pending, expired or rejected (which one: in the JSON)"),
        (Self::Conflict, "conflict: stale plan, changed content, version mismatch"),
        (Self::ProofFailed, "proof verification failed (a cron job can page on it)"),
        (Self::Unreachable, "gateway or upstream unreachable"),
    ];

    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::NotAuthenticated => 4,
            Self::Denied => 5,
            Self::NotApproved => 6,
            Self::Conflict => 7,
            Self::ProofFailed => 8,
            Self::Unreachable => 9,
            Self::Child(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command did not do what was asked: a code, a line, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `PARnnnn`, if it has one.
    pub(crate) code: Option<String>,
    /// What happened, in a line.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) help: Option<String>,
    /// The exit code.
    pub(crate) exit: Exit,
}

impl Failure {
    /// A failure with a code of the table in `codes.rs`.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self { code: Some(code.to_owned()), message: message.into(), help: None, exit }
    }

    /// With what to do next.
    #[must_use]
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A failure of the command's own use that the argument parser cannot see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "PAR0300", message)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.code.iter().try_for_each(|code| write!(f, " ({code})"))?;
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // The whole chain on one line: the first words alone rarely say what to do.
        Self::new(Exit::Failed, "PAR0301", format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, "PAR0301", error.to_string())
    }
}
