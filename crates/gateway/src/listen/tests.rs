//! The accept loop's limit, its endurance, and its end.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::upstream::dial::{Address, Dialler, Stream};

const LONG: Duration = Duration::from_secs(30);

async fn client(address: SocketAddr) -> Stream {
    let address = Address::Tcp { host: address.ip().to_string(), port: address.port() };
    Dialler::new().dial(&address, LONG).await.unwrap()
}

#[tokio::test]
async fn holds_no_more_than_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tasks = Tasks::new();
    // The lanes outlive the loop, so that handlers may finish.
    let host = Host::small(&tasks);
    let looping = accept_loop(listener, 2, host.clone(), "echo", |mut stream, _peer| async move {
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() && stream.write_all(&byte).await.is_ok() {}
    });
    tasks.spawn("listener", looping);

    let mut byte = [0];
    let (mut one, mut two) = (client(address).await, client(address).await);
    for stream in [&mut one, &mut two] {
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
    }
    // The third is closed without a byte.
    let mut three = client(address).await;
    assert!(matches!(three.read(&mut byte).await, Ok(0) | Err(_)));

    // A place that becomes free is given again. The handler may take a moment to see the end.
    drop(one);
    let mut four = loop {
        let mut stream = client(address).await;
        if stream.write_all(b"y").await.is_ok() && stream.read_exact(&mut byte).await.is_ok() {
            break stream;
        }
    };
    four.write_all(b"z").await.unwrap();
    four.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"z");

    // Both handlers still wait for their clients: they are cut, and the loop itself ends.
    assert_eq!(tasks.drain(Duration::from_millis(50)).await.cut, ["echo", "echo"]);
    assert!(client_is_refused(address).await);
}

async fn client_is_refused(address: SocketAddr) -> bool {
    let address = Address::Tcp { host: address.ip().to_string(), port: address.port() };
    Dialler::new().dial(&address, LONG).await.is_err()
}

/// Arrivals by script; then none.
struct Script(VecDeque<io::Result<u8>>);

impl Arrivals for Script {
    type Connection = u8;

    async fn accept(&mut self) -> io::Result<(u8, SocketAddr)> {
        match self.0.pop_front() {
            Some(arrival) => arrival.map(|connection| (connection, SocketAddr::from(([127, 0, 0, 1], 1)))),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn no_single_error_ends_it() {
    // Too many open files (24, 23), no memory (12), an aborted connection, and something unheard of.
    let script = Script(VecDeque::from([
        Ok(1),
        Err(io::Error::from_raw_os_error(24)),
        Ok(2),
        Err(io::Error::from_raw_os_error(23)),
        Err(io::Error::from_raw_os_error(12)),
        Ok(3),
        Err(io::ErrorKind::ConnectionAborted.into()),
        Err(io::Error::other("unheard of")),
        Ok(4),
    ]));
    let (tell, mut told) = mpsc::channel(8);
    let tasks = Tasks::new();
    let looping = accept_from(script, 8, Host::small(&tasks), "scripted", move |connection, _peer| {
        let tell = tell.clone();
        async move { tell.send(connection).await.unwrap() }
    });
    tasks.spawn("listener", looping);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(told.recv().await.unwrap());
    }
    assert_eq!(seen, [1, 2, 3, 4]);
    assert_eq!(tasks.drain(LONG).await.cut, Vec::<&str>::new());
}

#[test]
fn an_error_of_one_connection_needs_no_pause() {
    for (code, of_one) in
        [(103, true), (104, true), (110, true), (113, true), (4, true), (24, false), (23, false), (12, false)]
    {
        assert_eq!(is_of_one_connection(&io::Error::from_raw_os_error(code)), of_one, "errno {code}");
    }
}
