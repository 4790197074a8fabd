//! The keys that the gateway makes for itself and keeps: no file of the state folder holds one in clear, and those that a gateway of
//! before kept so go on to be used. The master key over them changes, and the one before opens nothing then.

use std::collections::HashSet;
use std::process::Command;

use serde_json::Value;
use store::log::{ContentReader, MasterKey};

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::clients::{Ran, run};
use crate::bed::gateway::BINARY;
use crate::bed::tripwire::{Tripwire, find};
use crate::bed::wait;

/// The keys of the decision point and of masks, as they stood in files.
const PDP_KEY: &str = "canary-key-of-the-decision-point-of-before";
const MASK_KEY: &str = "canary-key-of-the-masks-of-a-gateway-of-before";

const EGRESS_AND_PDP: &str = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"self-signed\"\nenvironment = \"production\"\n\
                              \n[pdp]\nlisten = \"127.0.0.1:0\"\ntls = \"self-signed\"\n\
                              \n[signals]\nissuer = \"https://parapet.example\"\n";

fn start(name: &str, before: impl FnOnce(&Api)) -> (ApiBed, Tripwire) {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let api = Api::new(name).listener("tls = \"self-signed\"").upstream("shop-api", &url, "unlisted = \"allow\"\n");
    let api = api.also(EGRESS_AND_PDP);
    before(&api);
    (api.start(), tripwire)
}

/// Asks by a client that trusts the listener's own certificate, and nothing else.
fn ask(bed: &ApiBed) -> Ran {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]);
    command.arg("--cacert").arg(bed.folder.join("state/tls/certificate.pem"));
    command.args(["-H", &format!("Authorization: Bearer {}", bed.token("deploy")), "-H", &format!("Host: {HOST}")]);
    run(command.args(["--http1.1", &format!("https://127.0.0.1:{}/a", bed.port())]))
}

fn assert_in_no_file(bed: &ApiBed, what: &[u8]) {
    for (path, bytes) in bed.everything_written() {
        assert!(find(&bytes, what).is_none(), "{} holds a key", path.display());
    }
}

#[test]
fn no_private_key_stands_in_clear() {
    let (mut bed, _tripwire) = start("keys-fresh", |_api| {});
    for _start in 0..2 {
        assert_in_no_file(&bed, b"PRIVATE KEY");
        for name in ["tls/key.wrapped", "pdp.wrapped", "mask.wrapped", "egress/authorities.json", "audit.keys"] {
            assert!(bed.folder.join("state").join(name).is_file(), "{name}");
        }
        // As PKCS #8 they say what they are for: keys of elliptic curves, and of RSA.
        for what in [
            &b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d"[..],
            b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82",
        ] {
            assert_in_no_file(&bed, what);
        }
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert!(bed.gateway.stop().success());
        bed.gateway.restart();
    }
}

#[test]
fn keys_that_stood_in_clear_are_closed_and_go_on_to_be_used() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), HOST.to_owned()];
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let (mut bed, _tripwire) = start("keys-before", |api| {
        api.folder.make("state");
        api.folder.make("state/tls");
        api.folder.write("state/tls/certificate.pem", &certificate);
        api.folder.write("state/tls/key.pem", &key);
        api.folder.write("state/pdp.key", PDP_KEY);
        api.folder.write("state/mask.key", MASK_KEY);
    });
    for _start in 0..2 {
        let lines = key.lines().filter(|line| !line.starts_with("-----")).map(|line| line.as_bytes().to_vec());
        for part in
            lines.chain([b"PRIVATE KEY".to_vec(), own.signing_key.serialize_der(), PDP_KEY.into(), MASK_KEY.into()])
        {
            assert_in_no_file(&bed, &part);
        }
        assert_eq!(std::fs::read_to_string(bed.folder.join("state/tls/certificate.pem")).unwrap(), certificate);
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert!(bed.gateway.stop().success());
        bed.gateway.restart();
    }
}

