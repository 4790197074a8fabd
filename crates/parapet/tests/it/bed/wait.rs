//! Waiting for something that another process does, with a deadline. The only place of the tests that sleeps.

use std::time::{Duration, Instant};

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
