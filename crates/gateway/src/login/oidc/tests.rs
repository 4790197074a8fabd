//! Tokens: the good ones, and every bad one of the hazards ID02 and ID07 to ID11.

use std::time::Duration;

use aws_lc_rs::hmac;
use kernel::trust::Evidence;
use serde_json::{Value, json};

use super::*;
use crate::login::scripted::{IssuerKey, NOW, ScriptedClock, Server, key_set};
use crate::login::trust_domains::TrustDomainSettings;
use crate::upstream::dial::Dialler;

const ISSUER: &str = "https://issuer.example";

/// A configured issuer with its server, a second one beside it, and what signs for them.
struct Bench {
    clock: Arc<ScriptedClock>,
    server: Server,
    _other_server: Server,
    issuers: Issuers,
    rsa: IssuerKey,
    ec: IssuerKey,
    ed: IssuerKey,
    others: IssuerKey,
}

fn settings(issuer: &str, server: &Server, algorithms: &[SignatureAlgorithm]) -> IssuerSettings {
    IssuerSettings {
        issuer: issuer.to_owned(),
        audience: "parapet".to_owned(),
        algorithms: algorithms.iter().copied().collect(),
        jwks: JwksSource::url(&server.location("/keys")).unwrap(),
        max_lifetime: Duration::from_secs(86_400),
        freshness: Freshness { patience: Duration::from_secs(30), ..Freshness::default() },
    }
}

impl Bench {
    async fn new() -> Self {
        use SignatureAlgorithm::{EdDsa, Es256, Ps256, Rs256};
        let (rsa, ec, ed, others) = (IssuerKey::rsa(), IssuerKey::ec(), IssuerKey::ed(), IssuerKey::ed());
        let clock = ScriptedClock::new();
        let server = Server::with_document(&key_set(&[rsa.jwk("rsa"), ec.jwk("ec"), ed.jwk("ed")])).await;
        // The other issuer has a key of the same name.
        let other_server = Server::with_document(&key_set(&[others.jwk("ed")])).await;
        let settings = vec![
            settings(ISSUER, &server, &[Rs256, Ps256, Es256, EdDsa]),
            settings("https://other.example", &other_server, &[Rs256, EdDsa]),
        ];
        let fetcher = Fetcher::new(Dialler::new(), None);
        let issuers = Issuers::new(settings, &fetcher, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        Self { clock, server, _other_server: other_server, issuers, rsa, ec, ed, others }
    }

    async fn check(&self, what: &str, token: &str, expected: &str) {
        match self.issuers.verify(token).await {
            Ok(_) => assert_eq!("accepted", expected, "{what}"),
            Err(refusal) => assert_eq!(refusal.to_string(), expected, "{what}"),
        }
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "parapet", "sub": "repo:acme/shop:ref:refs/heads/main", "iat": NOW - 10, "nbf": NOW - 10,
        "exp": NOW + 600, "repository_id": 74, "ref_protected": "true", "fork": false, "nested": {"a": "b"}, "list": ["a"],
        "nothing": null, "ratio": 0.5,
    })
}

/// `null` removes a member.
fn changed(mut object: Value, changes: Value) -> String {
    for (member, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(member)),
            value => object[member] = value.clone(),
        }
    }
    object.to_string()
}

