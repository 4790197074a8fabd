//! Which security event tokens are taken, and as what. Hostile ones against the whole gateway: tests/it/identity/signals.rs.

use serde_json::{Value, json};

use super::*;
use crate::login::scripted::{IssuerKey, NOW, ScriptedClock, Server, key_set};
use crate::upstream::dial::Dialler;

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "https://parapet.example";
const HEADER: &str = r#"{"alg":"RS256","typ":"secevent+jwt","kid":"k"}"#;

struct Bed {
    key: IssuerKey,
    streams: Streams,
    _server: Server,
}

async fn bed() -> Bed {
    let key = IssuerKey::rsa();
    let server = Server::with_document(&key_set(&[key.jwk("k")])).await;
    let settings = StreamSettings {
        name: "idp".parse().unwrap(),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        jwks: JwksSource::url(&server.location("/keys")).unwrap(),
        critical: ["tenant".to_owned()].into(),
        oldest: Duration::from_secs(7 * 86_400),
    };
    let streams = Streams::new(vec![settings], &Fetcher::new(Dialler::new(), None), ScriptedClock::new());
    Bed { key, streams, _server: server }
}

fn claims(event: &str, payload: &Value, subject: &Value) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "jti": "1", "sub_id": subject, "events": {event: payload}})
}

impl Bed {
    async fn verify(&self, claims: &Value) -> Result<SecurityEvent, SetRefusal> {
        self.streams.verify(&"idp".parse().unwrap(), &self.key.token(HEADER, &claims.to_string())).await
    }
}

#[tokio::test]
async fn events_are_taken_as_what_they_are() {
    let bed = bed().await;
    let opaque = json!({"format": "opaque", "id": "bot-1"});
    let taken = |uri: String, payload: Value| claims(&uri, &payload, &opaque);
    let caep = |name: &str, payload: Value| taken(format!("{CAEP}{name}"), payload);
    for (set, expected) in [
        (caep("session-revoked", json!({"event_timestamp": NOW})), Kind::SessionRevoked),
        (caep("credential-change", json!({"change_type": "revoke"})), Kind::CredentialChange { ends: true }),
        (caep("credential-change", json!({"change_type": "delete"})), Kind::CredentialChange { ends: true }),
        (caep("credential-change", json!({"change_type": "create"})), Kind::CredentialChange { ends: false }),
        (caep("risk-level-change", json!({"current_level": "HIGH"})), Kind::RiskLevelChange { level: Level::High }),
        (
            caep("risk-level-change", json!({"current_level": "HIGH", "principal": "TENANT"})),
            Kind::Other("risk-level-change of a group".into()),
        ),
        (caep("assurance-level-change", json!({})), Kind::AssuranceLevelChange { decreased: true }),
        (
            caep("assurance-level-change", json!({"change_direction": "increase"})),
            Kind::AssuranceLevelChange { decreased: false },
        ),
        (caep("device-compliance-change", json!({})), Kind::DeviceComplianceChange { compliant: false }),
        (caep("token-claims-change", json!({"claims": {}})), Kind::TokenClaimsChange),
        (caep("something-new", json!({})), Kind::Other("something-new".into())),
        (taken(format!("{RISC}account-disabled"), json!({})), Kind::AccountDisabled),
        (taken(format!("{SSF}verification"), json!({"state": "s"})), Kind::Verification { state: Some("s".into()) }),
        (taken("https://else.example/event".to_owned(), json!({})), Kind::Other("https://else.example/event".into())),
    ] {
        let event = bed.verify(&set).await.unwrap();
        assert_eq!((&event.kind, &*event.id, &*event.issuer), (&expected, "1", ISSUER), "{set}");
        assert_eq!(event.subject.is_none(), event.kind.is_of_stream(), "{set}");
    }
    for (name, payload) in [
        ("credential-change", json!({})),
        ("credential-change", json!({"change_type": "REVOKE"})),
        ("risk-level-change", json!({"current_level": "high"})),
    ] {
        let refused = bed.verify(&caep(name, payload.clone())).await.unwrap_err();
        assert_eq!(refused.code(), Some("invalid_request"), "{name} {payload}");
    }
}

