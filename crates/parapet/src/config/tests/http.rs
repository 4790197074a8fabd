//! HTTP upstreams as users configure them: what is accepted, and what is refused with its place.

use kernel::operation::ActionGroup;
use wire::http::endpoint::Unlisted;

use super::*;

#[test]
fn reads_apis() {
    let configuration = load(Sources::text("parapet.toml", folder(), WHOLE)).unwrap();
    assert_eq!(configuration.http.as_ref().unwrap().listen.port(), 18080);
    let api = |name: &str| configuration.apis.iter().find(|api| api.upstream.name.as_str() == name).unwrap();
    let payments = api("payments");
    assert_eq!(payments.origin.to_string(), "https://api.payments.example");
    assert_eq!(payments.hosts, ["payments.internal", "payments.example"]);
    assert_eq!((payments.prefixes.len(), payments.max_body, payments.unlisted), (2, 2 << 20, Unlisted::Allow));
    assert_eq!(payments.answer, Duration::from_secs(20));
    assert_eq!((payments.idle, payments.max_message), (Duration::from_secs(120), 16 << 20));
    let kept = payments.keeps.as_ref().unwrap();
    assert_eq!((kept.requests, kept.body, kept.answer, kept.time.as_secs()), (50, 16 << 10, 256 << 10, 7200));
    let endpoint = |method: &str, path: &str| {
        let found = payments.endpoints.iter().find(|one| &*one.method == method && one.template.text() == path);
        found.unwrap_or_else(|| panic!("{method} {path}"))
    };
    let refund = endpoint("POST", "/v1/refunds/{id}");
    assert_eq!((refund.id.as_deref(), refund.group), (Some("refund"), Some(ActionGroup::Write)));
    assert_eq!(refund.body.iter().map(|field| &*field.name).collect::<Vec<_>>(), ["amount", "currency"]);
    assert!(endpoint("POST", "/graphql").graphql);
    let customer = endpoint("GET", "/v1/customers/{id}");
    assert_eq!(customer.id.as_deref(), Some("getCustomer"));
    // From the document and from the configuration.
    assert_eq!(customer.fields.len(), 2);
    assert_eq!(payments.everywhere.len(), 1);
    for (pattern, class) in [
        ("$.customers[*].email", "pii"),
        ("/v1/customers/{id} $.card", "pci"),
        ("/v1/customers/{id} $.card", "pii"),
        ("/v1/customers/{id} $.phone", "pii"),
        ("Query.*.email", "pii"),
    ] {
        let classes = &payments.upstream.classes;
        assert!(classes.contains(&(pattern.to_owned(), class.to_owned())), "{pattern} {class} in {classes:?}");
    }
    assert!(!api("vault").endpoints.is_empty());
    assert!(api("partner").hosts.is_empty() && api("partner").credential.is_some());
    let guarded: Vec<&str> = configuration.guarded().map(|upstream| upstream.name.as_str()).collect();
    assert!(["shop-db", "payments", "vault", "partner"].iter().all(|name| guarded.contains(name)), "{guarded:?}");
}

/// An API with these lines in its table.
fn api(lines: &str) -> String {
    format!(
        "[policies]\nfolders = [\"./policies\"]\n[upstreams.a]\nprotocol = \"http\"\nenvironment = \"e\"\n{lines}\n"
    )
}

