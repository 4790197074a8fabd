//! Signals against the real gateway: security events, risk, threat lists, retirement, and owners who leave. Each reaches a live
//! session within a second, and refuses the next login (hazards ID12, ID21, ID22).

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::tasks;
use crate::bed::Bed;
use crate::bed::clients::{environment_with, psql_command};
use crate::bed::folder::{Folder, replace};
use crate::bed::gateway::Setup;
use crate::bed::issuer;
use crate::bed::raw::{self, Raw};
use crate::bed::transmitter::{self, Front, Polled, TOKEN, Transmitter, header, opaque, push};
use crate::bed::wait;

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type";

/// Counts for longer than any test, and holds nothing.
const LONG: &str = "select count(*) from generate_series(1, 100000000000)";

/// The table of a stream by which the transmitter pushes.
fn stream(transmitter: &Transmitter, more: &str) -> String {
    format!(
        "\n[signals]\nlisten = \"127.0.0.1:0\"\n\n[signals.streams.idp]\nissuer = \"{}\"\naudience = \"{}\"\n\
         jwks = \"file://{}\"\ntoken_hash = \"sha256:{}\"\nowner_domains = [\"example.com\"]\n{more}\n\
         [signals.streams.idp.subjects]\nreporting-7 = \"reporting\"\n",
        transmitter::NAME,
        transmitter::AUDIENCE,
        transmitter.jwks().display(),
        sha256(TOKEN),
    )
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn bed(name: &str, more: &str, change: impl FnOnce(Setup) -> Setup) -> Option<(Bed, Transmitter)> {
    let transmitter = Transmitter::new(&format!("{name}-transmitter"));
    let also = stream(&transmitter, more);
    let bed = Bed::start_with(name, |setup| change(setup.also(also)))?;
    Some((bed, transmitter))
}

/// Where the gateway takes security events.
pub(super) fn port(bed: &Bed) -> u16 {
    let ports: Value = serde_json::from_str(&fs::read_to_string(bed.folder.join("state/ports.json")).unwrap()).unwrap();
    ports["signals"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

fn refused(bed: &Bed, token: &str) -> String {
    Raw::try_log_in(bed.gateway.postgres(), "reporting", token).map(drop).unwrap_err().field(b'C')
}

/// Ends at once after `since`, and says so.
pub(super) fn assert_cut(mut live: Raw, since: Instant) {
    assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    assert!(since.elapsed() < wait::PUSHED, "it took {:?}", since.elapsed());
}

#[test]
fn a_revoked_session_is_cut_within_a_second_and_its_token_counts_no_more() {
    let Some((bed, transmitter)) = bed("signals-revoked", "", |setup| setup.also(tasks::LISTENER.to_owned())) else {
        return;
    };
    let token = bed.token("reporting");
    let mut live = Raw::log_in(bed.gateway.postgres(), "reporting", &token);
    let mut other = bed.raw("auditor");
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    // A stock psql that waits for an answer.
    let mut command = psql_command(&bed, "reporting", &["-c", LONG]);
    let psql = environment_with(bed.gateway.postgres(), "reporting", &token, &mut command)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("psql's statement to run", wait::PATIENCE, || {
        bed.postgres.sql(&format!("select count(*) from pg_stat_activity where query = '{LONG}'")).ne("0").then_some(())
    });
    let set = transmitter.caep("session-revoked", &json!({"event_timestamp": issuer::now()}), &opaque("reporting-7"));
    let since = Instant::now();
    let (status, body) = push(port(&bed), "idp", Some(TOKEN), &set);
    assert_eq!((status, body.as_str()), (202, ""));
    assert_cut(live, since);
    let ended = psql.wait_with_output().unwrap();
    assert!(since.elapsed() < wait::PUSHED, "psql ended after {:?}", since.elapsed());
    assert!(!ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("FATAL"), "{ended:?}");
    assert_eq!(refused(&bed, &token), "28000");
    // Nor does it buy a token that would be newer than the revocation.
    assert_eq!(tasks::exchange(&bed, &token, &tasks::orders(), &[], &[]).status, 400);
    assert_eq!(raw::tags(&other.query("select 1")), "TDCZ", "somebody else was cut");
    // What is issued later counts; the same event again has no effect a second time.
    let mut claims = issuer::claims("reporting", Duration::from_secs(600));
    claims["iat"] = json!(issuer::now() + 2);
    let later = bed.issuer.sign(&issuer::header(), &claims);
    let mut again = Raw::log_in(bed.gateway.postgres(), "reporting", &later);
    assert_eq!(tasks::exchange(&bed, &later, &tasks::orders(), &[], &[]).status, 200);
    assert_eq!(push(port(&bed), "idp", Some(TOKEN), &set).0, 202);
    assert_eq!(raw::tags(&again.query("select 1")), "TDCZ");
    // It stands in the log, outlives a crash, and a person can take it back.
    let entries = bed.gateway.entries();
    let entry = entries.iter().find(|entry| entry["action"] == "signals session-revoked").unwrap();
    assert_eq!(entry["object"], "stream idp: reporting");
    let mut bed = bed;
    bed.gateway.kill();
    bed.gateway.restart();
    assert_eq!(refused(&bed, &token), "28000");
    let shown: Value = serde_json::from_str(&bed.gateway.cli(&["signals", "list", "--json"]).out).unwrap();
    assert_eq!(
        (&shown["items"][0]["outcome"], &shown["items"][0]["workloads"][0]),
        (&"revoked".into(), &"reporting".into())
    );
    bed.gateway.cli(&["workloads", "risk", "clear", "reporting", "--reason", "it was a test"]).assert_done();
    wait::until("the token to count again", wait::PATIENCE, || {
        Raw::try_log_in(bed.gateway.postgres(), "reporting", &token).ok()
    });
}

/// An event of risk trips `@quarantine`, also for a session that asks nothing.
#[test]
fn a_risk_level_quarantines_an_idle_session() {
    let hot = "@id(\"hot\") @quarantine forbid (principal, action, resource) when { principal.risk >= 80 };";
    let Some((bed, transmitter)) = bed("signals-risk", "", |setup| {
        let folder = setup.own_policies();
        fs::write(folder.join("hot.cedar"), hot).unwrap();
        setup.policies(&folder)
    }) else {
        return;
    };
    let risk = |level: &str| {
        let payload = json!({"principal": "WORKLOAD", "current_level": level, "previous_level": "LOW"});
        let set = transmitter.caep("risk-level-change", &payload, &opaque("reporting-7"));
        assert_eq!(push(port(&bed), "idp", Some(TOKEN), &set).0, 202, "{level}");
    };
    let mut live = bed.raw("reporting");
    risk("MEDIUM");
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ", "50 is not 80");
    let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["risk_reasons"]["score"], 50);
    assert_eq!(shown["risk_why"][0], "stream idp: risk level MEDIUM (50)");
    let since = Instant::now();
    risk("HIGH");
    assert_cut(live, since);
    assert_eq!(refused(&bed, &bed.token("reporting")), "28000");
    let entries = bed.gateway.entries();
    let contained = entries.iter().find(|entry| entry["action"] == "workloads quarantine").unwrap();
    assert_eq!(contained["reason"], "policy \"hot\"");
    // A release forgets the risk, or the policy would trip again at once.
    bed.gateway.cli(&["workloads", "release", "reporting", "--reason", "looked into"]).assert_done();
    let mut live = wait::until("the workload to be let in", wait::PATIENCE, || {
        Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).ok()
    });
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ");
    // A person's word does the same.
    bed.gateway.cli(&["workloads", "risk", "set", "reporting", "85", "--reason", "seen on a screen"]).assert_done();
    let since = Instant::now();
    assert_cut(live, since);
}

/// Retired for good, and an owner who has left, in the file or by a signal.
#[test]
fn retirement_and_owners_who_leave_cut_within_a_second() {
    let Some((bed, transmitter)) = bed("signals-owner", "", |setup| setup) else { return };
    let live = bed.raw("auditor");
    bed.gateway.cli(&["workloads", "retire", "auditor", "--reason", "a test"]).assert_done();
    let since = Instant::now();
    assert_cut(live, since);
    let token = bed.token("auditor");
    Raw::try_log_in(bed.gateway.postgres(), "auditor", &token).map(drop).unwrap_err();

    let file = bed.folder.join("parapet.toml");
    let good = fs::read_to_string(&file).unwrap();
    let live = bed.raw("reporting");
    let mara = "[people.\"mara@example.com\"]\n";
    replace(&file, &good.replace(mara, &format!("{mara}left = true\n")));
    let loads = || bed.gateway.entries().iter().filter(|entry| entry["result"] == "loaded").count();
    wait::until("the file to be read", wait::PATIENCE, || (loads() > 1).then_some(()));
    assert_cut(live, Instant::now());
    assert_eq!(refused(&bed, &bed.token("reporting")), "28000");
    let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
    assert!(shown.out.contains("\"unowned\""), "{shown:?}");
    replace(&file, &good);
    let live = wait::until("its owner to be back", wait::PATIENCE, || {
        Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).ok()
    });

    let disabled = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
    let claims = transmitter.claims(disabled, &json!({}), &json!({"format": "email", "email": "mara@example.com"}));
    let since = Instant::now();
    assert_eq!(push(port(&bed), "idp", Some(TOKEN), &transmitter.sign(&header(), &claims)).0, 202);
    assert_cut(live, since);
    assert_eq!(refused(&bed, &bed.token("reporting")), "28000");
}

