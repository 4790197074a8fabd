//! A request that waits for people, asked by a job that holds a placeholder, through the egress: kept, carried out with the real key
//! when it is approved, and its answer fetched the way that the request came.

use std::time::Duration;

use serde_json::Value;

use super::{KEY, Outside};
use crate::bed::clients::{Ran, run};
use crate::bed::tripwire::find;
use crate::bed::{raw_http, wait};

const ASKED: &str = r#"
@id("posts-need-a-person") @approve("dba, window=30m, valid=30m, uses=1")
forbid (principal, action == Action::"http:POST", resource in Upstream::"api");
"#;

const LATER: &[&str] =
    &["-X", "POST", "-H", "Content-Type: application/json", "-H", "Prefer: respond-async", "-d", "{\"pay\":7}"];

/// Through the egress as a workload, with a placeholder for the key; heads and bodies.
fn job(outside: &Outside, workload: &str, version: &str, url: &str, arguments: &[&str]) -> Ran {
    let ca = outside.bed.folder.join("state/egress/ca.pem");
    let mut command = outside.through(workload, "curl");
    command.args(["-sS", "-i", "--suppress-connect-headers", "--max-time", "30", version, "--cacert"]).arg(ca);
    let ran = run(command.args(["-H", "Authorization: Bearer placeholder"]).args(arguments).arg(url));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(find(ran.out.as_bytes(), KEY.as_bytes()).is_none(), "{ran:?}");
    ran
}

fn status(ran: &Ran) -> &str {
    ran.out.split_whitespace().nth(1).unwrap_or_else(|| panic!("{ran:?}"))
}

fn field<'a>(ran: &'a Ran, name: &str) -> Option<&'a str> {
    let fields = ran.out.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Asks for it to be carried out later: the path where it is looked after.
fn later(outside: &Outside, version: &str, url: &str) -> String {
    let ran = job(outside, "deploy", version, url, LATER);
    assert_eq!((status(&ran), field(&ran, "preference-applied")), ("202", Some("respond-async")), "{ran:?}");
    field(&ran, "location").unwrap_or_else(|| panic!("{ran:?}")).to_owned()
}

fn approve(outside: &Outside, place: &str) {
    let approval = place.rsplit('/').next().unwrap();
    outside.bed.gateway.cli_as("dana@example.com", &["approvals", "approve", approval]).assert_done();
}

/// Looks until it no longer waits, and fetches the answer.
fn fetched(outside: &Outside, version: &str, url: &str) -> Ran {
    let over = wait::until("the kept request to be over", Duration::from_secs(20), || {
        Some(job(outside, "deploy", version, url, &[])).filter(|ran| status(ran) != "202")
    });
    assert_eq!(status(&over), "303", "{over:?}");
    let origin = url.split_once("/.parapet").unwrap().0;
    job(outside, "deploy", version, &format!("{origin}{}", field(&over, "location").unwrap()), &[])
}

#[test]
fn what_is_approved_is_carried_out_with_the_real_key() {
    let Some(mut outside) = Outside::start_with("egress-kept", "", |api| api.policies(ASKED)) else { return };
    for (count, (origin, version)) in
        [("https://api.test", "--http1.1"), ("https://api.test", "--http2"), ("http://api.test", "--http1.1")]
            .into_iter()
            .enumerate()
    {
        let path = format!("/pay/{count}");
        let place = later(&outside, version, &format!("{origin}{path}"));
        assert!(place.starts_with("/.parapet/requests/api/apr_"), "{place}");
        let url = format!("{origin}{place}");
        let waiting = job(&outside, "deploy", version, &url, &[]);
        assert_eq!((status(&waiting), field(&waiting, "retry-after")), ("202", Some("10")), "{waiting:?}");
        // Nobody else finds it, and it is no path of the API's.
        for arguments in [&[][..], &["-X", "DELETE"]] {
            assert_eq!(status(&job(&outside, "reporting", version, &url, arguments)), "404");
        }
        assert!(outside.seen(&path).is_empty() && outside.seen(&place).is_empty());
        if count == 0 {
            // The client, its connection and the process may all go meanwhile.
            outside.bed.gateway.kill();
            outside.bed.gateway.restart();
        }
        approve(&outside, &place);
        let answer = fetched(&outside, version, &url);
        assert_eq!(status(&answer), "200", "{answer:?}");
        assert!(answer.out.contains("{\\\"pay\\\":7}"), "{answer:?}");
        assert!(answer.out.contains(&format!("Bearer {}", "*".repeat(KEY.len()))), "{answer:?}");
        assert_eq!(field(&answer, "parapet-approval"), place.rsplit('/').next(), "{answer:?}");
        let seen = outside.seen(&path);
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((&seen[0]["authorization"], &seen[0]["prefer"]), (&format!("Bearer {KEY}").into(), &Value::Null));
        assert!(seen[0].get("proxy-authorization").is_none(), "{seen:?}");
        // Whoever is the same workload elsewhere finds it there, too.
        let head = format!("Host: api.test\r\nAuthorization: Bearer {}\r\n", outside.bed.token("deploy"));
        let asked = format!("DELETE {place} HTTP/1.1\r\n{head}Connection: close\r\n\r\n");
        assert_eq!(raw_http::send(outside.bed.port(), asked.as_bytes()).status, 204);
        assert_eq!(status(&job(&outside, "deploy", version, &url, &[])), "404");
    }
    for (path, bytes) in outside.bed.everything_written() {
        for secret in [KEY, "placeholder", "{\"pay\":7}"] {
            assert!(find(&bytes, secret.as_bytes()).is_none(), "{secret} stands in {}", path.display());
        }
    }
    let entries = outside.bed.gateway.entries();
    let kept = entries.iter().filter(|entry| entry["kind"] == "kept_request");
    let steps: Vec<&str> = kept.map(|entry| entry["state"].as_str().unwrap()).collect();
    assert_eq!(steps, ["waiting", "sending", "answered", "fetched", "forgotten"].repeat(3));
    let granted = entries.iter().filter(|entry| entry["grant"].is_string());
    assert!(granted.clone().count() == 3 && granted.clone().all(|entry| entry["workload"] == "deploy"), "{entries:?}");
}
