//! Parapet's own tokens: what is signed is taken, and every change of it refused; chains narrow and never widen.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::ports::{NewTask, PortFuture, TaskRecordError};

use super::*;
use crate::login::scripted::{IssuerKey, ScriptedClock};

const DETAILS: &str = r#"[{"type": "parapet_task", "locations": ["shop-db"], "actions": ["read"],
    "identifier": "shop.public.orders", "goal": "backfill", "limits": {"uses": 20}}]"#;

#[derive(Default)]
struct Records(Mutex<BTreeSet<TaskId>>);

impl TaskRecords for Records {
    fn in_force(&self, task: TaskId) -> bool {
        !self.0.lock().unwrap().contains(&task)
    }

    fn add<'a>(&'a self, _task: &'a NewTask) -> PortFuture<'a, Result<(), TaskRecordError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Closes by turning bits: whoever turns others does not open it.
struct Turned(u8);

impl Envelope for Turned {
    fn close(&self, secret: &[u8]) -> Option<String> {
        Some(URL_SAFE_NO_PAD.encode([b"k", secret].concat().iter().map(|byte| byte ^ self.0).collect::<Vec<_>>()))
    }

    fn open(&self, closed: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let turned = URL_SAFE_NO_PAD.decode(closed).ok()?.iter().map(|byte| byte ^ self.0).collect::<Vec<_>>();
        turned.strip_prefix(b"k").map(|secret| secret.to_vec().into())
    }
}

struct Bed {
    tokens: TaskTokens,
    clock: Arc<ScriptedClock>,
    ended: Arc<Records>,
    folder: PathBuf,
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn bed() -> Bed {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("parapet-task-{}-{number}", std::process::id()));
    over(folder, ScriptedClock::new())
}

fn over(folder: PathBuf, clock: Arc<ScriptedClock>) -> Bed {
    let as_clock: Arc<dyn Clock> = clock.clone();
    let keys = Arc::new(SigningKeys::open(&folder, Arc::clone(&as_clock), Arc::new(Turned(9))).unwrap());
    let ended = Arc::new(Records::default());
    let tokens = TaskTokens::new("https://parapet.example", keys, ended.clone(), as_clock);
    Bed { tokens, clock, ended, folder }
}

impl Bed {
    fn task(&self) -> TaskId {
        TaskId::new(self.clock.now(), 7)
    }

    fn new_token(&self, confirmation: Option<Confirmation>) -> NewToken {
        NewToken {
            workload: "bot".parse().unwrap(),
            task: self.task(),
            details: Details::parse(DETAILS).unwrap(),
            above: Vec::new(),
            chain: vec!["ann@example.com".into(), "router".into(), "bot".into()],
            provenance: Provenance { run: Some("github:1/1".into()), ..Provenance::default() },
            confirmation,
            expires: self.clock.now().after(Duration::from_secs(600)),
        }
    }

    fn issue(&self, confirmation: Option<Confirmation>) -> String {
        self.tokens.sign(&self.new_token(confirmation)).unwrap().token.expose().clone()
    }

    fn child(&self, pair: &KeyPair, parent: &str, details: &str, key: Option<&str>) -> String {
        let wanted = Narrowing {
            parent,
            details: &Details::parse(details).unwrap(),
            id: "child",
            name: None,
            key,
            from: self.clock.now(),
            until: self.clock.now().after(Duration::from_secs(300)),
        };
        narrow(pair, &wanted).unwrap()
    }

