//! A key of tokens is replaced where that can be entered, and not before.

use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::audit::AppendError;
use kernel::time::Timestamp;
use store::memory::{MemoryLog, StoppedClock};

use super::*;

#[tokio::test]
async fn no_key_is_replaced_while_the_log_takes_nothing() {
    let (log, clock) = (MemoryLog::default(), StoppedClock::at(Timestamp::from_secs(1_795_233_600)));
    let rotated = Arc::new(AtomicUsize::new(0));
    for (failing, done) in [(Some(AppendError::Unwritable), 0), (Some(AppendError::TimedOut), 0), (None, 1)] {
        log.fail(failing);
        let counted = Arc::clone(&rotated);
        let rotate = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Some("kid".to_owned()))
        };
        turn(&log, &clock, rotate).await.unwrap();
        assert_eq!((rotated.load(Ordering::Relaxed), log.entries().len()), (done, done), "{failing:?}");
    }
    assert_eq!((&log.entries()[0]["action"], &log.entries()[0]["object"]), (&"tokens key".into(), &"kid".into()));
    turn(&log, &clock, || Ok(None)).await.unwrap();
    assert_eq!(log.entries().len(), 1, "what was not due is not entered");
}
