//! The machine's clock and random bits, behind `kernel::ports::Clock`.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kernel::ports::Clock;
use kernel::time::Timestamp;

/// Random words that a thread fetches at a time: a call per word would cost more than all else that a decision needs.
const WORDS: usize = 64;

thread_local! {
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// When the steady clock was first asked.
static BEGAN: LazyLock<Instant> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the steady clock")]
    let now = Instant::now();
    now
});

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// `CLOCK_MONOTONIC` on Linux, which stands still while the machine sleeps: so a sleep shows as a step of the wall clock.
    fn steady(&self) -> Duration {
        BEGAN.elapsed()
    }

    fn random(&self) -> u64 {
        RANDOM.with_borrow_mut(|words| {
            if words.is_empty() {
                let mut bytes = [0; WORDS * 8];
                // Without random bits there are no unguessable keys; a process that goes on would be worse than none.
                if aws_lc_rs::rand::fill(&mut bytes).is_err() {
                    std::process::abort();
                }
                let (chunks, _) = bytes.as_chunks::<8>();
                words.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
            }
            words.pop().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_differ() {
        let words: std::collections::BTreeSet<u64> = (0..1000).map(|_| SystemClock.random()).collect();
        assert_eq!(words.len(), 1000);
    }
}
