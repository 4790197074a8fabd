//! What a mask made, in bodies of each type: found whatever they are cut into, at fields of the names that are masked and nowhere else.

use std::sync::Arc;

use super::{Seeker, Sought};
use crate::http::Violation;
use crate::http::graphql::brings_back;
use crate::http::json_mask::LONGEST_VALUE;
use crate::http::json_path::JsonPath;
use crate::mask::MaskKey;

fn key() -> Arc<MaskKey> {
    Arc::new(MaskKey::new(b"a key of thirty-two bytes or so."))
}

fn sought(paths: &[&str]) -> Sought {
    let paths: Vec<JsonPath> = paths.iter().map(|path| JsonPath::parse(path).unwrap()).collect();
    Sought::in_fields(paths.iter(), &key())
}

fn run(sought: &Sought, kind: Option<&str>, pieces: &[&[u8]]) -> Result<bool, Violation> {
    let mut seeker = Seeker::of(kind.map(str::as_bytes), sought)?.unwrap();
    for piece in pieces {
        if seeker.feed(piece)? {
            return Ok(true);
        }
    }
    seeker.finish()
}

fn check_in(sought: &Sought, kind: Option<&str>, body: &str, expect: Result<bool, Violation>) {
    let bytes = body.as_bytes();
    let text: String = body.chars().take(200).collect();
    assert_eq!(run(sought, kind, &[bytes]), expect, "{text}");
    assert_eq!(run(sought, kind, &bytes.chunks(1).collect::<Vec<_>>()), expect, "byte by byte: {text}");
    for cut in (0..bytes.len().min(400)).filter(|_| bytes.len() < 4000) {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(run(sought, kind, &[head, tail]), expect, "cut at {cut}: {text}");
    }
}

fn check(kind: &str, body: &str, expect: Result<bool, Violation>) {
    check_in(&sought(&["$.customers[*].email", "$.card"]), Some(kind), body, expect);
}

const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const PARTS: &str = "multipart/form-data; boundary=\"b1\"";

#[test]
fn forms() {
    let long = "x".repeat(LONGEST_VALUE * 4);
    for body in [
        "email=[redacted]",
        "email=%5Bredacted%5D",
        "e%6Dail=%5bredacted%5D&id=7",
        "id=7&customer%5Bemail%5D=%5Bredacted%5D",
        "customer[0][email]=[redacted]&id=7",
        "customers.email=m***%40e***.com",
        "EMAIL=[redacted]",
        "email[]=a&email[]=****1234",
        "card=************4417&",
        "email=bob@example.com&email=[redacted]",
        &format!("note={long}&email=[redacted]"),
        &format!("{}=[redacted]", "n".repeat(2000)),
        r#"{"email":"[redacted]"}"#,
        r#" [{"customer":{"email":"[redacted]"}}]"#,
        // One document behind another, which is no JSON as a whole.
        "{\"email\":\"[redacted]\"}\n{\"id\":7}",
    ] {
        check(FORM, body, Ok(true));
        check_in(&sought(&["$.email", "$.card"]), None, body, Ok(true));
    }
    for body in [
        "",
        "email",
        "email=",
        "email=bob%40example.com",
        "name=[redacted]",
        "emails=[redacted]",
        "id=7&&=&email=%zz",
        "name=email%3D[redacted]",
        &format!("email={long}"),
        r#"{"name":"[redacted]"}"#,
        r#"{"email":"bob@example.com""#,
        "[0][name]=[redacted]",
    ] {
        check(FORM, body, Ok(false));
    }
    // A field that has no name of its own stands anywhere.
    check_in(&sought(&["$.*"]), Some(FORM), "anything=[redacted]", Ok(true));
    check_in(&sought(&["$.contact.*"]), Some(FORM), "contact[street]=[redacted]", Ok(true));
    check_in(&sought(&["$.contact.*"]), Some(FORM), "street=[redacted]", Ok(false));
}

