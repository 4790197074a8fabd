//! Where sessions go, what they find there, and that a lane ends with its owner.

use std::collections::HashSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::listen::{Host, accept_loop};
use crate::tasks::Tasks;
use crate::upstream::dial::{Address, Dialler};

const STACK: usize = 1 << 20;
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn sessions_spread_over_the_lanes_and_stay() {
    let lanes = Lanes::start(NonZeroUsize::new(3).unwrap(), STACK, &Handle::current()).unwrap();
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
    let drained = tasks.drain(LONG).await;
    assert_eq!((drained.ended, drained.cut.len()), (6, 0));
}

#[test]
fn timers_are_another_runtimes_and_sockets_and_tasks_the_lanes_own() {
    // It can do nothing but keep time: a socket that came to it would panic.
    let timers = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let lanes = Arc::new(Lanes::start(NonZeroUsize::MIN, STACK, timers.handle()).unwrap());
    let tasks = Tasks::new();
    let host = Host { tasks: tasks.clone(), lanes: Arc::clone(&lanes) };
    let (tell, told) = std::sync::mpsc::channel();
    let inner = tasks.clone();
    tasks.spawn_on(lanes.least_busy().0, "session", async move {
        let thread = std::thread::current().id();
        timeout(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
        let listener = at_home(TcpListener::bind("127.0.0.1:0")).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = accept_loop(listener, 1, host, "echo", |mut stream, _peer| async move {
            let byte = timeout(LONG, stream.read_u8()).await.unwrap().unwrap();
            stream.write_u8(byte).await.unwrap();
        });
        inner.spawn("listener", at_home(echo));
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
        let mut upstream = Dialler::new().dial(&address, LONG).await.unwrap();
        upstream.write_u8(7).await.unwrap();
        assert_eq!(timeout(LONG, upstream.read_u8()).await.unwrap().unwrap(), 7);
        inner.spawn("stream", async move {
            timeout(Duration::from_millis(1), std::future::pending::<()>()).await.unwrap_err();
            tell.send(std::thread::current().id() == thread).unwrap();
        });
    });
    assert!(told.recv_timeout(LONG).unwrap());
}

#[tokio::test]
async fn a_lane_ends_with_its_owner() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let lanes = Lanes::start(NonZeroUsize::MIN, STACK, &Handle::current()).unwrap();
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
    begun.recv_timeout(LONG).unwrap();
    drop(lanes);
    told.recv_timeout(LONG).unwrap();
}
