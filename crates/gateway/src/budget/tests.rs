//! How budgets are used up, and when they are whole again.

use kernel::resource::ResourceKind;

use super::*;

#[test]
fn budgets_are_used_up_by_workload_and_resource() {
    let budgets = Budgets::default();
    let column = |name: &str| Resource::new(ResourceKind::Column, &"db".parse().unwrap(), ["db", "public", "t", name]);
    let rate = Rate { count: 2, window_s: 60 };
    for (at, policy, workload, name, left) in [
        (0, "p", "bot", "ssn", true),
        (59_000, "p", "bot", "ssn", true),
        (59_999, "p", "bot", "ssn", false),
        (59_999, "p", "bot", "pin", true),
        (59_999, "p", "other", "ssn", true),
        (59_999, "q", "bot", "ssn", true),
        (60_000, "p", "bot", "ssn", true),
        (60_001, "p", "bot", "ssn", true),
        (119_999, "p", "bot", "ssn", false),
        // A clock that goes back does not give more.
        (0, "p", "bot", "ssn", false),
    ] {
        let took =
            budgets.take(&policy.into(), &workload.parse().unwrap(), &column(name), rate, Timestamp::from_millis(at));
        assert_eq!(took, left, "{at} {policy} {workload} {name}");
    }
}