/// Forged and replayed events, and those about others' subjects, end nothing (hazard ID22).
#[test]
fn hostile_events_end_nothing() {
    let Some((bed, transmitter)) = bed("signals-hostile", "critical_members = [\"tenant\"]", |setup| setup) else {
        return;
    };
    let stranger = Transmitter::new("signals-hostile-stranger");
    let mut live = bed.raw("reporting");
    let revoked = format!("{CAEP}/session-revoked");
    let good = || transmitter.claims(&revoked, &json!({}), &opaque("reporting-7"));
    let with = |change: &[(&str, Value)]| {
        let mut claims = good();
        for (member, value) in change {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(*member)),
                value => claims[*member] = value.clone(),
            }
        }
        transmitter.sign(&header(), &claims)
    };
    let head = |member: &str, value: Value| {
        let mut head = header();
        head[member] = value;
        transmitter.sign(&head, &good())
    };
    let now = issuer::now();
    let sound = with(&[]);
    let (message, signature) = sound.rsplit_once('.').unwrap();
    let flipped = format!("{message}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for (what, set, err) in [
        ("empty", String::new(), "invalid_request"),
        ("signed by another", stranger.sign(&header(), &good()), "invalid_key"),
        ("a changed signature", flipped, "invalid_key"),
        ("without a signature", format!("{message}."), "invalid_key"),
        ("alg none", head("alg", json!("none")), "invalid_key"),
        ("alg ES256", head("alg", json!("ES256")), "invalid_key"),
        ("alg PS256", head("alg", json!("PS256")), "invalid_key"),
        ("an unknown key", head("kid", json!("another")), "invalid_key"),
        ("typ JWT", head("typ", json!("JWT")), "invalid_request"),
        ("a key in the header", head("jwk", json!({})), "invalid_request"),
        ("crit", head("crit", json!(["b64"])), "invalid_request"),
        ("another issuer", with(&[("iss", json!("https://else.example"))]), "invalid_issuer"),
        ("a trailing slash", with(&[("iss", json!(format!("{}/", transmitter::NAME)))]), "invalid_issuer"),
        ("another audience", with(&[("aud", json!("https://else.example"))]), "invalid_audience"),
        ("several audiences", with(&[("aud", json!([transmitter::AUDIENCE, "else"]))]), "invalid_audience"),
        ("with exp", with(&[("exp", json!(now + 600))]), "invalid_request"),
        ("with sub", with(&[("sub", json!("reporting"))]), "invalid_request"),
        ("without jti", with(&[("jti", Value::Null)]), "invalid_request"),
        ("without a subject", with(&[("sub_id", Value::Null)]), "invalid_request"),
        ("from the future", with(&[("iat", json!(now + 3600))]), "invalid_request"),
        ("very old", with(&[("iat", json!(now - 30 * 86_400))]), "invalid_request"),
        ("a fractional time", with(&[("iat", json!(1.5))]), "invalid_request"),
        (
            "two events",
            with(&[("events", json!({ revoked.clone(): {}, format!("{CAEP}/credential-change"): {} }))]),
            "invalid_request",
        ),
        ("no event", with(&[("events", json!({}))]), "invalid_request"),
    ] {
        let (status, body) = push(port(&bed), "idp", Some(TOKEN), &set);
        assert_eq!(status, 400, "{what}: {body}");
        assert!(body.contains(&format!("\"{err}\"")), "{what}: {body}");
    }
    for token in [None, Some("a guess"), Some("")] {
        assert_eq!(push(port(&bed), "idp", token, &sound).0, 401, "{token:?}");
    }
    assert_eq!(push(port(&bed), "other", Some(TOKEN), &sound).0, 401);
    // Well-formed, but about nobody whom the stream may speak of: taken, counted, and without effect.
    for subject in [
        opaque("reporting"),
        json!({"format": "iss_sub", "iss": issuer::NAME, "sub": "workload:reporting"}),
        json!({"format": "iss_sub", "iss": transmitter::NAME, "sub": "workload:reporting"}),
        json!({"format": "email", "email": "mara@example.org"}),
        json!({"format": "phone_number", "phone_number": "+12065550100"}),
        json!({"format": "opaque", "id": "reporting-7", "tenant": {"format": "opaque", "id": "t"}}),
    ] {
        let set = transmitter.caep("session-revoked", &json!({}), &subject);
        assert_eq!(push(port(&bed), "idp", Some(TOKEN), &set).0, 202, "{subject}");
    }
    assert_eq!(raw::tags(&live.query("select 1")), "TDCZ", "a hostile event cut a session");
    let streams: Value = serde_json::from_str(&bed.gateway.cli(&["signals", "streams", "--json"]).out).unwrap();
    let known = &streams["items"][0];
    assert_eq!((&known["unmatched"], &known["refused"]), (&json!(6), &json!(24)), "{known}");
    let written = bed.gateway.entries().iter().filter(|entry| entry["action"] == "signals refused").count();
    assert_eq!(written, 24);
}