/// Hazards ID08 and ID11 hold for a token that was shown before: only its signature is not verified again, and by the same key.
#[tokio::test]
async fn a_signature_is_verified_once_and_all_else_each_time() {
    let bench = Bench::new().await;
    let token = bench.ed.token(&header().to_string(), &claims().to_string());
    for _ in 0..3 {
        bench.check("shown again", &token, "accepted").await;
        assert_eq!(bench.issuers.verified.count(), 1);
    }
    // Another signature over what is known, and what is known by another's key.
    let (message, _) = token.rsplit_once('.').unwrap();
    let other = bench.others.token(&header().to_string(), &claims().to_string());
    let (_, foreign) = other.rsplit_once('.').unwrap();
    bench.check("another signature", &format!("{message}.{foreign}"), "its signature is wrong").await;
    assert_eq!(bench.issuers.verified.count(), 1, "a signature that is wrong is not remembered");
    // The issuer replaces the key under the same name: what the old one signed is nothing any more.
    bench.server.answer_with_document(&key_set(&[bench.others.jwk("ed")]));
    bench.clock.pass(Duration::from_secs(500));
    bench.issuers.issuers.first().unwrap().keys.load().await;
    bench.check("by a key that is gone", &token, "its signature is wrong").await;
    // Its end comes all the same.
    let bench = Bench::new().await;
    let token = bench.ed.token(&header().to_string(), &claims().to_string());
    bench.check("in time", &token, "accepted").await;
    bench.clock.pass(Duration::from_secs(601));
    match bench.issuers.verify(&token).await {
        Err(TokenRefusal::Expired { .. }) => {}
        other => panic!("{other:?}"),
    }
    // So many are remembered, and no more.
    let verified = super::verified::Verified::default();
    let key = bench.issuers.issuers.first().unwrap().keys.find("ed").await.unwrap().unwrap();
    for number in 0..10_000_u32 {
        verified.remember(super::verified::Verified::digest(&number.to_string(), ""), &key);
    }
    assert!(verified.count() <= 4096, "{}", verified.count());
    assert!(verified.knows(&super::verified::Verified::digest("9999", ""), &key));
    assert!(!verified.knows(&super::verified::Verified::digest("0", ""), &key));
}

#[tokio::test]
async fn a_good_token_proves_its_claims() {
    let bench = Bench::new().await;
    let token = bench.ed.token(&header().to_string(), &claims().to_string());
    let attestation = bench.issuers.verify(&token).await.unwrap();
    assert_eq!(*attestation.evidence(), Evidence::Oidc { issuer: ISSUER.into() });
    let flattened: Vec<(&str, &str)> =
        attestation.claims().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (issued, expires) = ((NOW - 10).to_string(), (NOW + 600).to_string());
    assert_eq!(
        flattened,
        [
            ("/list/0", "a"),
            ("/nested/a", "b"),
            ("aud", "parapet"),
            ("exp", &expires),
            ("fork", "false"),
            ("iat", &issued),
            ("iss", ISSUER),
            ("nbf", &issued),
            ("ref_protected", "true"),
            ("repository_id", "74"),
            ("sub", "repo:acme/shop:ref:refs/heads/main"),
        ]
    );
}

#[tokio::test]
async fn algorithms_and_keys() {
    let bench = Bench::new().await;
    let claims = claims().to_string();
    let (rsa, ec, ed) = (&bench.rsa, &bench.ec, &bench.ed);
    for (signer, algorithm, kid, expected) in [
        (rsa, "RS256", "rsa", "accepted"),
        (rsa, "PS256", "rsa", "accepted"),
        (ec, "ES256", "ec", "accepted"),
        (ed, "EdDSA", "ed", "accepted"),
        (&bench.others, "EdDSA", "ed", "its signature is wrong"),
        (rsa, "none", "rsa", "its `alg` is `none`, which is not accepted"),
        (rsa, "None", "rsa", "its `alg` is `None`, which is not accepted"),
        (rsa, "RS512", "rsa", "its `alg` is `RS512`, which is not accepted"),
        (rsa, "HS256", "rsa", "its `alg` is `HS256`, which is not accepted"),
        (rsa, "", "rsa", "its `alg` is ``, which is not accepted"),
        (ed, "RS256", "ed", "key `ed` of issuer `https://issuer.example` is not for Rs256"),
        (rsa, "EdDSA", "rsa", "key `rsa` of issuer `https://issuer.example` is not for EdDsa"),
        (ec, "ES256", "nobody's", "issuer `https://issuer.example` has no key `nobody's`"),
    ] {
        let header = json!({"alg": algorithm, "kid": kid}).to_string();
        bench.check(&format!("{algorithm} {kid}"), &signer.token(&header, &claims), expected).await;
    }
    // The other issuer may not use ES256, and a key of its name is another key.
    let others = changed(serde_json::from_str(&claims).unwrap(), json!({"iss": "https://other.example"}));
    let refused = "its `alg` is Es256, which issuer `https://other.example` may not use";
    bench.check("not listed", &ec.token(&json!({"alg": "ES256", "kid": "ec"}).to_string(), &others), refused).await;
    bench.check("equal kid", &ed.token(&header().to_string(), &others), "its signature is wrong").await;
    bench.check("its own", &bench.others.token(&header().to_string(), &others), "accepted").await;
}

