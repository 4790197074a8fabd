//! The hazards of HTTP (HT01 to HT14 of the design), as raw bytes: each attack against an upstream that records every byte,
//! and beside it a twin, the nearest harmless request, which must pass.

mod authority;
mod bodies;
mod frames;
mod framing;
mod graphql;
mod headers;
mod parts;
mod paths;
mod upgrades;

use crate::bed::api::{Api, ApiBed};
use crate::bed::raw_http::{self, Answer};
use crate::bed::tripwire::{Tripwire, find};

/// What must come of an attack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// This status and an end of the connection, though the client did not ask for one; nothing upstream.
    Closed(u16),
    /// This status; nothing upstream.
    Refused(u16),
    /// This status and an end of the connection, in the middle of a body: of what was permitted by its head the upstream may get
    /// the beginning, and never an end.
    Cut(u16),
    /// It passes, and these bytes are among those that the upstream gets, in whichever case, and those are not.
    Sent { with: &'static [&'static str], without: &'static [&'static str] },
}

/// An attack and its twin. `@W` stands for the lines of host and credential, `@A` for the credential's alone, `@C` for `@W` and
/// `Connection: close`, `@N` for a million letters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) attack: &'static [u8],
    pub(super) expect: Expect,
    /// Empty: a plain request.
    pub(super) twin: &'static [u8],
}

/// The request that is a twin where a case has none of its own.
const PLAIN: &[u8] = b"GET /plain HTTP/1.1\r\n@C\r\n";

fn fill(bed: &ApiBed, bytes: &[u8]) -> Vec<u8> {
    let lines = bed.lines("deploy");
    let credential = lines.lines().last().map(|line| format!("{line}\r\n")).unwrap();
    let closing = format!("{lines}Connection: close\r\n");
    let mut filled = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'@') {
        filled.extend_from_slice(&rest[..at]);
        match rest.get(at + 1) {
            Some(b'W') => filled.extend_from_slice(lines.as_bytes()),
            Some(b'A') => filled.extend_from_slice(credential.as_bytes()),
            Some(b'C') => filled.extend_from_slice(closing.as_bytes()),
            Some(b'N') => filled.resize(filled.len() + 1_000_000, b'n'),
            _ => filled.extend_from_slice(&rest[at..rest.len().min(at + 2)]),
        }
        rest = &rest[rest.len().min(at + 2)..];
    }
    filled.extend_from_slice(rest);
    filled
}

/// How many requests these bytes hold, by their request lines.
fn requests(bytes: &[u8]) -> usize {
    bytes.windows(11).filter(|window| window == b" HTTP/1.1\r\n").count()
}

/// The gateway in front of a tripwire that takes any path, with these further keys of the upstream and policies.
fn start(name: &str, also: &str, policies: &str) -> (ApiBed, Tripwire) {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let bed = Api::new(name).upstream("shop-api", &url, also).policies(policies).start();
    (bed, tripwire)
}

/// Runs every case and its twin; all that went wrong is said at once. A line for each hazard says how many held.
fn check(bed: &ApiBed, tripwire: &Tripwire, cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        for failure in run(bed, tripwire, case) {
            wrong.push(format!("{} {}: {failure}", case.id, case.name));
        }
    }
    let mut ids: Vec<&str> = cases.iter().map(|case| case.id).collect();
    ids.dedup();
    for id in ids {
        let many = cases.iter().filter(|case| case.id == id).count();
        let failed = cases.iter().filter(|case| case.id == id);
        let failed =
            failed.filter(|case| wrong.iter().any(|line| line.starts_with(&format!("{id} {}:", case.name)))).count();
        eprintln!("{id}: {} of {many} attacks ended as they should, with their twins", many - failed);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn run(bed: &ApiBed, tripwire: &Tripwire, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let answer = raw_http::send(bed.port(), &fill(bed, case.attack));
    // The client may have its refusal before the upstream has read what was broken off.
    tripwire.settle();
    let twin = if case.twin.is_empty() { PLAIN } else { case.twin };
    let got = match case.expect {
        Expect::Closed(status) | Expect::Refused(status) => {
            wrong.extend(refused(&answer, status));
            if matches!(case.expect, Expect::Closed(_)) && !answer.closed {
                wrong.push("the connection stayed open".to_owned());
            }
            Vec::new()
        }
        Expect::Cut(status) => {
            wrong.extend(refused(&answer, status));
            let got = tripwire.take();
            if !answer.closed || requests(&got) > 1 || find(&got, b"\r\n0\r\n\r\n").is_some() {
                wrong.push(format!("closed: {}; the upstream got {:?}", answer.closed, String::from_utf8_lossy(&got)));
            }
            Vec::new()
        }
        Expect::Sent { .. } => {
            if answer.status != 200 {
                wrong.push(format!("answered {}: {}", answer.status, answer.text()));
            }
            tripwire.take()
        }
    };
    if let Expect::Sent { with, without } = case.expect {
        let text = String::from_utf8_lossy(&got).to_lowercase();
        wrong.extend(
            with.iter()
                .filter(|part| !text.contains(&part.to_lowercase()))
                .map(|part| format!("no {part:?} in {text:?}")),
        );
        wrong.extend(
            without
                .iter()
                .filter(|part| text.contains(&part.to_lowercase()))
                .map(|part| format!("{part:?} in {text:?}")),
        );
        if requests(&got) != 1 {
            wrong.push(format!("{} requests reached the upstream", requests(&got)));
        }
    }
    // Whatever the attack had let through stands before its twin.
    let answer = raw_http::send(bed.port(), &fill(bed, twin));
    let got = tripwire.take();
    if answer.status != 200 || requests(&got) != 1 {
        let shown = String::from_utf8_lossy(&got);
        wrong.push(format!(
            "its twin was answered {} ({}), and the upstream got {shown:?}",
            answer.status,
            answer.text()
        ));
    }
    wrong
}

/// Was it refused so, once, in our words, without a byte of the request in the answer?
fn refused(answer: &Answer, status: u16) -> Vec<String> {
    let mut wrong = Vec::new();
    if answer.status != status {
        wrong.push(format!("answered {} instead of {status}: {}", answer.status, answer.text()));
    }
    if answer.answers() != 1 {
        wrong.push(format!("{} answers came", answer.answers()));
    }
    if find(&answer.rest, b"smuggled").is_some() {
        wrong.push("the refusal holds bytes of the request".to_owned());
    }
    wrong
}