    fn refused(&self, token: &str) -> TaskRefusal {
        self.tokens.verify(token, ShownBeside::default()).unwrap_err()
    }
}

#[test]
fn what_is_signed_is_taken_until_it_ends() {
    let bed = bed();
    let token = bed.issue(None);
    assert!(TaskTokens::is_meant(&token) && !TaskTokens::is_meant("ppt_x") && !TaskTokens::is_meant("a.b.c"));
    let verified = bed.tokens.verify_unbound(&token).unwrap();
    assert_eq!((verified.workload.as_str(), verified.task.id()), ("bot", bed.task()));
    let chain: Vec<&str> = verified.task.chain().iter().map(|actor| &**actor).collect();
    assert_eq!(chain, ["ann@example.com", "router", "bot"]);
    assert_eq!(verified.task.goal().map(|goal| &**goal), Some("backfill"));
    assert_eq!(verified.provenance.run.as_deref(), Some("github:1/1"));
    bed.tokens.verify(&token, ShownBeside::default()).unwrap();
    assert_eq!(bed.tokens.introspect(&token)["client_id"], "bot");
    bed.clock.pass(Duration::from_secs(600));
    assert_eq!(bed.refused(&token), TaskRefusal::Expired);
    assert_eq!(bed.tokens.introspect(&token), serde_json::json!({ "active": false }));
    let fresh = bed.issue(None);
    bed.ended.0.lock().unwrap().insert(bed.task());
    assert_eq!(bed.refused(&fresh), TaskRefusal::Revoked);
}

#[test]
fn keys_are_kept_rotate_and_verify_a_while_longer() {
    let bed = bed();
    let token = bed.issue(None);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(bed.folder.join("current")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let again = over(bed.folder.clone(), Arc::clone(&bed.clock));
    again.tokens.verify_unbound(&token).unwrap();
    again.tokens.keys().rotate().unwrap();
    assert_eq!(again.tokens.keys().jwks()["keys"].as_array().unwrap().len(), 2);
    again.tokens.verify_unbound(&token).unwrap();
    let fresh = again.issue(None);
    let third = over(bed.folder.clone(), Arc::clone(&bed.clock));
    third.tokens.verify_unbound(&token).unwrap();
    third.tokens.verify_unbound(&fresh).unwrap();
    bed.clock.pass(LONGEST_LIFE);
    assert_eq!(third.tokens.keys().jwks()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(third.refused(&token), TaskRefusal::Signature);
    // Another Parapet's key.
    assert_eq!(self::bed().refused(&bed.issue(None)), TaskRefusal::Signature);
}

/// A key that has signed for long enough is replaced under way: what it signed is good until it ends, and nothing is lost
/// where a rotation is cut short.
#[test]
fn due_keys_rotate_while_tokens_are_used() {
    let bed = bed();
    let keys = bed.tokens.keys();
    let kid = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].clone()
    };
    bed.clock.pass(Duration::from_secs(30 * 86_400 - 1));
    assert_eq!(keys.rotate_if_due(), Ok(None));
    let old = bed.issue(None);
    bed.clock.pass(Duration::from_secs(1));
    let fresh = keys.rotate_if_due().unwrap().unwrap();
    assert_eq!(keys.rotate_if_due(), Ok(None), "it has only begun to sign");
    let new = bed.issue(None);
    assert_eq!(kid(&new), fresh);
    assert_ne!(kid(&old), kid(&new));
    for token in [&old, &new] {
        bed.tokens.verify_unbound(token).unwrap();
    }
    // The process dies between the two renames of the next one.
    std::fs::rename(bed.folder.join("current"), bed.folder.join("previous")).unwrap();
    let again = over(bed.folder.clone(), Arc::clone(&bed.clock));
    again.tokens.verify_unbound(&new).unwrap();
    assert_eq!(kid(&again.issue(None)), fresh);
}

/// What gateways of before kept in clear goes on to sign and to verify, and stands there no more.
#[test]
fn keys_in_clear_are_closed() {
    use super::jose::KeyPair;
    let clock = ScriptedClock::new();
    let folder = std::env::temp_dir().join(format!("parapet-task-clear-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = ["current", "previous"].map(|name| {
        let (pair, form) = KeyPair::generate().unwrap();
        let text = [format!("{}\n", clock.now().millis()).as_bytes(), &form[..]].concat();
        std::fs::write(folder.join(name), &text).unwrap();
        // Another name of the same place on the disk.
        std::fs::hard_link(folder.join(name), folder.join(format!("place-{name}"))).unwrap();
        (name, pair.public().thumbprint().to_owned(), form, text.len())
    });
    let open = |turned: u8| {
        let as_clock: Arc<dyn Clock> = clock.clone();
        SigningKeys::open(&folder, as_clock, Arc::new(Turned(turned)))
    };
    for _start in 0..2 {
        // The first of them signs.
        let shown = open(9).unwrap().jwks();
        for (index, (name, thumbprint, form, length)) in made.iter().enumerate() {
            assert_eq!(shown["keys"][index]["kid"], thumbprint.as_str());
            let text = std::fs::read(folder.join(name)).unwrap();
            assert!(!text.windows(form.len()).any(|window| window == &form[..]), "{name}");
            assert_eq!(std::fs::read(folder.join(format!("place-{name}"))).unwrap(), vec![0; *length]);
        }
    }
    // Under another key they neither open nor are replaced.
    let before = std::fs::read(folder.join("current")).unwrap();
    assert_eq!(open(8).unwrap_err(), KeysUnusable::Closed(folder.join("current")));
    assert_eq!(std::fs::read(folder.join("current")).unwrap(), before);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_change_is_refused() {
    let bed = bed();
    let token = bed.issue(None);
    let parts: Vec<&str> = token.split('.').collect();
    let decoded = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let with_header = |from: &str, to: &str| {
        assert!(header.contains(from), "{header}");
        format!("{}.{}.{}", encoded(&header.replace(from, to)), parts[1], parts[2])
    };
    for (what, changed, expected) in [
        (
            "claims",
            format!("{}.{}.{}", parts[0], encoded(&claims.replace("bot", "cat")), parts[2]),
            TaskRefusal::Signature,
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1]), TaskRefusal::Signature),
        (
            "a zero signature",
            format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])),
            TaskRefusal::Signature,
        ),
        ("none", with_header("ES256", "none"), TaskRefusal::Form),
        ("HS256", with_header("ES256", "HS256"), TaskRefusal::Form),
        ("EdDSA", with_header("ES256", "EdDSA"), TaskRefusal::Signature),
        ("crit", with_header("\"alg\"", "\"crit\":[\"x\"],\"alg\""), TaskRefusal::Form),
        ("jku", with_header("\"alg\"", "\"jku\":\"https://evil.example\",\"alg\""), TaskRefusal::Form),
        ("another key", with_header("\"kid\":\"", "\"kid\":\"x"), TaskRefusal::Signature),
        ("another typ", with_header("at+jwt", "JWT"), TaskRefusal::Form),
        ("four parts", format!("{token}.x"), TaskRefusal::Form),
        ("too long", format!("{}.{}.{}", parts[0], "A".repeat(20_000), parts[2]), TaskRefusal::Form),
        ("nothing", String::new(), TaskRefusal::Form),
    ] {
        assert_eq!(bed.refused(&changed), expected, "{what}");
    }
}