#[tokio::test]
async fn forged_signatures() {
    let bench = Bench::new().await;
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // The public key as the secret of an HMAC, as libraries that let the token choose would check it.
    let message = format!("{}.{}", encoded(&json!({"alg": "HS256", "kid": "rsa"})), encoded(&claims()));
    let public = bench.rsa.jwk("rsa")["n"].as_str().unwrap().to_owned();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public.as_bytes()), message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    bench.check("HMAC by a public key", &token, "its `alg` is `HS256`, which is not accepted").await;

    let es = format!("{}.{}", encoded(&json!({"alg": "ES256", "kid": "ec"})), encoded(&claims()));
    let eddsa = format!("{}.{}", encoded(&header()), encoded(&claims()));
    for (what, message, signature) in [
        ("zero ECDSA signature", &es, vec![0; 64]),
        ("no ECDSA signature", &es, vec![]),
        ("short ECDSA signature", &es, vec![1; 63]),
        ("zero EdDSA signature", &eddsa, vec![0; 64]),
        ("no EdDSA signature", &eddsa, vec![]),
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        bench.check(what, &token, "its signature is wrong").await;
    }
    // The signature of one token under the claims of another.
    let good = bench.ed.token(&header().to_string(), &claims().to_string());
    let (_, signature) = good.rsplit_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(changed(claims(), json!({"repository_id": 75})));
    let token = format!("{}.{other}.{signature}", encoded(&header()));
    bench.check("other claims", &token, "its signature is wrong").await;
    // `alg: none` as it is usually tried.
    let none = format!("{}.{}.", encoded(&json!({"alg": "none"})), encoded(&claims()));
    bench.check("none", &none, "its `alg` is `none`, which is not accepted").await;
}

