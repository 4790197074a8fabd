//! Where the gateway's own credentials come from: the environment, a file, or a program. Read when needed, wiped after use.
//!
//! Neither a secret nor what a failing program printed ever reaches an error or the log.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use kernel::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

/// The longest secret, in bytes. A private key with its chain fits.
const LONGEST: usize = 64 * 1024;
/// How long a program may take to print a secret.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a variable of the environment.
    Environment(String),
    /// In a file; one line end at its end does not count.
    File(PathBuf),
    /// On the standard output of a program; one line end at its end does not count.
    Command {
        /// Which program.
        program: PathBuf,
        /// Its arguments; no shell reads them.
        arguments: Vec<String>,
    },
}

/// A secret that could not be read. The gateway's side is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such variable.
    #[error("the environment has no variable `{0}`")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the secret file `{}` cannot be read: {kind}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// The program cannot be started, or its output cannot be read.
    #[error("the secret command `{}` cannot be run: {kind}", .program.display())]
    NotRun {
        /// Which program.
        program: PathBuf,
        /// What the operating system says.
        kind: io::ErrorKind,
    },
    /// The program failed.
    #[error("the secret command `{}` failed{}", .program.display(), .code.map(|code| format!(" with exit code {code}")).unwrap_or_default())]
    Failed {
        /// Which program.
        program: PathBuf,
        /// Its exit code; none if a signal ended it.
        code: Option<i32>,
    },
    /// The program did not finish in time.
    #[error("the secret command `{}` did not finish within {} s", .program.display(), .within.as_secs())]
    TimedOut {
        /// Which program.
        program: PathBuf,
        /// How long it had.
        within: Duration,
    },
    /// Nothing is there.
    #[error("the secret is empty")]
    Empty,
    /// It is larger than any secret.
    #[error("the secret is longer than {LONGEST} bytes")]
    TooLong,
    /// It is not UTF-8, or has a zero byte.
    #[error("the secret is not text")]
    NotText,
}

impl SecretSource {
    /// Reads the secret, afresh each time, so that a rotation needs no restart.
    pub async fn read(&self) -> Result<Secret<String>, SecretError> {
        self.read_within(PATIENCE).await
    }

    async fn read_within(&self, within: Duration) -> Result<Secret<String>, SecretError> {
        let bytes = match self {
            Self::Environment(name) => from_environment(name)?,
            Self::File(path) => {
                let unreadable = |error: io::Error| SecretError::Unreadable { path: path.clone(), kind: error.kind() };
                let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
                read_capped(file).await.map_err(unreadable)??
            }
            Self::Command { program, arguments } => tokio::time::timeout(within, print(program, arguments))
                .await
                .map_err(|_elapsed| SecretError::TimedOut { program: program.clone(), within })??,
        };
        checked(bytes)
    }
}

#[expect(clippy::disallowed_methods, reason = "the secret source is one of the two places that read the environment")]
fn from_environment(name: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    match std::env::var(name) {
        Ok(value) => Ok(Zeroizing::new(value.into_bytes())),
        Err(std::env::VarError::NotPresent) => Err(SecretError::NotSet(name.to_owned())),
        Err(std::env::VarError::NotUnicode(_)) => Err(SecretError::NotText),
    }
}

/// Runs a program and takes what it prints. Its input is empty; its error output is dropped, since it could hold the secret.
async fn print(program: &PathBuf, arguments: &[String]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let not_run = |error: io::Error| SecretError::NotRun { program: program.clone(), kind: error.kind() };
    #[expect(clippy::disallowed_methods, reason = "a configured secret command, without a shell")]
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(not_run)?;
    let output = child.stdout.take().ok_or_else(|| not_run(io::ErrorKind::BrokenPipe.into()))?;
    let bytes = read_capped(output).await.map_err(not_run)??;
    let status = child.wait().await.map_err(not_run)?;
    if status.success() {
        Ok(bytes)
    } else {
        Err(SecretError::Failed { program: program.clone(), code: status.code() })
    }
}

/// Reads to the end into a buffer that never grows, since growing would leave a copy of the secret behind.
async fn read_capped(source: impl AsyncRead + Unpin) -> io::Result<Result<Zeroizing<Vec<u8>>, SecretError>> {
    let mut source = source.take(LONGEST as u64 + 1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 64));
    while source.read_buf(&mut *bytes).await? > 0 {}
    Ok(if bytes.len() > LONGEST { Err(SecretError::TooLong) } else { Ok(bytes) })
}

fn checked(mut bytes: Zeroizing<Vec<u8>>) -> Result<Secret<String>, SecretError> {
    let line_end = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
    let length = bytes.len() - line_end;
    bytes.truncate(length);
    if bytes.is_empty() {
        return Err(SecretError::Empty);
    }
    if bytes.len() > LONGEST {
        return Err(SecretError::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_invalid| SecretError::NotText)?;
    if text.contains('\0') {
        return Err(SecretError::NotText);
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests;
