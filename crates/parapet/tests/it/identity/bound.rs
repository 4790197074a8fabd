//! Tokens that are bound to a client certificate (RFC 8705), with stock psql over TLS; and certificates that need no token.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::bed::Bed;
use crate::bed::clients::{Ran, environment_with, psql_command, run};
use crate::bed::folder::{self, Folder};
use crate::bed::issuer::{self, Issuer};
use crate::bed::wait;

const ISSUER: &str = "https://bound.example";

/// A client's certificate and key, and the thumbprint that tokens carry.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    thumbprint: String,
}

struct Authority {
    folder: Folder,
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        folder.write("ca.pem", &authority.pem());
        Self { folder, authority }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        // Of the authority's own name it would be taken for self-signed.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        let path = self.folder.write(&format!("{name}.key"), &key.serialize_pem());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Identity {
            certificate: self.folder.write(&format!("{name}.pem"), &certificate.pem()),
            key: path,
            thumbprint: URL_SAFE_NO_PAD.encode(hash.as_ref()),
        }
    }

    /// A leaf with these URIs and uses.
    fn svid(&self, name: &str, uris: &[&str], usages: &[rcgen::KeyUsagePurpose], is_ca: bool) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| rcgen::SanType::URI((*uri).try_into().unwrap())).collect();
        params.key_usages = usages.to_vec();
        if is_ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Identity {
            certificate: self.folder.write(&format!("{name}.pem"), &certificate.pem()),
            key: self.folder.write(&format!("{name}.key"), &key.serialize_pem()),
            thumbprint: String::new(),
        }
    }

    /// Its bundle, as a trust domain publishes it.
    fn bundle(&self) -> PathBuf {
        let certificate = base64::engine::general_purpose::STANDARD.encode(self.authority.der());
        let key = json!({"kty": "EC", "use": "x509-svid", "x5c": [certificate]});
        self.folder.write("bundle.json", &json!({"keys": [key], "spiffe_sequence": 1}).to_string())
    }
}

fn psql(bed: &Bed, user: &str, identity: Option<&Identity>, token: &str) -> Ran {
    let mut command = psql_command(bed, user, &["-w", "-c", "select 7"]);
    environment_with(bed.gateway.postgres(), user, token, &mut command).env("PGSSLMODE", "require");
    if token.is_empty() {
        command.env_remove("PGPASSWORD");
    }
    if let Some(identity) = identity {
        command.env("PGSSLCERT", &identity.certificate).env("PGSSLKEY", &identity.key);
    }
    run(&mut command)
}

#[test]
fn a_bound_token_counts_beside_its_own_certificate_alone() {
    let authority = Authority::new("identity-bound-keys");
    let keys = Folder::new("identity-bound-issuer");
    let issuer = Issuer::new(&keys);
    let server = authority.issue("localhost");
    let tables = format!(
        "\n[issuers.\"{ISSUER}\"]\naudience = \"parapet\"\njwks = \"file://{}\"\n\n[[trust]]\nworkload = \"reporting\"\n\
         issuer = \"{ISSUER}\"\nclaims = {{ sub = \"workload:reporting\" }}\nbound = true\n\n[[trust]]\n\
         workload = \"auditor\"\nissuer = \"certificate\"\nclaims = {{ \"san:dns\" = \"auditor.example\" }}\n",
        issuer.jwks().display()
    );
    let tls = format!(
        "{{ certificate = {:?}, key = \"file://{}\", client_ca = {:?} }}",
        server.certificate,
        server.key.display(),
        authority.folder.join("ca.pem")
    );
    let Some(bed) = Bed::start_with("identity-bound", |setup| setup.also(tables).listener_tls(tls)) else { return };
    let (mine, other, auditor) =
        (authority.issue("mine.example"), authority.issue("other.example"), authority.issue("auditor.example"));
    let token = |thumbprint: Option<&str>| {
        let mut claims = issuer::claims("reporting", Duration::from_secs(600));
        claims["iss"] = json!(ISSUER);
        if let Some(thumbprint) = thumbprint {
            claims["cnf"] = json!({ "x5t#S256": thumbprint });
        }
        issuer.sign(&issuer::header(), &claims)
    };
    let bound = token(Some(&mine.thumbprint));
    for (what, user, identity, token) in [
        ("a bound token beside its certificate", "reporting", Some(&mine), bound.as_str()),
        ("a certificate that a rule names, without a token", "auditor", Some(&auditor), ""),
        ("a bearer token beside a certificate of nobody", "reporting", Some(&mine), &bed.token("reporting")),
    ] {
        let ran = psql(&bed, user, identity, token);
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{what}: {ran:?}");
    }
    for (what, identity, token, why) in [
        ("another's certificate", Some(&other), bound.clone(), "bound to a certificate (`cnf`)"),
        ("no certificate", None, bound.clone(), "bound to a certificate (`cnf`)"),
        ("a bare token where the rule wants a bound one", Some(&mine), token(None), "no trust rule matches"),
        ("a certificate of nobody, without a token", Some(&mine), String::new(), "no token came with it"),
        ("another workload's certificate", Some(&auditor), bound.clone(), "is of `auditor`"),
    ] {
        let ran = psql(&bed, "reporting", identity, &token);
        assert_eq!(ran.code, 2, "{what}: {ran:?}");
        let logged = wait::until(what, wait::PATIENCE, || {
            let refused = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "login_refused")?;
            refused["why"].as_str().unwrap().contains(why).then_some(refused)
        });
        assert_eq!(logged["claimed"], "reporting", "{what}");
    }
}

