//! Tests of the startup allow-list (PW06): each key, repeated keys, the corpus of `options`.

use proptest::prelude::*;

use super::*;

fn check(parameters: &[(&str, &str)]) -> Result<StartupRequest, StartupRefusal> {
    StartupRequest::check(&StartupMessage { version: ProtocolVersion::V3_0, parameters: parameters.to_vec() })
}

/// The settings that `options` gives, as `name=value` joined by a semicolon, or the refusal's text.
fn with_options(text: &str) -> String {
    match check(&[("user", "u"), ("options", text)]) {
        Ok(request) => {
            let settings: Vec<_> =
                request.settings.iter().map(|(setting, value)| format!("{}={value}", setting.name())).collect();
            settings.join(";")
        }
        Err(refusal) => format!("refused: {refusal}"),
    }
}

#[test]
fn what_drivers_send_passes() {
    let psql =
        check(&[("user", "orders"), ("database", "shop"), ("application_name", "psql"), ("client_encoding", "UTF8")])
            .unwrap();
    assert_eq!((psql.user.as_str(), psql.database.as_str(), psql.version), ("orders", "shop", ProtocolVersion::V3_0));
    assert_eq!(psql.negotiation(), None);
    let pgjdbc = check(&[
        ("user", "orders"),
        ("client_encoding", "'utf-8'"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "Europe/Paris"),
        ("extra_float_digits", "2"),
    ])
    .unwrap();
    assert_eq!(pgjdbc.database, "orders");
    assert_eq!(
        pgjdbc.settings,
        vec![
            (Setting::ClientEncoding, "UTF8".to_owned()),
            (Setting::DateStyle, "ISO, MDY".to_owned()),
            (Setting::TimeZone, "Europe/Paris".to_owned()),
            (Setting::ExtraFloatDigits, "2".to_owned()),
        ]
    );
}

#[test]
fn each_other_key_is_refused() {
    let cases = [
        ("search_path", "refused"),
        ("role", "refused"),
        ("session_authorization", "refused"),
        ("standard_conforming_strings", "refused"),
        ("default_transaction_read_only", "refused"),
        ("session_replication_role", "refused"),
        ("Replication", "refused"),
        ("USER ", "refused"),
        ("Options", "refused"),
    ];
    for (name, _) in cases {
        let got = check(&[("user", "u"), (name, "x")]);
        assert!(matches!(got, Err(StartupRefusal::NotAllowed { .. })), "{name}: {got:?}");
    }
    for value in ["true", "database", "off", "0", ""] {
        assert_eq!(check(&[("user", "u"), ("replication", value)]), Err(StartupRefusal::Replication));
    }
}

#[test]
fn repeated_keys_are_refused_in_any_case() {
    for (first, second) in
        [("user", "user"), ("user", "USER"), ("DateStyle", "datestyle"), ("options", "options"), ("_pq_.a", "_pq_.a")]
    {
        let got = check(&[("user", "u"), (first, ""), (second, "")]);
        assert!(matches!(got, Err(StartupRefusal::Repeated { .. })), "{first} {second}: {got:?}");
    }
}

#[test]
fn values_are_checked() {
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("client_encoding", "unicode", Some("UTF8")),
        ("client_encoding", "SQL_ASCII", Some("UTF8")),
        ("client_encoding", "LATIN1", None),
        ("client_encoding", "", None),
        ("client_encoding", "GBK", None),
        ("TimeZone", "<+03>-03", Some("<+03>-03")),
        ("timezone", "UTC", Some("UTC")),
        ("TimeZone", "../../etc/passwd", None),
        ("TimeZone", "/etc/localtime", None),
        ("TimeZone", "UTC' x", None),
        ("DateStyle", "ISO; SET role x", None),
        ("extra_float_digits", "3", Some("3")),
        ("extra_float_digits", "4", None),
        ("extra_float_digits", "-15", Some("-15")),
        ("extra_float_digits", "-16", None),
        ("extra_float_digits", "on", None),
        ("application_name", "a\u{e9}\nb", Some("a??b")),
    ];
    for (name, value, expect) in cases {
        let got = check(&[("user", "u"), (name, value)])
            .ok()
            .and_then(|request| request.settings.first().map(|(_, value)| value.clone()));
        assert_eq!(got.as_deref(), *expect, "{name}={value}");
    }
    let long = "x".repeat(200);
    assert_eq!(check(&[("user", "u"), ("application_name", &long)]).unwrap().settings[0].1.len(), 63);
}

