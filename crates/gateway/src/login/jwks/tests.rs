//! Which keys of a set are used, and when a set is asked for again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::login::scripted::{IssuerKey, ScriptedClock, Server, key_set};
use crate::upstream::dial::Dialler;

const FRESHNESS: Freshness = Freshness {
    floor: Duration::from_secs(10),
    refresh_after: Duration::from_secs(300),
    max_age: Duration::from_secs(3600),
    patience: Duration::from_secs(30),
};

fn keys_of(source: JwksSource, clock: &Arc<ScriptedClock>) -> Keys {
    Keys::new(source, Fetcher::new(Dialler::new(), None), FRESHNESS, Arc::clone(clock) as Arc<dyn Clock>)
}

fn keys_at(server: &Server, clock: &Arc<ScriptedClock>) -> Keys {
    keys_of(JwksSource::url(&server.location("/keys")).unwrap(), clock)
}

async fn has(keys: &Keys, kid: &str) -> Result<bool, KeysError> {
    keys.find(kid).await.map(|key| key.is_some())
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

#[test]
fn uses_only_what_may_verify() {
    let (rsa, ec, ed) = (IssuerKey::rsa().jwk("k"), IssuerKey::ec().jwk("k"), IssuerKey::ed().jwk("k"));
    let all = SignatureAlgorithm::named;
    for (jwk, expected) in [
        (rsa.clone(), vec![all("RS256"), all("PS256")]),
        (ec.clone(), vec![all("ES256")]),
        (ed.clone(), vec![all("EdDSA")]),
        (with(rsa.clone(), "alg", json!("PS256")), vec![all("PS256")]),
        (with(rsa.clone(), "use", json!("sig")), vec![all("RS256"), all("PS256")]),
        (with(rsa.clone(), "key_ops", json!(["verify"])), vec![all("RS256"), all("PS256")]),
        (with(rsa.clone(), "x5c", json!(["MIIB"])), vec![all("RS256"), all("PS256")]),
        // For another use, or another algorithm than its type has.
        (with(rsa.clone(), "use", json!("enc")), vec![]),
        (with(rsa.clone(), "use", json!(null)), vec![]),
        (with(rsa.clone(), "key_ops", json!(["sign"])), vec![]),
        (with(rsa.clone(), "key_ops", json!("verify")), vec![]),
        (with(rsa.clone(), "alg", json!("ES256")), vec![]),
        (with(rsa.clone(), "alg", json!("HS256")), vec![]),
        (with(rsa.clone(), "alg", json!("RSA-OAEP")), vec![]),
        (with(rsa.clone(), "alg", json!(256)), vec![]),
        (with(ec.clone(), "alg", json!("ES384")), vec![]),
        // Not what its type says.
        (with(rsa.clone(), "n", json!("AQAB")), vec![]),
        (with(rsa.clone(), "n", json!(URL_SAFE_NO_PAD.encode([0_u8; 256]))), vec![]),
        (with(rsa.clone(), "n", json!("not base64url!")), vec![]),
        (with(ec.clone(), "crv", json!("P-384")), vec![]),
        (with(ec.clone(), "crv", json!("secp256k1")), vec![]),
        (with(ec.clone(), "y", json!("AQAB")), vec![]),
        (with(ed.clone(), "x", json!("AQAB")), vec![]),
        (with(ed.clone(), "crv", json!("X25519")), vec![]),
        (with(rsa.clone(), "kty", json!("oct")), vec![]),
        (json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}), vec![]),
        // Without a name that a token could have.
        (with(rsa.clone(), "kid", json!(null)), vec![]),
        (with(rsa.clone(), "kid", json!("")), vec![]),
        (with(rsa, "kid", json!("k".repeat(257))), vec![]),
    ] {
        let found = keys::parse(key_set(std::slice::from_ref(&jwk)).as_bytes(), Purpose::Tokens).unwrap();
        let algorithms = found.get("k").map(|key| key.algorithms.to_vec()).unwrap_or_default();
        assert_eq!(algorithms, expected.into_iter().flatten().collect::<Vec<_>>(), "{jwk}");
    }
}

#[test]
fn refuses_what_is_no_set() {
    let key = IssuerKey::ed().jwk("k");
    let many: Vec<Value> = (0..101).map(|number| with(key.clone(), "kid", json!(number.to_string()))).collect();
    for (text, expected) in [
        (key_set(&many), Err(KeysError::TooMany)),
        (key_set(&many[..100]), Ok(100)),
        (key_set(&[]), Ok(0)),
        (json!({"keys": {}}).to_string(), Err(KeysError::NotKeys)),
        (json!({"keys": ["k"]}).to_string(), Err(KeysError::NotKeys)),
        (json!([key]).to_string(), Err(KeysError::NotKeys)),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), Err(KeysError::NotKeys)),
        (r#"{"keys":[{"kid":"a","kid":"b"}]}"#.to_owned(), Err(KeysError::NotKeys)),
        ("<html>".to_owned(), Err(KeysError::NotKeys)),
        (String::new(), Err(KeysError::NotKeys)),
        // A name that stands twice names neither, in any order and number.
        (key_set(&[key.clone(), IssuerKey::ec().jwk("k"), key.clone(), IssuerKey::ed().jwk("other")]), Ok(1)),
    ] {
        assert_eq!(keys::parse(text.as_bytes(), Purpose::Tokens).map(|keys| keys.len()), expected, "{text:.60}");
    }
}

