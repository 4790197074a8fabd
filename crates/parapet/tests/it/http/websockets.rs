//! WebSockets by a stock client to a real server: what passes, what is masked, and how the gateway ends them. Raw frames are the
//! gateway's own tests' business.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed, HOST, said};
use crate::bed::folder::Folder;
use crate::bed::peer::{self, Peer};
use crate::bed::wait;

const ROUTES: &str = "unlisted = \"allow\"\nupgrades = [\"websocket\"]\n";
const MASKED: &str = "hosts = [\"masked.internal\"]\nunlisted = \"allow\"\nupgrades = [\"websocket\"]\nmax_message = \"64KiB\"\nidle_timeout = \"3s\"\n\
                      [upstreams.masked-api.fields]\n\"$..email\" = [\"pii\"]\n";

struct Talks {
    bed: ApiBed,
    server: Peer,
    _folder: Folder,
}

fn start(name: &str) -> Option<Talks> {
    let folder = Folder::new(&format!("{name}-server"));
    let server = Peer::start("websocket_server.py", &folder)?;
    let url = format!("http://localhost:{}", server.port("websocket"));
    let bed = Api::new(name)
        .upstream("shop-api", &url, ROUTES)
        .upstream("plain-api", &url, "unlisted = \"allow\"\nhosts = [\"plain.internal\"]\n")
        .upstream("masked-api", &url, MASKED)
        .start();
    Some(Talks { bed, server, _folder: folder })
}

impl Talks {
    fn talk(&self, host: &str, token: &str, messages: Value, more: Value) -> Value {
        let mut given =
            json!({"port": self.bed.port(), "host": host, "path": "/talk", "token": token, "messages": messages});
        given.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        said(peer::command("websocket_client.py").unwrap(), &given).unwrap()
    }

    /// How often somebody got through to the server.
    fn opened(&self) -> usize {
        self.server.seen().iter().filter(|said| said.get("path").is_some()).count()
    }

    /// How many messages the server got. Who has sent one has been told that its websocket is open.
    fn messages(&self) -> usize {
        self.server.seen().iter().filter(|said| said.get("message").is_some()).count()
    }
}

#[test]
fn websockets_where_they_are_declared() {
    let Some(talks) = start("http-websocket") else { return };
    let talk =
        |host: &str| talks.talk(host, &talks.bed.token("deploy"), json!(["one", "two"]), json!({"big": 4_194_304}));
    let came = talk(HOST);
    assert_eq!(came["heard"], json!(["one", "two", "one two three"]), "{came}");
    assert_eq!((&came["same"], &came["closed"]), (&json!(true), &json!(1000)), "{came}");
    // The client offers permessage-deflate, and nobody takes it up.
    assert_eq!(came["extensions"], json!([]), "{came}");
    let refused = talk("plain.internal");
    assert_eq!(refused["status"], 400, "{refused}");
    let seen = talks.server.seen();
    assert_eq!(talks.opened(), 1, "{seen:?}");
    let said = seen[0].to_string();
    assert!(!said.contains("authorization") && !said.contains("permessage-deflate"), "{seen:?}");
}

