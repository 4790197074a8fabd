//! Tasks are counted, drained, cut and never lost.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::*;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_listens_ends_by_itself() {
    let tasks = Tasks::new();
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let (mut stopping, ended) = (tasks.stopping(), Arc::clone(&ended));
        tasks.spawn("listens", async move {
            stopping.begun().await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert_eq!(tasks.running(), 10);
    assert_eq!(tasks.by_name(), [("listens", 10)]);
    assert_eq!(tasks.drain(LONG).await, Drained { ended: 10, cut: vec![] });
    assert_eq!((ended.load(Ordering::SeqCst), tasks.running()), (10, 0));
}

#[tokio::test]
async fn what_does_not_end_is_cut_and_its_values_dropped() {
    let tasks = Tasks::new();
    let (held, dropped) = oneshot::channel::<()>();
    tasks.spawn("stuck", async move {
        let _held = held;
        pending::<()>().await;
    });
    tasks.spawn("quick", async {});
    let mut running = tasks.shared.running.subscribe();
    running.wait_for(|running| *running == 1).await.unwrap();
    assert_eq!(tasks.drain(Duration::from_millis(20)).await, Drained { ended: 0, cut: vec!["stuck"] });
    assert!(dropped.await.is_err());
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn what_is_told_that_it_is_over_may_say_its_last() {
    let tasks = Tasks::new();
    let (tell, told) = oneshot::channel();
    let mut stopping = tasks.stopping();
    tasks.spawn("late", async move {
        stopping.begun().await;
        stopping.over().await;
        tell.send(7).unwrap();
    });
    assert_eq!(tasks.drain(Duration::from_millis(20)).await, Drained { ended: 1, cut: vec![] });
    assert_eq!(told.await, Ok(7));
}

#[tokio::test]
async fn a_panic_ends_one_task_only() {
    let tasks = Tasks::new();
    let (tell, told) = oneshot::channel();
    tasks.spawn("panics", async { panic!("on purpose") });
    tasks.spawn("lives", async move {
        tell.send(7).unwrap();
    });
    assert_eq!(told.await, Ok(7));
    let drained = tasks.drain(LONG).await;
    assert_eq!((drained.cut, tasks.running()), (vec![], 0));
}

/// Whoever ends although it was to be kept, is told of: the first of them, whenever it is asked.
#[tokio::test]
async fn what_is_kept_and_ends_is_lost() {
    for panics in [false, true] {
        let tasks = Tasks::new();
        tasks.spawn("may end", async {});
        tasks.keep("follower", async move { assert!(!panics, "on purpose") });
        assert_eq!(tasks.lost().await, "follower");
        tasks.keep("another", async {});
        tasks.drain(LONG).await;
        assert_eq!(tasks.lost().await, "follower");
    }
}

#[tokio::test]
async fn what_ends_with_the_process_is_not_lost() {
    let tasks = Tasks::new();
    let (mut stopping, mut over) = (tasks.stopping(), tasks.stopping());
    tasks.keep("listens", async move { stopping.begun().await });
    tasks.keep("panics late", async move {
        over.over().await;
        panic!("on purpose");
    });
    tasks.keep("cut", pending());
    assert_eq!(tasks.drain(Duration::from_millis(20)).await.cut, ["cut"]);
    assert_eq!(*tasks.shared.lost.borrow(), None);
}

#[tokio::test]
async fn nothing_new_starts_during_a_drain() {
    let tasks = Tasks::new();
    assert!(!tasks.stopping().has_begun());
    tasks.drain(LONG).await;
    assert!(tasks.stopping().has_begun());
    let (tell, told) = oneshot::channel::<()>();
    tasks.spawn("late", async move {
        let _tell = tell;
    });
    assert!(told.await.is_err());
    assert_eq!(tasks.running(), 0);
}