/// What is polled is acknowledged once it is durable, and a stream is asked to prove that it lives.
#[test]
fn a_polled_stream_is_acknowledged_and_asked_whether_it_lives() {
    let folder = Folder::new("signals-poll-transmitter");
    let (transmitter, polled) = (Transmitter::within(&folder, "set-jwks.json"), Polled::start());
    let authorization = folder.write("token", "what we show");
    let at = polled.port();
    let also = format!(
        "\n[signals.streams.idp]\nissuer = \"{}\"\naudience = \"{}\"\njwks = \"file://{}\"\ndelivery = \"poll\"\n\
         endpoint = \"http://127.0.0.1:{at}/poll\"\npoll_every = \"50ms\"\nverification = \"http://127.0.0.1:{at}/verify\"\n\
         stream_id = \"s-1\"\nauthorization = \"file://{}\"\n[signals.streams.idp.subjects]\nreporting-7 = \"reporting\"\n",
        transmitter::NAME,
        transmitter::AUDIENCE,
        transmitter.jwks().display(),
        authorization.display(),
    );
    let Some(bed) = Bed::start_with("signals-poll", |setup| setup.also(also)) else { return };
    let live = bed.raw("reporting");
    wait::until("a verification event to be asked for", wait::PATIENCE, || {
        polled.asked().first().map(|asked| assert_eq!(asked["stream_id"], "s-1"))
    });
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let verified = transmitter.claims(verification, &json!({"state": "x"}), &opaque("s-1"));
    polled.offer("v", &transmitter.sign(&header(), &verified));
    let forged = Transmitter::within(&folder, "other.json");
    polled.offer("f", &forged.caep("session-revoked", &json!({}), &opaque("reporting-7")));
    let since = Instant::now();
    polled.offer("r", &transmitter.caep("session-revoked", &json!({}), &opaque("reporting-7")));
    assert_cut(live, since);
    wait::until("everything to be acknowledged", wait::PATIENCE, || polled.waiting().is_empty().then_some(()));
    assert_eq!(polled.refused(), ["invalid_key"]);
    let streams: Value = serde_json::from_str(&bed.gateway.cli(&["signals", "streams", "--json"]).out).unwrap();
    assert!(streams["items"][0]["verified_at"].is_string() && streams["items"][0]["state"] == "live", "{streams}");
}

