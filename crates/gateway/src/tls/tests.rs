//! Real handshakes over loopback, with authorities of the tests' own.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA512, SignatureAlgorithm as Scheme, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tasks::Tasks;
use crate::upstream::dial::Dialler;

const LONG: Duration = Duration::from_secs(30);

type Authority = CertifiedIssuer<'static, KeyPair>;
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.signed_by(&key, authority).unwrap();
    (vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// A server with one certificate that says `s` inside of TLS, and then echoes.
async fn serve(tasks: &Tasks, config: Arc<ServerConfig>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let looping =
        crate::listen::accept_loop(listener, 100, crate::login::scripted::host(tasks), "tls", move |stream, _peer| {
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let shown = stream.get_ref().1.peer_certificates().map_or(0, <[_]>::len);
                drop(stream.write_all(&[u8::try_from(shown).unwrap()]).await);
                drop(stream.shutdown().await);
            }
        });
    tasks.spawn("tls listener", looping);
    Address::Tcp { host: "127.0.0.1".to_owned(), port }
}

async fn connect(tls: &UpstreamTls, at: &Address, called: &str) -> Result<TlsStream<Stream>, DialError> {
    let stream = Dialler::new().dial(at, LONG).await.unwrap();
    let Address::Tcp { port, .. } = at else { panic!("not TCP") };
    tls.connect(stream, &Address::Tcp { host: called.to_owned(), port: *port }).await
}

fn upstream_config(identity: Identity) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(identity.0, identity.1).unwrap())
}

#[tokio::test]
async fn an_upstream_must_prove_its_name() {
    let (ours, theirs) = (authority(), authority());
    let tasks = Tasks::new();
    let good = serve(&tasks, upstream_config(issued(&ours, "db.internal", |_| {}))).await;
    let address = serve(&tasks, upstream_config(issued(&ours, "127.0.0.1", |_| {}))).await;
    let expired = issued(&ours, "db.internal", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let expired = serve(&tasks, upstream_config(expired)).await;
    let foreign = serve(&tasks, upstream_config(issued(&theirs, "db.internal", |_| {}))).await;
    let tls = UpstreamTls::with_authorities(vec![ours.der().clone()]).unwrap();
    for (at, called, expected) in [
        (&good, "db.internal", None),
        (&good, "DB.internal", None),
        (&address, "127.0.0.1", None),
        (&good, "127.0.0.1", Some(TlsFault::OtherName)),
        (&good, "other.internal", Some(TlsFault::OtherName)),
        (&good, "internal", Some(TlsFault::OtherName)),
        (&expired, "db.internal", Some(TlsFault::Time)),
        (&foreign, "db.internal", Some(TlsFault::Untrusted)),
        (&good, "no name at all", Some(TlsFault::Unnamed)),
    ] {
        match (connect(&tls, at, called).await, expected) {
            (Ok(mut stream), None) => {
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.unwrap();
                assert_eq!(said, [0]);
                assert_eq!(tls.server_end_point(&stream).unwrap().len(), 32);
            }
            (Err(DialError::Tls { fault, .. }), Some(expected)) => assert_eq!(fault, expected, "{called}"),
            (found, expected) => panic!("{called}: {found:?} instead of {expected:?}"),
        }
    }
    // What the operating system trusts does not include us; a machine that trusts nothing is refused at the start.
    match UpstreamTls::system() {
        Ok(system) => {
            let error = connect(&system, &good, "db.internal").await.unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("no TLS with `db.internal:{}`: {}", port(&good), TlsFault::Untrusted)
            );
        }
        Err(error) => assert_eq!(error, TlsError::NoAuthority),
    }
}