#[tokio::test]
async fn subjects_are_read_or_set_aside() {
    let bed = bed().await;
    let other = |format: &str| Some(Subject::Other(format.into()));
    for (subject, expected) in [
        (
            json!({"format": "iss_sub", "iss": ISSUER, "sub": "s"}),
            Some(Subject::IssuerSubject { issuer: ISSUER.into(), subject: "s".into() }),
        ),
        (json!({"format": "email", "email": "a@example.com"}), Some(Subject::Email("a@example.com".into()))),
        (json!({"format": "opaque", "id": "i", "more": 1}), Some(Subject::Opaque("i".into()))),
        (json!({"format": "opaque", "id": "i", "tenant": {}}), other("with a critical member")),
        (json!({"format": "phone_number", "phone_number": "+1"}), other("phone_number")),
        (json!({"user": {"format": "opaque", "id": "i"}}), other("without a format")),
        (json!({"format": "opaque"}), None),
        (json!({"format": "opaque", "id": ""}), None),
        (json!({"format": "iss_sub", "iss": ISSUER}), None),
        (json!("bot-1"), None),
    ] {
        let set = claims(&format!("{CAEP}session-revoked"), &json!({}), &subject);
        let found = bed.verify(&set).await;
        assert_eq!(found.as_ref().ok().and_then(|event| event.subject.clone()), expected, "{subject}: {found:?}");
    }
}

#[tokio::test]
async fn what_is_not_the_profile_is_refused() {
    let bed = bed().await;
    let name = "idp".parse().unwrap();
    let good = claims(&format!("{CAEP}session-revoked"), &json!({}), &json!({"format": "opaque", "id": "i"}));
    let text = good.to_string();
    let (rsa, ec) = (IssuerKey::rsa(), IssuerKey::ec());
    let header = |change: &str| HEADER.replace("\"RS256\"", change);
    for (what, set, code) in [
        ("another's key", rsa.token(HEADER, &text), "invalid_key"),
        ("another algorithm", ec.token(&header("\"ES256\""), &text), "invalid_key"),
        ("PS256", bed.key.token(&header("\"PS256\""), &text), "invalid_key"),
        ("none", bed.key.token(&header("\"none\""), &text), "invalid_key"),
        ("typ", bed.key.token(&HEADER.replace("secevent+jwt", "at+jwt"), &text), "invalid_request"),
        ("no typ", bed.key.token(r#"{"alg":"RS256","kid":"k"}"#, &text), "invalid_request"),
        ("no kid", bed.key.token(r#"{"alg":"RS256","typ":"secevent+jwt"}"#, &text), "invalid_key"),
        ("twice", bed.key.token(HEADER, &text.replacen('{', "{\"jti\":\"2\",", 1)), "invalid_request"),
        ("long", "x".repeat(LONGEST_SET + 1), "invalid_request"),
        ("five parts", format!("{}.a.b", bed.key.token(HEADER, &text)), "invalid_request"),
    ] {
        let refused = bed.streams.verify(&name, &set).await.unwrap_err();
        assert_eq!(refused.code(), Some(code), "{what}: {refused}");
    }
    assert_eq!(bed.streams.verify(&"other".parse().unwrap(), &text).await.unwrap_err(), SetRefusal::NoStream);
}

#[test]
fn a_transmitter_says_where_its_keys_are() {
    for (issuer, expected) in [
        ("https://tr.example", "https://tr.example/.well-known/ssf-configuration"),
        ("https://tr.example/", "https://tr.example/.well-known/ssf-configuration"),
        ("https://tr.example:8443/a/b", "https://tr.example:8443/.well-known/ssf-configuration/a/b"),
    ] {
        let metadata = expected.parse().unwrap();
        assert_eq!(discovery(issuer), Ok(JwksSource::Discovery { issuer: issuer.to_owned(), metadata }), "{issuer}");
    }
    assert!(discovery("tr.example").is_err() && discovery("http://tr.example").is_err());
}
