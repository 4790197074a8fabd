//! ID13: endpoints that are who they should be and those that are not, over real TLS, and rotation of a domain's own authority.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::ports::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::login::jwks::{Freshness, JwksSource};
use crate::login::oidc::IssuersError;
use crate::login::scripted::ScriptedClock;
use crate::login::trust_domains::{TrustDomainSettings, TrustDomains};
use crate::upstream::dial::Dialler;
use crate::upstream::fetch::Fetcher;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn bundle(authorities: &[&Authority], sequence: u64) -> String {
    let key =
        |authority: &&Authority| json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(authority.der())]});
    json!({"keys": authorities.iter().map(key).collect::<Vec<_>>(), "spiffe_sequence": sequence}).to_string()
}

/// An endpoint: a server with a certificate of these URIs and names, which gives a document to whoever asks.
async fn endpoint(authority: &Authority, uris: &[&str], is_ca: bool, document: String) -> u16 {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let leaf = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who does not like the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            drop(stream.read(&mut head).await);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{document}", document.len());
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.shutdown().await);
        }
    });
    serving.detach_all();
    port
}

fn settings(name: &str, port: u16, endpoint: Option<(&str, Option<String>)>) -> TrustDomainSettings {
    TrustDomainSettings {
        trust_domain: name.to_owned(),
        audience: None,
        bundle: JwksSource::url(&format!("https://localhost:{port}/bundle")).unwrap(),
        max_lifetime: Duration::from_secs(3600),
        freshness: Freshness::default(),
        endpoint: endpoint
            .map(|(id, bootstrap)| SpiffeEndpoint { id: id.to_owned(), bootstrap: bootstrap.map(String::into_bytes) }),
    }
}

fn domains(settings: Vec<TrustDomainSettings>) -> (Result<TrustDomains, IssuersError>, Arc<ScriptedClock>) {
    let clock = ScriptedClock::new();
    let as_clock: Arc<dyn Clock> = clock.clone();
    (TrustDomains::new(settings, &Fetcher::new(Dialler::new(), None), as_clock), clock)
}

/// How many authorities the first domain has after it was loaded, or why it has none.
async fn loaded(settings: Vec<TrustDomainSettings>) -> Result<usize, String> {
    let domains = domains(settings).0.unwrap();
    domains.load().await;
    let health = domains.health().into_iter().next().unwrap().keys;
    match health.failed {
        Some(error) => Err(error.to_string()),
        None => Ok(health.authorities.unwrap()),
    }
}

#[tokio::test]
async fn only_the_configured_svid_is_believed() {
    let (own, stranger) = (authority(), authority());
    let (id, served) = ("spiffe://one.example/spire/server", || bundle(&[&own], 7));
    for (what, from, uris, is_ca, believed) in [
        ("the id of the endpoint", &own, &[id][..], false, true),
        ("another workload of the domain", &own, &["spiffe://one.example/a"], false, false),
        ("another domain's id", &own, &["spiffe://two.example/spire/server"], false, false),
        ("two ids", &own, &[id, "spiffe://one.example/a"], false, false),
        ("no id", &own, &[], false, false),
        ("a signing certificate", &own, &[id], true, false),
        ("a stranger's authority", &stranger, &[id], false, false),
    ] {
        let port = endpoint(from, uris, is_ca, served()).await;
        let found = loaded(vec![settings("one.example", port, Some((id, Some(served()))))]).await;
        assert_eq!(found.is_ok(), believed, "{what}: {found:?}");
    }
    // Without a bundle to begin with nothing is believed; nor by the web's authorities, which none are given here.
    let port = endpoint(&own, &[id], false, served()).await;
    loaded(vec![settings("one.example", port, Some((id, None)))]).await.unwrap_err();
    loaded(vec![settings("one.example", port, None)]).await.unwrap_err();
    // The profile's id must be one, of a domain that is configured.
    for id in ["https://one.example", "spiffe://one.example", "spiffe://absent.example/x"] {
        let (made, _) = domains(vec![settings("one.example", port, Some((id, Some(served()))))]);
        assert_eq!(made.unwrap_err(), IssuersError::Endpoint("one.example".to_owned()), "{id}");
    }
    let (made, _) = domains(vec![settings("one.example", port, Some((id, Some("{}".to_owned()))))]);
    assert_eq!(made.unwrap_err(), IssuersError::Bootstrap("one.example".to_owned()));
}

/// Another domain's server may serve the bundle; the bundle of the server's own domain says whether it is genuine. And what was
/// fetched last replaces what was given to begin with.
#[tokio::test]
async fn the_servers_own_domain_vouches_for_it() {
    let (one, two, next) = (authority(), authority(), authority());
    let server = "spiffe://two.example/federation";
    let serving_two = endpoint(&two, &[server], false, bundle(&[&two, &next], 2)).await;
    let serving_one = endpoint(&next, &[server], false, bundle(&[&one], 1)).await;
    let at_two = || settings("two.example", serving_two, Some((server, Some(bundle(&[&two], 1)))));
    let at_one = || settings("one.example", serving_one, Some((server, None)));
    // Of the two, that of two.example is fetched first by itself, and brings the authority `next`.
    let (made, clock) = domains(vec![at_two(), at_one()]);
    let made = made.unwrap();
    for _ in 0..2 {
        made.load().await;
        clock.pass(Duration::from_secs(11));
    }
    let counts: Vec<Option<usize>> = made.health().iter().map(|health| health.keys.authorities).collect();
    assert_eq!(counts, [Some(2), Some(1)], "{:?}", made.health());
}