#[tokio::test]
async fn asks_once_for_an_unknown_key_and_then_waits() {
    let clock = ScriptedClock::new();
    let server = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(has(&keys, "one").await, Ok(true));
    assert_eq!(server.requests(), 1);
    // A flood of unknown keys, all at once, costs nothing until the floor has passed, and then one request.
    for expected in [1, 2, 3] {
        for number in 0..50 {
            assert_eq!(has(&keys, &format!("unknown {number}")).await, Ok(false));
            assert_eq!(has(&keys, "one").await, Ok(true));
        }
        assert_eq!(server.requests(), expected);
        clock.pass(FRESHNESS.floor);
    }
}

#[tokio::test]
async fn many_that_wait_share_one_request() {
    let clock = ScriptedClock::new();
    let server = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    let keys = Arc::new(keys_at(&server, &clock));
    let tasks = crate::tasks::Tasks::new();
    let (tell, mut told) = tokio::sync::mpsc::channel(64);
    for _ in 0..50 {
        let (keys, tell) = (Arc::clone(&keys), tell.clone());
        tasks.spawn("waits", async move { tell.send(has(&keys, "one").await).await.unwrap() });
    }
    drop(tell);
    let mut answers = 0;
    while let Some(answer) = told.recv().await {
        assert_eq!(answer, Ok(true));
        answers += 1;
    }
    assert_eq!((answers, server.requests()), (50, 1));
}