#[test]
fn a_bound_token_counts_only_with_its_key() {
    let bed = bed();
    let (pair, _) = KeyPair::generate().unwrap();
    let jkt = pair.public().thumbprint();
    let token = bed.issue(Some(Confirmation::of_key(jkt)));
    let beside = |key| bed.tokens.verify(&token, ShownBeside { certificate: None, key });
    assert_eq!(bed.refused(&token), TaskRefusal::NotBearer);
    assert_eq!(beside(Some("another")).unwrap_err(), TaskRefusal::NotBearer);
    assert_eq!(beside(Some(jkt)).unwrap().sender(), Sender::Bound);
    let (mine, others) = (CertificateDer::from(vec![1, 2]), CertificateDer::from(vec![3]));
    let token = bed.issue(Some(Confirmation::of_certificate(&mine)));
    let beside = |certificate| bed.tokens.verify(&token, ShownBeside { certificate, key: Some(jkt) });
    assert_eq!(beside(None).unwrap_err(), TaskRefusal::NotSender);
    assert_eq!(beside(Some(&others)).unwrap_err(), TaskRefusal::NotSender);
    assert_eq!(beside(Some(&mine)).unwrap().sender(), Sender::Bound);
}

const NARROWER: &str = r#"[{"type": "parapet_task", "locations": ["shop-db"], "actions": ["sql:select"],
    "identifier": "shop.public.orders.status", "goal": "one column", "limits": {"uses": 2}}]"#;