fn port(address: &Address) -> u16 {
    match address {
        Address::Tcp { port, .. } => *port,
        Address::Unix(_) => 0,
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_no_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Address::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
    let tasks = Tasks::new();
    tasks.spawn("clear", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_10.0\r\n").await.unwrap();
        drop(stream.read(&mut [0; 64]).await);
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    let tls = UpstreamTls::with_authorities(vec![authority().der().clone()]).unwrap();
    for expected in [TlsFault::Garbled, TlsFault::Broken] {
        let error = connect(&tls, &at, "db.internal").await.unwrap_err();
        assert!(matches!(error, DialError::Tls { fault, .. } if fault == expected), "{error}");
    }
}

/// A client with a certificate or without, as ordinary clients are.
fn client(
    trusts: &Authority,
    identity: Option<Identity>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> UpstreamTls {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots(vec![trusts.der().clone()]).unwrap());
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
    };
    UpstreamTls { config: Arc::new(config) }
}

#[tokio::test]
async fn client_certificates_are_optional_but_verified() {
    let (ours, clients, strangers) = (authority(), authority(), authority());
    let tasks = Tasks::new();
    let (chain, key) = issued(&ours, "gateway.internal", |_| {});
    let asking = ServerTls::new(chain.clone(), key.clone_key(), Some(vec![clients.der().clone()])).unwrap();
    let asking = serve(&tasks, asking).await;
    let not_asking = serve(&tasks, ServerTls::new(chain, key, None).unwrap()).await;
    let good = || Some(issued(&clients, "orders", |_| {}));
    let expired = issued(&clients, "orders", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let server_only = issued(&clients, "orders", |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    for (what, at, identity, expected) in [
        ("none", &asking, None, Some(0)),
        ("good", &asking, good(), Some(1)),
        ("stranger's", &asking, Some(issued(&strangers, "orders", |_| {})), None),
        ("expired", &asking, Some(expired), None),
        ("for servers", &asking, Some(server_only), None),
        ("not asked for", &not_asking, good(), Some(0)),
    ] {
        let tls = client(&ours, identity, &[&rustls::version::TLS13]);
        let mut said = Vec::new();
        // With TLS 1.3 the client learns of a refusal when it reads.
        let read = match connect(&tls, at, "gateway.internal").await {
            Ok(mut stream) => stream.read_to_end(&mut said).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(read.then_some(said).and_then(|said| said.first().copied()), expected, "{what}");
    }
}

#[tokio::test]
async fn clients_get_tls_1_3_and_no_tickets() {
    let ours = authority();
    let tasks = Tasks::new();
    let (chain, key) = issued(&ours, "gateway.internal", |_| {});
    let config = ServerTls::new(chain, key, None).unwrap();
    assert_eq!((config.send_tls13_tickets, config.max_early_data_size), (0, 0));
    assert!(!config.session_storage.can_cache());
    let at = serve(&tasks, config).await;
    for (what, tls, expected) in [
        ("1.3", client(&ours, None, &[&rustls::version::TLS13]), Some(None)),
        ("1.2", client(&ours, None, &[&rustls::version::TLS12]), None),
        ("direct", client(&ours, None, rustls::ALL_VERSIONS).speaking(ALPN_POSTGRESQL), Some(Some(ALPN_POSTGRESQL))),
        ("another protocol", client(&ours, None, rustls::ALL_VERSIONS).speaking(b"http/1.1"), None),
    ] {
        let found = connect(&tls, &at, "gateway.internal").await;
        let found = found.as_ref().ok().map(|stream| stream.get_ref().1.alpn_protocol());
        assert_eq!(found, expected, "{what}");
    }
}

fn self_signed(scheme: &'static Scheme) -> CertificateDer<'static> {
    let key = KeyPair::generate_for(scheme).unwrap();
    CertificateParams::new(["db.internal".to_owned()]).unwrap().self_signed(&key).unwrap().der().clone()
}

#[test]
fn scram_binds_to_the_hash_of_the_signature() {
    for (scheme, expected) in [
        (&PKCS_ECDSA_P256_SHA256, Some(&digest::SHA256)),
        (&PKCS_ECDSA_P384_SHA384, Some(&digest::SHA384)),
        (&PKCS_RSA_SHA512, Some(&digest::SHA512)),
        (&PKCS_ED25519, None),
    ] {
        let certificate = self_signed(scheme);
        let expected = expected.map(|by| digest::digest(by, &certificate).as_ref().to_vec());
        assert_eq!(server_end_point(&certificate), expected, "{scheme:?}");
    }
    assert_eq!(server_end_point(&CertificateDer::from(b"garbage".to_vec())), None);
    for (weak, expected) in [
        (oids::OID_PKCS1_SHA1WITHRSA, Some(32)),
        (oids::OID_PKCS1_MD5WITHRSAENC, Some(32)),
        (oids::OID_SIG_ECDSA_WITH_SHA224, Some(28)),
        (oids::OID_SIG_ED25519, None),
    ] {
        assert_eq!(digest_of(&weak).map(Digest::output_len), expected);
    }
}

#[test]
fn pem_and_what_is_wrong_with_it() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&key).unwrap();
    let (chain, text) = (certificate.pem(), key.serialize_pem());
    assert_eq!(certificates(format!("{text}{chain}comment\n{chain}").as_bytes()).map(|found| found.len()), Ok(2));
    assert!(private_key(format!("{chain}{text}").as_bytes()).is_ok());
    let damaged = chain.replace("-----END", "-----FIN");
    for (found, expected) in [
        (certificates(text.as_bytes()).err(), TlsError::NoCertificate),
        (certificates(b"").err(), TlsError::NoCertificate),
        (certificates(damaged.as_bytes()).err(), TlsError::DamagedPem),
        (private_key(chain.as_bytes()).err(), TlsError::NoKey),
        (private_key(text.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes()).err(), TlsError::EncryptedKey),
        (private_key(format!("{text}{text}").as_bytes()).err(), TlsError::ManyKeys),
        (private_key(text.replace("-----END", "-----FIN").as_bytes()).err(), TlsError::DamagedPem),
        (
            read_certificates(Path::new("/nonexistent")).err(),
            TlsError::Unreadable { path: "/nonexistent".into(), kind: std::io::ErrorKind::NotFound },
        ),
    ] {
        assert_eq!(found, Some(expected));
    }
}

#[test]
fn settings_that_cannot_work() {
    let (ours, other) = (authority(), KeyPair::generate().unwrap());
    let (chain, key) = issued(&ours, "gateway.internal", |_| {});
    let other = PrivateKeyDer::try_from(other.serialize_der()).unwrap();
    let garbage = || vec![CertificateDer::from(b"garbage".to_vec())];
    for (chain, key, authorities, expected) in [
        (chain.clone(), other, None, TlsError::OtherKey),
        (chain.clone(), key.clone_key(), Some(vec![]), TlsError::NoAuthority),
        (chain.clone(), key.clone_key(), Some(garbage()), TlsError::BadAuthority),
        (garbage(), key.clone_key(), None, TlsError::BadCertificate),
        (chain, PrivateKeyDer::Pkcs8(b"garbage".to_vec().into()), None, TlsError::BadKey),
    ] {
        assert_eq!(ServerTls::new(chain, key, authorities).err(), Some(expected));
    }
    assert_eq!(UpstreamTls::with_authorities(vec![]).err(), Some(TlsError::NoAuthority));
    assert_eq!(UpstreamTls::with_authorities(garbage()).err(), Some(TlsError::BadAuthority));
}