/// What people are asked, so that the gateway keeps it.
const POSTS_ASK: &str = "@id(\"posts-need-a-person\") @approve(\"dba, window=30m, valid=30m, uses=1\")\n\
                         forbid (principal, action == Action::\"http:POST\", resource);\n";

/// curl with these arguments, through the listener with its own certificate.
fn curl(bed: &ApiBed, token: &str, arguments: &[&str], path: &str) -> Ran {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "30", "--noproxy", "*", "--http1.1", "-i", "--cacert"]);
    command.arg(bed.folder.join("state/tls/certificate.pem")).args(arguments);
    command.args(["-H", &format!("Authorization: Bearer {token}"), "-H", &format!("Host: {HOST}")]);
    run(command.arg(format!("https://127.0.0.1:{}{path}", bed.port())))
}

/// Every key that stands closed in a file of text.
fn closed(bed: &ApiBed) -> Vec<String> {
    let state = bed.folder.join("state");
    let read = |name: &str| std::fs::read_to_string(state.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut found: Vec<String> = ["tls/key.wrapped", "pdp.wrapped", "mask.wrapped", "signals.wrapped"].map(read).into();
    found.push(read("token-keys/current").split_once("\nclosed ").unwrap().1.to_owned());
    for (name, pointer) in [("audit.keys", "/keys"), ("egress/authorities.json", "")] {
        let file: Value = serde_json::from_str(&read(name)).unwrap();
        let keys = file.pointer(pointer).unwrap().as_array().unwrap();
        found.extend(keys.iter().map(|key| key["wrapped"].as_str().unwrap().to_owned()));
    }
    let keys = std::fs::read(state.join("audit/content/keys")).unwrap();
    let keys = String::from_utf8(keys.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    found.extend(keys.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()));
    found.retain(|key| !key.starts_with('-'));
    found
}

/// The reasons that people gave, as far as they can be read.
fn reasons(bed: &ApiBed) -> Vec<String> {
    let entries = bed.gateway.entries().into_iter().filter(|entry| entry["kind"] == "admin" && entry["by"].is_string());
    entries.filter_map(|entry| entry["reason"].as_str().map(str::to_owned)).collect()
}

/// How a gateway ends that is started with what stands there.
fn starts_not(bed: &ApiBed) -> String {
    let mut command = Command::new(BINARY);
    command.current_dir(bed.folder.join("")).args(["serve", "-c", "parapet.toml"]).env("NO_COLOR", "1");
    let ran = run(&mut command);
    assert_ne!(ran.code, 0, "{ran:?}");
    format!("{}{}", ran.out, ran.err)
}

fn verified(bed: &ApiBed) {
    bed.gateway.cli(&["audit", "verify"]).assert_done();
}

#[test]
fn the_master_key_changes_and_the_old_one_opens_nothing() {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let mut bed = Api::new("keys-changed")
        .listener("tls = \"self-signed\"")
        .upstream("shop-api", &url, "unlisted = \"allow\"\nrespond_async = true\n")
        .policies(POSTS_ASK)
        .also(EGRESS_AND_PDP)
        .also("\n[tokens]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\n")
        .start();
    let master = bed.folder.join("state/master.key");
    let issue = ["tasks", "issue", "triage-bot", "--reason", "before", "--allow", "read", "--json"];
    let issued = bed.gateway.cli(&issue);
    issued.assert_done();
    let issued: Value = serde_json::from_str(&issued.out).unwrap();
    let token = issued["token"].as_str().unwrap();
    bed.gateway
        .cli(&["audit", "shred", "--person", "root@example.com", "--reason", "words that are erased"])
        .assert_done();
    let kept = curl(&bed, &bed.token("deploy"), &["-X", "POST", "-H", "Prefer: respond-async"], "/v1/payouts");
    let place = kept.out.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_else(|| panic!("{kept:?}"));
    let approval = place.trim().rsplit('/').next().unwrap();

    assert_eq!(bed.gateway.cli_as("dana@example.com", &["audit", "rekey", "--reason", "mine"]).code, 5);
    for (round, killed) in [("the first", false), ("the second", true)] {
        let (old, before) = (std::fs::read_to_string(&master).unwrap(), closed(&bed));
        assert!(before.len() >= 9, "{before:?}");
        bed.gateway.cli(&["audit", "rekey", "--reason", round]).assert_done();
        let again = bed.gateway.cli(&["audit", "rekey", "--reason", "again"]);
        assert!(again.code == 7 && again.err.contains("PAR0333"), "{again:?}");
        // Until the start both stand there, and nothing else is changed.
        assert_eq!(std::fs::read_to_string(&master).unwrap().lines().last(), Some(old.trim()));
        assert!(closed(&bed).starts_with(&before[..8]));
        if killed {
            bed.gateway.kill();
        } else {
            assert!(bed.gateway.stop().success());
        }
        bed.gateway.restart();
        let new = std::fs::read_to_string(&master).unwrap();
        assert!(new.lines().count() == 1 && new != old);
        // Neither the old one nor anything that it closed stands anywhere.
        let left = bed.everything_written();
        for (path, bytes) in &left {
            assert!(path.extension().is_none_or(|ending| ending != "old" && ending != "new"), "{}", path.display());
            for secret in before.iter().map(String::as_str).chain([old.trim()]) {
                assert!(find(bytes, secret.as_bytes()).is_none(), "{} holds what was before", path.display());
            }
        }
        // All of it goes on: the certificate, tokens of before, the log and what people wrote.
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert!(curl(&bed, token, &[], "/a").out.starts_with("HTTP/1.1 200"));
        verified(&bed);
        let said = reasons(&bed);
        assert!(said.iter().any(|said| said == round) && !said.iter().any(|said| said == "before"), "{said:?}");
        let entered = bed.gateway.entries();
        let entered = entered.iter().rfind(|entry| entry["action"] == "audit rekey").unwrap();
        let many = entered["object"].as_str().unwrap().split(' ').nth(2).unwrap().parse::<usize>().unwrap();
        assert!(entered["by"].is_null() && many > before.len(), "{entered}");
        // Who has the old one alone reads nothing, and starts nothing.
        let mut blind = ContentReader::new(&bed.gateway.audit(), MasterKey::from_text(&old).unwrap());
        for segment in bed.gateway.segments() {
            for line in std::fs::read_to_string(segment).unwrap().trim_end_matches('\0').lines() {
                let entry = line.splitn(3, ' ').nth(2).unwrap();
                assert!(blind.entry(entry.as_bytes()).unwrap().is_none(), "{entry}");
            }
        }
        assert!(bed.gateway.stop().success());
        std::fs::write(&master, &old).unwrap();
        let refused = starts_not(&bed);
        assert!(refused.contains("does not open"), "{refused}");
        std::fs::write(&master, &new).unwrap();
        bed.gateway.restart();
    }
    // What waited for people all along is carried out.
    tripwire.take();
    bed.gateway.cli_as("dana@example.com", &["approvals", "approve", approval]).assert_done();
    wait::until("the kept request to be sent", wait::PATIENCE, || {
        find(&tripwire.take(), b"POST /v1/payouts").map(drop)
    });
    bed.gateway.cli(&["doctor"]).out.lines().find(|line| line.contains("master key")).unwrap();
}

/// Killed at every few milliseconds of its start, and begun anew whenever it was complete, the change loses nothing.
#[test]
fn a_change_that_is_killed_again_and_again_is_completed() {
    let (mut bed, _tripwire) = start("keys-killed", |_api| {});
    bed.gateway.cli(&["workloads", "quarantine", "auditor", "--reason", "words to be kept"]).assert_done();
    assert!(bed.gateway.stop().success());
    let (master, keys) = (bed.folder.join("state/master.key"), bed.gateway.audit().join("content/keys"));
    // So many that it takes a while.
    let old = MasterKey::from_text(&std::fs::read_to_string(&master).unwrap()).unwrap();
    let mut lines = std::fs::read_to_string(&keys).unwrap();
    for number in lines.lines().count()..4000 {
        let wrapped = old.wrap_text(&format!("content {number} person:x"), &[7; 32]).unwrap();
        lines.push_str(&format!("{number} person:x person:x {wrapped}\n"));
    }
    std::fs::write(&keys, lines).unwrap();
    let mut before = Vec::new();
    for milliseconds in (5..=300).step_by(10) {
        let text = std::fs::read_to_string(&master).unwrap();
        if text.lines().count() == 1 {
            before.push((text.clone(), closed(&bed)));
            std::fs::write(&master, &*MasterKey::renewed_text(&text).unwrap()).unwrap();
        }
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", &format!("0.{milliseconds:03}"), BINARY, "serve", "-c", "parapet.toml"]);
        run(command.current_dir(bed.folder.join("")).env("NO_COLOR", "1"));
    }
    bed.gateway.restart();
    assert_eq!(std::fs::read_to_string(&master).unwrap().lines().count(), 1);
    let ran = ask(&bed);
    assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
    verified(&bed);
    assert!(reasons(&bed).contains(&"words to be kept".to_owned()));
    let new = MasterKey::from_text(&std::fs::read_to_string(&master).unwrap()).unwrap();
    for line in std::fs::read_to_string(&keys).unwrap().trim_end_matches('\0').lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(new.unwrap_text(&format!("content {} {}", fields[0], fields[2]), fields[3]).is_ok(), "{line}");
    }
    let left = bed.everything_written();
    let of_a_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let left: HashSet<&[u8]> = left.iter().flat_map(|(_, bytes)| bytes.split(|byte| !of_a_key(byte))).collect();
    assert!(closed(&bed).iter().all(|key| left.contains(key.as_bytes())));
    for secret in before.iter().flat_map(|(old, keys)| keys.iter().map(String::as_str).chain([old.trim()])) {
        assert!(!left.contains(secret.as_bytes()), "what was before stands somewhere");
    }
}

