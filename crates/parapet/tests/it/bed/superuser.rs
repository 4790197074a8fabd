//! A session of the superuser that stays open, past the gateway: a psql that is fed one question after another, for tests
//! that ask so many that starting one for each would take most of their time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What psql prints behind each answer.
const END: &str = ":end-of-the-answer";

/// The open session.
#[derive(Debug)]
pub(crate) struct Superuser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Superuser {
    /// Opens it with this psql.
    pub(crate) fn open(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// The rows of statements without tabs, columns parted by `|`; nothing of a statement that fails.
    pub(crate) fn ask(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql}\n;\n\\echo {END}").unwrap();
        let mut answer = String::new();
        while !answer.ends_with(&format!("{END}\n")) {
            assert_ne!(self.output.read_line(&mut answer).unwrap(), 0, "psql ended");
        }
        answer.truncate(answer.len() - END.len() - 1);
        answer
    }

    /// Waits until psql has ended, because its connection did.
    pub(crate) fn until_gone(&mut self) {
        super::wait::until("the session to be cut", std::time::Duration::from_secs(30), || {
            // The pipe closes when it ends.
            let _gone = writeln!(self.input, "select 1;");
            self.child.try_wait().unwrap()
        });
    }
}

impl Drop for Superuser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
