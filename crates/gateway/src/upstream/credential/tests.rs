//! What each kind of credential adds, to which requests, and that nothing of it is told.

use std::time::Duration;

use hyper::Request;

use super::*;
use crate::login::scripted::{ScriptedClock, Server};
use crate::upstream::dial::Dialler;

const CANARY: &str = "canary-7c1f9";
const ORIGIN: &str = "https://api.example";

/// A file with a secret, in a folder of its own that goes with it.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parapet-credential-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn source(&self) -> SecretSource {
        SecretSource::File(self.0.clone())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn credential(origin: &str, kind: Kind, clock: &Arc<ScriptedClock>) -> Credential {
    let clock: Arc<dyn Clock> = Arc::<ScriptedClock>::clone(clock);
    Credential::new(origin.parse().unwrap(), kind, clock, Fetcher::new(Dialler::new(), None)).unwrap()
}

fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn what_each_kind_adds() {
    let file = SecretFile::new("kinds", CANARY);
    let clock = ScriptedClock::new();
    let api_key = HeaderName::from_static("x-api-key");
    let header = |name: &HeaderName, parts: &Parts| {
        parts.headers.get(name).map(|value| (value.to_str().unwrap().to_owned(), value.is_sensitive()))
    };
    for (kind, name, expected) in [
        (Kind::Bearer(file.source()), AUTHORIZATION, "Bearer canary-7c1f9"),
        (
            Kind::Basic { user: "job".to_owned(), password: file.source() },
            AUTHORIZATION,
            "Basic am9iOmNhbmFyeS03YzFmOQ==",
        ),
        (Kind::Header { name: api_key.clone(), value: file.source() }, api_key.clone(), CANARY),
    ] {
        let credential = credential(ORIGIN, kind, &clock);
        let theirs = [
            ("host", "api.example"),
            ("authorization", "theirs"),
            ("x-api-key", "theirs"),
            ("x-api-key", "theirs again"),
            ("proxy-authorization", "theirs"),
        ];
        let mut parts = parts("/v1?a=b", &theirs);
        credential.apply(&mut parts, None).await.unwrap();
        assert_eq!(header(&name, &parts), Some((expected.to_owned(), true)));
        assert_eq!(parts.headers.get_all(&name).iter().count(), 1);
        assert!(!parts.headers.contains_key(PROXY_AUTHORIZATION));
        assert_eq!(parts.headers.contains_key(AUTHORIZATION), name == AUTHORIZATION);
        let shown = format!("{credential:?} {:?}", parts.headers);
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(!credential.needs_body_digest());
    }
}

#[tokio::test]
async fn a_query_parameter_replaces_the_callers() {
    let file = SecretFile::new("query", "a b&c");
    let clock = ScriptedClock::new();
    let kind = Kind::Query { name: "api_key".to_owned(), value: file.source() };
    let credential = credential(ORIGIN, kind, &clock);
    for (uri, expected) in [
        ("/v1", "/v1?api_key=a%20b%26c"),
        ("/v1?x=1", "/v1?x=1&api_key=a%20b%26c"),
        ("/v1?api_key=theirs&x=1", "/v1?x=1&api_key=a%20b%26c"),
        ("/v1?api%5Fkey=theirs&x&api_key", "/v1?x&api_key=a%20b%26c"),
        ("https://api.example/v1?x=1", "https://api.example/v1?x=1&api_key=a%20b%26c"),
    ] {
        let mut parts = parts(uri, &[("host", "api.example")]);
        credential.apply(&mut parts, None).await.unwrap();
        assert_eq!(parts.uri.to_string(), expected, "{uri}");
    }
    assert_eq!(credential.query_parameter(), Some("api_key"));
}

