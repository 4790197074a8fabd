//! HT06, HT07: headers and parameters that would change what was judged, or that only we may say.

use super::{Case, Expect, check, start};

const fn stripped(
    id: &'static str,
    name: &'static str,
    attack: &'static [u8],
    without: &'static [&'static str],
) -> Case {
    Case { id, name, attack, expect: Expect::Sent { with: &["GET /a HTTP/1.1"], without }, twin: b"" }
}

const fn bad(id: &'static str, name: &'static str, attack: &'static [u8], twin: &'static [u8]) -> Case {
    Case { id, name, attack, expect: Expect::Refused(400), twin }
}

const QUERY: &[u8] = b"GET /a?method=DELETE HTTP/1.1\r\n@C\r\n";

const CASES: &[Case] = &[
    stripped(
        "HT06",
        "X-HTTP-Method-Override",
        b"GET /a HTTP/1.1\r\n@CX-HTTP-Method-Override: DELETE\r\n\r\n",
        &["override", "delete"],
    ),
    stripped(
        "HT06",
        "X-HTTP-Method",
        b"GET /a HTTP/1.1\r\n@CX-HTTP-Method: DELETE\r\n\r\n",
        &["x-http-method", "delete"],
    ),
    stripped(
        "HT06",
        "X-Method-Override",
        b"GET /a HTTP/1.1\r\n@CX-Method-Override: DELETE\r\n\r\n",
        &["override", "delete"],
    ),
    stripped(
        "HT06",
        "with underscores",
        b"GET /a HTTP/1.1\r\n@CX_HTTP_Method_Override: DELETE\r\n\r\n",
        &["override", "delete"],
    ),
    stripped("HT06", "X-Original-URL", b"GET /a HTTP/1.1\r\n@CX-Original-URL: /admin\r\n\r\n", &["original", "admin"]),
    stripped("HT06", "X-Rewrite-URL", b"GET /a HTTP/1.1\r\n@CX-Rewrite-URL: /admin\r\n\r\n", &["rewrite", "admin"]),
    stripped(
        "HT06",
        "X-Original-Host",
        b"GET /a HTTP/1.1\r\n@CX-Original-Host: evil.example\r\n\r\n",
        &["evil.example"],
    ),
    bad("HT06", "_method in the query", b"GET /a?_method=DELETE HTTP/1.1\r\n@C\r\n", QUERY),
    bad("HT06", "_method in the query, escaped", b"GET /a?%5Fmethod=DELETE HTTP/1.1\r\n@C\r\n", QUERY),
    bad("HT06", "_METHOD in the query", b"GET /a?b=c&_METHOD=DELETE HTTP/1.1\r\n@C\r\n", QUERY),
    stripped(
        "HT07",
        "a nominated header",
        b"GET /a HTTP/1.1\r\n@CConnection: X-Policy\r\nX-Policy: planted\r\n\r\n",
        &["x-policy", "planted"],
    ),
    bad("HT07", "the credential nominated", b"GET /a HTTP/1.1\r\n@WConnection: close, Authorization\r\n\r\n", b""),
    bad("HT07", "the host nominated", b"GET /a HTTP/1.1\r\n@WConnection: close, Host\r\n\r\n", b""),
    bad(
        "HT07",
        "the length nominated",
        b"POST /a HTTP/1.1\r\n@WConnection: close, Content-Length\r\nContent-Length: 4\r\n\r\nabcd",
        b"",
    ),
    stripped("HT07", "X-Forwarded-For", b"GET /a HTTP/1.1\r\n@CX-Forwarded-For: 10.9.8.7\r\n\r\n", &["10.9.8.7"]),
    stripped(
        "HT07",
        "X-Forwarded-For twice",
        b"GET /a HTTP/1.1\r\n@CX-Forwarded-For: 10.9.8.7\r\nX-Forwarded-For: 10.9.8.6\r\n\r\n",
        &["10.9.8.7", "10.9.8.6"],
    ),
    stripped(
        "HT07",
        "X-Forwarded-Host",
        b"GET /a HTTP/1.1\r\n@CX-Forwarded-Host: evil.example\r\n\r\n",
        &["evil.example"],
    ),
    stripped("HT07", "X-Forwarded-Proto", b"GET /a HTTP/1.1\r\n@CX-Forwarded-Proto: gopher\r\n\r\n", &["gopher"]),
    stripped("HT07", "X-Forwarded-Prefix", b"GET /a HTTP/1.1\r\n@CX-Forwarded-Prefix: /planted\r\n\r\n", &["planted"]),
    stripped(
        "HT07",
        "Forwarded",
        b"GET /a HTTP/1.1\r\n@CForwarded: for=10.9.8.7;host=evil.example\r\n\r\n",
        &["10.9.8.7", "evil.example"],
    ),
    stripped("HT07", "X-Real-IP", b"GET /a HTTP/1.1\r\n@CX-Real-IP: 10.9.8.7\r\n\r\n", &["10.9.8.7"]),
    stripped("HT07", "True-Client-IP", b"GET /a HTTP/1.1\r\n@CTrue-Client-IP: 10.9.8.7\r\n\r\n", &["10.9.8.7"]),
    stripped(
        "HT07",
        "X-Forwarded-Client-Cert",
        b"GET /a HTTP/1.1\r\n@CX-Forwarded-Client-Cert: planted\r\n\r\n",
        &["planted"],
    ),
    stripped("HT07", "X_Forwarded_For", b"GET /a HTTP/1.1\r\n@CX_Forwarded_For: 10.9.8.7\r\n\r\n", &["10.9.8.7"]),
    stripped(
        "HT07",
        "our own decision",
        b"GET /a HTTP/1.1\r\n@CParapet-Decision: dec_planted\r\n\r\n",
        &["dec_planted"],
    ),
    stripped(
        "HT07",
        "Proxy-Connection",
        b"GET /a HTTP/1.1\r\n@CProxy-Connection: keep-alive\r\n\r\n",
        &["proxy-connection"],
    ),
    stripped("HT07", "Keep-Alive", b"GET /a HTTP/1.1\r\n@CKeep-Alive: timeout=9999\r\n\r\n", &["9999"]),
    stripped("HT07", "TE", b"GET /a HTTP/1.1\r\n@CTE: gzip;q=0.5\r\n\r\n", &["te: gzip"]),
    stripped(
        "HT07",
        "Proxy-Authorization",
        b"GET /a HTTP/1.1\r\n@CProxy-Authorization: Basic cGxhbnRlZA==\r\n\r\n",
        &["cGxhbnRlZA"],
    ),
];

#[test]
fn nothing_overrides_what_was_judged() {
    let (bed, tripwire) = start("http-headers", "unlisted = \"allow\"", "");
    check(&bed, &tripwire, CASES);
}

/// A form may override the method as a query may; an upstream that reads forms would obey.
#[test]
fn a_form_does_not_override_the_method() {
    let policy = "@id(\"reads-bodies\")\nforbid (principal, action, resource)\n\
                  when { context has body && context.body.hasTag(\"note\") && context.body.getTag(\"note\") == \"never\" };\n";
    let also = "unlisted = \"allow\"\n[[upstreams.shop-api.endpoints]]\nid = \"note\"\nmethod = \"POST\"\npath = \"/notes\"\nbody = { note = \"$.note\" }\n";
    let (bed, tripwire) = start("http-form-override", also, policy);
    check(
        &bed,
        &tripwire,
        &[Case {
            id: "HT06",
            name: "_method in a form",
            attack: b"POST /notes HTTP/1.1\r\n@CContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 21\r\n\r\nnote=a&_method=DELETE",
            expect: Expect::Refused(400),
            twin: b"POST /notes HTTP/1.1\r\n@CContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\nnote=a&method=DELETE",
        }],
    );
}
