//! Tests of refusals and of the refusal probe.

use kernel::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::postgres::frame::{self, CLIENT_CAP, HARD_CAP};
use crate::postgres::message::{BackendMessage, ErrorFields, FrontendMessage};

fn decision() -> DecisionId {
    DecisionId::new(Timestamp::from_millis(1_795_233_600_000), 7)
}

fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    frame::scan(bytes, HARD_CAP).map(|frame| frame.map(|frame| (frame.tag, frame.body.to_vec())).unwrap()).collect()
}

#[test]
fn an_error_has_all_its_fields() {
    let refusal = Refusal {
        detail: Some("no WHERE (owner: ana)"),
        hint: Some("add a WHERE"),
        position: Some(8),
        schema: Some("public"),
        table: Some("orders"),
        column: Some("email"),
        context: Some("policy writes-are-bounded at v12"),
        ..Refusal::new(Severity::Error, Sqlstate::DENIED, "denied by policy \"writes-are-bounded\"")
    };
    let mut out = Vec::new();
    refusal.write_error("1.2.3", &mut out);
    let body = frames(&out).remove(0).1;
    let fields = ErrorFields::decode(&body).unwrap();
    let shown: Vec<String> = fields
        .fields
        .iter()
        .map(|(letter, text)| format!("{}:{}", char::from(*letter), String::from_utf8_lossy(text)))
        .collect();
    assert_eq!(
        shown,
        [
            "S:ERROR",
            "V:ERROR",
            "C:42501",
            "M:denied by policy \"writes-are-bounded\"",
            "D:no WHERE (owner: ana)",
            "H:add a WHERE",
            "P:8",
            "W:policy writes-are-bounded at v12",
            "s:public",
            "t:orders",
            "c:email",
            "F:1.2.3",
            "R:parapet",
        ]
    );
    assert!(!fields.ends_session());
    assert_eq!(fields.sqlstate(), Some("42501"));

    let mut out = Vec::new();
    Refusal::new(Severity::Fatal, Sqlstate::KILLED, "killed").write_error("1.2.3", &mut out);
    assert!(ErrorFields::decode(&frames(&out).remove(0).1).unwrap().ends_session());
    let mut out = Vec::new();
    Refusal::new(Severity::Notice, Sqlstate::SUCCESS, "held").write_notice("1.2.3", &mut out);
    assert_eq!(out[0], b'N');
}

#[test]
fn the_probe_is_a_constant_and_an_id() {
    let probe = Probe::new(&decision());
    assert_eq!(probe.text(), format!("parapet_denied__{}", decision()));
    // A name longer than 63 bytes would be cut upstream, and could then meet a name that exists.
    assert!(probe.text().len() < 64 && probe.text().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    let mut out = Vec::new();
    probe.write_query(&mut out).unwrap();
    probe.write_parse("s1", &mut out).unwrap();
    probe.write_bind(&mut out).unwrap();
    probe.write_execute(&mut out).unwrap();
    probe.write_copy_fail(&mut out).unwrap();
    let frames = frames(&out);
    let messages: Vec<_> = frames.iter().map(|(tag, body)| FrontendMessage::decode(*tag, body).unwrap()).collect();
    match messages.as_slice() {
        [
            FrontendMessage::Query(query),
            FrontendMessage::Parse(parse),
            FrontendMessage::Bind(bind),
            FrontendMessage::Execute(execute),
            FrontendMessage::CopyFail(fail),
        ] => {
            assert_eq!(query.text, probe.text());
            assert_eq!((parse.statement, parse.text, parse.parameter_types.len()), ("s1", probe.text(), 0));
            assert_eq!((bind.portal, bind.statement, bind.values.len()), ("", probe.text(), 0));
            assert_eq!((execute.portal, execute.max_rows), (probe.text(), 0));
            assert_eq!(fail.reason, probe.text());
        }
        other => panic!("{other:?}"),
    }
    let before = out.len();
    assert_eq!(probe.write_parse("a\0b", &mut out), Err(EncodeError::ZeroByte));
    assert_eq!(out.len(), before);
}

#[test]
fn codes_have_five_characters_and_texts_are_cut_at_a_character() {
    for state in [
        Sqlstate::DENIED,
        Sqlstate::APPROVAL_REQUIRED,
        Sqlstate::QUARANTINED,
        Sqlstate::LIMIT,
        Sqlstate::CANNOT_DECIDE,
        Sqlstate::GRANT_VOID,
    ] {
        let class = state.code().get(..2).unwrap();
        assert!(state.code().len() == 5 && !["08", "40", "53", "57"].contains(&class), "{state:?}");
    }
    let long = "é".repeat(FIELD_CAP);
    let mut out = Vec::new();
    Refusal::new(Severity::Error, Sqlstate::DENIED, &format!("x{long}")).write_error("v", &mut out);
    let frames = frames(&out);
    let fields = ErrorFields::decode(&frames[0].1).unwrap();
    let message = std::str::from_utf8(fields.field(b'M').unwrap()).unwrap();
    assert!(message.len() <= FIELD_CAP && message.len() > FIELD_CAP - 4);
}

proptest! {
    #[test]
    fn any_text_gives_one_well_formed_error(message in any::<String>(), detail in any::<String>()) {
        let mut out = Vec::new();
        let refusal = Refusal { detail: Some(&detail), ..Refusal::new(Severity::Error, Sqlstate::DENIED, &message) };
        refusal.write_error("v", &mut out);
        let frames: Vec<_> = frame::scan(&out, CLIENT_CAP).collect();
        prop_assert_eq!(frames.len(), 1);
        let frame = frames[0].unwrap();
        prop_assert_eq!(frame.whole.len(), out.len());
        match BackendMessage::decode(frame.tag, frame.body) {
            Ok(BackendMessage::ErrorResponse(fields)) => prop_assert_eq!(fields.fields.len(), 7),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