#[test]
fn mistakes_in_apis_are_refused() {
    const URL: &str = "url = \"https://a.example\"\n";
    for (lines, expected) in [
        ("", &["PAR0403"][..]),
        (URL, &[]),
        ("url = \"http://a.example\"", &["PAR0411"]),
        ("url = \"http://127.0.0.1:8080\"", &[]),
        ("url = \"https://a.example/base\"", &["PAR0405"]),
        ("url = \"https://user:secret@a.example\"", &["PAR0405"]),
        ("url = \"ftp://a.example\"", &["PAR0405"]),
        ("url = \"https://a.example\"\ndatabase = \"x\"", &["PAR0402"]),
        ("url = \"https://a.example\"\ntls = \"off\"", &["PAR0402"]),
        ("url = \"https://a.example\"\nhosts = [\"a.example:80\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\nhosts = [\"a.example\", \"A.example.\"]", &["PAR0407"]),
        ("url = \"https://a.example\"\nhosts = [\"*.example\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\npaths = [\"api\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\npaths = [\"/a/../b\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\nupgrades = [\"h2c\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\nunlisted = \"maybe\"", &["PAR0405"]),
        ("url = \"https://a.example\"\nopenapi = \"none.yaml\"", &["PAR0412"]),
        ("url = \"https://a.example\"\nopenapi = \"ca.pem\"", &["PAR0405"]),
        ("url = \"https://a.example\"\nstore = \"safe\"", &["PAR0405"]),
        ("url = \"https://a.example\"\nmax_body = \"1GiB\"", &["PAR0405"]),
        ("url = \"https://a.example\"\npaths = [\"/.parapet/x\"]", &["PAR0405"]),
        ("url = \"https://a.example\"\nrespond_async = \"yes\"", &["PAR0404"]),
        ("url = \"https://a.example\"\nkept = { requests = 0 }", &["PAR0405"]),
        ("url = \"https://a.example\"\nkept = { body = \"1GiB\", answer = \"1\" }", &["PAR0405", "PAR0405"]),
        ("url = \"https://a.example\"\nrespond_async = true\nkept = { body = \"1KiB\" }", &[]),
        ("url = \"https://a.example\"\nfields = { \"$.email\" = [] }", &["PAR0405"]),
        ("url = \"https://a.example\"\nfields = { \"email\" = [\"pii\"] }", &["PAR0405"]),
        ("url = \"https://a.example\"\nfields = { \"$.email\" = [\"p i i\"] }", &["PAR0405"]),
        ("url = \"https://a.example\"\nfields = { \"GET /none $.email\" = [\"pii\"] }", &["PAR0405"]),
        ("url = \"https://a.example\"\nunlisted = \"allow\"\nfields = { \"GET /none $.email\" = [\"pii\"] }", &[]),
        ("url = \"https://a.example\"\nendpoints = [{ method = \"TRACE\", path = \"/\" }]", &["PAR0405"]),
        ("url = \"https://a.example\"\nendpoints = [{ method = \"GET\" }]", &["PAR0403"]),
        ("url = \"https://a.example\"\nendpoints = [{ path = \"a\" }]", &["PAR0405"]),
        ("url = \"https://a.example\"\nendpoints = [{ path = \"/{a}\", group = \"connect\" }]", &["PAR0405"]),
        ("url = \"https://a.example\"\nendpoints = [{ path = \"/{a}\", grup = \"read\" }]", &["PAR0402"]),
        ("url = \"https://a.example\"\nendpoints = [{ path = \"/{a}\", body = { x = \"$.a[*]\" } }]", &["PAR0405"]),
        ("url = \"https://a.example\"\ncredential = { kind = \"bearer\" }", &["PAR0403"]),
        ("url = \"https://a.example\"\ncredential = { kind = \"bearer\", secret = \"abc\" }", &["PAR0406"]),
        ("url = \"https://a.example\"\ncredential = { kind = \"barer\", secret = \"env://X\" }", &["PAR0405"]),
        (
            "url = \"https://a.example\"\ncredential = { kind = \"bearer\", secret = \"env://X\", user = \"u\" }",
            &["PAR0402"],
        ),
        ("url = \"https://a.example\"\ncredential = { kind = \"bearer\", secret = \"env://X\" }", &[]),
        (
            "url = \"https://a.example\"\ncredential = { kind = \"header\", name = \"host\", secret = \"env://X\" }",
            &["PAR0405"],
        ),
        (
            "url = \"https://a.example\"\ncredential = { kind = \"oauth2\", client_id = \"c\", token_url = \"http://t.example\", secret = \"env://X\" }",
            &["PAR0405"],
        ),
        (
            "url = \"http://127.0.0.1:1\"\ncredential = { kind = \"mtls\", certificate = \"ca.pem\", secret = \"env://X\" }",
            &["PAR0405"],
        ),
    ] {
        assert_eq!(codes(&api(lines)), expected, "{lines}\n{}", errors(&api(lines)));
    }
}