/// A list that changes bites in the middle of a connection; one that cannot be read replaces nothing and is told.
#[test]
fn a_threat_list_bites_in_the_middle_of_a_connection() {
    let folder = Folder::new("signals-threats-lists");
    let list = folder.write("tor.txt", "# exits\n192.0.2.0/24\n");
    let also = format!("\n[threats.tor]\nsource = \"file://{}\"\nmax_age = \"1h\"\n", list.display());
    let rules = "@id(\"no-tor\") forbid (principal, action in Action::\"read\", resource) \
                 when { context.source.threats.contains(\"tor\") };\n\
                 @id(\"fresh\") forbid (principal, action in Action::\"read\", resource) \
                 when { context.source.stale.contains(\"tor\") };";
    let Some(bed) = Bed::start_with("signals-threats", |setup| {
        let policies = setup.own_policies();
        fs::write(policies.join("threats.cedar"), rules).unwrap();
        setup.policies(&policies).also(also)
    }) else {
        return;
    };
    let mut live = bed.raw("reporting");
    let mut answers = |what: &str| {
        wait::until(what, wait::PATIENCE, || {
            // One row: what is refused in the middle of many ends the connection.
            let code = raw::errors(&live.query("select id from customers where id = 1")).first().cloned();
            match (what, code) {
                ("an answer", None) => Some(()),
                ("a refusal", Some(code)) if code == "42501" => Some(()),
                _ => None,
            }
        });
    };
    answers("an answer");
    let check = |address: &str| bed.gateway.cli(&["threats", "check", address]).code;
    assert_eq!((check("127.0.0.1"), check("192.0.2.9")), (0, 5));
    replace(&list, "192.0.2.0/24\n127.0.0.0/8\n");
    answers("a refusal");
    assert_eq!(check("127.0.0.1"), 5);
    // An error page in the place of a list: the old one stays, and doctor says so.
    replace(&list, "<html>\n");
    wait::until("the bad list to be told", wait::PATIENCE, || {
        bed.gateway.cli(&["threats", "list", "--json"]).out.contains("line 1").then_some(())
    });
    answers("a refusal");
    let doctor = bed.gateway.cli(&["doctor"]);
    assert!(doctor.out.contains("threat list tor") && doctor.out.contains("line 1"), "{}", doctor.out);
    replace(&list, "192.0.2.0/24\n");
    answers("an answer");
    // Too old is a fact of its own.
    let old = std::time::SystemTime::now() - Duration::from_secs(7200);
    fs::File::options().write(true).open(&list).unwrap().set_modified(old).unwrap();
    answers("a refusal");
    let doctor = bed.gateway.cli(&["doctor"]);
    assert!(doctor.out.contains("too old since"), "{}", doctor.out);
    let actions: Vec<Value> = bed.gateway.entries().iter().map(|entry| entry["action"].clone()).collect();
    assert!(actions.contains(&json!("threats load")) && actions.contains(&json!("threats refuse")), "{actions:?}");
    // What stops the reading of a list stops a start.
    fs::write(&list, "<html>\n").unwrap();
    let mut bed = bed;
    bed.gateway.kill();
    let ran = crate::bed::clients::run(
        std::process::Command::new(crate::bed::gateway::BINARY).current_dir(bed.folder.join("")).args([
            "serve",
            "-c",
            "parapet.toml",
        ]),
    );
    assert!(ran.code != 0 && ran.err.contains("threat list `tor`: line 1"), "{ran:?}");
}

