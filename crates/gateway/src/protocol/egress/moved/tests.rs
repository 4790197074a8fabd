//! Counting, capping, and noticing that nothing moves.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn bytes_are_counted_and_capped() {
    let idle = Idle::default();
    let (near, mut far) = tokio::io::duplex(64);
    let moved = idle.watch(Some(8));
    let mut counted = Counted::new(near, Arc::clone(&moved));
    counted.write_all(b"abc").await.unwrap();
    far.write_all(b"12345678").await.unwrap();
    let mut buffer = [0; 8];
    counted.read_exact(&mut buffer).await.unwrap();
    assert_eq!((moved.sent(), moved.received(), moved.is_full()), (3, 8, false));
    far.write_all(b"9").await.unwrap();
    let error = counted.read(&mut buffer).await.unwrap_err();
    assert_eq!((error.kind(), moved.is_full()), (io::ErrorKind::QuotaExceeded, true));
}

#[tokio::test]
async fn what_stands_still_is_noticed() {
    let idle = Idle::default();
    let (still, moving) = (idle.watch(None), idle.watch(None));
    for _ in 0..PATIENCE {
        moving.sent.fetch_add(1, Ordering::Relaxed);
        idle.look_once();
    }
    assert!(!moving.is_idle.load(Ordering::Relaxed));
    still.idle().await;
    drop((still, moving));
    idle.look_once();
    assert!(idle.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_read_is_read_again() {
    let (near, mut far) = tokio::io::duplex(64);
    far.write_all(b"world").await.unwrap();
    drop(far);
    let mut rewound = Rewound::new(b"hello ".to_vec(), near);
    let mut text = String::new();
    rewound.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello world");
}