#[tokio::test]
async fn ht13_answers_do_not_repeat_what_was_added() {
    let file = SecretFile::new("echo", CANARY);
    let clock = ScriptedClock::new();
    for kind in [
        Kind::Bearer(file.source()),
        Kind::Basic { user: "job".to_owned(), password: file.source() },
        Kind::Query { name: "key".to_owned(), value: file.source() },
    ] {
        let credential = credential(ORIGIN, kind, &clock);
        let mut parts = parts("/v1", &[("host", "api.example")]);
        credential.apply(&mut parts, None).await.unwrap();
        let added = parts
            .headers
            .get(AUTHORIZATION)
            .map_or_else(|| parts.uri.to_string(), |added| added.to_str().unwrap().to_owned());
        let mut answer = HeaderMap::new();
        answer.insert("x-seen", HeaderValue::from_str(&added).unwrap());
        answer.insert("location", HeaderValue::from_str(&format!("https://elsewhere.example/?k={CANARY}")).unwrap());
        answer.insert("x-other", HeaderValue::from_static("canary"));
        assert_eq!(credential.take_out_of(&mut answer), 2, "{added}");
        assert!(answer.contains_key("x-other"));
    }
}

/// What of an answer's body is overwritten, for each kind. What is not sent is not sought.
#[tokio::test]
async fn ht13_bodies_do_not_repeat_what_was_added() {
    const CARRIED: &str = "token 7c1f9+c/1 am9iOnRva2VuIDdjMWY5K2MvMQ== token%207c1f9%2Bc%2F1";
    let file = SecretFile::new("bodies", "token 7c1f9+c/1");
    let clock = ScriptedClock::new();
    let key = |session_token| {
        Kind::SigV4(AccessKey {
            id: "id".to_owned(),
            secret: file.source(),
            session_token,
            region: "region".to_owned(),
            service: "s3".to_owned(),
        })
    };
    let stars = |from: usize| "*".repeat(from);
    let escaped = format!("{} am9iOnRva2VuIDdjMWY5K2MvMQ== {}", stars(15), stars(21));
    for (kind, expected) in [
        (Kind::Bearer(file.source()), Some(escaped.clone())),
        (
            Kind::Basic { user: "job".to_owned(), password: file.source() },
            Some(format!("{} {}== {}", stars(15), stars(26), stars(21))),
        ),
        (Kind::Query { name: "key".to_owned(), value: file.source() }, Some(escaped.clone())),
        (Kind::Header { name: HeaderName::from_static("x-key"), value: file.source() }, Some(escaped.clone())),
        (key(Some(file.source())), Some(escaped.clone())),
        (key(None), None),
    ] {
        let is_sought = expected.is_some();
        let credential = credential(ORIGIN, kind, &clock);
        assert!(credential.search().is_none(), "nothing was sent yet");
        credential.apply(&mut parts("/v1", &[("host", "api.example")]), None).await.unwrap();
        let overwritten = credential.search().map(|mut search| {
            let mut text = search.pass(bytes::Bytes::from(CARRIED)).to_vec();
            text.extend(search.finish(bytes::Bytes::new()));
            String::from_utf8(text).unwrap()
        });
        assert_eq!(overwritten, expected, "{credential:?}");
        assert_eq!(credential.may_come_back(), is_sought, "{credential:?}");
    }
}

/// Of a header, also what an API may take out of it.
#[tokio::test]
async fn ht13_bodies_do_not_repeat_parts_of_a_header_that_are_keys() {
    let clock = ScriptedClock::new();
    for (name, value, said, left) in [
        ("authorization", "token 7c1f9+c/1", "you: 7c1f9+c/1", "you: *********"),
        (
            "authorization",
            "Key id=7, token=\"c4n4ryc4n4ryc4n4ry\"",
            "id=7 (c4n4ryc4n4ryc4n4ry)",
            "id=7 (******************)",
        ),
        (
            "cookie",
            "tenant=acme-corporation; session=c4n4ry/c4n4ry/c4n4ry==",
            r#"{"tenant":"acme-corporation","session":"c4n4ry\/c4n4ry\/c4n4ry=="}"#,
            r#"{"tenant":"acme-corporation","session":"**********************=="}"#,
        ),
    ] {
        let file = SecretFile::new("parts", value);
        let header = Kind::Header { name: HeaderName::from_static(name), value: file.source() };
        let credential = credential(ORIGIN, header, &clock);
        credential.apply(&mut parts("/v1", &[("host", "api.example")]), None).await.unwrap();
        assert_eq!(credential.search().unwrap().finish(bytes::Bytes::from(said)), left);
    }
}

