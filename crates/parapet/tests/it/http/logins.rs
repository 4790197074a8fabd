//! Who is asking, on HTTP/1.1 and HTTP/2: proofs of possession (RFC 9449) with curl, X.509-SVIDs over TLS, proofs that end in the
//! middle of a connection; and what becomes of running requests when the gateway stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kernel::time::Timestamp;
use serde_json::{Value, json};

use crate::bed::api::{Api, ApiBed, HOST};
use crate::bed::authority;
use crate::bed::clients::{Ran, run};
use crate::bed::folder::Folder;
use crate::bed::issuer;
use crate::bed::peer::Peer;
use crate::bed::raw_http::{self, Kept};
use crate::bed::tripwire::{Tripwire, find};
use crate::bed::wait;

const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// Why the last login was refused.
fn why(bed: &ApiBed) -> String {
    let refused = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "login_refused");
    refused.map(|entry| entry["why"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// curl, in clear, with these lines of a head.
fn curl(bed: &ApiBed, version: &str, method: &str, path: &str, lines: &[String]) -> Ran {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "30", "--noproxy", "*", version, "-X", method]);
    command.args(["--resolve", &format!("{HOST}:{}:127.0.0.1", bed.port())]);
    for line in lines {
        command.args(["-H", line]);
    }
    run(command.arg(format!("http://{HOST}:{}{path}", bed.port())))
}

fn status(ran: &Ran) -> &str {
    ran.out.split(' ').nth(1).unwrap_or_else(|| panic!("{ran:?}"))
}

/// The nonce that an answer gives out.
fn nonce_of(ran: &Ran) -> String {
    let named = |line: &&str| line.to_ascii_lowercase().starts_with("dpop-nonce: ");
    ran.out.lines().find(named).unwrap_or_else(|| panic!("{ran:?}"))[12..].trim().to_owned()
}