/// ID01, RFC 8705: a Parapet token that was bought with an attestation which is bound to a certificate counts beside that alone.
#[test]
fn an_exchanged_token_counts_beside_its_certificate_alone() {
    let authority = Authority::new("identity-mtls-keys");
    let server = authority.issue("localhost");
    let ca = authority.folder.join("ca.pem");
    let tls = format!(
        "{{ certificate = {:?}, key = \"file://{}\", client_ca = {ca:?} }}",
        server.certificate,
        server.key.display(),
    );
    let keys = Folder::new("identity-mtls-issuer");
    let issuer = Issuer::new(&keys);
    let tokens = format!(
        "\n[tokens]\nlisten = \"127.0.0.1:0\"\n\n[issuers.\"{ISSUER}\"]\naudience = \"parapet\"\njwks = \"file://{}\"\n\n\
         [[trust]]\nworkload = \"reporting\"\nissuer = \"{ISSUER}\"\nclaims = {{ sub = \"workload:reporting\" }}\nbound = true\n",
        issuer.jwks().display()
    );
    let Some(bed) = Bed::start_with("identity-mtls", |setup| setup.also(tokens).listener_tls(tls)) else { return };
    let (mine, other) = (authority.issue("mine.example"), authority.issue("other.example"));
    let ports = std::fs::read_to_string(bed.folder.join("state/ports.json")).unwrap();
    let ports: serde_json::Value = serde_json::from_str(&ports).unwrap();
    let port = ports["tokens"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let exchange = |subject: &str, identity: Option<&Identity>| -> serde_json::Value {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "-4", "--noproxy", "*", "--max-time", "30", "--cacert"]).arg(&ca);
        if let Some(identity) = identity {
            command.arg("--cert").arg(&identity.certificate).arg("--key").arg(&identity.key);
        }
        let details = json!([{"type": "parapet_task", "locations": ["shop-db"], "actions": ["read"]}]);
        for (name, value) in [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("subject_token", subject),
            ("authorization_details", &details.to_string()),
        ] {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let ran = run(command.arg(format!("https://localhost:{port}/token")));
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    };
    let mut claims = issuer::claims("reporting", Duration::from_secs(600));
    claims["iss"] = json!(ISSUER);
    claims["cnf"] = json!({ "x5t#S256": mine.thumbprint });
    let attestation = issuer.sign(&issuer::header(), &claims);
    assert_eq!(exchange(&attestation, Some(&other))["error"], "invalid_request");
    let bound = exchange(&attestation, Some(&mine))["access_token"].as_str().unwrap().to_owned();
    let bearer = exchange(&bed.token("reporting"), None)["access_token"].as_str().unwrap().to_owned();
    for (what, identity, token, code) in [
        ("a bound token beside its certificate", Some(&mine), &bound, 0),
        ("a bound token beside another's", Some(&other), &bound, 2),
        ("a bound token alone", None, &bound, 2),
        ("an unbound one", None, &bearer, 0),
    ] {
        let ran = psql(&bed, "reporting", identity, token);
        assert_eq!(ran.code, code, "{what}: {ran:?}");
    }
    let refused = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "login_refused");
    let why: Vec<String> = refused.map(|entry| entry["why"].as_str().unwrap().to_owned()).collect();
    assert!(why.len() == 2 && why.iter().all(|why| why.contains("bound")), "{why:?}");
    // Nor is it exchanged for another without its certificate.
    for identity in [None, Some(&other)] {
        assert_eq!(exchange(&bound, identity)["error"], "invalid_request");
    }
    let narrower = exchange(&bound, Some(&mine))["access_token"].as_str().unwrap().to_owned();
    assert_eq!(psql(&bed, "reporting", None, &narrower).code, 2, "it stays bound");
    assert_eq!(psql(&bed, "reporting", Some(&mine), &narrower).code, 0);
}

