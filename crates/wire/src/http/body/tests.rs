//! What bodies say and which are refused, by hazard id.

use super::{BodyError, BodyField, Expect, media_type, read};

fn fields() -> Vec<BodyField> {
    let fields = [
        ("amount", "$.amount"),
        ("currency", "$.currency: text"),
        ("number", "$.card.number: text"),
        ("owner", "$.owner_id: text"),
        ("total", "$.total: decimal(2)"),
        ("live", "$.live: boolean"),
        ("count", "$.count: integer"),
    ];
    fields.iter().map(|(name, text)| BodyField::parse(name, text).unwrap()).collect()
}

/// What is read, as `amount=5 currency=EUR`; or the name of the error.
fn told(content_type: &str, body: &[u8]) -> String {
    match read(Some(content_type), body, &fields()) {
        Ok(facts) => {
            let texts = facts.texts.iter().map(|(name, value)| format!("{name}='{value}'"));
            let numbers = facts.numbers.iter().map(|(name, value)| format!("{name}={value}"));
            let all: Vec<String> = texts.chain(numbers).collect();
            all.join(" ")
        }
        Err(BodyError::Type) => "type".to_owned(),
        Err(BodyError::Malformed(_)) => "malformed".to_owned(),
        Err(BodyError::TooDeep) => "deep".to_owned(),
        Err(BodyError::Twice(_)) => "twice".to_owned(),
        Err(BodyError::Override) => "override".to_owned(),
        Err(BodyError::WrongType { name, .. }) => format!("wrong {name}"),
    }
}