#[tokio::test]
async fn ht13_answers_do_not_repeat_what_is_held_no_longer() {
    let file = SecretFile::new("rotated", CANARY);
    let clock = ScriptedClock::new();
    let credential = credential(ORIGIN, Kind::Bearer(file.source()), &clock);
    let echo = |secret: &str| {
        let mut answer = HeaderMap::new();
        answer.insert("x-seen", HeaderValue::from_str(&format!("Bearer {secret}")).unwrap());
        credential.take_out_of(&mut answer)
    };
    assert_eq!(echo(CANARY), 0);
    credential.apply(&mut parts("/v1", &[("host", "api.example")]), None).await.unwrap();
    // Another request was refused while this one was on its way.
    credential.rejected();
    assert_eq!(echo(CANARY), 1);
    for rotation in 1..=SHOWN {
        let next = format!("{CANARY}-{rotation}");
        std::fs::write(&file.0, &next).unwrap();
        credential.rejected();
        // Read again and again, it is one secret.
        for _ in 0..3 {
            credential.apply(&mut parts("/v1", &[("host", "api.example")]), None).await.unwrap();
            clock.pass(Duration::from_secs(30));
        }
        assert_eq!((echo(&next), echo(&format!("{CANARY}-1"))), (1, 1), "{rotation}");
    }
}

#[tokio::test]
async fn ht13_a_credential_goes_to_its_own_origin_only() {
    let file = SecretFile::new("origin", CANARY);
    let clock = ScriptedClock::new();
    let credential = credential(ORIGIN, Kind::Bearer(file.source()), &clock);
    for (uri, hosts, expected) in [
        ("/v1", &["api.example"][..], true),
        ("/v1", &["API.example:443"], true),
        ("https://api.example/v1", &[], true),
        ("https://api.example:443/v1", &["api.example"], true),
        ("/v1", &[], false),
        ("/v1", &["evil.example"], false),
        ("/v1", &["api.example:8443"], false),
        ("/v1", &["api.example", "evil.example"], false),
        ("/v1", &["evil.example@api.example"], false),
        ("http://api.example/v1", &["api.example"], false),
        ("https://evil.example/v1", &["api.example"], false),
        ("https://api.example/v1", &["evil.example"], false),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let mut parts = parts(uri, &headers);
        let result = credential.apply(&mut parts, None).await;
        let foreign = Err(CredentialError::ForeignOrigin);
        assert_eq!(result, if expected { Ok(()) } else { foreign }, "{uri} {hosts:?}");
        assert_eq!(parts.headers.contains_key(AUTHORIZATION), expected);
    }
}

#[test]
fn what_cannot_be_a_credential() {
    let source = || SecretSource::Environment("NONE".to_owned());
    let header = |name: &'static str| Kind::Header { name: HeaderName::from_static(name), value: source() };
    let query = |name: &str| Kind::Query { name: name.to_owned(), value: source() };
    let mtls = || Kind::Mtls { certificate: PathBuf::from("c.pem"), key: source() };
    let clear = "http://api.example";
    for (origin, kind, expected) in [
        (ORIGIN, Kind::Bearer(source()), None),
        ("http://127.0.0.1:80", Kind::Bearer(source()), None),
        (clear, Kind::Bearer(source()), Some(InvalidCredential::Clear(clear.parse().unwrap()))),
        (ORIGIN, header("x-key"), None),
        (ORIGIN, header("host"), Some(InvalidCredential::Reserved(HOST))),
        (ORIGIN, query("key"), None),
        (ORIGIN, query("a&b"), Some(InvalidCredential::ParameterName("a&b".to_owned()))),
        (ORIGIN, query(""), Some(InvalidCredential::ParameterName(String::new()))),
        (ORIGIN, mtls(), None),
        ("http://127.0.0.1", mtls(), Some(InvalidCredential::CertificateInClear)),
        (ORIGIN, Kind::Basic { user: "a:b".to_owned(), password: source() }, Some(InvalidCredential::User)),
    ] {
        let shown = format!("{origin} {kind:?}");
        let fetcher = Fetcher::new(Dialler::new(), None);
        let made = Credential::new(origin.parse().unwrap(), kind, ScriptedClock::new(), fetcher);
        assert_eq!(made.err(), expected, "{shown}");
    }
}