#[test]
fn messages_are_masked() {
    let Some(talks) = start("http-websocket-masks") else { return };
    let token = talks.bed.token("reporting");
    let own = json!([r#"{"user":{"email":"c4n4ry@example.com"},"n":1}"#, r#"["c",{"email":["c4n4ry"]}]"#]);
    let masked = talks.talk("masked.internal", &token, own.clone(), json!({"wait": true}));
    assert_eq!(
        masked["heard"],
        json!([r#"{"user":{"email":"[redacted]"},"n":1}"#, r#"["c",{"email":["[redacted]"]}]"#]),
        "{masked}"
    );
    // Nobody says anything then.
    assert_eq!((&masked["code"], &masked["reason"]), (&json!(1001), &json!("neither side said anything for 3 s")));
    let clear = talks.talk("masked.internal", &talks.bed.token("auditor"), own.clone(), json!({"wait": true}));
    assert_eq!(clear["heard"], own, "{clear}");
    // A ping says nothing to the client, and is answered as if it had said what it did.
    let pinged = talks.talk("masked.internal", &token, own.clone(), json!({"wait": true, "path": "/ping"}));
    assert_eq!(pinged["heard"], masked["heard"], "{pinged}");
    let seen = talks.server.seen();
    assert!(seen.iter().any(|said| said["pong"] == true), "{seen:?}");
    // What cannot be read for masks does not pass, and what a mask made does not come back.
    for (name, message, code) in [
        ("bytes", json!({"hex": "7b7d"}), 1003),
        ("no json", json!("email: c4n4ry"), 1003),
        ("a mask's value", json!(r#"{"email":"[redacted]"}"#), 1008),
        ("a long message", json!("x".repeat(65_537)), 1009),
    ] {
        let came = talks.talk("masked.internal", &token, json!([message]), json!({"wait": true}));
        assert_eq!((&came["heard"], &came["code"]), (&json!([]), &json!(code)), "{name}: {came}");
    }
    let denials = talks.bed.decisions().into_iter().filter(|entry| entry.to_string().contains("cannot_decide"));
    assert_eq!(denials.count(), 2, "what the client sent stands in the log");
}

/// Kill, quarantine, another owner, the end of the proof and of the gateway: each is said within a second.
#[test]
fn a_cut_is_said_and_comes_at_once() {
    let Some(mut talks) = start("http-websocket-cut") else { return };
    let owned = std::fs::read_to_string(talks.bed.folder.join("parapet.toml")).unwrap();
    let reowned = owned.replace(
        "[workloads.auditor]\nowner = \"mara@example.com\"",
        "[workloads.auditor]\nowner = \"dirk@example.com\"",
    );
    assert_ne!(reowned, owned);
    type Cuts<'c> = &'c dyn Fn(&ApiBed);
    let cases: [(&str, Cuts<'_>, &str); 3] = [
        (
            "reporting",
            &|bed| bed.gateway.cli(&["sessions", "kill", "last", "--reason", "a test"]).assert_done(),
            "blocked, the session is cut: killed",
        ),
        (
            "deploy",
            &|bed| bed.gateway.cli(&["workloads", "quarantine", "deploy", "--reason", "a test"]).assert_done(),
            "blocked, the session is cut: quarantined",
        ),
        (
            "auditor",
            &|bed| {
                std::fs::write(bed.folder.join("parapet.toml"), &reowned).unwrap();
                bed.gateway.cli(&["config", "reload"]).assert_done();
            },
            "blocked, the session is cut: revoked",
        ),
    ];
    for (workload, cut, reason) in cases {
        let (came, took) = std::thread::scope(|scope| {
            let talks = &talks;
            let before = talks.messages();
            let token = talks.bed.token(workload);
            let client = scope.spawn(move || talks.talk(HOST, &token, json!(["one"]), json!({"wait": true})));
            wait::until("the websocket", Duration::from_secs(20), || (talks.messages() > before).then_some(()));
            cut(&talks.bed);
            let said = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            let came = client.join().unwrap();
            let heard = came["at"].as_f64().unwrap_or_else(|| panic!("{workload}: {came}"));
            (came, heard - said)
        });
        assert_eq!((&came["code"], &came["reason"]), (&json!(1008), &json!(reason)), "{workload}: {came}");
        assert!(took < wait::PUSHED.as_secs_f64(), "{workload}: {took} s");
    }
    let ends = wait::until("the ends in the log", Duration::from_secs(20), || {
        let entries = talks.bed.gateway.entries().into_iter();
        let ends: Vec<Value> = entries.filter(|one| one["kind"] == "session_ended").collect();
        Some(ends).filter(|ends| ends.len() >= cases.len())
    });
    let whys: Vec<&str> = ends.iter().map(|end| end["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["killed", "quarantined", "revoked"], "{ends:?}");
    // A token's end, and the gateway's.
    let token = talks.bed.issuer.token("triage-bot", Duration::from_secs(8));
    let came = talks.talk(HOST, &token, json!(["one"]), json!({"wait": true}));
    assert_eq!(
        (&came["code"], &came["reason"]),
        (&json!(1008), &json!("blocked, the session is cut: revoked")),
        "{came}"
    );
    let token = talks.bed.token("triage-bot");
    let (before, port) = (talks.messages(), talks.bed.port());
    let client = std::thread::spawn(move || -> Value {
        let given =
            json!({"port": port, "host": HOST, "path": "/talk", "token": token, "messages": ["one"], "wait": true});
        said(peer::command("websocket_client.py").unwrap(), &given).unwrap()
    });
    wait::until("the websocket", Duration::from_secs(20), || (talks.messages() > before).then_some(()));
    assert!(talks.bed.gateway.stop().success());
    let came = client.join().unwrap();
    assert_eq!((&came["code"], &came["reason"]), (&json!(1001), &json!("the gateway stops")), "{came}");
}