#[tokio::test]
async fn headers() {
    let bench = Bench::new().await;
    let claims = claims().to_string();
    for (changes, expected) in [
        (json!({"typ": null}), "accepted"),
        (json!({"typ": "jwt"}), "accepted"),
        (json!({"typ": "application/jwt"}), "accepted"),
        (json!({"typ": "JOSE"}), "accepted"),
        (json!({"x5t": "abc", "cty": "JWT"}), "accepted"),
        (json!({"typ": "at+jwt"}), "its `typ` is `at+jwt`, not `JWT`"),
        (json!({"typ": "logout+jwt"}), "its `typ` is `logout+jwt`, not `JWT`"),
        (json!({"typ": 7}), "its `typ` is `no text`, not `JWT`"),
        (json!({"crit": ["exp"]}), "its header has `crit`"),
        (json!({"crit": []}), "its header has `crit`"),
        (json!({"b64": false}), "its header has `b64`"),
        (json!({"jku": bench.server.location("/keys")}), "its header has `jku`"),
        (json!({"x5u": "https://evil.example"}), "its header has `x5u`"),
        (json!({"x5c": ["MIIB"]}), "its header has `x5c`"),
        (json!({"jwk": bench.others.jwk("ed")}), "its header has `jwk`"),
        (json!({"zip": "DEF"}), "its header has `zip`"),
        (json!({"enc": "A256GCM"}), "its header has `enc`"),
        (json!({"alg": null}), "its `alg` is ``, which is not accepted"),
        (json!({"alg": ["EdDSA"]}), "its `alg` is ``, which is not accepted"),
        (json!({"kid": null}), "its header has no `kid`"),
        (json!({"kid": 7}), "its header has no `kid`"),
        (json!({"kid": "a\u{7}b"}), "issuer `https://issuer.example` has no key `ab`"),
    ] {
        let token = bench.ed.token(&changed(header(), changes.clone()), &claims);
        bench.check(&changes.to_string(), &token, expected).await;
    }
    for text in
        [r#"{"alg":"EdDSA","alg":"EdDSA","kid":"ed"}"#, r#"{"alg":"EdDSA","kid":"x","kid":"ed"}"#, "[]", "", "{"]
    {
        let token = bench.ed.token(text, &claims);
        bench.check(text, &token, "its header is not JSON, or has a member twice").await;
    }
}

#[tokio::test]
async fn forms() {
    let bench = Bench::new().await;
    let good = bench.ed.token(&header().to_string(), &claims().to_string());
    bench.check("good", &good, "accepted").await;
    let parts: Vec<&str> = good.split('.').collect();
    let not_token = "it is not a JSON Web Token in three parts";
    for token in [
        String::new(),
        "password".to_owned(),
        "..".to_owned(),
        parts[..2].join("."),
        format!("{good}.{}", parts[2]),
        format!("{good}.a.b"),
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace('.', ". "),
        good.replacen('.', "+/.", 1),
    ] {
        let expected = if token == ".." { "its header is not JSON, or has a member twice" } else { not_token };
        bench.check(&token, &token, expected).await;
    }
    let long = changed(claims(), json!({"filler": "x".repeat(16 * 1024)}));
    bench.check("long", &bench.ed.token(&header().to_string(), &long), "it is longer than 16384 bytes").await;
}

#[tokio::test]
async fn issuers_and_audiences() {
    let bench = Bench::new().await;
    let not_ours = |found: &str| format!("its audience is {found}, not `parapet` alone");
    for (changes, expected) in [
        (json!({"aud": ["parapet"]}), "accepted".to_owned()),
        (json!({"aud": "https://github.com/acme"}), not_ours("`https://github.com/acme`")),
        (json!({"aud": "Parapet"}), not_ours("`Parapet`")),
        (json!({"aud": "parapet "}), not_ours("`parapet `")),
        (json!({"aud": ["other"]}), not_ours("`other`")),
        (json!({"aud": ["parapet", "other"]}), not_ours("a list of 2")),
        (json!({"aud": ["parapet", "parapet"]}), not_ours("a list of 2")),
        (json!({"aud": []}), not_ours("a list of 0")),
        (json!({"aud": 7}), not_ours("no text")),
        (json!({"aud": null}), not_ours("absent")),
        (
            json!({"iss": "https://issuer.example/"}),
            "its issuer `https://issuer.example/` is not configured".to_owned(),
        ),
        (json!({"iss": "https://ISSUER.example"}), "its issuer `https://ISSUER.example` is not configured".to_owned()),
        (json!({"iss": "https://evil.example"}), "its issuer `https://evil.example` is not configured".to_owned()),
        (json!({"iss": null}), "its issuer `` is not configured".to_owned()),
        (json!({"iss": [ISSUER]}), "its issuer `` is not configured".to_owned()),
    ] {
        let token = bench.ed.token(&header().to_string(), &changed(claims(), changes.clone()));
        bench.check(&changes.to_string(), &token, &expected).await;
    }
}

#[tokio::test]
async fn times() {
    let bench = Bench::new().await;
    let shown = |seconds: i64| Timestamp::from_secs(seconds).to_string();
    let (expired, early) =
        (|at| format!("it expired at {}", shown(at)), |at| format!("it is not valid before {}", shown(at)));
    let no_time = |claim: &str| format!("its `{claim}` is absent, or not a time in whole seconds");
    let too_long = "it lives for 86401 s, longer than issuer `https://issuer.example` may give".to_owned();
    for (changes, expected) in [
        (json!({"exp": NOW + 1}), "accepted".to_owned()),
        (json!({"exp": NOW}), expired(NOW)),
        (json!({"exp": NOW - 1}), expired(NOW - 1)),
        (json!({"nbf": NOW + 60}), "accepted".to_owned()),
        (json!({"nbf": NOW + 61}), early(NOW + 61)),
        (json!({"iat": NOW + 60}), "accepted".to_owned()),
        (json!({"iat": NOW + 61}), early(NOW + 61)),
        (json!({"nbf": null}), "accepted".to_owned()),
        (json!({"iat": NOW - 10, "exp": NOW - 10 + 86_400}), "accepted".to_owned()),
        (json!({"iat": NOW - 10, "exp": NOW - 10 + 86_401}), too_long),
        (json!({"iat": NOW + 30, "exp": NOW + 20}), "it ends before it was issued".to_owned()),
        (json!({"exp": null}), no_time("exp")),
        (json!({"iat": null}), no_time("iat")),
        (json!({"exp": (NOW + 600) as f64 + 0.5}), no_time("exp")),
        (json!({"exp": (NOW + 600).to_string()}), no_time("exp")),
        (json!({"exp": -1}), no_time("exp")),
        (json!({"exp": 0}), no_time("exp")),
        (json!({"exp": u64::MAX}), no_time("exp")),
        (json!({"exp": i64::MAX}), no_time("exp")),
        (json!({"exp": 253_402_300_800_i64}), no_time("exp")),
        (json!({"exp": true}), no_time("exp")),
        (json!({"exp": [NOW + 600]}), no_time("exp")),
        (json!({"nbf": "soon"}), no_time("nbf")),
        (json!({"iat": 1.5}), no_time("iat")),
    ] {
        let token = bench.ed.token(&header().to_string(), &changed(claims(), changes.clone()));
        bench.check(&changes.to_string(), &token, &expected).await;
    }
    // As the clock goes on, a token that was good ends.
    let token = bench.ed.token(&header().to_string(), &claims().to_string());
    bench.check("now", &token, "accepted").await;
    bench.clock.pass(Duration::from_secs(600));
    bench.check("later", &token, &expired(NOW + 600)).await;
}

#[tokio::test]
async fn repeated_and_broken_claims() {
    let bench = Bench::new().await;
    let good = claims().to_string();
    let open = good.strip_suffix('}').unwrap();
    for text in [
        format!("{open},\"sub\":\"repo:evil/shop\"}}"),
        format!("{open},\"exp\":{}}}", NOW + 600),
        format!("{open},\"\\u0073ub\":\"repo:evil/shop\"}}"),
        format!("{open},\"kubernetes.io\":{{\"namespace\":\"a\",\"namespace\":\"b\"}}}}"),
        format!("{good}{good}"),
        format!("[{good}]"),
        open.to_owned(),
    ] {
        let token = bench.ed.token(&header().to_string(), &text);
        bench.check(&text, &token, "its claims are not JSON, or have a member twice").await;
    }
    // An exponent makes an integer a fraction.
    let text = good.replace(&format!("\"exp\":{}", NOW + 600), "\"exp\":1.9e9");
    assert_ne!(text, good);
    let token = bench.ed.token(&header().to_string(), &text);
    bench.check("exponent", &token, "its `exp` is absent, or not a time in whole seconds").await;
}

#[tokio::test]
async fn nothing_is_fetched_for_a_stranger() {
    let bench = Bench::new().await;
    for changes in [json!({"iss": "https://evil.example"}), json!({"iss": bench.server.location("/")})] {
        let token = bench.others.token(&header().to_string(), &changed(claims(), changes));
        assert!(matches!(bench.issuers.verify(&token).await, Err(TokenRefusal::Issuer { .. })));
    }
    assert_eq!(bench.server.requests(), 0);
    // The rotation of keys, as a token sees it.
    let next = IssuerKey::ed();
    let header = json!({"alg": "EdDSA", "kid": "next"}).to_string();
    let token = next.token(&header, &claims().to_string());
    bench.check("before", &token, "issuer `https://issuer.example` has no key `next`").await;
    bench.server.answer_with_document(&key_set(&[next.jwk("next")]));
    bench.check("floor", &token, "issuer `https://issuer.example` has no key `next`").await;
    assert_eq!(bench.server.requests(), 1);
    bench.clock.pass(Duration::from_secs(10));
    bench.check("after", &token, "accepted").await;
    assert_eq!(bench.server.requests(), 2);
}

#[tokio::test]
async fn an_issuer_whose_keys_cannot_be_had() {
    let bench = Bench::new().await;
    bench.server.answer_with("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
    let token = bench.ed.token(&header().to_string(), &claims().to_string());
    let expected = "issuer `https://issuer.example`: its keys cannot be fetched: the answer has status 302; redirects are \
                    not followed";
    bench.check("redirect", &token, expected).await;
}

#[tokio::test]
async fn settings_that_let_in_too_much() {
    let server = Server::with_document("").await;
    let good = settings(ISSUER, &server, &[SignatureAlgorithm::Rs256]);
    let clock: Arc<dyn Clock> = ScriptedClock::new();
    let fetcher = Fetcher::new(Dialler::new(), None);
    for (settings, expected) in [
        (vec![IssuerSettings { audience: String::new(), ..good.clone() }], IssuersError::NoAudience(ISSUER.to_owned())),
        (vec![IssuerSettings { issuer: String::new(), ..good.clone() }], IssuersError::NoIssuer),
        (
            vec![IssuerSettings { algorithms: BTreeSet::new(), ..good.clone() }],
            IssuersError::NoAlgorithm(ISSUER.to_owned()),
        ),
        (vec![good.clone(), good.clone()], IssuersError::Repeated(ISSUER.to_owned())),
    ] {
        let Err(error) = Issuers::new(settings, &fetcher, Arc::clone(&clock)) else { panic!("accepted") };
        assert_eq!(error, expected);
    }
    // Neither claims nor keys are shown.
    let issuers = Issuers::new(vec![good], &fetcher, clock).unwrap();
    assert!(format!("{issuers:?}").starts_with("Issuers { issuers: [Issuer { name: \"https://issuer.example\""));
}

/// A token that is bound to a certificate counts beside that certificate alone (hazard ID01; RFC 8705, section 3).
#[tokio::test]
async fn bound_tokens_need_their_certificate() {
    let bench = Bench::new().await;
    let (own, other) = (CertificateDer::from(vec![1; 64]), CertificateDer::from(vec![2; 64]));
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, &own));
    let not_shown = "it is bound to a certificate (`cnf`) that this connection does not show";
    let other_way =
        "it is bound (`cnf`) in another way than by a certificate, which cannot be proved on this connection";
    for (cnf, certificate, expected) in [
        (json!({"x5t#S256": thumbprint}), Some(&own), "Bound"),
        (json!(null), Some(&own), "Bearer"),
        (json!({"x5t#S256": thumbprint}), Some(&other), not_shown),
        (json!({"x5t#S256": thumbprint}), None, not_shown),
        (json!({"x5t#S256": thumbprint.to_lowercase()}), Some(&own), not_shown),
        (json!({"x5t#S256": ""}), Some(&own), not_shown),
        (json!({"jkt": thumbprint}), Some(&own), other_way),
        (json!({"x5t#S256": thumbprint, "jkt": "x"}), Some(&own), other_way),
        (json!({"x5t#S256": [thumbprint]}), Some(&own), other_way),
        (json!({}), Some(&own), other_way),
        (json!("x5t"), Some(&own), other_way),
        (json!(false), Some(&own), other_way),
    ] {
        let token = bench.ed.token(&header().to_string(), &changed(claims(), json!({"cnf": cnf})));
        let found = match bench.issuers.verify_beside(&token, certificate).await {
            Ok(attestation) => format!("{:?}", attestation.sender()),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(found, expected, "{cnf}");
    }
}

/// JWT-SVIDs: the subject's own trust domain vouches, and no other (hazard ID13).
#[tokio::test]
async fn svids_are_vouched_for_by_their_own_domain() {
    let (one, two) = (IssuerKey::ec(), IssuerKey::ec());
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let authority = base64::engine::general_purpose::STANDARD.encode(authority.der());
    let bundle = |key: &IssuerKey, purpose: &str| {
        let mut jwk = key.jwk("k");
        jwk["use"] = json!(purpose);
        jwk["x5c"] = json!([authority]);
        key_set(&[jwk])
    };
    let servers = [
        Server::with_document(&bundle(&one, "jwt-svid")).await,
        Server::with_document(&bundle(&two, "jwt-svid")).await,
        Server::with_document(&bundle(&one, "x509-svid")).await,
    ];
    let domains = ["one.example", "two.example", "three.example"].into_iter().zip(&servers).map(|(name, server)| {
        TrustDomainSettings {
            trust_domain: name.to_owned(),
            audience: Some("parapet".to_owned()),
            bundle: JwksSource::url(&server.location("/bundle")).unwrap(),
            max_lifetime: Duration::from_secs(3600),
            freshness: Freshness::default(),
            endpoint: None,
        }
    });
    let clock = ScriptedClock::new();
    let fetcher = Fetcher::new(Dialler::new(), None);
    let issuers = Issuers::new(Vec::new(), &fetcher, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let domains = TrustDomains::new(domains.collect(), &fetcher, clock).unwrap();
    let issuers = issuers.with_trust_domains(Arc::new(domains)).unwrap();
    let svid = || json!({"sub": "spiffe://one.example/ns/a", "aud": ["parapet"], "exp": NOW + 600});
    let no_issuer = "its issuer `` is not configured";
    let no_key = "issuer `spiffe://three.example` has no key `k`";
    for (key, changes, expected) in [
        (&one, json!({}), "spiffe://one.example"),
        (&one, json!({"iat": NOW - 10}), "spiffe://one.example"),
        (&two, json!({"sub": "spiffe://two.example/ns/a"}), "spiffe://two.example"),
        // A's key signs B's id, and an authority's key signs a token.
        (&one, json!({"sub": "spiffe://two.example/ns/a"}), "its signature is wrong"),
        (&one, json!({"sub": "spiffe://three.example/ns/a"}), no_key),
        (&one, json!({"sub": "spiffe://four.example/ns/a"}), no_issuer),
        (&one, json!({"sub": "spiffe://one.example"}), no_issuer),
        (&one, json!({"sub": "spiffe://one.example/a/../b"}), no_issuer),
        (&one, json!({"sub": "spiffe://ONE.example/a"}), no_issuer),
        (&one, json!({"sub": null}), no_issuer),
        (&one, json!({"iss": "spiffe://one.example"}), "its issuer `spiffe://one.example` is not configured"),
        (&one, json!({"aud": ["other"]}), "its audience is `other`, not `parapet` alone"),
        (&one, json!({"aud": null}), "its audience is absent, not `parapet` alone"),
        (&one, json!({"exp": null}), "its `exp` is absent, or not a time in whole seconds"),
        (&one, json!({"exp": NOW + 3601}), "it lives for 3601 s, longer than issuer `spiffe://one.example` may give"),
    ] {
        let token = key.token(&json!({"alg": "ES256", "kid": "k"}).to_string(), &changed(svid(), changes.clone()));
        let found = match issuers.verify(&token).await {
            Ok(attestation) => attestation.evidence().issuer().to_owned(),
            Err(refusal) => refusal.to_string(),
        };
        assert_eq!(found, expected, "{changes}");
    }
}