#[test]
fn json() {
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    let cases: [(&str, &str); 75] = [
        (r#"{"amount": 5, "currency": "EUR"}"#, "currency='EUR' amount=5"),
        (r#" {} "#, ""),
        ("17", "wrong amount"),
        (r#"[{"amount": 5}]"#, "wrong amount"),
        (r#"{"other": [1, {"amount": 5}, [], {}]}"#, ""),
        (r#"{"am\u006funt": 5}"#, "amount=5"),
        (r#"{"card": {"number": "4111", "name": "x"}}"#, "number='4111'"),
        (r#"{"live": true}"#, "live='true'"),
        (r#"{"amount": false}"#, "amount='false'"),
        (r#"{"amount": null}"#, ""),
        (r#"{"card": null}"#, ""),
        (r#"{"currency": "\u20ac\ud83d\ude00\n"}"#, "currency='€😀\n'"),
        // Numbers: exact or not at all.
        (r#"{"amount": -5}"#, "amount=-5"),
        (r#"{"amount": 1e2}"#, "amount=100"),
        (r#"{"amount": 100.00}"#, "amount=100"),
        (r#"{"amount": 1.5e1}"#, "amount=15"),
        (r#"{"amount": -0}"#, "amount=0"),
        (r#"{"amount": 9007199254740991}"#, "amount=9007199254740991"),
        (r#"{"amount": 9007199254740992}"#, "wrong amount"),
        (r#"{"amount": 18446744073709551616}"#, "wrong amount"),
        (r#"{"amount": 1e400}"#, "wrong amount"),
        (r#"{"amount": 1e99999999999}"#, "wrong amount"),
        (r#"{"amount": 0e99999999}"#, "amount=0"),
        (r#"{"amount": 10.5}"#, "wrong amount"),
        (r#"{"amount": 100.000000000000000000001}"#, "wrong amount"),
        (r#"{"total": 10.5}"#, "total=1050"),
        (r#"{"total": "10.50"}"#, "total=1050"),
        (r#"{"total": 10.505}"#, "wrong total"),
        (r#"{"total": "1e3"}"#, "wrong total"),
        (r#"{"total": " 1"}"#, "wrong total"),
        // Texts that some readers take for numbers.
        (r#"{"amount": "5000"}"#, "amount='5000' amount=5000"),
        (r#"{"amount": " 5000"}"#, "wrong amount"),
        (r#"{"amount": "5e3"}"#, "wrong amount"),
        (r#"{"amount": "5_000"}"#, "wrong amount"),
        (r#"{"amount": "0x1388"}"#, "wrong amount"),
        (r#"{"amount": "+5000"}"#, "wrong amount"),
        (r#"{"amount": "05000"}"#, "wrong amount"),
        (r#"{"amount": "5,000"}"#, "wrong amount"),
        (r#"{"amount": "nan"}"#, "amount='nan'"),
        (r#"{"amount": "2026-11-21"}"#, "amount='2026-11-21'"),
        // HT09: types.
        (r#"{"currency": 5}"#, "wrong currency"),
        (r#"{"currency": ["EUR"]}"#, "wrong currency"),
        (r#"{"amount": {"value": 5}}"#, "wrong amount"),
        (r#"{"card": "4111"}"#, "wrong number"),
        (r#"{"card": [{"number": "4111"}]}"#, "wrong number"),
        (r#"{"live": "true"}"#, "wrong live"),
        (r#"{"live": 1}"#, "wrong live"),
        (r#"{"count": "5"}"#, "wrong count"),
        // HT08: duplicates, anywhere, and what lenient readers take for them.
        (r#"{"amount": 5, "amount": 5000}"#, "twice"),
        (r#"{"amount": 5, "\u0061mount": 5000}"#, "twice"),
        (r#"{"amount": 5, "Amount": 5000}"#, "twice"),
        (r#"{"AMOUNT": 5}"#, "twice"),
        (r#"{"card": {"number": "1"}, "Card": {}}"#, "twice"),
        (r#"{"x": {"a": 1, "a": 2}}"#, "twice"),
        (r#"{"live": true, "li\u017fe": true}"#, "live='true'"),
        (r#"{"cuſtomer": 1, "a\ud800": 1}"#, "malformed"),
        // The grammar, to the letter.
        (r#"{"amount": NaN}"#, "malformed"),
        (r#"{"amount": Infinity}"#, "malformed"),
        (r#"{"amount": 05}"#, "malformed"),
        (r#"{"amount": +5}"#, "malformed"),
        (r#"{"amount": .5}"#, "malformed"),
        (r#"{"amount": 5.}"#, "malformed"),
        (r#"{"amount": 5,}"#, "malformed"),
        (r#"{"amount": 5} {"amount": 5000}"#, "malformed"),
        (r#"{"amount": 5} x"#, "malformed"),
        (r#"{'amount': 5}"#, "malformed"),
        (r#"{amount: 5}"#, "malformed"),
        ("{\"amount\": 5 /* x */}", "malformed"),
        ("{\"a\n\": 5}", "malformed"),
        (r#"{"a": "\x41"}"#, "malformed"),
        (r#"{"a": "\u00g0"}"#, "malformed"),
        (r#"{"a": "x\"#, "malformed"),
        ("\u{feff}{}", "malformed"),
        ("", "malformed"),
        (&deep, "deep"),
    ];
    for (body, expect) in cases {
        assert_eq!(told("application/json", body.as_bytes()), expect, "{body}");
    }
    for body in [&b"\xff\xfe{\0}\0"[..], b"{\"a\": \"\xff\"}", b"{\"\xc1\xa1\": 1}"] {
        assert_eq!(told("application/json", body), "malformed", "{body:?}");
    }
}

#[test]
fn forms() {
    let cases = [
        ("amount=5&currency=EUR", "amount='5' currency='EUR' amount=5"),
        ("", ""),
        ("amount=%35", "amount='5' amount=5"),
        ("card[number]=41+11", "number='41 11'"),
        ("card%5Bnumber%5D=4111&card[name]=x", "number='4111'"),
        ("live=true&count=7&total=1.5", "live='true' count=7 total=150"),
        ("other[]=1&other[]=2", ""),
        ("amount", "amount=''"),
        // HT08.
        ("amount=5&amount=5000", "twice"),
        ("amount=5&AMOUNT=5000", "twice"),
        ("amount=5&amount[]=5000", "twice"),
        ("amount=5&amount[x]=1", "twice"),
        ("amount.x=5", "twice"),
        ("card=x", "twice"),
        ("card.number=4111", "twice"),
        // PHP's names: blanks before it, dots and an open bracket for `_`, cut at a zero.
        ("owner.id=5", "twice"),
        ("owner+id=5", "twice"),
        ("owner[id=5", "twice"),
        ("owner_id=5", "owner='5'"),
        ("card[number=4111", "twice"),
        ("+amount=5", "twice"),
        ("amount%00x=5", "twice"),
        ("+amount_=5", ""),
        (".method=DELETE", "override"),
        ("+_method=DELETE", "override"),
        ("_method%00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=DELETE", "override"),
        ("other=1&other=2", "twice"),
        ("amount=5;amount=6", "twice"),
        ("amount=5e3", "wrong amount"),
        ("_method=DELETE&amount=5", "override"),
        // HT09: JSON under another name, which many handlers read all the same.
        (r#"{"amount":5000}"#, "type"),
        ("\u{feff}\n [{\"amount\":5000}]", "type"),
        ("amount=%zz", "malformed"),
        ("amount=%ff", "malformed"),
        ("amount=5%", "malformed"),
    ];
    for (body, expect) in cases {
        assert_eq!(told("application/x-www-form-urlencoded", body.as_bytes()), expect, "{body}");
    }
}

/// Java's and Python's readers of numbers take the digits of every script.
#[test]
fn digits_of_other_scripts_are_no_text() {
    for text in ["\u{ff15}\u{ff10}\u{ff10}", "\u{664}\u{662}", "-\u{967}", "\u{2212}5", "5\u{ff0e}5"] {
        assert_eq!(
            told("application/json", format!("{{\"amount\": \"{text}\"}}").as_bytes()),
            "wrong amount",
            "{text}"
        );
    }
    assert_eq!(told("application/json", "{\"amount\": \"Nr. \u{664}\"}".as_bytes()), "amount='Nr. \u{664}'");
}

#[test]
fn multipart() {
    let part =
        |head: &str, content: &str| format!("--b1\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let end = "--b1--\r\n";
    let file = "name=\"amount\"; filename=\"a.txt\"";
    let typed = "name=\"currency\"\r\nContent-Type: text/plain; charset=utf-8";
    let other = "name=\"currency\"\r\nContent-Type: text/plain; charset=utf-16";
    let cases = [
        (part("name=\"amount\"", "5") + &part(typed, "EUR") + end, "amount='5' currency='EUR' amount=5"),
        (part("name=\"up\"; filename=\"a\"", "\u{1}\r\n--b") + "--b1--", ""),
        (part("name=\"amount\"", "5") + &part("name=\"amount\"", "6") + end, "twice"),
        (part("name=\"amount\"", "5") + &part("name=\"Amount\"", "6") + end, "twice"),
        (part(file, "5") + end, "wrong amount"),
        (part("name=\"_method\"", "DELETE") + end, "override"),
        (part(other, "EUR") + end, "wrong currency"),
        (part("name=amount", "5") + end, "malformed"),
        (part("name=\"amount\"; name=\"x\"", "5") + end, "malformed"),
        (part("name=\"amount\"; filename*=utf-8''x", "5") + end, "malformed"),
        (part("name=\"a%6dount\"", "5") + end, "malformed"),
        (part("name=\"amount\"\r\nContent-Transfer-Encoding: base64", "NQ==") + end, "malformed"),
        (part("name=\"amount\"\r\nContent-Disposition: form-data; name=\"x\"", "5") + end, "malformed"),
        (part("name=\"amount\"", "5"), "malformed"),
        (format!("preamble\r\n{}{end}", part("name=\"amount\"", "5")), "malformed"),
        (part("name=\"amount\"", "5") + "--b1-- \r\n", "malformed"),
        (part("name=\"amount\"", "5") + end + "epilogue", "malformed"),
        (part("name=\"amount\"", "5").replace("\r\n", "\n") + "--b1--\n", "malformed"),
    ];
    for (body, expect) in cases {
        assert_eq!(told("multipart/form-data; boundary=b1", body.as_bytes()), expect, "{body}");
    }
}

#[test]
fn types() {
    let cases = [
        ("application/json", true),
        ("Application/JSON; Charset=UTF-8", true),
        ("application/json;charset=\"utf-8\"", true),
        ("application/vnd.api+json", true),
        ("text/json", true),
        ("application/json; charset=utf-16", false),
        ("application/json; charset=utf-8; charset=utf-16", false),
        ("application/json, text/plain", false),
        ("application/jsonx", false),
        ("application/+json", false),
        ("text/plain", false),
        ("multipart/mixed; boundary=x", false),
        ("multipart/form-data", false),
        ("multipart/form-data; boundary=\"a b\"", false),
        ("json", false),
        ("", false),
    ];
    for (text, readable) in cases {
        assert_eq!(super::body_kind(text).is_some(), readable, "{text}");
    }
    assert_eq!(read(None, b"", &fields()), Ok(Default::default()));
    assert_eq!(read(None, b"{}", &fields()), Err(BodyError::Type));
    assert_eq!(media_type("a/b;c=d").unwrap().1, [("c".to_owned(), "d".to_owned())]);
}

#[test]
fn fields_have_types() {
    for (text, expect) in [
        ("$.a", Some(Expect::Any)),
        ("$.a: integer", Some(Expect::Integer)),
        ("$.a: decimal(3)", Some(Expect::Decimal(3))),
        ("$['a: b']", None),
        ("$['a: b']: text", Some(Expect::Text)),
        ("$.a: float", None),
        ("$.a: decimal(10)", None),
        ("$", None),
        ("$.a[*]", None),
        ("$..a", None),
    ] {
        assert_eq!(BodyField::parse("x", text).ok().map(|field| field.expect), expect, "{text}");
    }
}
