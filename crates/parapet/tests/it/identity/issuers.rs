//! Issuers over time: keys that rotate while workloads log in, and issuers that are gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::bed::issuer::{self, Issuer};
use crate::bed::keys::KeyServer;
use crate::bed::raw::Raw;
use crate::bed::shapes::{self, Shapes};
use crate::bed::{folder::Folder, wait};

const ROTATING: &str = "https://rotating.example";
const GONE: &str = "https://gone.example";

/// The keys of an issuer, one of them under another id.
fn keys(old: Option<&Issuer>, new: &Issuer) -> String {
    let read =
        |issuer: &Issuer| -> Value { serde_json::from_str(&std::fs::read_to_string(issuer.jwks()).unwrap()).unwrap() };
    let mut fresh = read(new)["keys"][0].clone();
    fresh["kid"] = json!("test-key-2");
    let mut keys = vec![fresh];
    keys.extend(old.map(|old| read(old)["keys"][0].clone()));
    json!({ "keys": keys }).to_string()
}

fn token(by: &Issuer, kid: &str, issuer: &str) -> String {
    let (mut header, mut claims) = (issuer::header(), issuer::claims("reporting", Duration::from_secs(600)));
    header["kid"] = json!(kid);
    claims["iss"] = json!(issuer);
    by.sign(&header, &claims)
}

fn configuration(name: &str, port: u16) -> String {
    format!(
        "\n[issuers.\"{name}\"]\naudience = \"parapet\"\njwks = \"http://127.0.0.1:{port}/keys\"\n\n[[trust]]\n\
         workload = \"reporting\"\nissuer = \"{name}\"\nclaims = {{ sub = \"workload:reporting\" }}\n"
    )
}

/// The new key signs from the moment when it is published, while four clients log in without a pause.
#[test]
fn keys_rotate_under_load_without_a_failed_connection() {
    let folders = [Folder::new("identity-rotate-old"), Folder::new("identity-rotate-new")];
    let [old, new] = [Issuer::new(&folders[0]), Issuer::new(&folders[1])];
    let server = KeyServer::start(&std::fs::read_to_string(old.jwks()).unwrap());
    let tables = configuration(ROTATING, server.port());
    let Some(bed) = Bed::start_with("identity-rotate", |setup| setup.also(tables)) else { return };
    let (begun, port) = (Instant::now(), bed.gateway.postgres());
    let (rotated, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let by_new = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _client in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
                    let fresh = rotated.load(Ordering::SeqCst);
                    let shown =
                        if fresh { token(&new, "test-key-2", ROTATING) } else { token(&old, "test-key-1", ROTATING) };
                    Raw::log_in(port, "reporting", &shown);
                    by_new.fetch_add(usize::from(fresh), Ordering::SeqCst);
                }
            });
        }
        // Keys are not asked for again within ten seconds, whoever shows an unknown one.
        wait::until("the floor to pass", Duration::from_secs(15), || {
            (begun.elapsed() > Duration::from_secs(11)).then_some(())
        });
        server.publish(&keys(Some(&old), &new));
        rotated.store(true, Ordering::SeqCst);
        wait::until("logins by the new key", Duration::from_secs(20), || {
            (by_new.load(Ordering::SeqCst) > 20).then_some(())
        });
        over.store(true, Ordering::SeqCst);
    });
    assert!(server.asked() <= 4, "the issuer was asked {} times", server.asked());
    let refused = bed.gateway.entries().iter().filter(|entry| entry["kind"] == "login_refused").count();
    assert_eq!(refused, 0);
}