/// A listener of security events with TLS of its own, as a stock client meets it.
#[test]
fn events_are_pushed_over_tls() {
    let keys = Folder::new("signals-tls-keys");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    let leaf = params.signed_by(&key, &authority).unwrap();
    let (ca, certificate) = (keys.write("ca.pem", &authority.pem()), keys.write("leaf.pem", &leaf.pem()));
    let key = keys.write("leaf.key", &key.serialize_pem());
    let transmitter = Transmitter::new("signals-tls-transmitter");
    let tls = format!("listen = \"127.0.0.1:0\"\ncertificate = {certificate:?}\nkey = \"file://{}\"\n", key.display());
    let also = stream(&transmitter, "").replace("listen = \"127.0.0.1:0\"\n", &tls);
    let Some(bed) = Bed::start_with("signals-tls", |setup| setup.also(also)) else { return };
    let live = bed.raw("reporting");
    let set = transmitter.caep("session-revoked", &json!({}), &opaque("reporting-7"));
    let set = keys.write("set", &set);
    let post = |ca: Option<&std::path::Path>, scheme: &str| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "-4", "--noproxy", "*", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
        if let Some(ca) = ca {
            command.arg("--cacert").arg(ca);
        }
        command.args(["-H", "content-type: application/secevent+jwt", "-H", &format!("authorization: Bearer {TOKEN}")]);
        command.arg("--data-binary").arg(format!("@{}", set.display()));
        crate::bed::clients::run(command.arg(format!("{scheme}://localhost:{}/ssf/push/idp", port(&bed))))
    };
    // The certificate is not one that everybody trusts, and there is nothing but TLS.
    assert_eq!(post(None, "https").code, 60);
    assert_ne!(post(None, "http").out, "202");
    let since = Instant::now();
    let ran = post(Some(&ca), "https");
    assert_eq!((ran.code, ran.out.as_str()), (0, "202"), "{ran:?}");
    assert_cut(live, since);
}

