//! Limits are counted over all sessions of a task, and over everything that it was narrowed to.

use std::time::Duration;

use kernel::id::TaskId;
use kernel::task::{Details, Link};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn link(mark: u8, limits: &str) -> Link {
    let details = Details::parse(&format!(r#"[{{"type": "parapet_task", "limits": {limits}}}]"#)).unwrap();
    Link { mark: [mark; 32], details, expires: NOW.after(Duration::from_secs(60)) }
}

fn task(links: Vec<Link>) -> Task {
    Task::new(TaskId::new(NOW, 1), Vec::new(), links).unwrap()
}

#[test]
fn siblings_share_the_budget_of_their_parent() {
    let uses = TaskUses::default();
    let parent = || link(0, r#"{"rows": 100, "uses": 3}"#);
    let one = task(vec![parent(), link(1, r#"{"rows": 100, "uses": 2}"#)]);
    let two = task(vec![parent(), link(2, r#"{"rows": 10, "uses": 2}"#)]);
    let left = |task: &Task| (uses.left(task, NOW).rows, uses.left(task, NOW).uses);
    assert_eq!(left(&one), (Some(100), Some(2)));
    assert_eq!(uses.take(&one, NOW).uses, Some(2));
    assert_eq!(uses.take(&one, NOW).uses, Some(1));
    assert_eq!(uses.take(&one, NOW).uses, Some(0), "its own are used up");
    assert_eq!(left(&two), (Some(10), Some(1)), "and so are two of its parent's");
    assert_eq!(uses.take(&two, NOW).uses, Some(1));
    assert_eq!(uses.take(&two, NOW).uses, Some(0));
    uses.give_back(&two);
    assert_eq!(left(&two).1, Some(1));
    uses.count_rows(&two, 7);
    assert_eq!((left(&two).0, left(&one).0), (Some(3), Some(93)));
    uses.count_rows(&two, 30);
    assert_eq!(left(&two).0, Some(0));
}

#[test]
fn without_limits_nothing_is_counted_and_what_ended_is_forgotten() {
    let uses = TaskUses::default();
    let unlimited = task(vec![link(0, "{}")]);
    assert_eq!(uses.take(&unlimited, NOW), Left::default());
    assert!(uses.used().is_empty());
    for mark in 0..MOST {
        let mut distinct = [0; 32];
        distinct[..8].copy_from_slice(&(mark as u64 + 1).to_be_bytes());
        uses.used().insert(distinct, Used { rows: 0, uses: 0, until: NOW.after(Duration::from_secs(60)) });
    }
    let limited = task(vec![link(0, r#"{"uses": 3}"#)]);
    assert_eq!(uses.take(&limited, NOW).uses, Some(0), "what cannot be counted is refused");
    assert_eq!(uses.take(&limited, NOW.after(Duration::from_secs(60))).uses, Some(3));
    assert_eq!(uses.used().len(), 1);
}