/// Where people keep the master key elsewhere, they put the new one before the old, start, and take the old one away.
#[test]
fn a_master_key_that_is_configured_is_changed_where_it_stands() {
    let (old, new) = ("ab".repeat(32), "Y2Njc2Njc2Njc2Njc2Njc2Njc2Njc2Njc2Njc2Njc2M=");
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let api = Api::new("keys-configured").listener("tls = \"self-signed\"").upstream(
        "shop-api",
        &url,
        "unlisted = \"allow\"\n",
    );
    let file = api.folder.write("key-of-keys", &old);
    let mut bed = api.also(&format!("\n[audit]\nmaster_key = \"file://{}\"\n", file.display())).start();
    let refused = bed.gateway.cli(&["audit", "rekey", "--reason", "a test"]);
    assert!(refused.code == 7 && refused.err.contains("PAR0333"), "{refused:?}");
    let before = std::fs::read_to_string(bed.folder.join("state/tls/key.wrapped")).unwrap();
    for (text, rekeyed) in [(format!("{new}\n{old}\n"), 1), (format!("{new} {old}"), 2), (new.to_owned(), 2)] {
        assert!(bed.gateway.stop().success());
        std::fs::write(&file, text).unwrap();
        bed.gateway.restart();
        let ran = ask(&bed);
        assert_eq!((ran.code, ran.out.as_str()), (0, "200"), "{ran:?}");
        assert_in_no_file(&bed, before.as_bytes());
        let entries = bed.gateway.entries();
        let entered = entries.iter().filter(|entry| entry["action"] == "audit rekey" && entry["by"].is_null());
        assert_eq!(entered.count(), rekeyed);
        verified(&bed);
    }
    assert!(!bed.folder.join("state/master.key").exists());
    assert!(bed.gateway.stop().success());
    std::fs::write(&file, &old).unwrap();
    let refused = starts_not(&bed);
    assert!(refused.contains("does not open"), "{refused}");
}
