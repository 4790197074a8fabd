//! Word that is left for a session: that it is cut, or asked to cancel what runs.
//!
//! A session asks at each of its turns, so where no word was left it costs two comparisons and no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Where word is left for one listener.
#[derive(Debug, Default)]
pub(crate) struct Word {
    /// How often. Written under the listener's lock alone.
    left: AtomicU64,
    listener: Mutex<Option<Waker>>,
}

/// What the listener has heard so far. There is one for a [`Word`], and it begins with what was left before.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    left: u64,
    /// Who is woken by the next word.
    listener: Option<Waker>,
}

impl Word {
    /// Leaves word, and wakes the listener.
    pub(crate) fn leave(&self) {
        let listener = {
            let mut listener = self.locked();
            self.left.fetch_add(1, Ordering::Release);
            listener.take()
        };
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    /// Ready if word was left that was not heard yet; several count as one.
    pub(crate) fn poll(&self, heard: &mut Heard, context: &mut Context<'_>) -> Poll<()> {
        let listens = heard.listener.as_ref().is_some_and(|listener| listener.will_wake(context.waker()));
        if listens && self.left.load(Ordering::Acquire) == heard.left {
            return Poll::Pending;
        }
        let mut listener = self.locked();
        let left = self.left.load(Ordering::Acquire);
        if left != heard.left {
            *heard = Heard { left, listener: None };
            return Poll::Ready(());
        }
        *listener = Some(context.waker().clone());
        heard.listener.clone_from(&listener);
        Poll::Pending
    }

    fn locked(&self) -> MutexGuard<'_, Option<Waker>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn word_is_heard_once_and_wakes_whoever_asked_last() {
        let word = Word::default();
        let mut heard = Heard::default();
        let mut context = Context::from_waker(Waker::noop());
        word.leave();
        word.leave();
        assert!(word.poll(&mut heard, &mut context).is_ready(), "what was left before counts");
        assert!(word.poll(&mut heard, &mut context).is_pending());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        assert!(word.poll(&mut heard, &mut context).is_pending());
        word.leave();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(word.poll(&mut heard, &mut context).is_ready());
        word.leave();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "nobody listens until it is asked again");
        assert!(word.poll(&mut heard, &mut context).is_ready());
    }

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn no_word_is_missed_between_threads() {
        const MANY: u64 = 20_000;
        let word = Word::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..MANY {
                    word.leave();
                    std::thread::yield_now();
                }
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let mut heard = Heard::default();
                while heard.left < MANY {
                    poll_fn(|context| word.poll(&mut heard, context)).await;
                }
            });
        });
    }
}