/// RFC 9449: a proof counts once, for one method, one place, one token and one key, with a nonce of ours.
#[test]
fn tokens_that_are_bound_to_a_key() {
    let tripwire = Tripwire::start();
    let bed = Api::new("http-dpop")
        .upstream("shop-api", &format!("http://127.0.0.1:{}", tripwire.port()), "unlisted = \"allow\"\n")
        .also("\n[tokens]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\n")
        .start();
    let file = |name: &str| bed.folder.join(name).to_str().unwrap().to_owned();
    let (key, other) = (file("key.pem"), file("other.pem"));
    let issue = |key: &str| -> String {
        let ran = bed.gateway.cli(&[
            "tasks",
            "issue",
            "triage-bot",
            "--reason",
            "a test",
            "--allow",
            "read",
            "--key",
            key,
            "--json",
        ]);
        ran.assert_done();
        serde_json::from_str::<Value>(&ran.out).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let (token, second) = (issue(&key), issue(&key));
    bed.gateway.cli(&["tasks", "key", &other]).assert_done();
    let url = format!("http://{HOST}:{}/hello", bed.port());
    let proof = |key: &str, method: &str, url: &str, nonce: Option<&str>, token: Option<&str>| {
        let shown = token.map(|token| bed.folder.write("shown.jwt", token).to_str().unwrap().to_owned());
        let mut arguments = vec!["tasks", "proof", "--key", key, "--method", method, "--url", url];
        arguments.extend(nonce.iter().flat_map(|nonce| ["--nonce", nonce]));
        arguments.extend(shown.iter().flat_map(|shown| ["--token-file", shown]));
        let ran = bed.gateway.cli(&arguments);
        ran.assert_done();
        ran.out.trim().to_owned()
    };
    let lines = |scheme: &str, token: &str, proof: Option<&str>| {
        let mut lines = vec![format!("Authorization: {scheme} {token}")];
        lines.extend(proof.map(|proof| format!("DPoP: {proof}")));
        lines
    };
    for version in VERSIONS {
        // First without a nonce: the answer says which.
        let first = proof(&key, "GET", &url, None, Some(&token));
        let asked = curl(&bed, version, "GET", "/hello", &lines("DPoP", &token, Some(&first)));
        let head = asked.out.to_ascii_lowercase();
        assert_eq!(status(&asked), "401", "{asked:?}");
        assert!(head.contains("www-authenticate: dpop error=\"use_dpop_nonce\""), "{asked:?}");
        let nonce = nonce_of(&asked);
        let good = proof(&key, "GET", &url, Some(&nonce), Some(&token));
        let passed = curl(&bed, version, "GET", "/hello", &lines("DPoP", &token, Some(&good)));
        assert_eq!(status(&passed), "200", "{version}: {passed:?} {}", why(&bed));
        // A query is no part of the place.
        let good_too = proof(&key, "GET", &url, Some(&nonce), Some(&token));
        let passed = curl(&bed, version, "GET", "/hello?a=b", &lines("DPoP", &token, Some(&good_too)));
        assert_eq!(status(&passed), "200", "{version}: {passed:?} {}", why(&bed));
        let elsewhere = url.replace("/hello", "/other");
        let by_proof = [
            ("shown before", good.clone(), "it was shown before"),
            ("another method", proof(&key, "POST", &url, Some(&nonce), Some(&token)), "another method or place"),
            ("another place", proof(&key, "GET", &elsewhere, Some(&nonce), Some(&token)), "another method or place"),
            ("another token", proof(&key, "GET", &url, Some(&nonce), Some(&second)), "it is for another token"),
            ("no token", proof(&key, "GET", &url, Some(&nonce), None), "it is for another token"),
            ("a nonce of nobody", proof(&key, "GET", &url, Some("nonce"), Some(&token)), "needs a nonce"),
            ("another key", proof(&other, "GET", &url, Some(&nonce), Some(&token)), "token: "),
            ("no proof", String::new(), "without its proof"),
            ("nonsense", "a.b.c".to_owned(), "it is no DPoP proof"),
        ];
        for (what, proof, reason) in by_proof {
            let shown = Some(proof.as_str()).filter(|proof| !proof.is_empty());
            let ran = curl(&bed, version, "GET", "/hello", &lines("DPoP", &token, shown));
            assert_eq!(status(&ran), "401", "{version} {what}: {ran:?}");
            assert!(why(&bed).contains(reason), "{version} {what}: {}", why(&bed));
        }
        let bare = curl(&bed, version, "GET", "/planted", &lines("Bearer", &token, None));
        assert_eq!(status(&bare), "401", "{bare:?}");
    }
    let got = String::from_utf8(tripwire.take()).unwrap();
    assert_eq!(got.matches("GET /hello").count(), 4, "{got}");
    for planted in ["planted", "dpop", "uthorization", &token] {
        assert!(!got.contains(planted), "`{planted}` reached the upstream: {got}");
    }
    // On a connection that is kept, each request needs a proof of its own.
    let nonce = nonce_of(&curl(&bed, VERSIONS[0], "GET", "/hello", &lines("DPoP", &token, Some("a.b.c"))));
    let request = |proof: &str| {
        format!(
            "GET /hello HTTP/1.1\r\nHost: {HOST}:{}\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n\r\n",
            bed.port()
        )
    };
    let mut client = Kept::open(bed.port());
    let proofs = [(); 2].map(|()| proof(&key, "GET", &url, Some(&nonce), Some(&token)));
    for (proof, status) in [(&proofs[0], 200), (&proofs[1], 200), (&proofs[1], 401)] {
        client.write(request(proof).as_bytes());
        assert_eq!(client.answer().status, status);
    }
}

/// An authority of SVIDs and its bundle.
struct TrustDomain {
    folder: Folder,
    authority: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl TrustDomain {
    fn new(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        Self { folder: Folder::new(name), authority }
    }

    fn bundle(&self) -> PathBuf {
        let key = json!({"kty": "EC", "use": "x509-svid", "x5c": [STANDARD.encode(self.authority.der())]});
        self.folder.write("bundle.json", &json!({"keys": [key], "spiffe_sequence": 1}).to_string())
    }

    /// Certificate and key.
    fn svid(&self, id: &str) -> [PathBuf; 2] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI(id.try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "a workload");
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let name = id.rsplit('/').next().unwrap();
        [
            self.folder.write(&format!("{name}.pem"), &certificate.pem()),
            self.folder.write(&format!("{name}.key"), &key.serialize_pem()),
        ]
    }
}

#[test]
fn svids_over_tls() {
    let (one, two) = (TrustDomain::new("http-svid-one"), TrustDomain::new("http-svid-two"));
    let keys = Folder::new("http-svid-listener");
    let ca = authority::issue(&keys, &[HOST]);
    let tripwire = Tripwire::start();
    let bed = Api::new("http-svid")
        .listener(&format!(
            "tls = {{ certificate = {:?}, key = \"file://{}\" }}",
            keys.join("server.crt"),
            keys.join("server.key").display()
        ))
        .upstream("shop-api", &format!("http://127.0.0.1:{}", tripwire.port()), "unlisted = \"allow\"\n")
        .also(&format!(
            "\n[spiffe.\"one.example\"]\nbundle = \"file://{}\"\n\n[[trust]]\nworkload = \"reporting\"\ntemplate = \"spiffe\"\n\
             issuer = \"spiffe://one.example\"\nclaims = {{ spiffe_id = \"spiffe://one.example/reporting\" }}\n",
            one.bundle().display()
        ))
        .start();
    let good = one.svid("spiffe://one.example/reporting");
    let unnamed = one.svid("spiffe://one.example/other");
    let foreign = two.svid("spiffe://one.example/reporting");
    let get = |version: &str, method: &str, identity: Option<&[PathBuf; 2]>, token: Option<&str>| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-i", "--max-time", "30", "--noproxy", "*", version, "-X", method, "--cacert"]).arg(&ca);
        command.args(["--resolve", &format!("{HOST}:{}:127.0.0.1", bed.port())]);
        if let Some([certificate, key]) = identity {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        if let Some(token) = token {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        run(command.arg(format!("https://{HOST}:{}/hello", bed.port())))
    };
    let (deploy, http) = (bed.token("deploy"), [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")]);
    for (version, said) in http {
        let ran = get(version, "GET", Some(&good), None);
        assert!(ran.out.starts_with(&format!("{said} 200")), "{ran:?} {}", why(&bed));
        let login = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "login").unwrap();
        assert_eq!(
            (&login["workload"], &login["evidence"]["kind"], &login["evidence"]["trust_domain"]),
            (&json!("reporting"), &json!("x509_svid"), &json!("spiffe://one.example")),
            "{login}"
        );
        // It names its workload by itself, whatever token stands beside it: reporting does not write.
        let ran = get(version, "POST", Some(&good), Some(&deploy));
        assert_eq!(status(&ran), "403", "{ran:?}");
        // A certificate that no rule names proves nothing, and takes nothing away from a token.
        assert_eq!(status(&get(version, "GET", Some(&unnamed), None)), "401");
        assert_eq!(status(&get(version, "POST", Some(&unnamed), Some(&deploy))), "200");
        let ran = get(version, "GET", Some(&foreign), None);
        assert_eq!(status(&ran), "401", "{ran:?}");
        assert!(why(&bed).contains("does not end in the bundle of its own trust domain"), "{}", why(&bed));
        assert_eq!(status(&get(version, "GET", None, None)), "401");
    }
    let got = String::from_utf8(tripwire.take()).unwrap();
    assert_eq!((got.matches("GET /hello").count(), got.matches("POST /hello").count()), (2, 2), "{got}");
}

/// A proof that ends in the middle of a connection ends its session there: what runs is cut, and what comes is refused.
#[test]
fn proofs_that_end_in_the_middle() {
    let folder = Folder::new("http-expiry-origin");
    authority::issue(&folder, &["localhost"]);
    let Some(origin) = Peer::start("origin.mjs", &folder) else { return };
    let bed = Api::new("http-expiry")
        .upstream("shop-api", &format!("http://localhost:{}", origin.port("http")), "unlisted = \"allow\"\n")
        .start();
    let life = Duration::from_secs(4);
    let token = bed.issuer.token("reporting", life);
    let begun = Instant::now();
    // As the log has times. It ends within a second, and a second is as fine as tokens say when they end.
    let latest = i64::try_from(issuer::now() + life.as_secs() + 2).unwrap() * 1000;
    let latest = Timestamp::from_millis(latest).to_string();
    let lines = format!("Host: {HOST}\r\nAuthorization: Bearer {token}\r\n");
    let mut client = Kept::open(bed.port());
    let streams: Vec<_> = VERSIONS
        .map(|version| {
            let mut command = Command::new("curl");
            command.args(["-sS", "-N", "--max-time", "30", "--noproxy", "*", version]);
            command.args(["-H", &format!("Host: {HOST}"), "-H", &format!("Authorization: Bearer {token}")]);
            let url = format!("http://127.0.0.1:{}/events?name=never{version}", bed.port());
            command.arg(url).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .into();
    let request = format!("GET /hello HTTP/1.1\r\n{lines}\r\n");
    let answer = wait::until("the end of the token", life * 3, || {
        client.write(request.as_bytes());
        let answer = client.answer();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(answer.status, 401, "{answer:?}");
    let took = begun.elapsed();
    assert!(took > life - Duration::from_secs(2) && took < life + wait::PUSHED, "{took:?}");
    for (version, child) in VERSIONS.iter().zip(streams) {
        let output = child.wait_with_output().unwrap();
        assert!(find(&output.stdout, b"id: 0").is_some(), "{version}: {output:?}");
        assert!(!output.status.success(), "{version}: a stream that was cut looks whole: {output:?}");
    }
    let took = begun.elapsed();
    assert!(took < life + 2 * wait::PUSHED, "{took:?}");
    // The connection serves who shows a good one.
    client.write(format!("GET /hello HTTP/1.1\r\n{}\r\n", bed.lines("reporting")).as_bytes());
    assert_eq!(client.answer().status, 200);
    let ends = wait::until("the ends in the log", Duration::from_secs(20), || {
        let entries = bed.gateway.entries().into_iter();
        Some(entries.filter(|entry| entry["kind"] == "session_ended").collect::<Vec<_>>())
            .filter(|ends| ends.len() >= 2)
    });
    let in_time = |end: &Value| end["why"] == "revoked" && end["at"].as_str().is_some_and(|at| *at < *latest);
    assert!(ends.iter().all(in_time), "{ends:?}, and not after {latest}");
}

/// A stop lets what runs come to its end, says on each connection that it is the last, cuts what is not over at the deadline, and
/// loses no entry.
#[test]
fn a_stop_lets_what_runs_end() {
    let folder = Folder::new("http-drain-origin");
    authority::issue(&folder, &["localhost"]);
    let Some(origin) = Peer::start("origin.mjs", &folder) else { return };
    let mut bed = Api::new("http-drain")
        .drain("6s")
        .upstream("shop-api", &format!("http://localhost:{}", origin.port("http")), "unlisted = \"allow\"\n")
        .start();
    let (port, lines) = (bed.port(), bed.lines("deploy"));
    let stream = |version: &str, name: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "-N", "--max-time", "30", "--noproxy", "*", version]);
        command.args(["-H", &format!("Host: {HOST}"), "-H", &format!("Authorization: Bearer {}", bed.token("deploy"))]);
        let url = format!("http://127.0.0.1:{port}/events?name={name}");
        command.arg(url).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let ending = [stream(VERSIONS[0], "one"), stream(VERSIONS[1], "two")];
    let never = stream(VERSIONS[0], "never");
    // One half of an upload, one connection of each version that is idle.
    let mut upload = Kept::open(port);
    let typed = "Content-Type: application/octet-stream\r\nContent-Length: 8";
    upload.write(format!("POST /echo HTTP/1.1\r\n{lines}{typed}\r\n\r\nhalf").as_bytes());
    let mut idle = Kept::open(port);
    idle.write(format!("GET /hello HTTP/1.1\r\n{lines}\r\n").as_bytes());
    assert_eq!(idle.answer().status, 200);
    let mut second = TcpStream::connect(("127.0.0.1", port)).unwrap();
    second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    second.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").unwrap();
    // Two frames of type 4: the gateway's settings, and its word that it has read ours. Then it knows that this is HTTP/2.
    let (mut frames, mut bytes) = (Vec::new(), [0; 1024]);
    while kinds(&frames).iter().filter(|kind| **kind == 4).count() < 2 {
        let count = second.read(&mut bytes).unwrap();
        assert!(count > 0, "no settings: {frames:?}");
        frames.extend_from_slice(&bytes[..count]);
    }
    wait::until("five requests upstream", Duration::from_secs(20), || (origin.seen().len() >= 5).then_some(()));
    let begun = Instant::now();
    let (status, answer, closed) = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| bed.gateway.stop());
        // What is idle is closed at once: then the stop has begun.
        let (_, closed) = idle.rest();
        // GOAWAY is a frame of type 7.
        while !kinds(&frames).contains(&7) {
            let count = second.read(&mut bytes).unwrap();
            assert!(count > 0, "no GOAWAY: {frames:?}");
            frames.extend_from_slice(&bytes[..count]);
        }
        upload.write(b"half");
        let answer = upload.answer();
        for name in ["one-0", "one-1", "two-0", "two-1"] {
            let asked = format!("GET /release/{name} HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n");
            assert_eq!(raw_http::send(origin.port("http"), asked.as_bytes()).status, 200, "{name}");
        }
        (stopping.join().unwrap(), answer, closed)
    });
    assert!(status.success(), "{status}");
    assert!(closed, "an idle connection stays open");
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")), "{answer:?}");
    for child in ending {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && find(&output.stdout, b"id: 2").is_some(), "{output:?}");
    }
    let output = never.wait_with_output().unwrap();
    assert!(!output.status.success() && find(&output.stdout, b"id: 1").is_none(), "{output:?}");
    // `drain`, and what a slow machine adds.
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(6) && took < Duration::from_secs(20), "{took:?}");
    let entries = bed.gateway.entries();
    let sessions = |kind: &str| {
        let mut ids: Vec<&str> =
            entries.iter().filter(|one| one["kind"] == kind).map(|one| one["session"].as_str().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(sessions("login").len(), 5, "{entries:?}");
    assert_eq!(sessions("login"), sessions("session_ended"), "an end was not entered");
    bed.gateway.cli(&["audit", "verify", bed.gateway.audit().to_str().unwrap()]).assert_done();
}

/// The types of frames of HTTP/2.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        kinds.push(*kind);
        bytes = rest.get(length..).unwrap_or_default();
    }
    kinds
}
