//! The configuration as users meet it: what is accepted, and every mistake at once.

mod http;
mod pdp;
mod templates;

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::checked::{JwksSource, ListenerTls, SecretSource, UpstreamAddress, UpstreamTls};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata"))
}

fn errors(text: &str) -> String {
    match load(Sources::text("parapet.toml", folder(), text)) {
        Ok(_) => "accepted".to_owned(),
        Err(problems) => problems.to_string().replace(&folder().display().to_string(), "[folder]"),
    }
}

/// The codes of a text, in order.
fn codes(text: &str) -> Vec<&'static str> {
    match load(Sources::text("parapet.toml", folder(), text)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.code).collect(),
    }
}

const WHOLE: &str = include_str!("testdata/whole.toml");

#[test]
fn reads_every_key() {
    let configuration = load(Sources::text("parapet.toml", folder(), WHOLE)).unwrap();
    assert_eq!(configuration.gateway.state, Path::new("/var/lib/parapet"));
    assert_eq!(configuration.gateway.drain, Duration::from_secs(10));
    assert_eq!(configuration.audit.folder, Path::new("/var/lib/parapet/audit"));
    assert_eq!(configuration.policy_folders, [folder().join("policies")]);
    let listener = configuration.postgres.as_ref().unwrap();
    assert_eq!((listener.listen.port(), &listener.tls), (15432, &ListenerTls::SelfSigned));
    let [shop] = configuration.upstreams.as_slice() else { panic!("one database") };
    assert_eq!(shop.connection.address, UpstreamAddress::Tcp { host: "db.example".to_owned(), port: 5432 });
    assert_eq!(shop.connection.password, Some(SecretSource::Environment("SHOP_DB_PASSWORD".to_owned())));
    assert_eq!(shop.connection.tls, UpstreamTls::VerifyFull { ca: Some(folder().join("ca.pem")) });
    assert_eq!(shop.max_message, 16 << 20);
    assert!(shop.upstream.classes.contains(&("*.*.phone".to_owned(), "pii".to_owned())));
    let [ci, agent] = configuration.workloads.as_slice() else { panic!("two workloads") };
    assert_eq!((ci.name.as_str(), agent.name.as_str()), ("deploy", "triage-bot"));
    assert_eq!(agent.expires.unwrap().to_string(), "2027-01-01T00:00:00.000Z");
    assert_eq!(configuration.trust.len(), 2);
    assert!(matches!(configuration.issuers.first().unwrap().jwks, JwksSource::Url(_)));
    assert!(configuration.people.first().unwrap().admin);
    assert_eq!(configuration.digest.len(), 64);
}

#[test]
fn the_whole_example_sets_every_key() {
    let raw = Raw::read(Sources::text("parapet.toml", folder(), WHOLE), &mut Vec::new());
    let lines = explain::lines(&raw, None);
    for key in keys::ALL {
        if key.path.contains(".tls.") || key.kind == keys::Kind::TextOrTable {
            continue; // two forms, of which a text excludes the other; tested below
        }
        let segments: Vec<&str> = key.segments().collect();
        let set = lines.iter().any(|line| {
            let path = line.key.replace("trust[", "trust.[");
            let same_end = path.rsplit('.').next() == segments.last().copied();
            line.layer == "project" && path.starts_with(segments.first().copied().unwrap()) && same_end
        });
        assert!(set, "{} is not in testdata/whole.toml", key.path);
    }
}

#[test]
fn six_mistakes_are_six_errors() {
    insta::assert_snapshot!(errors(include_str!("testdata/six-mistakes.toml")));
}

