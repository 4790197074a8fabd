//! Dialling real sockets, and what is said when it fails.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::*;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn dials_tcp_and_unix() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
    let mut stream = Dialler::new().dial(&tcp, LONG).await.unwrap();
    assert!(stream.peer().unwrap().is_loopback());
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut received = String::new();
    listener.accept().await.unwrap().0.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "hello");

    let path = std::env::temp_dir().join(format!("parapet-dial-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let mut stream = Dialler::new().dial(&Address::Unix(path.clone()), LONG).await.unwrap();
    assert_eq!(stream.peer(), None);
    listener.accept().await.unwrap().0.write_all(b"hi").await.unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(received, "hi");
}

#[tokio::test]
async fn says_what_failed() {
    // Taken, so that nobody else gets it, and nobody listens there.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let dialler = Dialler::new();
    let closed = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let error = dialler.dial(&closed, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to `127.0.0.1:{port}`: connection refused"));

    let nowhere = Address::Unix("/nonexistent/parapet.sock".into());
    let error = dialler.dial(&nowhere, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to `/nonexistent/parapet.sock`: entity not found");

    let unnamed = Address::Tcp { host: "no such host.invalid".to_owned(), port: 1 };
    let error = dialler.dial(&unnamed, LONG).await.unwrap_err();
    assert_eq!(error, DialError::Unresolved { address: unnamed });
}

#[tokio::test]
async fn gives_up_at_the_deadline() {
    // Nobody accepts, so that the kernel drops what comes once its short queue is full.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: full.local_addr().unwrap().port() };
    let within = Duration::from_millis(100);
    let mut queued = Vec::new();
    let error = loop {
        match Dialler::new().dial(&address, within).await {
            Ok(stream) if queued.len() < 16 => queued.push(stream),
            found => break found.unwrap_err(),
        }
    };
    assert_eq!(error, DialError::TimedOut { address: address.clone(), within });
    assert_eq!(error.to_string(), format!("`{address}` did not take the connection within 100 ms"));
}

#[test]
fn shows_addresses_as_configured() {
    for (address, expected) in [
        (Address::Tcp { host: "db.internal".to_owned(), port: 5432 }, "db.internal:5432"),
        (Address::Tcp { host: "::1".to_owned(), port: 5432 }, "[::1]:5432"),
        (Address::Unix("/run/pg/.s.PGSQL.5432".into()), "/run/pg/.s.PGSQL.5432"),
    ] {
        assert_eq!(address.to_string(), expected);
    }
}