/// Lists and streams that a reload brings, changes and takes away; a list that cannot be had refuses the whole reload.
#[test]
fn lists_and_streams_change_at_a_reload() {
    let Some((bed, transmitter)) = bed("signals-reload", "", |setup| setup) else { return };
    let other = Transmitter::new("signals-reload-other");
    let (file, list) = (bed.folder.join("parapet.toml"), bed.folder.write("tor.txt", "127.0.0.0/8\n"));
    let good = fs::read_to_string(&file).unwrap();
    let results = |word: &str| bed.gateway.entries().iter().filter(|entry| entry["result"] == word).count();
    let write = |text: &str, word: &str| {
        let before = results(word);
        replace(&file, text);
        wait::until("the file to be read", wait::PATIENCE, || (results(word) > before).then_some(()));
    };
    let check = || bed.gateway.cli(&["threats", "check", "127.0.0.1"]).code;
    let threats = format!("\n[threats.tor]\nsource = \"file://{}\"\nmax_age = \"1h\"\n", list.display());
    assert_eq!(check(), 0);
    write(&format!("{good}{threats}"), "loaded");
    assert_eq!(check(), 5, "the list of the reload is in force with it");
    // It is followed like one of the start.
    replace(&list, "192.0.2.0/24\n");
    wait::until("the list to be read again", wait::PATIENCE, || (check() == 0).then_some(()));
    // One that cannot be read refuses everything, and what was there stays.
    let bad = threats.replace("[threats.tor]", "[threats.bad]").replace("tor.txt", "absent.txt");
    let purpose = good.replace("purpose = \"", "purpose = \"more ");
    write(&format!("{purpose}{threats}{bad}"), "refused");
    assert_eq!(bed.gateway.cli(&["threats", "check", "192.0.2.9"]).code, 5);
    let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
    assert!(!shown.out.contains("more the tests"), "{shown:?}");

    // A second stream, with a key of its own; the first goes.
    let revoked = |transmitter: &Transmitter| transmitter.caep("session-revoked", &json!({}), &opaque("reporting-7"));
    let live = bed.raw("reporting");
    assert_eq!(push(port(&bed), "idp", Some(TOKEN), &revoked(&other)).0, 400, "another's key");
    let moved = good.replace(&transmitter.jwks().display().to_string(), &other.jwks().display().to_string());
    write(&moved.replace("signals.streams.idp", "signals.streams.second"), "loaded");
    assert_eq!(check(), 0, "the list is gone");
    assert_eq!(push(port(&bed), "idp", Some(TOKEN), &revoked(&transmitter)).0, 401, "the stream is gone");
    assert_eq!(push(port(&bed), "second", Some(TOKEN), &revoked(&transmitter)).0, 400, "the old key is gone");
    let since = Instant::now();
    assert_eq!(push(port(&bed), "second", Some(TOKEN), &revoked(&other)).0, 202);
    assert_cut(live, since);
    let streams: Value = serde_json::from_str(&bed.gateway.cli(&["signals", "streams", "--json"]).out).unwrap();
    assert_eq!(streams["items"][0]["name"], "second", "{streams}");
}

