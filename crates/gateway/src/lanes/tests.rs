//! Where sessions go, and that a lane ends with its owner.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::tasks::Tasks;

const STACK: usize = 1 << 20;

#[tokio::test]
async fn sessions_spread_over_the_lanes_and_stay() {
    let lanes = Lanes::start(NonZeroUsize::new(3).unwrap(), STACK).unwrap();
    let tasks = Tasks::new();
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    for _ in 0..6 {
        let (tell, mut stopping) = (tell.clone(), tasks.stopping());
        let (lane, seat) = lanes.least_busy();
        tasks.spawn_on(lane, "session", async move {
            let _seat = seat;
            let began = std::thread::current().id();
            tell.send(began).await.unwrap();
            stopping.begun().await;
            assert_eq!(std::thread::current().id(), began);
        });
    }
    let mut threads = Vec::new();
    for _ in 0..6 {
        threads.push(told.recv().await.unwrap());
    }
    assert_eq!(threads.iter().collect::<HashSet<_>>().len(), 3);
    // What a session leaves running on its lane is no session.
    let (lane, seat) = lanes.least_busy();
    for _ in 0..9 {
        lane.spawn(std::future::pending::<()>());
    }
    drop(seat);
    assert_eq!(lanes.least_busy().0.id(), lane.id());
    let drained = tasks.drain(Duration::from_secs(30)).await;
    assert_eq!((drained.ended, drained.cut.len()), (6, 0));
}

#[test]
fn a_lane_ends_with_its_owner() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let lanes = Lanes::start(NonZeroUsize::MIN, STACK).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (began, begun) = std::sync::mpsc::channel();
    let tasks = Tasks::new();
    let witness = Told(tell);
    let (lane, seat) = lanes.least_busy();
    tasks.spawn_on(lane, "session", async move {
        let (_witness, _seat) = (witness, seat);
        began.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    begun.recv_timeout(Duration::from_secs(30)).unwrap();
    drop(lanes);
    told.recv_timeout(Duration::from_secs(30)).unwrap();
}
