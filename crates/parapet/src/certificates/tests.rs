//! What replaces a certificate, and what does not. Handshakes are tested beside the real gateway (`tests/it/life/rotation.rs`).

use gateway::upstream::dial::Dialler;
use gateway::upstream::fetch::Fetcher;

use super::*;
use crate::clock::SystemClock;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// Nothing of SPIFFE.
fn none() -> Svids {
    let fetcher = Fetcher::new(Dialler::new(), None);
    let domains = TrustDomains::new(Vec::new(), &fetcher, Arc::new(SystemClock)).unwrap();
    Svids { own: None, domains: Arc::new(domains) }
}

fn master() -> Arc<MasterKey> {
    Arc::new(MasterKey::from_text(&"a".repeat(64)).unwrap())
}

struct Files {
    folder: PathBuf,
    listener: ListenerTls,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("parapet-certificates-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let tls = ListenerTls::Certificate {
            certificate: folder.join("certificate.pem"),
            key: SecretSource::File(folder.join("key.pem")),
            client_ca: Some(folder.join("clients.pem")),
        };
        Self { listener: tls, folder }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Certificate and key, in force for those years.
fn pair(from: i32, until: i32) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn what_can_be_used_now_replaces_what_was() {
    let files = Files::new("reload");
    let (first, second) = (pair(2020, 2040), pair(2020, 2041));
    let (clients, others) = (pair(2020, 2040), pair(2020, 2040));
    files.write("certificate.pem", &first.0);
    files.write("key.pem", &first.1);
    files.write("clients.pem", &clients.0);
    let certificates =
        Certificates::open("postgres", Some(&files.listener), &files.folder, none(), &master()).await.unwrap().unwrap();
    let at_start = certificates.offer().current();
    let reload = || certificates.reload(Some(&files.listener), &files.folder, NOW, |_| Ok(()));
    assert!(reload().await.unwrap().is_none() && Arc::ptr_eq(&at_start, &certificates.offer().current()));
    let (expired, early) = (pair(2010, 2020), pair(2030, 2040));
    for (name, text, why) in [
        ("certificate.pem", second.0.as_str(), "does not belong to the first certificate"),
        ("certificate.pem", "no PEM", "no certificate"),
        ("key.pem", "no PEM", "no private key"),
        ("clients.pem", "no PEM", "no certificate"),
        ("certificate.pem", expired.0.as_str(), "not now"),
        ("certificate.pem", early.0.as_str(), "not now"),
    ] {
        files.write(
            "key.pem",
            [(&expired), (&early)].iter().find(|pair| pair.0 == text).map_or(&first.1, |pair| &pair.1),
        );
        files.write(name, text);
        let error = reload().await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(Arc::ptr_eq(&at_start, &certificates.offer().current()), "{why}");
        files.write("certificate.pem", &first.0);
        files.write("key.pem", &first.1);
        files.write("clients.pem", &clients.0);
    }
    fs::remove_file(files.folder.join("key.pem")).unwrap();
    assert!(matches!(reload().await, Err(Unusable::Key(SecretError::Unreadable { .. }))));
    files.write("certificate.pem", &second.0);
    files.write("key.pem", &second.1);
    // What the log does not take is not offered, and is when it does.
    let full = |_: &str| Err(AppendError::Unwritable);
    let unentered = certificates.reload(Some(&files.listener), &files.folder, NOW, full).await;
    assert!(matches!(unentered, Err(Unusable::Unentered(_))));
    assert!(Arc::ptr_eq(&at_start, &certificates.offer().current()));
    let said = reload().await.unwrap().unwrap();
    assert!(said.starts_with("postgres, SHA-256 ") && said.ends_with("until 2041-01-01T00:00:00.000Z"), "{said}");
    let renewed = certificates.offer().current();
    assert!(!Arc::ptr_eq(&at_start, &renewed));
    // Authorities alone are a change, too; without a listener nothing is.
    files.write("clients.pem", &others.0);
    assert!(reload().await.unwrap().is_some() && !Arc::ptr_eq(&renewed, &certificates.offer().current()));
    assert!(certificates.reload(None, &files.folder, NOW, |_| Ok(())).await.unwrap().is_none());
}

#[tokio::test]
async fn a_certificate_of_its_own_is_made_once() {
    let files = Files::new("own");
    let own = ListenerTls::SelfSigned;
    let first = Certificates::open("postgres", Some(&own), &files.folder, none(), &master()).await.unwrap().unwrap();
    assert!(first.reload(Some(&own), &files.folder, NOW, |_| Ok(())).await.unwrap().is_none());
    let made = fs::read(self_signed_path(&files.folder)).unwrap();
    for file in fs::read_dir(files.folder.join("tls")).unwrap().flatten() {
        let text = String::from_utf8(fs::read(file.path()).unwrap()).unwrap();
        assert!(!text.contains("PRIVATE KEY"), "{}", file.path().display());
    }
    Certificates::open("postgres", Some(&own), &files.folder, none(), &master()).await.unwrap().unwrap();
    assert_eq!(fs::read(self_signed_path(&files.folder)).unwrap(), made);
    for without in [None, Some(&ListenerTls::Off)] {
        assert!(Certificates::open("postgres", without, &files.folder, none(), &master()).await.unwrap().is_none());
        assert!(super::files(without, &files.folder).is_empty());
    }
    assert_eq!(super::files(Some(&files.listener), &files.folder).len(), 3);
}

/// As a gateway of before has left it.
#[tokio::test]
async fn a_key_in_clear_is_closed_and_goes_on_to_be_used() {
    let files = Files::new("clear");
    let (certificate, key) = pair(2020, 2040);
    fs::create_dir_all(files.folder.join("tls")).unwrap();
    files.write("tls/certificate.pem", &certificate);
    files.write("tls/key.pem", &key);
    let own = ListenerTls::SelfSigned;
    for _start in 0..2 {
        Certificates::open("postgres", Some(&own), &files.folder, none(), &master()).await.unwrap().unwrap();
        assert!(!files.folder.join("tls/key.pem").exists());
    }
    assert_eq!(fs::read_to_string(self_signed_path(&files.folder)).unwrap(), certificate);
    // Its certificate needs it: none is made in its place.
    fs::remove_file(self_signed_key(&files.folder).path()).unwrap();
    let error = Certificates::open("postgres", Some(&own), &files.folder, none(), &master()).await.unwrap_err();
    assert!(format!("{error:#}").contains("there is no"), "{error:#}");
}