#[test]
fn targets() {
    let sought = sought(&["$.customers[*].email"]);
    let found = |query, name: &str, value: &str| sought.is_in_target(query, &[(name.into(), value.into())]);
    assert!(found(Some("id=7&email=%5Bredacted%5D"), "id", "7"));
    assert!(found(None, "email", "[redacted]"));
    assert!(found(Some("EMAIL=[redacted]"), "id", "7"));
    assert!(found(None, "Email", "[redacted]"));
    assert!(!found(Some("id=7&email=bob&name=%5Bredacted%5D"), "email", "bob"));
    assert!(!found(None, "name", "[redacted]"));
}

fn parts(all: &[(&str, &str)]) -> String {
    let all: Vec<String> =
        all.iter().map(|(head, content)| format!("--b1\r\nContent-Disposition: {head}\r\n\r\n{content}\r\n")).collect();
    format!("{}--b1--\r\n", all.concat())
}

#[test]
fn parts_of_multipart_bodies() {
    let long = "x\n--b\n".repeat(20_000);
    let file = ("form-data; name=\"photo\"; filename=\"email.txt\"", long.as_str());
    for (head, content) in [
        ("form-data; name=\"email\"", "[redacted]"),
        ("form-data; name=email", "[redacted]"),
        ("form-data; name=\"Email\"", "[redacted]"),
        ("form-data; name=\"customer[email]\"", "m***"),
        ("form-data; filename=\"a;b\"; name=\"email\"", "[redacted]"),
        ("form-data;\r\n name=\"email\"", "[redacted]"),
        ("form-data; name*=utf-8''e%6Dail", "[redacted]"),
        ("form-data; name*=utf-8'en'email", "[redacted]"),
        ("form-data; name=\"email\"\r\nContent-Type: text/plain; charset=utf-8", "[redacted]"),
        ("form-data; name=\"email\"\r\nContent-Transfer-Encoding: 8bit", "[redacted]"),
        ("form-data; name=\"email\"\r\nContent-Type: application/json", "\"[redacted]\""),
        ("form-data; name=\"customer\"\r\nContent-Type: application/json", "{\"email\":\"[redacted]\"}"),
        ("attachment\r\nContent-Type: application/json", "{\r\n\"email\" : \"[redacted]\"\r\n}"),
        ("form-data", "[redacted]"),
    ] {
        check(PARTS, &parts(&[(head, content)]), Ok(true));
        check(PARTS, &parts(&[(head, content), file]), Ok(true));
        check(PARTS, &parts(&[file, (head, content)]), Ok(true));
        check(PARTS, &parts(&[(head, content)]).replace("\r\n", "\n"), Ok(true));
        // The end may be missing, and so may be its line end.
        check(PARTS, parts(&[(head, content)]).trim_end(), Ok(true));
    }
    check(PARTS, "--b1\r\nContent-Disposition: form-data; name=email\r\n\r\n[redacted]", Ok(true));
    // A reader may take the last boundary for one like the others.
    check(PARTS, "--b1--\r\nContent-Disposition: form-data; name=email\r\n\r\n[redacted]", Ok(true));
    let related = "--b1\r\nContent-Type: application/json\r\n\r\n{\"email\":\"[redacted]\"}\r\n--b1--";
    check("multipart/related; boundary=b1", related, Ok(true));
    for (head, content) in [
        ("form-data; name=\"email\"", "bob@example.com"),
        ("form-data; name=\"email\"", "[redacted]\r\n"),
        ("form-data; name=\"email\"", &long),
        ("form-data; name=\"name\"", "[redacted]"),
        ("form-data; name=\"name\"", "name=\"email\"\r\n\r\n[redacted]"),
        ("form-data; name=\"name\"; filename=\"email\"\r\nContent-Type: image/png", "[redacted]"),
        ("form-data; name=\"name\"\r\nContent-Type: application/json", "{\"name\":\"[redacted]\"}"),
    ] {
        check(PARTS, &parts(&[(head, content), file]), Ok(false));
    }
    check(PARTS, "", Ok(false));
    check(PARTS, &format!("email\r\n\r\n[redacted]\r\n{}", parts(&[])), Ok(false));
}

