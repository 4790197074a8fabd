//! The first message of TLS, made by rustls, in one read and in many.

use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::AsyncWriteExt as _;

use super::*;

fn hello(server: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let server = server.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), server).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

async fn read_in(pieces: usize, bytes: &[u8]) -> Result<Hello, NoHello> {
    let (mut near, mut far) = tokio::io::duplex(64);
    let writing = async {
        for piece in bytes.chunks(bytes.len().div_ceil(pieces).max(1)) {
            // The reader stops when it has seen enough.
            if near.write_all(piece).await.is_err() {
                return;
            }
        }
        drop(near.shutdown().await);
    };
    let reading = async {
        let found = read(&mut far).await;
        drop(far);
        found
    };
    tokio::join!(writing, reading).1
}

#[tokio::test]
async fn the_server_that_is_wanted() {
    let name = |name: &str| Host::Name(name.to_owned());
    for (server, host, expected) in [
        ("api.example", name("api.example"), true),
        ("API.example", name("api.example"), true),
        ("evil.example", name("api.example"), false),
        ("api.example.evil.example", name("api.example"), false),
        ("93.184.215.14", Host::Literal("93.184.215.14".parse().unwrap()), true),
        ("93.184.215.14", name("api.example"), false),
        ("api.example", Host::Literal("93.184.215.14".parse().unwrap()), false),
    ] {
        let bytes = hello(server);
        for pieces in [1, 2, 7, bytes.len()] {
            let found = read_in(pieces, &bytes).await.unwrap();
            assert_eq!(is_for(&found, &host), expected, "{server} for {host}");
            assert_eq!(found.bytes, bytes[..found.bytes.len()]);
        }
    }
}

#[tokio::test]
async fn what_is_not_tls() {
    let truncated = hello("api.example")[..40].to_vec();
    let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 100_000]].concat();
    for (bytes, gone) in [
        (b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n".to_vec(), false),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), false),
        (b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), false),
        (endless, false),
        (truncated, true),
        (Vec::new(), true),
    ] {
        let found = read_in(1, &bytes).await;
        assert_eq!(matches!(found, Err(NoHello::Gone)), gone, "{found:?}");
        assert!(found.is_err());
    }
}
