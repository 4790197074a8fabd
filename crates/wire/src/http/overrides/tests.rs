//! Which bodies would override the method, whatever they are cut into (HT06).

use http::Method;

use super::Overrides;
use crate::http::Violation;

fn found(kind: Option<&str>, body: &[u8], cut: usize) -> Result<(), Violation> {
    let Some(mut overrides) = Overrides::of(&Method::POST, kind.map(str::as_bytes), false)? else { return Ok(()) };
    body.chunks(cut).try_for_each(|piece| overrides.feed(piece))
}

fn check(kind: Option<&str>, body: &str, expect: Result<(), Violation>) {
    for cut in [1, 2, 3, 7, 4096] {
        assert_eq!(found(kind, body.as_bytes(), cut), expect, "{kind:?} {body:?} in pieces of {cut}");
    }
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");
const JSON: Option<&str> = Some("application/json");
const PARTS: Option<&str> = Some("multipart/form-data; boundary=\"b1\"");

#[test]
fn forms() {
    let blanks = "+".repeat(600);
    for body in [
        "_method=DELETE",
        "a=1&_method=DELETE",
        "a=1;_method=DELETE",
        "a=%26&%5Fmethod=DELETE",
        "_METHOD=delete",
        "%2emethod=DELETE",
        "++%20_method=DELETE",
        &format!("{blanks}_method=DELETE"),
        "_method%00=DELETE",
        "X-HTTP-Method-Override=PUT",
        "a&&_method=PUT",
    ] {
        check(FORM, body, Err(Violation::Override));
        check(None, body, Err(Violation::Override));
        check(Some("text/plain"), body, Ok(()));
    }
    for body in ["", "method=DELETE", "a=_method", "a=1&_methods=x", "_method", "payment_method=card", "a=%zz%&%_=1"] {
        check(FORM, body, Ok(()));
    }
}

#[test]
fn json_documents() {
    let long = "x".repeat(500);
    for body in [
        r#"{"_method":"DELETE"}"#,
        r#" {"a": {"b": [1, "}"]}, "_method" : "DELETE"}"#,
        r#"{"\u005fmethod":"DELETE"}"#,
        r#"{"a":"\"","_method":1}"#,
        r#"{"a":"\\","_method":1}"#,
        &format!(r#"{{"{long}":"{long}","_method":1}}"#),
    ] {
        check(JSON, body, Err(Violation::Override));
        check(Some("application/vnd.api+json"), body, Err(Violation::Override));
    }
    for body in [
        r#"{"a":"_method"}"#,
        r#"{"a":{"_method":"x"}}"#,
        r#"[{"_method":"x"}]"#,
        r#"{"a":"\",\"_method\":1"}"#,
        r#"{"_methods":1,"method":2}"#,
        "no json",
    ] {
        check(JSON, body, Ok(()));
    }
}

#[test]
fn parts() {
    let body = |head: &str, content: &str| {
        format!(
            "preamble\r\n--b1\r\n{head}\r\n\r\n{content}\r\n--b1\r\nContent-Disposition: form-data; name=\"z\"\r\n\r\n1\r\n--b1--\r\n"
        )
    };
    for head in [
        "Content-Disposition: form-data; name=\"_method\"",
        "content-disposition:form-data;name=_method",
        "Content-Disposition: form-data; name=\"a\"; name=\"_METHOD\"",
        "Content-Disposition: form-data;\r\n name=\"_method\"",
        "Content-Disposition: form-data; name=\"_me\\thod\"",
        "Content-Disposition: form-data; name=\"%5Fmethod\"",
        "Content-Disposition: form-data; name*=utf-8''_method",
        "Content-Disposition: form-data; name=\" _method\"",
    ] {
        check(PARTS, &body(head, "DELETE"), Err(Violation::Override));
        check(PARTS, &body(head, "DELETE").replace("\r\n", "\n"), Err(Violation::Override));
    }
    let plain = "Content-Disposition: form-data; name=\"method\"; filename=\"a_method.txt\"";
    check(PARTS, &body(plain, "name=\"_method\"\r\n\r\n_method=DELETE"), Ok(()));
    check(PARTS, &body(plain, &format!("{}\n--b2\nname=\"_method\"", "x".repeat(40_000))), Ok(()));
    let long = format!("X: {}", "x".repeat(20_000));
    check(PARTS, &body(&long, ""), Err(Violation::Body));
    for kind in ["multipart/form-data", "multipart/form-data; boundary=a; boundary=b", "multipart/mixed; boundary=a,b"]
    {
        check(Some(kind), "", Err(Violation::BodyType));
    }
}

#[test]
fn what_is_not_looked_into() {
    let of = |method: Method, kind: Option<&str>, coded| {
        Overrides::of(&method, kind.map(str::as_bytes), coded).map(|overrides| overrides.is_some())
    };
    assert_eq!(of(Method::PUT, FORM, false), Ok(false));
    for (kind, expect) in [
        (FORM, Err(Violation::ContentCoding)),
        (PARTS, Err(Violation::ContentCoding)),
        (JSON, Ok(false)),
        (Some("application/protobuf"), Ok(false)),
        (None, Ok(false)),
    ] {
        assert_eq!(of(Method::POST, kind, true), expect, "{kind:?}");
    }
}