#[tokio::test]
async fn a_rotated_secret_takes_effect() {
    let file = SecretFile::new("rotated", "first");
    let clock = ScriptedClock::new();
    let credential = credential(ORIGIN, Kind::Bearer(file.source()), &clock);
    let mut seen = Vec::new();
    let mut see = async || {
        let mut parts = parts("/", &[("host", "api.example")]);
        credential.apply(&mut parts, None).await.unwrap();
        seen.push(parts.headers.get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned());
    };
    see().await;
    std::fs::write(&file.0, "second").unwrap();
    see().await;
    credential.rejected();
    see().await;
    std::fs::write(&file.0, "third").unwrap();
    clock.pass(Duration::from_secs(10));
    see().await;
    // The clock is set back: what was read is not kept for as long.
    std::fs::write(&file.0, "fourth").unwrap();
    clock.set_back(Duration::from_secs(3600));
    see().await;
    assert_eq!(seen, ["Bearer first", "Bearer first", "Bearer second", "Bearer third", "Bearer fourth"]);
}

#[tokio::test]
async fn a_secret_that_no_header_can_carry_is_not_told() {
    let file = SecretFile::new("characters", "canary-7c1f9\nX-Injected: 1");
    let clock = ScriptedClock::new();
    let credential = credential(ORIGIN, Kind::Bearer(file.source()), &clock);
    let mut parts = parts("/", &[("host", "api.example")]);
    let error = credential.apply(&mut parts, None).await.unwrap_err();
    assert_eq!(error, CredentialError::Characters);
    assert!(!format!("{error} {error:?}").contains(CANARY));
}

