//! Tests of hosts (HT05): each has one form, and all the places that name one agree.

use http::{Method, Request};
use proptest::prelude::*;

use super::*;

fn form(text: &str) -> Result<String, Violation> {
    Authority::read(text).map(|authority| authority.to_string())
}

#[test]
fn ht05_a_host_has_one_form() {
    for (text, expect) in [
        ("payments.internal", "payments.internal"),
        ("Payments.INTERNAL", "payments.internal"),
        ("payments.internal.", "payments.internal"),
        ("payments.internal.:8080", "payments.internal:8080"),
        ("a", "a"),
        ("a-b_c.x1", "a-b_c.x1"),
        ("xn--caf-dma.example", "xn--caf-dma.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]", "[::1]"),
        ("[0:0::1]:8443", "[::1]:8443"),
        ("[2001:DB8::A]", "[2001:db8::a]"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("1a", "1a"),
        ("a:65535", "a:65535"),
    ] {
        assert_eq!(form(text).as_deref(), Ok(expect), "{text}");
        assert_eq!(form(expect).as_deref(), Ok(expect), "{expect} is its own form");
    }
}

#[test]
fn ht05_what_is_no_host_is_refused() {
    for text in [
        "user@host",
        "user:pw@host",
        "host@",
        "a b",
        "a,b",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%2eb",
        "a%00",
        "caf\u{e9}",
        "\u{ff41}",
        ".",
        "..",
        "a..",
        ".a",
        "a..b",
        ":80",
        "a:",
        "a:0",
        "a:080",
        "a:65536",
        "a:80:80",
        "a:+80",
        "a:8 0",
        "a:x",
        "[::1",
        "::1",
        "[::1]80",
        "[::1]:",
        "[::1%25eth0]",
        "[fe80::1%eth0]",
        "[1.2.3.4]",
        "[]",
        "[::1].",
        "a\t",
        "a\r\n",
        "a;b",
        "a=b",
        "*",
        "-a.example",
        "a-.example",
        "a.*",
        // What some resolvers take for addresses.
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "1.2.3.4.",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.0x4",
        "a.1",
        "0x",
        "a.0xff",
    ] {
        assert_eq!(form(text), Err(Violation::Authority), "{text:?}");
    }
    assert_eq!(form(""), Err(Violation::NoAuthority));
    assert_eq!(form(&"a".repeat(64)), Err(Violation::Authority));
    assert_eq!(form(&format!("{}a", "a.".repeat(127))), Err(Violation::Authority));
}

fn parts(target: &str, hosts: &[&str]) -> Parts {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::try_from(target).unwrap();
    for host in hosts {
        request.headers_mut().append(HOST, http::HeaderValue::from_str(host).unwrap());
    }
    request.into_parts().0
}

#[test]
fn ht05_all_names_agree() {
    use Violation as V;
    type Case = (&'static str, &'static [&'static str], bool, Option<&'static str>, Result<&'static str, Violation>);
    let cases: &[Case] = &[
        ("/", &["a.b"], false, None, Ok("a.b")),
        ("/", &["A.B."], true, Some("a.b"), Ok("a.b")),
        ("/", &["a.b:443"], true, Some("A.b"), Ok("a.b:443")),
        ("http://a.b/", &["a.b"], false, None, Ok("a.b")),
        ("http://A.b:80/", &["a.b"], false, None, Ok("a.b:80")),
        ("https://a.b/", &[], true, Some("a.b"), Ok("a.b")),
        ("https://a.b/", &["a.b:443"], true, None, Ok("a.b")),
        ("/", &[], false, None, Err(V::NoAuthority)),
        ("/", &[""], false, None, Err(V::NoAuthority)),
        ("/", &["a", "a"], false, None, Err(V::TwoHosts)),
        ("http://a/", &["a", "b"], false, None, Err(V::TwoHosts)),
        ("/", &["u@a"], false, None, Err(V::Authority)),
        ("http://u@a/", &["a"], false, None, Err(V::Authority)),
        ("http://a/", &["b"], false, None, Err(V::AuthoritiesDiffer)),
        ("http://a/", &["a:81"], false, None, Err(V::AuthoritiesDiffer)),
        ("http://a:81/", &["a"], false, None, Err(V::AuthoritiesDiffer)),
        ("https://a/", &["a:80"], true, None, Err(V::AuthoritiesDiffer)),
        ("/", &["a"], true, Some("b"), Err(V::ServerName)),
        ("https://a/", &[], true, Some("b"), Err(V::ServerName)),
        ("/", &["a"], true, Some("a:80x"), Err(V::ServerName)),
        ("http://a/", &["a"], true, None, Err(V::Scheme)),
        ("https://a/", &["a"], false, None, Err(V::Scheme)),
        ("ftp://a/", &["a"], false, None, Err(V::Scheme)),
    ];
    for (target, hosts, tls, sni, expect) in cases {
        let parts = parts(target, hosts);
        let read = of_request(&parts.uri, &parts.headers, Scheme::of_connection(*tls), *sni);
        assert_eq!(
            read.map(|authority| authority.to_string()),
            expect.map(str::to_owned),
            "{target} {hosts:?} {sni:?}"
        );
    }
}

#[test]
fn ht05_a_tunnel_has_one_destination() {
    use Violation as V;
    let connect = |target: &str, hosts: &[&str]| {
        let mut parts = parts(target, hosts);
        parts.method = Method::CONNECT;
        of_connect(&parts).map(|authority| authority.to_string())
    };
    assert_eq!(connect("a.b:443", &["a.b:443"]).as_deref(), Ok("a.b:443"));
    assert_eq!(connect("A.b.:443", &["a.b"]).as_deref(), Ok("a.b:443"));
    assert_eq!(connect("a.b:22", &["a.b:22"]).as_deref(), Ok("a.b:22"));
    assert_eq!(connect("[::1]:443", &[]).as_deref(), Ok("[::1]:443"));
    for (target, hosts, violation) in [
        ("a.b", &["a.b"][..], V::TargetForm),
        ("/", &["a.b"], V::TargetForm),
        ("https://a.b:443/", &["a.b"], V::TargetForm),
        ("a.b:443", &["c.d:443"], V::AuthoritiesDiffer),
        ("a.b:443", &["a.b:22"], V::AuthoritiesDiffer),
        ("a.b:22", &["a.b"], V::AuthoritiesDiffer),
        ("a.b:443", &["a.b:443", "a.b:443"], V::TwoHosts),
        ("u@a.b:443", &["a.b:443"], V::Authority),
        ("2130706433:443", &[], V::Authority),
    ] {
        assert_eq!(connect(target, hosts), Err(violation), "{target} {hosts:?}");
    }
    assert_eq!(of_connect(&parts("a.b:443", &["a.b:443"])), Err(V::TargetForm), "not a CONNECT");
}

proptest! {
    #[test]
    fn a_form_is_its_own_form(text in "\\[?[a-zA-Z0-9.:_@%x-]{0,24}\\]?(:[0-9]{0,6})?") {
        if let Ok(authority) = Authority::read(&text) {
            prop_assert_eq!(Authority::read(&authority.to_string()), Ok(authority.clone()));
            prop_assert!(!authority.host().bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'@'));
            prop_assert!(Uri::builder().scheme("http").authority(authority.to_string()).path_and_query("/").build().is_ok());
        }
    }
}
