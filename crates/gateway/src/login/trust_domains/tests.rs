//! X.509-SVIDs: whose bundle vouches, and the matrix of bad certificates (hazard ID13). The scripted clock stands at
//! 2027-01-15.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::trust::Evidence;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use serde_json::{Value, json};

use super::*;
use crate::login::jwks::KeysError;
use crate::login::scripted::{ScriptedClock, Server};
use crate::upstream::dial::Dialler;

type Chain = Vec<CertificateDer<'static>>;
type Issuer = CertifiedIssuer<'static, KeyPair>;

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn authority() -> Issuer {
    CertifiedIssuer::self_signed(authority_params(), KeyPair::generate().unwrap()).unwrap()
}

fn below(authority: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(authority_params(), KeyPair::generate().unwrap(), authority).unwrap()
}

fn leaf(authority: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2027, 1, 14);
    params.not_after = date_time_ymd(2027, 1, 16);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![uri("spiffe://one.example/a")];
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap().der().clone()
}

fn bundle(authorities: &[&Issuer], sequence: u64) -> String {
    let keys: Vec<Value> = authorities
        .iter()
        .map(|authority| json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(authority.der())]}))
        .collect();
    json!({"keys": keys, "spiffe_sequence": sequence}).to_string()
}

fn settings(name: &str, server: &Server) -> TrustDomainSettings {
    TrustDomainSettings {
        trust_domain: name.to_owned(),
        audience: None,
        bundle: JwksSource::url(&server.location("/bundle")).unwrap(),
        max_lifetime: Duration::from_secs(3600),
        freshness: Freshness::default(),
        endpoint: None,
    }
}

fn domains(settings: Vec<TrustDomainSettings>, clock: &Arc<ScriptedClock>) -> TrustDomains {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    TrustDomains::new(settings, &Fetcher::new(Dialler::new(), None), clock).unwrap()
}

fn said(domains: &TrustDomains, chain: &Chain) -> String {
    match domains.attest(chain) {
        Ok(attestation) => {
            let sub = attestation.claims().get("sub").cloned().unwrap_or_default();
            format!("{} by {}", sub, attestation.evidence().issuer())
        }
        Err(refusal) => refusal.to_string(),
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a matrix, a certificate a line or more")]
async fn each_domain_vouches_for_its_own_ids_alone() {
    let (one, two) = (authority(), authority());
    let servers = [
        Server::with_document(&bundle(&[&one], 1)).await,
        Server::with_document(&bundle(&[&two], 1)).await,
        Server::with_document(&bundle(&[], 1)).await,
    ];
    let names = ["one.example", "two.example", "empty.example"];
    let clock = ScriptedClock::new();
    let domains =
        domains(names.into_iter().zip(&servers).map(|(name, server)| settings(name, server)).collect(), &clock);
    let id = |text: &'static str| move |params: &mut CertificateParams| params.subject_alt_names = vec![uri(text)];
    let good = vec![leaf(&one, |_| {})];
    let untrusted = |name: &str| {
        format!("its chain does not end in the bundle of its own trust domain `{name}`, or is not valid now")
    };
    let waiting = "trust domain `one.example`: its keys could not be had a moment ago, and are not asked for again yet";
    assert_eq!(said(&domains, &good), waiting);
    domains.load().await;
    let middle = below(&one);
    let usages =
        |usages: &'static [KeyUsagePurpose]| move |params: &mut CertificateParams| params.key_usages = usages.to_vec();
    let not_id = "its URI is no SPIFFE id of a workload";
    let authority = "it is an authority's, or may sign certificates";
    let foreign = "its trust domain `three.example` is not configured";
    for (what, chain, expected) in [
        ("a good one", good.clone(), "spiffe://one.example/a by spiffe://one.example".to_owned()),
        (
            "one of the other domain",
            vec![leaf(&two, id("spiffe://two.example/a"))],
            "spiffe://two.example/a by spiffe://two.example".to_owned(),
        ),
        (
            "one by an authority between",
            vec![leaf(&middle, |_| {}), middle.der().clone()],
            "spiffe://one.example/a by spiffe://one.example".to_owned(),
        ),
        ("without the authority between", vec![leaf(&middle, |_| {})], untrusted("one.example")),
        ("the other domain's id", vec![leaf(&one, id("spiffe://two.example/a"))], untrusted("two.example")),
        ("a domain without authorities", vec![leaf(&one, id("spiffe://empty.example/a"))], untrusted("empty.example")),
        ("an unknown domain", vec![leaf(&one, id("spiffe://three.example/a"))], foreign.to_owned()),
        ("a domain's own id", vec![leaf(&one, id("spiffe://one.example"))], not_id.to_owned()),
        ("a path of nothing", vec![leaf(&one, id("spiffe://one.example/"))], not_id.to_owned()),
        ("dots", vec![leaf(&one, id("spiffe://one.example/a/../b"))], not_id.to_owned()),
        ("a percent sign", vec![leaf(&one, id("spiffe://one.example/%61"))], not_id.to_owned()),
        ("a query", vec![leaf(&one, id("spiffe://one.example/a?b"))], not_id.to_owned()),
        ("a port", vec![leaf(&one, id("spiffe://one.example:8080/a"))], not_id.to_owned()),
        ("a user", vec![leaf(&one, id("spiffe://x@one.example/a"))], not_id.to_owned()),
        ("capitals", vec![leaf(&one, id("SPIFFE://one.example/a"))], not_id.to_owned()),
        ("a domain in capitals", vec![leaf(&one, id("spiffe://ONE.example/a"))], not_id.to_owned()),
        (
            "two ids",
            vec![leaf(&one, |params| {
                params.subject_alt_names = vec![uri("spiffe://one.example/a"), uri("spiffe://one.example/b")];
            })],
            "it has a SPIFFE id among several URIs".to_owned(),
        ),
        (
            "an id beside another URI",
            vec![leaf(&one, |params| {
                params.subject_alt_names = vec![uri("https://a.example"), uri("spiffe://one.example/a")];
            })],
            "it has a SPIFFE id among several URIs".to_owned(),
        ),
        (
            "an id beside a name",
            vec![leaf(&one, |params| {
                params.subject_alt_names =
                    vec![uri("spiffe://one.example/a"), SanType::DnsName("a".try_into().unwrap())];
            })],
            "spiffe://one.example/a by spiffe://one.example".to_owned(),
        ),
        (
            "an authority",
            vec![leaf(&one, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))],
            authority.to_owned(),
        ),
        (
            "one that signs",
            vec![leaf(&one, usages(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]))],
            authority.to_owned(),
        ),
        (
            "one that revokes",
            vec![leaf(&one, usages(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]))],
            authority.to_owned(),
        ),
        ("no use", vec![leaf(&one, usages(&[]))], "its key usage is not for digital signatures".to_owned()),
        (
            "another use",
            vec![leaf(&one, usages(&[KeyUsagePurpose::KeyEncipherment]))],
            "its key usage is not for digital signatures".to_owned(),
        ),
        (
            "for servers alone",
            vec![leaf(&one, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])],
            untrusted("one.example"),
        ),
        (
            "past its end",
            vec![leaf(&one, |params| params.not_after = date_time_ymd(2027, 1, 15))],
            "it expired at 2027-01-15T00:00:00.000Z".to_owned(),
        ),
        (
            "before its beginning",
            vec![leaf(&one, |params| params.not_before = date_time_ymd(2027, 1, 16))],
            untrusted("one.example"),
        ),
        ("nothing", vec![], "no certificate was shown".to_owned()),
        (
            "garbage",
            vec![CertificateDer::from(b"garbage".to_vec())],
            "it cannot be parsed, or has an extension twice".to_owned(),
        ),
    ] {
        assert_eq!(said(&domains, &chain), expected, "{what}");
    }
    let attestation = domains.attest(&good).unwrap();
    assert!(matches!(attestation.evidence(), Evidence::X509Svid { fingerprint, .. } if fingerprint.len() == 64));
    // What is no SVID is for the configured authorities to judge; what is meant as one never is.
    let plain = leaf(&one, |params| params.subject_alt_names = vec![SanType::DnsName("a".try_into().unwrap())]);
    assert_eq!(domains.voucher(&plain), Voucher::Authorities);
    for text in ["spiffe://three.example/a", "spiffe:x", "SPIFFE://one.example/a"] {
        let meant = leaf(&one, |params| params.subject_alt_names = vec![uri(text)]);
        assert_eq!(domains.voucher(&meant), Voucher::TrustDomains, "{text}");
    }
    assert_eq!(TrustDomains::none(clock).voucher(&good[0]), Voucher::Authorities);
}