#[test]
fn holders_narrow_and_nobody_else() {
    let bed = bed();
    let ((pair, _), (own, _), (thief, _)) =
        (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = bed.issue(Some(Confirmation::of_key(pair.public().thumbprint())));
    let bearer = bed.child(&pair, &root, NARROWER, None);
    let verified = bed.tokens.verify_unbound(&bearer).unwrap();
    assert_eq!(verified.task.links().len(), 2);
    assert_eq!(verified.task.goal().map(|goal| &**goal), Some("one column"));
    assert!(verified.task.chain().last().unwrap().starts_with("key "), "{:?}", verified.task.chain());
    assert_eq!(verified.expires, bed.clock.now().after(Duration::from_secs(300)));
    // The signature over the child is the proof; a bearer is what its holder made it.
    bed.tokens.verify(&bearer, ShownBeside::default()).unwrap();
    // A bearer child is the end of a chain; a bound one is not.
    assert_eq!(bed.refused(&bed.child(&pair, &bearer, NARROWER, None)), TaskRefusal::NotHolder);
    let bound = bed.child(&pair, &root, NARROWER, Some(own.public().thumbprint()));
    assert_eq!(bed.refused(&bound), TaskRefusal::NotBearer);
    assert_eq!(
        bed.refused(&bed.child(&pair, &bound, NARROWER, None)),
        TaskRefusal::NotHolder,
        "its parent's key is not its own"
    );
    let grandchild = bed.child(&own, &bound, NARROWER, None);
    assert_eq!(bed.tokens.verify_unbound(&grandchild).unwrap().task.links().len(), 3);
    for (what, token) in [
        ("another's key", bed.child(&thief, &root, NARROWER, None)),
        ("a token without a key", bed.child(&pair, &bed.issue(None), NARROWER, None)),
        (
            "a token that is bound to a certificate",
            bed.child(
                &pair,
                &bed.issue(Some(Confirmation::of_certificate(&CertificateDer::from(vec![1])))),
                NARROWER,
                None,
            ),
        ),
    ] {
        assert_eq!(bed.refused(&token), TaskRefusal::NotHolder, "{what}");
    }
    // The end of the task ends what was made of it.
    bed.ended.0.lock().unwrap().insert(bed.task());
    assert_eq!(bed.refused(&bearer), TaskRefusal::Revoked);
}

#[test]
fn a_child_never_widens() {
    let bed = bed();
    let (pair, _) = KeyPair::generate().unwrap();
    let jkt = pair.public().thumbprint().to_owned();
    let root = bed.issue(Some(Confirmation::of_key(&jkt)));
    let mut token = bed.child(&pair, &root, NARROWER, Some(&jkt));
    for wider in [
        NARROWER.replace("shop.public.orders.status", "shop.public.orders"),
        NARROWER.replace("sql:select", "sql:infer"),
        NARROWER.replace("\"shop-db\"", "\"shop-db\", \"other-db\""),
        NARROWER.replace(r#""uses": 2"#, r#""uses": 3"#),
        r#"[{"type": "parapet_task"}]"#.to_owned(),
    ] {
        let refusal = bed.refused(&bed.child(&pair, &token, &wider, None));
        assert!(matches!(refusal, TaskRefusal::Task(InvalidTask::Wider(_))), "{wider}: {refusal}");
    }
    let longer = Narrowing {
        parent: &root,
        details: &Details::parse(NARROWER).unwrap(),
        id: "child",
        name: None,
        key: None,
        from: bed.clock.now(),
        until: bed.clock.now().after(Duration::from_secs(601)),
    };
    assert_eq!(
        bed.refused(&narrow(&pair, &longer).unwrap()),
        TaskRefusal::Task(InvalidTask::Wider(kernel::task::Wider::Life))
    );
    for name in ["", "with space", "a\nb", &"x".repeat(65)] {
        let named =
            Narrowing { name: Some(name), until: bed.clock.now().after(Duration::from_secs(60)), ..longer.clone() };
        assert_eq!(bed.refused(&narrow(&pair, &named).unwrap()), TaskRefusal::Claims, "{name:?}");
    }
    for _ in 0..kernel::task::MOST_LINKS - 1 {
        bed.tokens.verify_unbound(&token).unwrap();
        token = bed.child(&pair, &token, NARROWER, Some(&jkt));
    }
    assert_eq!(bed.refused(&token), TaskRefusal::TooMany);
}

/// Claims that a holder writes by hand.
#[test]
fn strange_children_are_refused() {
    let bed = bed();
    let key = IssuerKey::ec();
    let jwk = key.jwk("k");
    let public =
        PublicKey::parse(&serde_json::json!({"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]}).to_string())
            .unwrap();
    let root = bed.issue(Some(Confirmation::of_key(public.thumbprint())));
    let now = bed.clock.now().millis() / 1000;
    let claims = |change: &str| {
        format!(
            r#"{{"parent":"{root}","iat":{now},"exp":{},"jti":"x","authorization_details":{NARROWER}{change}}}"#,
            now + 60
        )
    };
    let header = format!(r#"{{"typ":"parapet-task+jwt","alg":"ES256","jwk":{}}}"#, public.jwk());
    bed.tokens.verify_unbound(&key.token(&header, &claims(""))).unwrap();
    for (what, header, claims) in [
        ("an unknown claim", header.clone(), claims(r#","admin":true"#)),
        ("a claim twice", header.clone(), claims(r#","exp":99999999999"#)),
        ("two confirmations", header.clone(), claims(r#","cnf":{"jkt":"a","x5t#S256":"b"}"#)),
        ("no confirmation in one", header.clone(), claims(r#","cnf":{}"#)),
        ("an unknown confirmation", header.clone(), claims(r#","cnf":{"kid":"a"}"#)),
        ("an empty id", header.clone(), claims("").replace("\"jti\":\"x\"", "\"jti\":\"\"")),
        ("a fraction", header.clone(), claims("").replace(&format!("\"iat\":{now}"), &format!("\"iat\":{now}.5"))),
        (
            "from tomorrow",
            header.clone(),
            claims("").replace(&format!("\"iat\":{now}"), &format!("\"iat\":{}", now + 90_000)),
        ),
        ("no key in the header", header.replace("\"jwk\":", "\"x\":"), claims("")),
        ("a private key in the header", header.replace("\"kty\"", "\"d\":\"AA\",\"kty\""), claims("")),
        ("a kid beside the key", header.replace("\"alg\"", "\"kid\":\"a\",\"alg\""), claims("")),
        ("its own parent", header.clone(), claims("").replace(&root, "x")),
    ] {
        assert!(bed.tokens.verify_unbound(&key.token(&header, &claims)).is_err(), "{what}");
    }
}

/// RFC 7638, section 3.1, has an RSA key; the form of an elliptic key is checked against RFC 9449, section 4.1 and 6.1.
#[test]
fn thumbprints_are_those_of_the_rfc() {
    let jwk = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
    assert_eq!(PublicKey::parse(jwk).unwrap().thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
}
