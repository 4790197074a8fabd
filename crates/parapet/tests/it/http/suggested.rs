//! `parapet policy suggest` over a real log of requests and destinations: what it writes loads, its tests pass, and no value of a
//! request stands in it.

use std::fs;
use std::process::Command;

use crate::bed::api::Api;
use crate::bed::clients::run;
use crate::bed::tripwire::Tripwire;

const ENDPOINTS: &str = r#"
unlisted = "allow"
[upstreams.payments.fields]
"GET /v1/customers/{id} $.email" = ["pii"]
[[upstreams.payments.endpoints]]
id = "refund"
method = "POST"
path = "/v1/refunds"
[[upstreams.payments.endpoints]]
method = "GET"
path = "/v1/customers/{id}"
"#;

#[test]
fn permits_are_proposed_from_requests_and_destinations() {
    let tripwire = Tripwire::start();
    let url = format!("http://127.0.0.1:{}", tripwire.port());
    let egress = "\n[egress]\nlisten = \"127.0.0.1:0\"\ntls = \"off\"\nenvironment = \"production\"\n";
    let bed = Api::new("http-suggested").upstream("payments", &url, ENDPOINTS).also(egress).start();
    let canary = "canary-value-3b1d";
    bed.curl("deploy", &format!("/v1/customers/{canary}?note={canary}"), &["-H", &format!("X-Note: {canary}")]);
    bed.curl("deploy", "/v1/refunds", &["-d", &format!("{{\"note\": \"{canary}\"}}")]);
    bed.curl("deploy", &format!("/elsewhere/%22{canary}%0a/x"), &[]);
    bed.curl("deploy", &format!("/elsewhere/{canary}"), &[]);
    bed.curl("reporting", "/v1/refunds", &["-d", "{}"]);
    let proxy = format!("http://deploy:{}@{}", bed.token("deploy"), bed.gateway.listener("egress"));
    for to in ["https://learnt.invalid/", "http://learnt.invalid:8080/x"] {
        run(Command::new("curl").args([
            "-sS",
            "--max-time",
            "30",
            "-x",
            &proxy,
            &to.replace("/x", &format!("/{canary}")),
        ]));
    }
    let suggest = |more: &[&str]| bed.gateway.cli(&[&["policy", "suggest"], more].concat());
    let into = bed.folder.join("suggested").display().to_string();
    let written = suggest(&["--into", &into]);
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.out.contains(" 0 failed") && !written.out.contains("✓ 0 passed"), "{written:?}");
    bed.gateway.cli(&["policy", "check", &into]).assert_done();
    let text = fs::read_to_string(bed.folder.join("suggested/suggested.cedar")).unwrap();
    for part in [
        "resource in Endpoint::\"payments/v1/refunds\"",
        "resource == Endpoint::\"payments/v1/customers/{id}\"",
        "Field::\"payments/v1/customers/{id} $.email\"",
        "// Look twice: it is every path that no endpoint names.",
        "resource == Host::\"internet/learnt.invalid:443\"",
        "// such as: POST /v1/refunds",
        // What reporting was denied for want of a permit is a person's to decide.
        "//   principal == Workload::\"reporting\",",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for file in fs::read_dir(bed.folder.join("suggested")).unwrap().flatten() {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(canary), "{}: {text}", file.path().display());
    }
    // Little more than denials: drafts, and no tests.
    let only = bed.folder.join("drafts").display().to_string();
    let drafts = suggest(&["--workload", "reporting", "--upstream", "payments", "--into", &only]);
    assert_eq!(drafts.code, 0, "{drafts:?}");
}