#[test]
fn what_the_gateway_answers_itself_is_no_endpoint() {
    let lines = "url = \"https://a.example\"\nunlisted = \"allow\"\n";
    let endpoints = |paths: &str| api(&format!("{lines}endpoints = [{paths}]"));
    insta::assert_snapshot!(errors(&endpoints(
        "{ path = \"/.parapet\" }, { path = \"/%2Eparapet/requests/{id}\" }, { path = \"/.parapet/**\" }"
    )));
    insta::assert_snapshot!(errors(&api(&format!("{lines}openapi = \"reserved.yaml\""))));
    insta::assert_snapshot!(errors(&api(&format!("{lines}fields = {{ \"GET /.parapet/x $.a\" = [\"pii\"] }}"))));
    // What has other paths besides, or only looks alike.
    let others = "{ path = \"/**\" }, { path = \"/{a}/x\" }, { path = \"/.parapets\" }, { path = \"/v1/.parapet\" }";
    assert_eq!(codes(&endpoints(others)), [""; 0], "{}", errors(&endpoints(others)));
}

#[test]
fn upstreams_have_the_keys_of_their_protocol() {
    let database = "[policies]\nfolders = [\"./policies\"]\n[upstreams.d]\nenvironment = \"e\"\n";
    for (lines, expected) in [
        ("address = \"127.0.0.1:1\"\ndatabase = \"d\"\nuser = \"u\"\ntls = \"off\"", &[][..]),
        ("address = \"127.0.0.1:1\"\nuser = \"u\"\ntls = \"off\"", &["PAR0403"]),
        ("", &["PAR0403", "PAR0403", "PAR0403"]),
        (
            "address = \"127.0.0.1:1\"\ndatabase = \"d\"\nuser = \"u\"\ntls = \"off\"\nurl = \"https://a.example\"",
            &["PAR0402"],
        ),
    ] {
        let text = format!("{database}{lines}\n");
        assert_eq!(codes(&text), expected, "{lines}\n{}", errors(&text));
    }
}

#[test]
fn one_request_leads_to_one_api() {
    let two = |one: &str, other: &str| {
        format!(
            "{}{one}\n[upstreams.b]\nprotocol = \"http\"\nenvironment = \"e\"\nurl = \"https://b.example\"\n{other}\n",
            api("url = \"https://a.example\"")
        )
    };
    for (one, other, expected) in [
        ("hosts = [\"x\"]", "hosts = [\"y\"]", &[][..]),
        ("hosts = [\"x\"]", "hosts = [\"x\"]", &["PAR0407"]),
        ("hosts = [\"x\"]", "hosts = [\"x\"]\npaths = [\"/b\"]", &[]),
        ("hosts = [\"x\"]\npaths = [\"/b\"]", "hosts = [\"x\"]\npaths = [\"/b/\"]", &["PAR0407"]),
        ("hosts = [\"x\"]\npaths = [\"/\"]", "hosts = [\"x\"]", &["PAR0407"]),
    ] {
        assert_eq!(codes(&two(one, other)), expected, "{one} {other}");
    }
}

#[test]
fn listeners_without_tls_stay_on_loopback() {
    let listener = |lines: &str| format!("[policies]\nfolders = [\"./policies\"]\n[http]\n{lines}\n");
    for (lines, expected) in [
        ("listen = \"127.0.0.1:0\"\ntls = \"off\"", &[][..]),
        ("listen = \"0.0.0.0:0\"\ntls = \"off\"", &["PAR0410"]),
        ("listen = \"0.0.0.0:0\"", &[]),
        ("tls = \"off\"", &["PAR0403"]),
        ("listen = \"0.0.0.0:0\"\n[http.tls]\ncertificate = \"ca.pem\"", &["PAR0403"]),
    ] {
        assert_eq!(codes(&listener(lines)), expected, "{lines}\n{}", errors(&listener(lines)));
    }
}
