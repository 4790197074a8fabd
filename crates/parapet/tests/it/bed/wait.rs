//! Waiting for something that another process does, with a deadline. The only place of the tests that sleeps.

use std::time::{Duration, Instant};

/// For what must happen and is not measured, on a machine that is slow and loaded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What is pushed acts within a second where the machine is not overloaded. This is longer, for one that is, and shorter than
/// the five seconds after which the gateway looks at files and catalogues by itself; at sessions it never does. What acts
/// within it was pushed.
pub(crate) const PUSHED: Duration = Duration::from_secs(4);

/// Asks again and again until there is an answer; panics at the deadline, naming what was waited for.
pub(crate) fn until<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