#[test]
fn an_issuer_that_is_gone_keeps_its_known_keys_and_gains_none() {
    let folders = [Folder::new("identity-gone-old"), Folder::new("identity-gone-new")];
    let [known, unknown] = [Issuer::new(&folders[0]), Issuer::new(&folders[1])];
    let server = KeyServer::start(&std::fs::read_to_string(known.jwks()).unwrap());
    let never = KeyServer::start("{}");
    never.stop();
    let tables = configuration(ROTATING, server.port()) + &configuration(GONE, never.port());
    let Some(bed) = Bed::start_with("identity-gone", |setup| setup.also(tables)) else { return };
    let log_in = |token: &str| Raw::try_log_in(bed.gateway.postgres(), "reporting", token).map(drop);
    let (good, bad) = (token(&known, "test-key-1", ROTATING), token(&unknown, "test-key-2", ROTATING));
    log_in(&good).unwrap();
    server.stop();
    assert_eq!(log_in(&token(&known, "test-key-1", GONE)).unwrap_err().field(b'C'), "28000");
    // Others are not held up by it, and who shows an unknown key is refused, again and again.
    let doctor = wait::until("the doctor to notice", wait::PATIENCE * 2, || {
        let asked = Instant::now();
        log_in(&good).unwrap();
        assert!(asked.elapsed() < Duration::from_secs(4), "a login by a known key took {:?}", asked.elapsed());
        assert_eq!(log_in(&bad).unwrap_err().field(b'C'), "28000");
        let ran = bed.gateway.cli(&["doctor"]);
        ran.out.contains("1 key known, which serve until").then_some(ran)
    });
    assert!(doctor.out.contains(&format!("issuer {GONE} keys")), "{doctor:?}");
    assert!(doctor.out.contains("its tokens are refused") && doctor.code != 0, "{doctor:?}");
    bed.raw("reporting");
}

/// The owner of a job reads which claim is at fault: in the log by the id that the client was told, and by `trust test`. The
/// client is told nothing but the id.
#[test]
fn owners_are_told_which_claim_and_callers_are_not() {
    let shapes = Shapes::new("identity-owner");
    let tables = shapes.configuration();
    let Some(bed) = Bed::start_with("identity-owner", |setup| setup.also(tables)) else { return };
    let mut lines = Vec::new();
    for (what, changes, difference) in [
        (
            "the wrong branch",
            json!({"ref": "refs/heads/feature"}),
            "`ref` is `refs/heads/feature`, not `refs/heads/main`",
        ),
        ("the wrong environment", json!({"environment": "staging"}), "`environment` is `staging`, not `production`"),
        (
            "a fork",
            json!({"repository_id": "4711", "repository_owner_id": "99"}),
            "`repository_id` is `4711`, not `1001`",
        ),
        (
            "a fork's pull request",
            json!({"event_name": "pull_request"}),
            "`event_name` is `pull_request`, which the rule does not take",
        ),
        (
            "a runner of somebody",
            json!({"runner_environment": "self-hosted"}),
            "`runner_environment` is `self-hosted`, not `github-hosted`",
        ),
    ] {
        let mut claims = shapes::github();
        for (claim, value) in changes.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        let token = shapes.github.sign(&issuer::header(), &claims);
        let told = Raw::try_log_in(bed.gateway.postgres(), "deploy", &token).map(drop).unwrap_err();
        let (line, id) = (told.field(b'M'), told.field(b'M'));
        lines.push(line.split('[').next().unwrap_or_default().to_owned());
        let id = id.split(['[', ']']).nth(1).unwrap();
        let explained = bed.gateway.cli(&["explain", id]);
        assert!(explained.code == 0 && explained.out.contains(difference), "{what}: {explained:?}");
        assert!(explained.out.contains("login as `deploy` refused"), "{what}: {explained:?}");
        let file = bed.folder.write("token.jwt", &token);
        let tested =
            bed.gateway.cli(&["trust", "test", "--token-file", file.to_str().unwrap(), "--workload", "deploy"]);
        assert!(tested.code == 5 && tested.out.contains(difference), "{what}: {tested:?}");
        // The id is of random letters, among which a short value may come by chance.
        let body = String::from_utf8_lossy(&told.body).replace(id, "");
        for value in changes.as_object().unwrap().values() {
            assert!(
                !body.contains(value.as_str().unwrap()) && !body.contains("rule"),
                "{what}: the caller was told: {body}"
            );
        }
    }
    lines.dedup();
    assert_eq!(lines.len(), 1, "refusals differ: {lines:?}");
    // A login that went well is explained, too.
    Raw::log_in(bed.gateway.postgres(), "deploy", &shapes.github.sign(&issuer::header(), &shapes::github()));
    let entries = bed.gateway.entries();
    let login = entries.iter().find(|entry| entry["kind"] == "login").unwrap();
    let explained = bed.gateway.cli(&["explain", login["session"].as_str().unwrap()]);
    assert!(explained.out.contains("login of deploy to shop-db"), "{explained:?}");
    assert!(explained.out.contains("repository_id 1001"), "{explained:?}");
    assert_eq!(bed.gateway.cli(&["explain", "ses_01JX8ZQ301JX8ZQ30"]).code, 1);
}
