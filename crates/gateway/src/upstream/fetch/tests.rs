//! Fetching from a loopback server of the tests' own, and what is refused.

use super::*;
use crate::login::scripted::Server;

const LONG: Duration = Duration::from_secs(30);

#[test]
fn locations() {
    for (text, expected) in [
        ("https://issuer.example/keys?v=1", Ok(("issuer.example:443", "issuer.example", "/keys?v=1"))),
        ("https://issuer.example", Ok(("issuer.example:443", "issuer.example", "/"))),
        ("https://[2001:db8::1]:8443/k", Ok(("[2001:db8::1]:8443", "[2001:db8::1]:8443", "/k"))),
        ("http://127.0.0.1:8080/k", Ok(("127.0.0.1:8080", "127.0.0.1:8080", "/k"))),
        ("http://[::1]/k", Ok(("[::1]:80", "[::1]", "/k"))),
        ("https://Issuer.Example.:443/k", Ok(("issuer.example:443", "issuer.example", "/k"))),
        ("https://issuer.example:99999/k", Err(InvalidLocation::NotUrl)),
        ("http://localhost/k", Ok(("localhost:80", "localhost", "/k"))),
        ("http://issuer.example/k", Err(InvalidLocation::Clear)),
        ("http://127.0.0.1.example/k", Err(InvalidLocation::Clear)),
        ("http://localhost.example/k", Err(InvalidLocation::Clear)),
        ("http://127.0.0.1@issuer.example/k", Err(InvalidLocation::UserInfo)),
        ("https://user:word@issuer.example/k", Err(InvalidLocation::UserInfo)),
        ("ftp://issuer.example/k", Err(InvalidLocation::Scheme)),
        ("file:///etc/passwd", Err(InvalidLocation::NotUrl)),
        ("/keys", Err(InvalidLocation::NotUrl)),
        ("issuer.example", Err(InvalidLocation::NotUrl)),
        ("", Err(InvalidLocation::NotUrl)),
    ] {
        let found = text.parse::<Location>().map(|found| (found.address.to_string(), found.authority, found.path));
        let expected =
            expected.map(|(address, authority, path)| (address.to_owned(), authority.to_owned(), path.to_owned()));
        assert_eq!(found, expected, "{text}");
    }
}

#[tokio::test]
async fn answers() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    let huge_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok("hello")),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok("until the end")),
        (chunked, Ok("hello world")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Err(FetchError::Malformed)),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            Err(FetchError::Status(302)),
        ),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Err(FetchError::Status(404))),
        ("HTTP/1.1 204 No Content\r\n\r\n", Err(FetchError::Status(204))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", Err(FetchError::Malformed)),
        ("SSH-2.0-OpenSSH_10.0\r\n", Err(FetchError::Malformed)),
        ("", Err(FetchError::Malformed)),
        (&huge_head, Err(FetchError::Malformed)),
    ] {
        let server = Server::start(answer).await;
        let location = server.location("/keys").parse().unwrap();
        let found = Fetcher::new(Dialler::new(), None).fetch(&location, 100, LONG).await;
        assert_eq!(found, expected.map(|text| text.as_bytes().to_vec()), "{answer:.80}");
        let request = server.last_request();
        assert!(request.starts_with("GET /keys HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
    }
}

#[tokio::test]
async fn caps_and_deadlines() {
    let body = "x".repeat(101);
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n{body}"),
        format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let server = Server::start(&answer).await;
        let location = server.location("/").parse().unwrap();
        let found = Fetcher::new(Dialler::new(), None).fetch(&location, 100, LONG).await;
        assert_eq!(found, Err(FetchError::TooLarge(100)));
    }

    // A server that takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let within = Duration::from_millis(50);
    let found = Fetcher::new(Dialler::new(), None).fetch(&location, 100, within).await;
    assert_eq!(found, Err(FetchError::TimedOut(within)));
}

#[tokio::test]
async fn https_needs_authorities() {
    let server = Server::start("").await;
    let location = server.location("/").replace("http:", "https:").parse().unwrap();
    let found = Fetcher::new(Dialler::new(), None).fetch(&location, 100, LONG).await;
    assert_eq!(found, Err(FetchError::NoAuthorities));
}