#[tokio::test]
async fn bundles_rotate_and_do_not_go_back() {
    let (old, new) = (authority(), authority());
    let server = Server::with_document(&bundle(&[&old], 1)).await;
    let clock = ScriptedClock::new();
    let domains = domains(vec![settings("one.example", &server)], &clock);
    let (by_old, by_new) = (vec![leaf(&old, |_| {})], vec![leaf(&new, |_| {})]);
    let trusted = |chain: &Chain| domains.attest(chain).is_ok();
    domains.load().await;
    assert!(trusted(&by_old) && !trusted(&by_new));
    let refresh = || clock.pass(Duration::from_secs(20));
    refresh();
    server.answer_with_document(&bundle(&[&old, &new], 2));
    domains.load().await;
    assert!(trusted(&by_old) && trusted(&by_new));
    refresh();
    server.answer_with_document(&bundle(&[&new], 3));
    domains.load().await;
    assert!(!trusted(&by_old) && trusted(&by_new));
    // An older bundle has what was removed since.
    refresh();
    server.answer_with_document(&bundle(&[&old], 2));
    domains.load().await;
    assert!(!trusted(&by_old) && trusted(&by_new));
    assert_eq!(domains.health()[0].keys.failed, Some(KeysError::Backwards));
    assert_eq!(domains.health()[0].keys.authorities, Some(1));
    // What is known serves for an hour, and no longer.
    server.answer_with("HTTP/1.1 500 No\r\n\r\n");
    clock.pass(Duration::from_secs(3500));
    assert!(trusted(&by_new));
    clock.pass(Duration::from_secs(200));
    assert!(!trusted(&by_new));
}

#[tokio::test]
async fn a_domain_stands_once() {
    let server = Server::with_document("{}").await;
    let twice = vec![settings("one.example", &server), settings("one.example", &server)];
    let clock = ScriptedClock::new() as Arc<dyn Clock>;
    let refused = TrustDomains::new(twice, &Fetcher::new(Dialler::new(), None), clock).unwrap_err();
    assert_eq!(refused, IssuersError::Repeated("spiffe://one.example".to_owned()));
}