#[test]
fn what_cannot_be_searched() {
    for (head, content, expect) in [
        ("form-data; name=email\r\nContent-Transfer-Encoding: base64", "W3JlZGFjdGVkXQ==", Violation::BodyType),
        ("form-data; name=a\r\nContent-Type: multipart/mixed; boundary=b2", "--b2--", Violation::BodyType),
        ("form-data; name=a\r\nContent-Type: application/json; charset=utf-16", "1", Violation::BodyType),
        ("form-data; name=a\r\nContent-Type: application/json", "{'email': 1}", Violation::Body),
        ("form-data; name=a\r\nContent-Type: application/json", "{", Violation::Body),
    ] {
        check(PARTS, &parts(&[(head, content)]), Err(expect));
    }
    let long = format!("form-data; name=a\r\nX: {}", "x".repeat(20_000));
    check(PARTS, &parts(&[(&long, "")]), Err(Violation::Body));
    let deep = "[".repeat(600);
    for (kind, body, expect) in [
        ("application/json", "{'email':'[redacted]'}", Violation::Body),
        ("application/json", "{\"email\":", Violation::Body),
        ("application/json", &deep, Violation::BodyDepth),
        ("application/json; charset=utf-16", "{}", Violation::BodyType),
        ("application/json, text/plain", "{}", Violation::BodyType),
        ("multipart/form-data", "", Violation::BodyType),
        ("multipart/form-data; boundary=a; boundary=b", "", Violation::BodyType),
    ] {
        check(kind, body, Err(expect));
    }
    for kind in ["text/plain", "application/octet-stream", "text/event-stream", "application/jsonp"] {
        let seeker = Seeker::of(Some(kind.as_bytes()), &sought(&["$.email"]));
        assert!(matches!(seeker, Ok(None)), "{kind}: {seeker:?}");
    }
}

