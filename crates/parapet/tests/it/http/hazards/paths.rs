//! HT04: paths that a gateway and an upstream could read as two. What is doubtful is refused; what is not is sent in its one
//! normal form, and that is what policy saw.

use super::{Case, Expect, check, start};

const fn bad(name: &'static str, attack: &'static [u8], twin: &'static [u8]) -> Case {
    Case { id: "HT04", name, attack, expect: Expect::Refused(400), twin }
}

const fn sent(
    name: &'static str,
    attack: &'static [u8],
    with: &'static [&'static str],
    without: &'static [&'static str],
) -> Case {
    Case { id: "HT04", name, attack, expect: Expect::Sent { with, without }, twin: b"" }
}

const TWO: &[u8] = b"GET /open/b HTTP/1.1\r\n@C\r\n";

const CASES: &[Case] = &[
    bad("an escaped slash", b"GET /open%2fadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped slash in capitals", b"GET /open%2Fadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped backslash", b"GET /open%5cadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("a backslash", b"GET /open\\admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped NUL", b"GET /open%00/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped escape", b"GET /open%252fadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("dots escaped twice", b"GET /open/%252e%252e/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("dots", b"GET /open/../admin HTTP/1.1\r\n@C\r\n", b"GET /open/..b HTTP/1.1\r\n@C\r\n"),
    bad("dots at the end", b"GET /open/.. HTTP/1.1\r\n@C\r\n", b"GET /open/b.. HTTP/1.1\r\n@C\r\n"),
    bad("a dot", b"GET /open/./admin HTTP/1.1\r\n@C\r\n", b"GET /open/.b HTTP/1.1\r\n@C\r\n"),
    bad("escaped dots", b"GET /open/%2e%2e/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("one escaped dot", b"GET /open/.%2E/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("dots with a parameter", b"GET /open/..;/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("a parameter", b"GET /open;v=1/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped parameter", b"GET /open%3bv=1/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("two slashes", b"GET /open//admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("two slashes at the start", b"GET //admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an overlong slash", b"GET /open%c0%afadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("overlong dots", b"GET /open/%c0%ae%c0%ae/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("not UTF-8", b"GET /open/%ff HTTP/1.1\r\n@C\r\n", b"GET /open/%C3%BF HTTP/1.1\r\n@C\r\n"),
    bad("a full-width slash", b"GET /open%ef%bc%8fadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("a cut escape", b"GET /open/%2 HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escape that is none", b"GET /open/%zz HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escape of IIS", b"GET /open/%u002fadmin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped line end", b"GET /open/%0d%0aX-A:%20b HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped control character", b"GET /open/%01 HTTP/1.1\r\n@C\r\n", TWO),
    bad("an escaped delete", b"GET /open/%7f HTTP/1.1\r\n@C\r\n", TWO),
    bad("a fragment", b"GET /open#/admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("a letter beyond ASCII", b"GET /open/\xc3\xa9 HTTP/1.1\r\n@C\r\n", b"GET /open/%C3%A9 HTTP/1.1\r\n@C\r\n"),
    bad("a relative path", b"GET admin HTTP/1.1\r\n@C\r\n", TWO),
    bad("an asterisk", b"GET * HTTP/1.1\r\n@C\r\n", TWO),
    bad("a cut escape in the query", b"GET /open?a=%2 HTTP/1.1\r\n@C\r\n", b"GET /open?a=%20 HTTP/1.1\r\n@C\r\n"),
    sent(
        "letters that need no escape",
        b"GET /%6fpen/%7Eb HTTP/1.1\r\n@C\r\n",
        &["GET /open/~b HTTP/1.1"],
        &["%6f", "%7e"],
    ),
    sent("an escaped space", b"GET /open/a%20b HTTP/1.1\r\n@C\r\n", &["GET /open/a%20b HTTP/1.1"], &[]),
    sent(
        "the absolute form",
        b"GET http://shop.internal/open HTTP/1.1\r\n@C\r\n",
        &["GET /open HTTP/1.1"],
        &["http://"],
    ),
];

/// `/admin` may not be asked, and is what each attack is after.
const POLICY: &str = r#"
@id("not-admin")
forbid (principal, action, resource)
when { context has http && context.http.path like "/admin*" };
"#;

#[test]
fn what_could_be_two_paths_is_refused_and_the_rest_has_one_form() {
    let (bed, tripwire) = start("http-paths", "unlisted = \"allow\"", POLICY);
    check(&bed, &tripwire, CASES);
}

#[test]
fn no_form_of_a_forbidden_path_passes() {
    let (bed, tripwire) = start("http-forbidden-path", "unlisted = \"allow\"", POLICY);
    let refused = |name, attack| Case { id: "HT04", name, attack, expect: Expect::Refused(403), twin: TWO };
    check(
        &bed,
        &tripwire,
        &[
            refused("plain", b"GET /admin HTTP/1.1\r\n@C\r\n"),
            refused("with a query", b"GET /admin?a=b HTTP/1.1\r\n@C\r\n"),
            refused("with an escaped letter", b"GET /%61dmin HTTP/1.1\r\n@C\r\n"),
            refused("with every letter escaped", b"GET /%61%64%6D%69%6e/users HTTP/1.1\r\n@C\r\n"),
            refused("with a slash at the end", b"GET /admin/ HTTP/1.1\r\n@C\r\n"),
            refused("in the absolute form", b"GET http://shop.internal/admin HTTP/1.1\r\n@C\r\n"),
        ],
    );
}