/// Our own events, taken by a second gateway: what is quarantined here is cut there, and a revoked token is told.
#[test]
fn another_gateway_takes_our_events_by_push_and_by_poll() {
    let secret = Folder::new("signals-transmit-secrets");
    let token = secret.write("token", TOKEN);
    let hash = sha256(TOKEN);
    // The receiver's port is chosen by it, so the two meet through a place in front that is known before.
    let front = Front::start();
    let ours = "https://ours.example";
    let receiving = |jwks: &std::path::Path, delivery: &str| {
        format!(
            "\n[signals]\nlisten = \"127.0.0.1:0\"\n[signals.streams.ours]\nissuer = \"{ours}\"\naudience = \"other\"\n\
             jwks = \"file://{}\"\n{delivery}\n[signals.streams.ours.subjects]\nauditor = \"reporting\"\n",
            jwks.display(),
        )
    };
    let also = format!(
        "\n[signals]\nlisten = \"127.0.0.1:0\"\nissuer = \"{ours}\"\n[signals.receivers.pushed]\naudience = \"other\"\n\
         endpoint = \"http://127.0.0.1:{}/ssf/push/ours\"\nauthorization = \"file://{}\"\n\
         [signals.receivers.polled]\naudience = \"other\"\ntoken_hash = \"sha256:{hash}\"\n",
        front.port(),
        token.display(),
    );
    let Some(here) = Bed::start_with("signals-transmit", |setup| setup.also(also)) else { return };
    let at = port(&here);
    let get = |path: &str, token: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        transmitter::ask(at, &request)
    };
    let (status, keys) = get("/ssf/jwks", "");
    assert_eq!(status, 200);
    let keys = secret.write("jwks.json", &keys);
    let about: Value = serde_json::from_str(&get("/.well-known/ssf-configuration", "").1).unwrap();
    assert_eq!((&about["spec_version"], &about["issuer"]), (&json!("1_0"), &json!(ours)), "{about}");
    assert_eq!(get("/ssf/stream", "a guess").0, 401);
    let stream: Value = serde_json::from_str(&get("/ssf/stream", TOKEN).1).unwrap();
    assert_eq!((&stream["stream_id"], &stream["aud"]), (&json!("polled"), &json!("other")), "{stream}");

    let push_to = receiving(&keys, &format!("token_hash = \"sha256:{hash}\""));
    let there = Bed::start_with("signals-transmit-push", |setup| setup.also(push_to)).unwrap();
    front.lead_to(port(&there));
    let polled = receiving(
        &keys,
        &format!(
            "delivery = \"poll\"\nendpoint = \"http://127.0.0.1:{at}/ssf/poll/polled\"\npoll_every = \"50ms\"\n\
             verification = \"http://127.0.0.1:{at}/ssf/verify\"\nauthorization = \"file://{}\"",
            token.display()
        ),
    );
    let third = Bed::start_with("signals-transmit-poll", |setup| setup.also(polled)).unwrap();
    let (one, two) = (there.raw("reporting"), third.raw("reporting"));
    here.gateway.cli(&["workloads", "quarantine", "auditor", "--reason", "a test"]).assert_done();
    // Delivery is not bound to a second.
    for live in [one, two] {
        let mut live = live;
        assert_eq!(raw::errors(&live.until_closed()), ["57P01"]);
    }
    let given =
        here.gateway.cli(&["workloads", "token", "issue", "deploy", "--life", "1h", "--reason", "a test", "--json"]);
    let given: Value = serde_json::from_str(&given.out).unwrap();
    here.gateway
        .cli(&["workloads", "token", "revoke", given["id"].as_str().unwrap(), "--reason", "a test"])
        .assert_done();
    here.gateway.cli(&["workloads", "release", "auditor", "--reason", "over"]).assert_done();
    for bed in [&there, &third] {
        let events = |bed: &Bed| -> Vec<(String, String)> {
            let listed: Value = serde_json::from_str(&bed.gateway.cli(&["signals", "list", "--json"]).out).unwrap();
            let text = |item: &Value, member: &str| item[member].as_str().unwrap().to_owned();
            listed["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| (text(item, "event"), text(item, "outcome")))
                .collect()
        };
        let known = wait::until("every event to come", wait::PATIENCE, || {
            let mut known = events(bed);
            known.retain(|(event, _)| event != "verification");
            known.sort();
            (known.len() == 4).then_some(known)
        });
        let named: Vec<(&str, &str)> = known.iter().map(|(event, outcome)| (&**event, &**outcome)).collect();
        assert_eq!(
            named,
            [
                ("credential-change", "unmatched"),
                ("risk-level-change", "risk"),
                ("risk-level-change", "risk"),
                ("session-revoked", "revoked"),
            ]
        );
        // HIGH stays until a person releases it, whatever the other side says later.
        let shown = bed.gateway.cli(&["workloads", "show", "reporting", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&shown.out).unwrap()["risk_reasons"]["score"], 90);
    }
    wait::until("the stream to be verified", wait::PATIENCE, || {
        let streams: Value = serde_json::from_str(&third.gateway.cli(&["signals", "streams", "--json"]).out).unwrap();
        streams["items"][0]["verified_at"].is_string().then_some(())
    });
    a_receiver_manages_its_own_stream(at);
}

/// A receiver pauses its own stream and nobody else's, and makes no second one.
fn a_receiver_manages_its_own_stream(at: u16) {
    let headers = format!("authorization: Bearer {TOKEN}\r\n");
    let post = |path: &str, body: &Value| transmitter::post(at, path, "application/json", &headers, &body.to_string());
    assert_eq!(post("/ssf/status", &json!({"stream_id": "polled", "status": "paused"})).0, 200);
    assert_eq!(post("/ssf/status", &json!({"stream_id": "pushed", "status": "paused"})).0, 404);
    assert_eq!(
        post("/ssf/stream", &json!({"delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://else"}})).0,
        409
    );
}
