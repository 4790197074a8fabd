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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
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

    // A deadline that has passed already: TEST-NET-1 answers nobody.
    let silent = Address::Tcp { host: "192.0.2.1".to_owned(), port: 5432 };
    let error = dialler.dial(&silent, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.to_string(), "`192.0.2.1:5432` did not take the connection within 0 ms");
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