#[test]
fn no_secret_is_ever_shown() {
    let text = r#"
[upstreams.shop-db]
address = "127.0.0.1:5432"
database = "shop"
environment = "production"
user = "parapet"
tls = "off"
password = "hunter2"
passwrod = "hunter2"

[upstreams.other]
address = "127.0.0.1:5432"
database = "shop"
environment = "production"
user = "parapet"
password = { inline = "hunter2" }

[upstreams]
third = { password = "hunter2", mood = "enforce" }

[people."ann@example.com"]
token_hash = "hunter2"
"#;
    let shown = errors(text);
    assert!(shown.contains("PAR0406") && shown.contains("passwrod"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = errors("[upstreams.x]\npassword = \"hunter2\nuser = 'a'\n");
    assert!(shown.contains("PAR0401") && !shown.contains("hunter2"), "{shown}");
}

/// Replaces a line of the whole example.
fn with(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    WHOLE.replacen(from, to, 1)
}

#[test]
fn each_rule_has_its_code() {
    let cases: &[(&str, &str, &str)] = &[
        ("drain = \"10s\"", "drain = \"10\"", "PAR0405"),
        ("drain = \"10s\"", "drain = \"-1s\"", "PAR0405"),
        ("drain = \"10s\"", "drain = 10", "PAR0404"),
        ("listen = \"127.0.0.1:18000\"", "listen = \"0.0.0.0:18000\"", "PAR0410"),
        ("listen = \"127.0.0.1:18000\"", "listen = \"127.0.0.1:15432\"", "PAR0407"),
        ("tls = \"self-signed\"", "tls = \"of\"", "PAR0405"),
        ("tls = \"self-signed\"", "tls = { certificate = \"none.pem\", key = \"env://K\" }", "PAR0412"),
        ("tls = \"self-signed\"", "tls = { certificate = \"ca.pem\" }", "PAR0403"),
        ("tls = \"self-signed\"", "tls = { certificate = \"ca.pem\", key = \"-----BEGIN\" }", "PAR0406"),
        ("folders = [\"./policies\"]", "folders = []", "PAR0409"),
        ("folders = [\"./policies\"]", "folders = [\"./nowhere\"]", "PAR0409"),
        ("folders = [\"./policies\"]", "folders = [\".\"]", "PAR0409"),
        ("folders = [\"./policies\"]", "folders = [\"./policies\", \"policies\"]", "PAR0407"),
        ("folders = [\"./policies\"]", "folders = \"./policies\"", "PAR0404"),
        ("protocol = \"postgres\"", "protocol = \"mysql\"", "PAR0405"),
        ("mode = \"observe\"", "mode = \"off\"", "PAR0405"),
        ("tls = \"verify-full\"", "tls = \"off\"", "PAR0411"),
        ("tls = \"verify-full\"", "tls = \"require\"", "PAR0405"),
        ("ca = \"ca.pem\"", "ca = \"nowhere.pem\"", "PAR0412"),
        ("max_message = \"16MiB\"", "max_message = \"2GiB\"", "PAR0405"),
        ("max_sessions = 200", "max_sessions = 0", "PAR0405"),
        ("pii = [\"public.customers.email\", \"*.*.phone\"]", "pii = [\"email\"]", "PAR0405"),
        ("pii = [\"public.customers.email\", \"*.*.phone\"]", "pii = \"*.*.email\"", "PAR0404"),
        ("[workloads.triage-bot]", "[workloads.\"triage bot\"]", "PAR0405"),
        ("kind = \"agent\"", "kind = \"robot\"", "PAR0405"),
        ("owner = \"mara@example.com\"", "", "PAR0403"),
        ("expires = \"2027-01-01T00:00:00Z\"", "expires = \"2027-01-01\"", "PAR0405"),
        ("workload = \"triage-bot\"", "workload = \"triage-bto\"", "PAR0408"),
        ("issuer = \"https://issuer.example\"", "issuer = \"https://issuer.example/\"", "PAR0408"),
        ("issuer = \"https://issuer.example\"", "issuer = \"spiffe://elsewhere.example\"", "PAR0408"),
        ("issuer = \"https://issuer.example\"", "", "PAR0403"),
        ("claims = { sub = \"triage-bot\" }", "claims = { email = \"a@b\" }", "PAR0422"),
        ("claims = { sub = \"triage-bot\" }", "claims = {}", "PAR0422"),
        ("claims = { sub = \"triage-bot\" }", "", "PAR0403"),
        ("repository_id = \"123\", ref", "repository = \"a/b\", ref", "PAR0422"),
        ("repository_id = \"123\", ref = \"refs/heads/main\"", "repository_id = \"123\"", "PAR0423"),
        ("template = \"github-actions\"", "template = \"github\"", "PAR0405"),
        ("once = false", "once = \"no\"", "PAR0404"),
        ("repository_id = \"123\"", "repositry_id = \"123\"", "PAR0427"),
        ("repository_id = \"123\"", "repository_id = \"acme/shop\"", "PAR0405"),
        ("ref = \"refs/heads/main\"", "ref = \"main\"", "PAR0405"),
        ("[spiffe.\"example.org\"]", "[spiffe.\"Example.org\"]", "PAR0405"),
        ("bundle = \"file://bundle.json\"", "bundle = \"bundle.json\"", "PAR0426"),
        ("bundle = \"file://bundle.json\"", "bundle = \"file://nowhere.json\"", "PAR0412"),
        ("audience = \"parapet\"\nalgorithms = [\"ES256\"]", "algorithms = [\"ES256\"]", "PAR0421"),
        ("algorithms = [\"ES256\"]", "algorithms = [\"none\"]", "PAR0425"),
        ("algorithms = [\"ES256\"]", "algorithms = [\"HS256\"]", "PAR0425"),
        ("algorithms = [\"ES256\"]", "algorithms = []", "PAR0425"),
        ("jwks = \"https://issuer.example/jwks\"", "jwks = \"http://issuer.example/jwks\"", "PAR0426"),
        ("token_hash = \"sha256:0", "token_hash = \"sha256:x", "PAR0406"),
        ("admin = true", "admin = \"yes\"", "PAR0404"),
        ("groups = [\"dba\"]", "groups = [\"d b a\"]", "PAR0405"),
        ("[gateway]", "[gatewya]", "PAR0402"),
        ("public_url = \"https://parapet.example/\"", "public_url = \"parapet.example\"", "PAR0405"),
    ];
    for (from, to, code) in cases {
        let codes = codes(&with(from, to));
        assert!(codes.contains(code), "{to}: {codes:?}");
    }
    // Certificates of clients need a listener that asks for them.
    let asked = "[policies]\nfolders = [\"./policies\"]\n[workloads.w]\nowner = \"a@b\"\nkind = \"service\"\n\
        environment = \"e\"\npurpose = \"p\"\n[[trust]]\nworkload = \"w\"\nissuer = \"certificate\"\n\
        claims = { \"san:dns\" = \"w.example\" }\n";
    assert_eq!(codes(asked), ["PAR0408"]);
}

#[test]
fn equal_trust_rules_for_two_workloads_are_refused() {
    let text = format!(
        "{WHOLE}\n[[trust]]\nworkload = \"deploy\"\nissuer = \"https://issuer.example\"\nclaims = {{ sub = \"triage-bot\", ref = \"x\" }}\n\
         [[trust]]\nworkload = \"triage-bot\"\nissuer = \"https://issuer.example\"\nclaims = {{ sub = \"triage-bot\", ref = \"x\" }}\n"
    );
    assert_eq!(codes(&text), ["PAR0424"]);
}

#[test]
fn plain_listeners_stay_on_loopback() {
    let text = |listen: &str, tls: &str| {
        // OAUTHBEARER wants TLS on loopback, too.
        with("listen = \"127.0.0.1:15432\"", &format!("listen = \"{listen}\""))
            .replacen("tls = \"self-signed\"", tls, 1)
            .replace("oauthbearer = [\"triage-bot\"]\n", "")
    };
    assert_eq!(codes(&text("127.0.0.1:15432", "tls = \"off\"")), [""; 0]);
    assert_eq!(codes(&text("[::1]:15432", "tls = \"off\"")), [""; 0]);
    assert_eq!(codes(&text("0.0.0.0:15432", "tls = \"self-signed\"")), [""; 0]);
    assert_eq!(codes(&text("0.0.0.0:15432", "tls = \"off\"")), ["PAR0410"]);
    assert_eq!(codes(&text("0.0.0.0:15432", "")), [""; 0], "TLS is the default");
}

#[test]
fn plain_upstreams_stay_on_this_machine() {
    for (address, accepted) in [
        ("127.0.0.1:5432", true),
        ("localhost:5432", true),
        ("[::1]:5432", true),
        ("unix:///var/run/postgresql", true),
        ("localhost.example:5432", false),
        ("10.0.0.1:5432", false),
    ] {
        let text = with("address = \"db.example:5432\"", &format!("address = \"{address}\""));
        let text = text.replacen("tls = \"verify-full\"", "tls = \"off\"", 1).replacen("\"require\"", "\"prefer\"", 1);
        assert_eq!(codes(&text).is_empty(), accepted, "{address}");
    }
}

#[test]
fn values_read_and_refuse() {
    for (text, seconds) in [("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604_800), ("1000ms", 1)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
    }
    for text in ["", "s", "1", "1 w", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615d"] {
        assert!(duration(text).is_err(), "{text}");
    }
    for (text, shown) in [
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00.000Z"),
        ("2024-02-29T23:59:59.5+02:00", "2024-02-29T21:59:59.500Z"),
        ("1969-12-31T23:00:00-01:00", "1970-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(timestamp(text).unwrap().to_string(), shown);
    }
    for text in ["", "2027-01-01", "2027-01-01T00:00:00", "2027-13-01T00:00:00Z", "2026-02-29T00:00:00Z"] {
        assert!(timestamp(text).is_err(), "{text}");
    }
}

#[test]
fn higher_layers_win_and_say_so() {
    let mut sources = Sources::text("parapet.toml", folder(), WHOLE);
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    sources.add_environment(
        [
            variable("PARAPET_GATEWAY_DRAIN", "20s"),
            variable("PARAPET_ADMIN_LISTEN", "127.0.0.1:0"),
            variable("PARAPET_TOKEN", "not configuration"),
            variable("PARAPET_SERVICE_HOST", "10.0.0.1"),
            variable("PARAPET_PORT_80_TCP_ADDR", "10.0.0.1"),
            variable("HOME", "/root"),
        ]
        .into_iter(),
    );
    sources.add_setting("admin.listen=127.0.0.1:18001");
    let raw = Raw::read(sources.clone(), &mut Vec::new());
    let layer = |key: &str| {
        explain::lines(&raw, Some(key)).into_iter().map(|line| (line.value, line.layer)).collect::<Vec<_>>()
    };
    assert_eq!(layer("gateway.drain"), [("\"20s\"".to_owned(), "environment".to_owned())]);
    assert_eq!(layer("admin.listen"), [("\"127.0.0.1:18001\"".to_owned(), "flag".to_owned())]);
    assert_eq!(layer("gateway.state"), [("\"/var/lib/parapet\"".to_owned(), "project".to_owned())]);
    assert_eq!(load(sources).unwrap().admin.listen.port(), 18001);
}

#[test]
fn unknown_variables_and_settings_stop_the_start() {
    let mut sources = Sources::text("parapet.toml", folder(), WHOLE);
    sources.add_environment([("PARAPET_GATEWAY_DRIAN".to_owned(), "20s".to_owned())].into_iter());
    sources.add_setting("gateway.drian=1s");
    sources.add_setting("gateway.drain");
    let shown = load(sources).unwrap_err().to_string();
    insta::assert_snapshot!(shown);
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/reference/configuration.md");
    for key in keys::ALL {
        let shown = key.path.replace(".[].", "[].");
        assert!(page.contains(&format!("`{shown}`")), "{shown} is not in docs/reference/configuration.md");
        assert!(page.contains(key.about), "{shown} is described otherwise in docs/reference/configuration.md");
        if let Some(variable) = key.variable() {
            assert!(page.contains(&variable), "{variable} is not in docs/reference/configuration.md");
        }
    }
}
