//! What the authority vouches for, and for how long.

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConnection};

use super::*;
use crate::login::scripted::ScriptedClock;

fn authority(clock: &Arc<ScriptedClock>) -> (Made, CertificateAuthority) {
    let made = CertificateAuthority::make("test", clock.now()).unwrap();
    let clock: Arc<dyn Clock> = Arc::<ScriptedClock>::clone(clock);
    let authority = CertificateAuthority::new(&made.certificate, &made.key, clock).unwrap();
    (made, authority)
}

/// Does a client that trusts the authority, and nothing else, take what is offered for `host` when it wants `server`?
fn takes(made: &Made, config: Arc<ServerConfig>, server: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(tls::certificates(made.certificate.as_bytes()).unwrap().remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), ServerName::try_from(server.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..4 {
        bytes.clear();
        client.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
        }
        if server.process_new_packets().is_err() {
            return false;
        }
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
        }
        if client.process_new_packets().is_err() {
            return false;
        }
    }
    !client.is_handshaking() && !server.is_handshaking()
}

/// The clock of the client is the machine's own.
struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "rustls' client asks the system, so the certificates must fit it")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_secs(i64::try_from(since.as_secs()).unwrap())
    }

    fn random(&self) -> u64 {
        7
    }
}

#[test]
fn clients_that_trust_it_take_its_hosts_and_no_others() {
    let made = CertificateAuthority::make("test", Now.now()).unwrap();
    let authority = CertificateAuthority::new(&made.certificate, &made.key, Arc::new(Now)).unwrap();
    let other = CertificateAuthority::make("other", Now.now()).unwrap();
    assert!(takes(&made, authority.server("api.example").unwrap(), "api.example"));
    assert!(!takes(&made, authority.server("api.example").unwrap(), "evil.example"));
    assert!(!takes(&other, authority.server("api.example").unwrap(), "api.example"));
    assert!(!takes(&made, authority.server("api.example").unwrap(), "www.api.example"));
}

/// The next one vouches from the next handshake on, for hosts that the one before has vouched for, too.
#[test]
fn another_goes_on_in_its_place() {
    let (made, next) = ["one", "two"].map(|label| CertificateAuthority::make(label, Now.now()).unwrap()).into();
    let authority = CertificateAuthority::new(&made.certificate, &made.key, Arc::new(Now)).unwrap();
    assert!(takes(&made, authority.server("api.example").unwrap(), "api.example"));
    // What cannot be used replaces nothing.
    assert!(authority.replace(&next.certificate, &made.key).is_err());
    assert!(takes(&made, authority.server("api.example").unwrap(), "api.example"));
    authority.replace(&next.certificate, &next.key).unwrap();
    assert!(takes(&next, authority.server("api.example").unwrap(), "api.example"));
    assert!(!takes(&made, authority.server("api.example").unwrap(), "api.example"));
}

#[test]
fn certificates_are_kept_for_half_a_day() {
    let clock = ScriptedClock::new();
    let (_, authority) = authority(&clock);
    let first = authority.server("api.example").unwrap();
    assert!(Arc::ptr_eq(&first, &authority.server("api.example").unwrap()));
    assert!(!Arc::ptr_eq(&first, &authority.server("www.example").unwrap()));
    clock.pass(SHOWN);
    assert!(!Arc::ptr_eq(&first, &authority.server("api.example").unwrap()));
    assert!(authority.until().is_some_and(|until| until > clock.now()));
}

#[test]
fn certificates_are_kept_in_bounds() {
    let clock = ScriptedClock::new();
    let (_, authority) = authority(&clock);
    for number in 0..=MOST {
        authority.server(&format!("host-{number}.example")).unwrap();
    }
    assert!(authority.signing().leaves().len() <= MOST);
}

#[test]
fn what_cannot_be_an_authority() {
    let clock = ScriptedClock::new();
    let (made, _) = authority(&clock);
    let (other, _) = authority(&clock);
    let plain = rcgen::generate_simple_self_signed(["api.example".to_owned()]).unwrap();
    for (certificate, key, expected) in [
        (made.certificate.as_str(), other.key.as_str(), InvalidAuthority::Tls(TlsError::OtherKey)),
        (made.certificate.as_str(), "no key", InvalidAuthority::Tls(TlsError::BadKey)),
        ("nothing", made.key.as_str(), InvalidAuthority::Tls(TlsError::NoCertificate)),
        (&plain.cert.pem(), &plain.signing_key.serialize_pem(), InvalidAuthority::Tls(TlsError::BadAuthority)),
    ] {
        let clock: Arc<dyn Clock> = Arc::<ScriptedClock>::clone(&clock);
        assert_eq!(CertificateAuthority::new(certificate, key, clock).err(), Some(expected));
    }
    assert!(!format!("{made:?}").contains("PRIVATE"));
}
