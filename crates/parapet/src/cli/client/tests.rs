//! The client reads answers, finds credentials, and stays on this machine.

use super::*;

fn at() -> SocketAddr {
    "127.0.0.1:18000".parse().unwrap()
}

#[test]
fn a_status_becomes_an_exit_code() {
    for (status, exit) in [
        (400, Exit::Usage),
        (401, Exit::NotAuthenticated),
        (403, Exit::Denied),
        (404, Exit::Failed),
        (409, Exit::Conflict),
        (422, Exit::Invalid),
        (500, Exit::Failed),
        (503, Exit::Unreachable),
    ] {
        let failure = read_answer(StatusCode::from_u16(status).unwrap(), b"", at()).unwrap_err();
        assert_eq!(failure.exit, exit, "{status}");
    }
}

#[test]
fn a_problem_says_what_it_is_in_the_gateways_words() {
    let body = br#"{"type":"about:blank","title":"Conflict","status":409,"detail":"the approval is used already","code":"PAR0310"}"#;
    let failure = read_answer(StatusCode::CONFLICT, body, at()).unwrap_err();
    assert_eq!((failure.code.as_deref(), failure.message.as_str()), (Some("PAR0310"), "the approval is used already"));
}

#[test]
fn escape_sequences_of_a_problem_do_not_reach_the_terminal() {
    let failure = read_answer(StatusCode::CONFLICT, b"{\"detail\":\"a\\u001b[2Jb\\nc\"}", at()).unwrap_err();
    assert_eq!(failure.message, "a\u{fffd}[2Jb c");
}

#[test]
fn success_without_json_is_no_success() {
    assert_eq!(read_answer(StatusCode::OK, b"<html>", at()).unwrap_err().code.as_deref(), Some("PAR0306"));
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let folder = std::env::temp_dir().join(format!("parapet-client-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("admin.token");
    std::fs::write(&path, "secret\n").unwrap();
    for (mode, accepted) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let read = token_file(&path);
        assert_eq!(read.is_ok(), accepted, "{mode:o}");
        if let Ok(token) = read {
            assert_eq!(token.expose(), "secret");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_address_file_must_name_this_machine() {
    let folder = std::env::temp_dir().join(format!("parapet-address-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (text, accepted) in
        [("127.0.0.1:18000\n", true), ("http://[::1]:9/", true), ("192.0.2.1:18000", false), ("nonsense", false)]
    {
        std::fs::write(folder.join("admin.addr"), text).unwrap();
        assert_eq!(address(&folder).is_ok(), accepted, "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn queries_are_encoded() {
    assert_eq!(encoded("a b&c=ü"), "a%20b%26c%3D%C3%BC");
}