#[tokio::test]
async fn keys_rotate_and_removed_ones_go() {
    let clock = ScriptedClock::new();
    let (one, two) = (IssuerKey::ed().jwk("one"), IssuerKey::ed().jwk("two"));
    let server = Server::with_document(&key_set(std::slice::from_ref(&one))).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(has(&keys, "one").await, Ok(true));
    // The new key is found at once after the floor; the old one is gone with the same refresh.
    server.answer_with_document(&key_set(&[two]));
    clock.pass(FRESHNESS.floor);
    assert_eq!(has(&keys, "two").await, Ok(true));
    assert_eq!(has(&keys, "one").await, Ok(false));
    // A key that is removed without another taking its place goes when the set is due.
    server.answer_with_document(&key_set(&[]));
    assert_eq!(has(&keys, "two").await, Ok(true));
    clock.pass(FRESHNESS.refresh_after + Duration::from_secs(1));
    assert_eq!(has(&keys, "two").await, Ok(false));
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn an_outage_is_borne_for_a_while() {
    let clock = ScriptedClock::new();
    let server = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(has(&keys, "one").await, Ok(true));
    server.answer_with("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    clock.pass(FRESHNESS.refresh_after + Duration::from_secs(1));
    assert_eq!(has(&keys, "one").await, Ok(true));
    assert_eq!(has(&keys, "one").await, Ok(true));
    assert_eq!(server.requests(), 2);
    // Past their greatest age they are used no more.
    clock.pass(FRESHNESS.max_age);
    assert_eq!(has(&keys, "one").await, Err(KeysError::Fetch(FetchError::Status(500))));
    assert_eq!(has(&keys, "one").await, Err(KeysError::Waiting));
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn refuses_what_a_rogue_server_sends() {
    let padded = format!("{{\"keys\":[]{}}}", " ".repeat(LONGEST_SET));
    let rogue = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    let redirect = format!("HTTP/1.1 307 Go\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", rogue.location("/keys"));
    for (answer, expected) in [
        (redirect, KeysError::Fetch(FetchError::Status(307))),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{padded}", padded.len()), KeysError::TooMany),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}x".to_owned(), KeysError::NotKeys),
    ] {
        let server = Server::start(&answer).await;
        assert_eq!(has(&keys_at(&server, &ScriptedClock::new()), "one").await, Err(expected));
    }
    assert_eq!(rogue.requests(), 0);
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let clock = ScriptedClock::new();
    let path = std::env::temp_dir().join(format!("parapet-jwks-{}.json", std::process::id()));
    let keys = keys_of(JwksSource::File(path.clone()), &clock);
    let gone = KeysError::Unreadable { path: path.clone(), kind: std::io::ErrorKind::NotFound };
    assert_eq!(has(&keys, "one").await, Err(gone.clone()));
    // Replaced as a whole, as a careful writer does it: another file each time, whatever the clock's grain.
    let write = |ids: &[&str]| {
        let set: Vec<Value> = ids.iter().map(|kid| IssuerKey::ed().jwk(kid)).collect();
        let new = path.with_extension("new");
        std::fs::write(&new, key_set(&set)).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    write(&["one"]);
    assert_eq!((has(&keys, "one").await, has(&keys, "two").await), (Ok(true), Ok(false)));
    write(&["one", "two"]);
    assert_eq!((has(&keys, "one").await, has(&keys, "two").await), (Ok(true), Ok(true)));
    write(&["three", "two"]);
    assert_eq!((has(&keys, "one").await, has(&keys, "two").await), (Ok(false), Ok(true)));
    std::fs::write(&path, "half a").unwrap();
    assert_eq!(has(&keys, "two").await, Err(KeysError::NotKeys));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(has(&keys, "two").await, Err(gone));
}

#[tokio::test]
async fn a_clock_that_is_set_back_blocks_nothing() {
    let clock = ScriptedClock::new();
    let server = Server::with_document(&key_set(&[])).await;
    let keys = keys_at(&server, &clock);
    clock.pass(Duration::from_secs(100_000));
    assert_eq!(has(&keys, "one").await, Ok(false));
    clock.set_back(Duration::from_secs(50_000));
    server.answer_with_document(&key_set(&[IssuerKey::ed().jwk("one")]));
    assert_eq!(has(&keys, "one").await, Ok(true));
}

/// A bundle of SPIFFE holds keys for two purposes, and each is for its own.
#[test]
fn purposes_are_kept_apart() {
    let set = key_set(&[
        with(IssuerKey::ec().jwk("jwt"), "use", json!("jwt-svid")),
        with(IssuerKey::ec().jwk("x509"), "use", json!("x509-svid")),
        with(IssuerKey::ec().jwk("sig"), "use", json!("sig")),
        IssuerKey::ec().jwk("none"),
    ]);
    for (purpose, expected) in [(Purpose::Tokens, vec!["none", "sig"]), (Purpose::JwtSvids, vec!["jwt"])] {
        let mut found: Vec<String> = keys::parse(set.as_bytes(), purpose).unwrap().into_keys().collect();
        found.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn discovery_follows_the_issuers_own_metadata_alone() {
    let clock = ScriptedClock::new();
    let keys_server = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    for (metadata, expected) in [
        (json!({"issuer": "ISSUER", "jwks_uri": keys_server.location("/keys")}), Ok(true)),
        (json!({"issuer": "ISSUER/", "jwks_uri": keys_server.location("/keys")}), Err(KeysError::NotMetadata)),
        (json!({"issuer": "https://other", "jwks_uri": keys_server.location("/keys")}), Err(KeysError::NotMetadata)),
        (json!({"jwks_uri": keys_server.location("/keys")}), Err(KeysError::NotMetadata)),
        (json!({"issuer": "ISSUER"}), Err(KeysError::NotMetadata)),
        (json!({"issuer": "ISSUER", "jwks_uri": "http://keys.example/"}), Err(KeysError::NotMetadata)),
        (json!({"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}), Err(KeysError::NotMetadata)),
        (json!(["issuer"]), Err(KeysError::NotMetadata)),
    ] {
        let server = Server::with_document("{}").await;
        let issuer = server.location("");
        server.answer_with_document(&metadata.to_string().replace("ISSUER", &issuer));
        let keys = keys_of(JwksSource::discovery(&issuer).unwrap(), &clock);
        assert_eq!(has(&keys, "one").await, expected, "{metadata}");
        assert!(server.last_request().starts_with("GET /.well-known/openid-configuration "), "{metadata}");
    }
}

/// While somebody tries to refresh, logins with a known key do not wait for an issuer that is gone.
#[tokio::test]
async fn known_keys_do_not_wait_for_an_outage_that_is_tended() {
    let clock = ScriptedClock::new();
    let server = Server::with_document(&key_set(&[IssuerKey::ed().jwk("one")])).await;
    let keys = keys_at(&server, &clock);
    assert_eq!(has(&keys, "one").await, Ok(true));
    server.answer_with("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    for _ in 0..11 {
        clock.pass(FRESHNESS.refresh_after);
        let known = keys.set.load_full();
        assert_eq!(keys.refreshed(known.as_ref()).await.err(), Some(KeysError::Fetch(FetchError::Status(500))));
        let before = server.requests();
        assert_eq!(has(&keys, "one").await, Ok(true));
        assert_eq!(server.requests(), before, "a login asked the issuer itself");
    }
    let health = keys.health();
    assert_eq!((health.keys, health.failed), (1, Some(KeysError::Fetch(FetchError::Status(500)))));
    clock.pass(FRESHNESS.refresh_after + Duration::from_secs(1));
    assert!(has(&keys, "one").await.is_err(), "keys past their limit were used");
    server.answer_with_document(&key_set(&[IssuerKey::ed().jwk("one")]));
    clock.pass(FRESHNESS.floor);
    assert_eq!(has(&keys, "one").await, Ok(true));
    assert_eq!(keys.health().failed, None);
}
