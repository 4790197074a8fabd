//! Messages as libpq 18 writes them, and those that nobody should.

use super::*;

#[test]
fn messages() {
    let token = |text| Ok(BearerMessage::Token(text));
    let long = format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", "a".repeat(LONGEST));
    for (message, expected) in [
        ("n,,\u{1}auth=Bearer eyJh.e30.c2ln\u{1}\u{1}", token("eyJh.e30.c2ln")),
        ("y,,\u{1}auth=Bearer abc==\u{1}\u{1}", token("abc==")),
        ("n,,\u{1}auth=bearer ppt_a2\u{1}\u{1}", token("ppt_a2")),
        ("n,,\u{1}auth=\u{1}\u{1}", Ok(BearerMessage::Discovery)),
        ("p=tls-exporter,,\u{1}auth=Bearer a\u{1}\u{1}", Err(BearerRefusal::Header)),
        ("n,a=root,\u{1}auth=Bearer a\u{1}\u{1}", Err(BearerRefusal::Header)),
        ("", Err(BearerRefusal::Header)),
        ("n,,", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}auth=Bearer a\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,auth=Bearer a\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}host=x\u{1}auth=Bearer a\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}auth=Bearer a\u{1}\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}Auth=Bearer a\u{1}\u{1}", Err(BearerRefusal::Malformed)),
        ("n,,\u{1}auth=Basic a\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer \u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer ==\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer a b\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer a\0b\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        ("n,,\u{1}auth=Bearer a=b\u{1}\u{1}", Err(BearerRefusal::NotBearer)),
        (long.as_str(), Err(BearerRefusal::TooLong)),
    ] {
        assert_eq!(read(message.as_bytes()), expected, "{message:?}");
    }
    assert_eq!(read(b"n,,\x01auth=Bearer \xff\x01\x01"), Err(BearerRefusal::Malformed));
}

#[test]
fn names_and_the_challenge() {
    let some = BearerLogins::new(["reporting".to_owned()], Some("https://issuer.example/"));
    assert!(some.is_for("reporting") && !some.is_for("auditor") && !some.is_for("*"));
    let every = BearerLogins::new(["*".to_owned()], None);
    assert!(every.is_for("reporting") && every.is_for("nobody"));
    let members = |logins: &BearerLogins| serde_json::from_slice::<serde_json::Value>(logins.challenge()).unwrap();
    assert_eq!(
        members(&some),
        json!({
            "status": "invalid_token", "scope": "openid",
            "openid-configuration": "https://issuer.example/.well-known/openid-configuration"
        })
    );
    assert_eq!(members(&every), json!({"status": "invalid_token", "scope": "openid"}));
}