/// The matrix of bad certificates (ID13): each is refused at login, and entered, with the reason.
#[test]
fn certificates_that_are_no_svids_of_their_domain_are_refused() {
    let (one, two) = (Authority::new("identity-svid-one"), Authority::new("identity-svid-two"));
    let stranger = Authority::new("identity-svid-stranger");
    let mut tables = String::new();
    for (domain, authority, workload) in [("one.example", &one, "reporting"), ("two.example", &two, "auditor")] {
        tables.push_str(&format!(
            "\n[spiffe.\"{domain}\"]\nbundle = \"file://{}\"\n\n[[trust]]\nworkload = \"{workload}\"\n\
             template = \"spiffe\"\nissuer = \"spiffe://{domain}\"\n\
             claims = {{ spiffe_id = \"spiffe://{domain}/{workload}\" }}\n",
            authority.bundle().display()
        ));
    }
    let changed = |setup: crate::bed::gateway::Setup| setup.also(tables).listener_tls("\"self-signed\"".to_owned());
    let Some(bed) = Bed::start_with("identity-svid", changed) else { return };
    let signs: &[rcgen::KeyUsagePurpose] = &[rcgen::KeyUsagePurpose::DigitalSignature];
    let both = [rcgen::KeyUsagePurpose::DigitalSignature, rcgen::KeyUsagePurpose::KeyCertSign];
    let (id, other) = ("spiffe://one.example/reporting", "spiffe://two.example/auditor");
    for (user, identity) in
        [("reporting", one.svid("good", &[id], signs, false)), ("auditor", two.svid("good", &[other], signs, false))]
    {
        let ran = psql(&bed, user, Some(&identity), "");
        assert_eq!((ran.code, ran.out.trim()), (0, "7"), "{user}: {ran:?}");
    }
    let no_bundle = "does not end in the bundle of its own trust domain";
    for (what, user, identity, why) in [
        ("one domain's authority, another's id", "auditor", one.svid("cross", &[other], signs, false), no_bundle),
        ("a stranger's authority", "reporting", stranger.svid("stranger", &[id], signs, false), no_bundle),
        ("two ids", "reporting", one.svid("two", &[id, "spiffe://one.example/x"], signs, false), "among several URIs"),
        ("an id beside a URL", "reporting", one.svid("url", &["https://x.example", id], signs, false), "among several"),
        ("a domain's own id", "reporting", one.svid("own", &["spiffe://one.example"], signs, false), "no SPIFFE id"),
        ("dots", "reporting", one.svid("dots", &["spiffe://one.example/a/../reporting"], signs, false), "no SPIFFE id"),
        ("capitals", "reporting", one.svid("big", &["spiffe://ONE.example/reporting"], signs, false), "no SPIFFE id"),
        (
            "an unknown domain",
            "reporting",
            one.svid("new", &["spiffe://new.example/reporting"], signs, false),
            "not configured",
        ),
        ("an authority", "reporting", one.svid("ca", &[id], &both, true), "may sign certificates"),
        ("a leaf that signs", "reporting", one.svid("signs", &[id], &both, false), "may sign certificates"),
        ("no use", "reporting", one.svid("useless", &[id], &[], false), "not for digital signatures"),
        ("another id", "reporting", one.svid("id", &["spiffe://one.example/x"], signs, false), "no token came with it"),
        ("another's name", "auditor", one.svid("name", &[id], signs, false), "is of `reporting`"),
    ] {
        let ran = psql(&bed, user, Some(&identity), "");
        assert_eq!(ran.code, 2, "{what}: {ran:?}");
        let logged = wait::until(what, wait::PATIENCE, || {
            let refused = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "login_refused")?;
            refused["why"].as_str().unwrap().contains(why).then_some(refused)
        });
        assert_eq!(logged["claimed"], user, "{what}");
    }
    // A bundle that changes is read again: the authority is gone, and so are its SVIDs.
    let mut bundle: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(one.bundle()).unwrap()).unwrap();
    bundle["keys"] = json!([]);
    bundle["spiffe_sequence"] = json!(2);
    folder::replace(&one.folder.join("bundle.json"), &bundle.to_string());
    let good = one.svid("again", &[id], signs, false);
    wait::until("the new bundle", wait::PATIENCE, || {
        (psql(&bed, "reporting", Some(&good), "").code != 0).then_some(())
    });
}
