//! h2spec, a conformance test of HTTP/2, against the gateway: no case may fail that a plain hyper server passes.

use std::collections::BTreeSet;
use std::process::Command;

use crate::bed::api::Api;
use crate::bed::clients::run;
use crate::bed::peer;
use crate::bed::skip;
use crate::bed::tripwire::Tripwire;

/// What a plain hyper proxy (`examples/forward`) does not pass either, with h2spec 2.2.1: both take what does not begin with the
/// preface for HTTP/1, answer 400, and close.
const HYPER_FAILS: [&str; 1] = ["Sends invalid connection preface"];

#[test]
fn http_2_is_spoken_as_hyper_speaks_it() {
    let h2spec = peer::installed("h2spec");
    if !h2spec.exists() {
        return skip("h2spec is not installed (scripts/install.sh http)");
    }
    let tripwire = Tripwire::start();
    let bed = Api::new("http-h2spec")
        .upstream(
            "shop-api",
            &format!("http://127.0.0.1:{}", tripwire.port()),
            "hosts = [\"127.0.0.1\"]\nunlisted = \"allow\"\n",
        )
        .start();
    let port = bed.port().to_string();
    // It shows no credential: what it is answered with is a refusal, and the frames around that are what is tested. That answer may
    // be whole before a case has sent the frame that it is about, and then there is nothing left to refuse; so too with hyper. A
    // case counts as failed if it fails each time.
    let mut failed: Option<BTreeSet<String>> = None;
    for turn in 0..4 {
        let report = bed.folder.join(&format!("h2spec-{turn}.xml"));
        let ran = run(Command::new(&h2spec).args(["-h", "127.0.0.1", "-p", &port, "-o", "2", "-j"]).arg(&report));
        let last = ran.out.lines().rev().find(|line| line.contains("tests"));
        eprintln!("h2spec: {}", last.unwrap_or_else(|| panic!("{ran:?}")));
        let now = failures(&std::fs::read_to_string(report).unwrap());
        let both = failed.as_ref().map_or_else(|| now.clone(), |before| before.intersection(&now).cloned().collect());
        let done = both.is_empty();
        failed = Some(both);
        if done {
            break;
        }
    }
    let failed = failed.unwrap_or_default();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The cases that a report says failed, but for those that fail with hyper too.
fn failures(report: &str) -> BTreeSet<String> {
    let cases: Vec<&str> = report.split("<testcase ").skip(1).collect();
    assert!(cases.len() > 100, "only {} cases ran", cases.len());
    let failed = cases.iter().filter(|case| case.contains("<failure") || case.contains("<error"));
    let names = failed.map(|case| case.split(" time=").next().unwrap_or(case).to_owned());
    names.filter(|name| !HYPER_FAILS.iter().any(|known| name.contains(known))).collect()
}