#[test]
fn options_corpus() {
    let cases = [
        ("", ""),
        ("   \t\n", ""),
        ("-c TimeZone=UTC", "TimeZone=UTC"),
        ("-cTimeZone=UTC", "TimeZone=UTC"),
        ("--TimeZone=UTC", "TimeZone=UTC"),
        ("--extra-float-digits=1", "extra_float_digits=1"),
        ("-c  datestyle=ISO,\\ MDY   -c timezone=UTC", "DateStyle=ISO, MDY;TimeZone=UTC"),
        ("-c application_name=a\\\\b", "application_name=a\\b"),
        ("-c application_name=a\\", "application_name=a"),
        ("-c\x0bTimeZone=UTC", "TimeZone=UTC"),
        // A backslash hides neither a name nor a space from us.
        ("-c sea\\rch_path=x", "refused: startup parameter `search_path` is not allowed"),
        ("-c application_name=a\\ -c\\ role=x", "application_name=a -c role=x"),
        ("-c search_path=x", "refused: startup parameter `search_path` is not allowed"),
        ("-csearch_path=x", "refused: startup parameter `search_path` is not allowed"),
        ("--search-path=x", "refused: startup parameter `search_path` is not allowed"),
        ("--role=x -c TimeZone=UTC", "refused: startup parameter `role` is not allowed"),
        ("-c TimeZone=UTC -c timezone=GMT", "refused: startup parameter `timezone` is repeated"),
        ("-c TimeZone=UTC -c", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("-c TimeZone", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("-d 5", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("-f i", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("TimeZone=UTC", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("--", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("-- -c role=x", "refused: `options` may only hold `-c name=value` and `--name=value`"),
        ("-c =x", "refused: startup parameter `` is not allowed"),
    ];
    for (text, expect) in cases {
        assert_eq!(with_options(text), expect, "{text:?}");
    }
}

#[test]
fn a_parameter_of_its_own_has_the_last_word() {
    let request = check(&[("TimeZone", "UTC"), ("user", "u"), ("options", "-c timezone=GMT")]).unwrap();
    assert_eq!(request.settings, vec![(Setting::TimeZone, "UTC".to_owned())]);
}

#[test]
fn versions_and_extensions_are_negotiated() {
    let ask = |version, parameters: &[(&str, &str)]| {
        let parameters = [&[("user", "u")], parameters].concat();
        StartupRequest::check(&StartupMessage { version: ProtocolVersion(version), parameters })
    };
    let told =
        |request: &StartupRequest| request.negotiation().map(|told| (told.version, told.unknown_extensions.len()));
    assert_eq!(told(&ask(0x0003_0000, &[]).unwrap()), None);
    assert_eq!(told(&ask(0x0003_0002, &[]).unwrap()), None);
    assert_eq!(told(&ask(0x0003_0001, &[]).unwrap()), Some((ProtocolVersion::V3_0, 0)));
    assert_eq!(told(&ask(0x0003_270f, &[("_pq_.grease", "")]).unwrap()), Some((ProtocolVersion::V3_2, 1)));
    assert_eq!(told(&ask(0x0003_0000, &[("_pq_.x", "1"), ("_pq_.y", "1")]).unwrap()), Some((ProtocolVersion::V3_0, 2)));
    for version in [0, 0x0002_0000, 0x0004_0000, u32::MAX] {
        let refused = ask(version, &[]);
        assert!(matches!(refused, Err(StartupRefusal::Version { .. })), "{version:#x}");
        assert_eq!(refused.unwrap_err().sqlstate().code(), "0A000");
    }
    assert_eq!(check(&[("database", "d")]), Err(StartupRefusal::NoUser));
    assert_eq!(check(&[("user", "")]), Err(StartupRefusal::NoUser));
}

#[test]
fn a_shown_name_is_clean_and_short() {
    let name = format!("a`\u{1b}[31m{}", "x".repeat(100));
    let text = check(&[("user", "u"), (&name, "")]).unwrap_err().to_string();
    assert!(text.starts_with("startup parameter `a??[31mxxx") && text.len() < 110, "{text}");
}

proptest! {
    #[test]
    fn nothing_but_the_list_ever_passes(text in "[-c=a-zA-Z_ \\\\]{0,40}") {
        // Whatever passes consists of settings with valid values: checking them again changes nothing.
        if let Ok(settings) = options(&text) {
            for (setting, value) in settings {
                prop_assert_eq!(setting.checked(&value), Ok(value));
            }
        }
    }
}
