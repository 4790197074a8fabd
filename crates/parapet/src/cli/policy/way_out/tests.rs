//! Policies that open every host, and those that do not.

use kernel::policy::Disclosure;
use kernel::workload::{Person, WorkloadKind, WorkloadStatus};

use super::*;

fn workload(name: &str) -> Workload {
    Workload {
        name: name.parse().unwrap(),
        owner: Person("o@example.com".into()),
        kind: WorkloadKind::Ci,
        environment: "production".parse().unwrap(),
        purpose: "a test".to_owned(),
        groups: BTreeSet::new(),
        expires: None,
        status: WorkloadStatus::Active,
        risk: 0,
    }
}

#[test]
fn a_permit_for_everybody_everywhere_is_told() {
    const EVERYWHERE: &str = r#"@id("connect") permit (principal, action in Action::"connect", resource);"#;
    let inside = r#"@id("connect") permit (principal, action in Action::"connect", resource in Upstream::"shop-db");"#;
    let sessions = r#"@id("connect") permit (principal, action == Action::"connect:session", resource);"#;
    let one = r#"@id("all") permit (principal == Workload::"job", action, resource in Environment::"production");"#;
    let listed = r#"@id("listed") permit (principal, action == Action::"http:tunnel", resource in Upstream::"internet")
                    when { resource.name like "*.pypi.org:443" };"#;
    let port = r#"@id("https") permit (principal, action == Action::"http:tunnel", resource) when { resource.name like "*:443" };"#;
    let narrowed = format!(
        r#"{EVERYWHERE} @id("listed") forbid (principal, action == Action::"http:tunnel", resource)
           unless {{ resource.name == "github.com:443" }};"#
    );
    let asked = format!(
        r#"{EVERYWHERE} @id("ask") @approve("net") forbid (principal, action == Action::"http:tunnel", resource);"#
    );
    for (policies, mode, expected) in [
        (EVERYWHERE, Mode::Enforce, Some("2 workloads may reach any host through the egress, by `connect`: ")),
        (EVERYWHERE, Mode::Observe, None),
        (one, Mode::Enforce, Some("`job` may reach any host through the egress, by `all`: ")),
        (port, Mode::Enforce, Some("2 workloads may reach any host through the egress, by `https`: ")),
        (inside, Mode::Enforce, None),
        (sessions, Mode::Enforce, None),
        (listed, Mode::Enforce, None),
        (&narrowed, Mode::Enforce, None),
        (&asked, Mode::Enforce, None),
    ] {
        let upstream = Upstream {
            name: "internet".parse().unwrap(),
            environment: "production".parse().unwrap(),
            mode,
            disclosure: Disclosure::Full,
            classes: Vec::new(),
        };
        let files = [PolicyFile { name: "p.cedar".into(), text: policies.into() }];
        let told = warning(&upstream, &[workload("job"), workload("other")], &files, Timestamp::from_millis(0));
        let beginning = told.as_deref().and_then(|told| told.get(..expected.map_or(0, str::len)));
        assert_eq!(beginning, expected, "{policies}: {told:?}");
    }
}
