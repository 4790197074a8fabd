//! h2spec, a conformance test of HTTP/2, against the gateway: no case may fail that a plain hyper server passes.

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
    let report = bed.folder.join("h2spec.xml");
    let port = bed.port().to_string();
    // It shows no credential: what it is answered with is a refusal, and the frames around that are what is tested.
    let ran = run(Command::new(h2spec).args(["-h", "127.0.0.1", "-p", &port, "-o", "5", "-j"]).arg(&report));
    let last =
        ran.out.lines().rev().find(|line| line.contains("tests")).unwrap_or_else(|| panic!("{ran:?}")).to_owned();
    eprintln!("h2spec: {last}");
    let report = std::fs::read_to_string(report).unwrap();
    let mut failed: Vec<String> = Vec::new();
    for case in report.split("<testcase ").skip(1) {
        if case.contains("<failure") || case.contains("<error") {
            failed.push(case.split("></").next().unwrap_or(case).chars().take(200).collect());
        }
    }
    failed.retain(|case| !HYPER_FAILS.iter().any(|known| case.contains(known)));
    assert!(failed.is_empty(), "{last}\n{}", failed.join("\n"));
}