fn token(name: &str, life: u64) -> String {
    format!(r#"{{"access_token":"{name}","token_type":"bearer","expires_in":{life},"scope":"x"}}"#)
}

fn client_credentials(server: &Server, secret: &SecretFile) -> Kind {
    Kind::OAuth2(ClientCredentials {
        token_url: server.location("/token").parse().unwrap(),
        client_id: "job 1".to_owned(),
        client_secret: secret.source(),
        scope: Some("read write".to_owned()),
        audience: None,
    })
}

async fn authorization(credential: &Credential) -> Result<String, CredentialError> {
    let mut parts = parts("/", &[("host", "api.example")]);
    credential.apply(&mut parts, None).await?;
    Ok(parts.headers.get(AUTHORIZATION).unwrap().to_str().unwrap().to_owned())
}

#[tokio::test]
async fn access_tokens_are_fetched_once_and_renewed_ahead() {
    let server = Server::with_document(&token("one", 100)).await;
    let file = SecretFile::new("oauth", "s:e/cret");
    let clock = ScriptedClock::new();
    let credential = Arc::new(credential(ORIGIN, client_credentials(&server, &file), &clock));
    let many = (0..20).map(|_| {
        let credential = Arc::clone(&credential);
        async move { authorization(&credential).await.unwrap() }
    });
    let all = join_all(many).await;
    assert!(all.iter().all(|one| one == "Bearer one"), "{all:?}");
    assert_eq!(server.requests(), 1, "one flight for all");
    let request = server.last_request().to_ascii_lowercase();
    assert!(request.contains("authorization: basic am9ijtiwmtpzjtnbzsuyrmnyzxq="), "{request}");
    server.answer_with_document(&token("two", 100));
    clock.pass(Duration::from_secs(79));
    assert_eq!(authorization(&credential).await.unwrap(), "Bearer one");
    clock.pass(Duration::from_secs(2));
    assert_eq!(authorization(&credential).await.unwrap(), "Bearer two", "ahead of the end");
    // The endpoint fails: the token serves while it is good, and the endpoint is not asked by every request.
    server.answer_with("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    clock.pass(Duration::from_secs(81));
    let before = server.requests();
    assert_eq!(authorization(&credential).await.unwrap(), "Bearer two");
    assert_eq!(authorization(&credential).await.unwrap(), "Bearer two");
    assert_eq!(server.requests(), before + 1);
    clock.pass(Duration::from_secs(20));
    assert_eq!(authorization(&credential).await, Err(CredentialError::TokenRefused(500)));
}

/// Polls all of them together, without a crate for it.
async fn join_all<Work: Future<Output = String>>(work: impl Iterator<Item = Work>) -> Vec<String> {
    let mut work: Vec<_> = work.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        for (one, done) in &mut work {
            if done.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if work.iter().all(|(_, done)| done.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    work.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn answers_that_are_no_token() {
    let file = SecretFile::new("answers", CANARY);
    for (document, expected) in [
        ("{}", CredentialError::TokenMalformed),
        (r#"{"access_token":"canary-7c1f9","token_type":"mac","expires_in":9}"#, CredentialError::TokenMalformed),
        (r#"{"access_token":"","token_type":"bearer"}"#, CredentialError::TokenMalformed),
        (r#"{"access_token":"a b","token_type":"Bearer"}"#, CredentialError::TokenMalformed),
        (r#"{"access_token":"a\r\nX: 1","token_type":"Bearer"}"#, CredentialError::TokenMalformed),
    ] {
        let server = Server::with_document(document).await;
        let credential = credential(ORIGIN, client_credentials(&server, &file), &ScriptedClock::new());
        let error = authorization(&credential).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY));
        assert_eq!(error, expected, "{document}");
    }
}

#[tokio::test]
async fn signatures_cover_bodies() {
    let file = SecretFile::new("sigv4", CANARY);
    let key = |service: &str| {
        Kind::SigV4(AccessKey {
            id: "AKID".to_owned(),
            secret: file.source(),
            session_token: None,
            region: "eu-central-1".to_owned(),
            service: service.to_owned(),
        })
    };
    let clock = ScriptedClock::new();
    for (service, digest, expected) in
        [("s3", None, Ok(())), ("sqs", None, Err(CredentialError::BodyUnread)), ("sqs", Some([7; 32]), Ok(()))]
    {
        let credential = credential(ORIGIN, key(service), &clock);
        assert_eq!(credential.needs_body_digest(), service == "sqs");
        let mut parts = parts("/", &[("host", "api.example")]);
        assert_eq!(credential.apply(&mut parts, digest).await, expected, "{service}");
        assert!(!format!("{:?}", parts.headers).contains("AKID"));
    }
}

#[tokio::test]
async fn client_certificates_are_for_the_handshake() {
    let made = rcgen::generate_simple_self_signed(["gateway".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap();
    let certificate = SecretFile::new("certificate", &made.cert.pem());
    let authority = crate::tls::certificates(made.cert.pem().as_bytes()).unwrap();
    let base = UpstreamTls::with_authorities(authority).unwrap();
    for (name, key, expected) in [
        ("right", made.signing_key.serialize_pem(), None),
        ("wrong", other.signing_key.serialize_pem(), Some(CredentialError::Certificate(TlsError::OtherKey))),
        ("none", "no key".to_owned(), Some(CredentialError::Certificate(TlsError::NoKey))),
    ] {
        let key = SecretFile::new(&format!("key-{name}"), &key);
        let kind = Kind::Mtls { certificate: certificate.0.clone(), key: key.source() };
        let credential = credential(ORIGIN, kind, &ScriptedClock::new());
        assert_eq!(credential.tls(&base).await.err(), expected, "{name}");
        let mut parts = parts("/", &[("host", "api.example"), ("authorization", "theirs")]);
        credential.apply(&mut parts, None).await.unwrap();
        assert!(!parts.headers.contains_key(AUTHORIZATION));
    }
}
