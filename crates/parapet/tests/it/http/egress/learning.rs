//! From nothing that is listed to a list: what jobs try is denied, or passes and is noted, and is drafted as policies either way.

use serde_json::Value;

use super::Outside;
use super::hazards::Guarded;

/// Sessions begin, and no destination is listed.
const SESSIONS: &str = "@id(\"sessions\") permit (principal, action == Action::\"connect:session\", resource);\n";

/// The last decision about a tunnel to this host and port.
fn decision(outside: &Outside, to: &str) -> Value {
    let about = |entry: &Value| entry["operations"][0]["resource"] == format!("internet/{to}");
    outside.bed.decisions().into_iter().rfind(about).unwrap_or_else(|| panic!("no decision about {to}"))
}

#[test]
fn what_is_learnt_passes_and_is_noted() {
    let Some(outside) = Outside::start("egress-learn", "mode = \"observe\"") else { return };
    let host = format!("https://127.0.0.1:{}/hello.txt", outside.server.port("tls"));
    // What is no verdict binds all the same.
    let refused = outside.curl("deploy", &["-v", &host]);
    assert!(refused.err.contains("PAR0227"), "{refused:?}");
    let hello = outside.curl("deploy", &[&format!("{}/hello.txt", outside.web())]);
    assert_eq!(hello.code, 0, "{hello:?}");
    let unlisted = outside.curl("deploy", &["-v", "https://elsewhere.invalid/"]);
    assert!(unlisted.err.contains(" 502 ") && !unlisted.err.contains(" 403 "), "{unlisted:?}");
    let noted = decision(&outside, "elsewhere.invalid:443");
    assert_eq!((&noted["verdict"], &noted["workload"]), (&"permit".into(), &"deploy".into()), "{noted}");
    assert_eq!(noted["terms"]["observed"][0]["policy"], "listed-hosts-only", "{noted}");
    let listed = decision(&outside, &format!("web.test:{}", outside.server.port("tls")));
    assert_eq!((&listed["verdict"], &listed["terms"]["observed"]), (&"permit".into(), &Value::Null), "{listed}");
}

#[test]
fn what_jobs_reach_is_drafted() {
    for mode in ["observe", "enforce"] {
        let egress = format!("mode = \"{mode}\"");
        let name = format!("egress-draft-{mode}");
        let Some(outside) = Outside::start_with(&name, &egress, |api| api.only_policies(SESSIONS)) else { return };
        let (tls, plain) = (outside.server.port("tls"), outside.server.port("plain"));
        let came = outside.curl("deploy", &[&format!("{}/hello.txt", outside.web())]);
        let plainly = outside.curl("reporting", &[&format!("http://web.test:{plain}/hello.txt")]);
        assert_eq!(came.code == 0, mode == "observe", "{came:?}");
        assert_eq!(plainly.out == "hello from the web\n", mode == "observe", "{plainly:?}");
        let denied = decision(&outside, &format!("web.test:{tls}"));
        assert_eq!(denied["verdict"], if mode == "observe" { "permit" } else { "deny" }, "{denied}");

        let drafted = outside.bed.gateway.cli(&["policy", "suggest", "--upstream", "internet"]);
        drafted.assert_done();
        for (workload, port) in [("deploy", tls), ("reporting", plain)] {
            assert!(drafted.out.contains(&format!("principal == Workload::\"{workload}\"")), "{drafted:?}");
            let line = format!("resource == Host::\"internet/web.test:{port}\"");
            let line = drafted.out.lines().find(|found| found.contains(&line)).unwrap_or_else(|| panic!("{drafted:?}"));
            // What no policy permits is for a person to take out of its comment, whether it passed or not.
            assert!(line.starts_with("//"), "{drafted:?}");
        }
    }
}

#[test]
fn policies_that_open_every_host_are_told() {
    const WARNING: &str = "may reach any host through the egress, by `connect`";
    let open = Guarded::start("egress-open");
    let checked = open.bed.gateway.cli(&["policy", "check"]);
    assert!(checked.code == 0 && checked.err.contains(WARNING), "{checked:?}");
    let checked = open.bed.gateway.cli(&["policy", "check", "--json"]);
    let view: Value = serde_json::from_str(&checked.out).unwrap();
    assert!(view["warnings"][0].as_str().unwrap().contains(WARNING), "{view}");
    let Some(listed) = Outside::start("egress-listed", "") else { return };
    let checked = listed.bed.gateway.cli(&["policy", "check"]);
    assert!(checked.code == 0 && !checked.err.contains("through the egress"), "{checked:?}");
}