#[test]
fn json_documents() {
    for body in [r#"{"email":"[redacted]"}"#, r#"{"a":[{"em\u0061il":["[redacted]"]}]}"#, "\n{\"card\":\"****4417\"} "]
    {
        check("application/json", body, Ok(true));
        check("application/merge-patch+json; charset=utf-8", body, Ok(true));
        check("application/x-ndjson", body, Ok(true));
        check("application/apply-patch+yaml", body, Ok(true));
        check("Application/YAML; charset=utf-8", body, Ok(true));
    }
    check("application/json", r#"{"email":"[redacted]"}, and more"#, Ok(true));
    // Go and ASP.NET read names without regard to case, Go by Unicode's folding: a long s, a Kelvin sign.
    for name in ["Email", "EMAIL", "eMail", "\\u0045mail", "CARD", "Card"] {
        check("application/json", &format!(r#"{{"customer":{{"{name}":"[redacted]"}}}}"#), Ok(true));
    }
    let odd = sought(&["$.Straße", "$.apiKeys", "$.Contact.*"]);
    for (body, expect) in [
        (r#"{"straße":"[redacted]"}"#, true),
        (r#"{"STRAẞE":"[redacted]"}"#, true),
        (r#"{"api\u212Aey\u017f":"[redacted]"}"#, true),
        (r#"{"apiKEYſ":"[redacted]"}"#, true),
        (r#"{"CONTACT":{"any":"[redacted]"}}"#, true),
        (r#"{"strasse":"[redacted]","api_keys":"[redacted]","api-Keys":"[redacted]","apiKey":"[redacted]"}"#, false),
        (r#"{"Other":{"CONTACT":{"any":"[redacted]"}}}"#, false),
    ] {
        check_in(&odd, Some("application/json"), body, Ok(expect));
    }
    // YAML that is no JSON is not searched, and passes.
    check("application/yaml", "email: '[redacted]'\n", Ok(false));
    for body in ["", "{}", r#"{"name":"[redacted]","email":"bob@example.com"}"#] {
        check("application/json", body, Ok(false));
        check("application/apply-patch+yaml", body, Ok(false));
    }
}

fn request(query: &str, variables: &str) -> String {
    let query = serde_json::Value::from(query);
    format!("{{\"query\":{query},\"variables\":{variables}}}")
}

#[test]
fn mutations_of_graphql() {
    let sought = Sought::in_selections(["Query.customer.email", "Query.*.card"].into_iter(), &key());
    let found = |body: &str| brings_back(Some("application/json"), body.as_bytes(), &sought);
    for (query, variables) in [
        (r#"mutation { update(email: "[redacted]") { id } }"#, "{}"),
        (r#"mutation { update(input: {id: 7, contact: {email: "[redacted]"}}) { id } }"#, "{}"),
        (r#"mutation { update(input: {email: ["a", {x: "[redacted]"}]}) { id } }"#, "{}"),
        ("mutation { update(email: \"\"\"\n  [redacted]\n\"\"\") { id } }", "{}"),
        (r#"mutation { update(email: "[red\u0061cted]") { id } }"#, "{}"),
        (r#"mutation { update(Email: "[redacted]") { id } }"#, "{}"),
        ("mutation($in: In) { update(input: $in) { id } }", r#"{"in":{"EMAIL":"[redacted]"}}"#),
        (r#"mutation { update(input: [{card: "****4417"}]) { id } }"#, "{}"),
        (r#"mutation { a { ...F } } fragment F on M { update(email: "[redacted]") }"#, "{}"),
        ("mutation($e: String) { update(email: $e) { id } }", r#"{"e":"[redacted]"}"#),
        ("mutation($e: [String]) { update(input: {email: $e}) { id } }", r#"{"e":["a","[redacted]"]}"#),
        ("mutation($in: In) { update(input: $in) { id } }", r#"{"in":{"id":7,"email":"[redacted]"}}"#),
        ("mutation($in: In) { update(input: $in) { id } }", r#"{"in":[{"email":{"new":"[redacted]"}}]}"#),
        ("mutation($email: String) { update(input: $email) { id } }", r#"{"email":"[redacted]"}"#),
        (r#"mutation($e: String = "[redacted]") { update(email: $e) { id } }"#, "{}"),
        (r#"mutation($in: In = {email: "[redacted]"}) { update(input: $in) { id } }"#, "{}"),
    ] {
        let body = request(query, variables);
        assert_eq!(found(&body), Ok(true), "{body}");
        let batch = format!("[{},{body}]", request("mutation { x }", "{}"));
        assert_eq!(found(&batch), Ok(true), "{batch}");
    }
    for (query, variables) in [
        (r#"mutation { update(email: "bob@example.com", name: "[redacted]") { email } }"#, "{}"),
        (r#"mutation { update(emails: "[redacted]") { id } } # email: "[redacted]""#, "{}"),
        ("mutation($e: String, $n: String) { update(email: $e, name: $n) { id } }", r#"{"e":"bob","n":"[redacted]"}"#),
        ("mutation($in: In) { update(input: $in) { id } }", r#"{"in":{"name":"[redacted]","email":null}}"#),
        (r#"mutation($n: String = "[redacted]") { update(name: $n) { id } }"#, "{}"),
    ] {
        let body = request(query, variables);
        assert_eq!(found(&body), Ok(false), "{body}");
    }
    let document = br#"mutation { update(email: "[redacted]") { id } }"#;
    assert_eq!(brings_back(Some("application/graphql"), document, &sought), Ok(true));
    let all = Sought::in_selections(["Query.customer.*"].into_iter(), &key());
    assert_eq!(brings_back(Some("application/graphql"), br#"mutation { update(x: "[redacted]") }"#, &all), Ok(true));
    for body in ["{}", "no json"] {
        assert!(found(body).is_err(), "{body}");
    }
}
