//! How budgets are used up, and when they are whole again.

use kernel::resource::ResourceKind;
use kernel::verdict::{Deciding, Drawn, Rate};

use super::*;

fn by(policy: &str) -> Deciding {
    Deciding { policy: policy.into(), reason: None, hint: None, severity: None }
}

#[test]
fn sums_are_used_up_by_what_is_drawn() {
    let budgets = Budgets::default();
    let upstream = "payments".parse().unwrap();
    let endpoint = Resource::new(ResourceKind::Endpoint, &upstream, ["/v1/refunds"]);
    let rate = Rate { count: 100, window_s: 60 };
    for (at, field, amount, left) in [
        (0, "amount", 60, true),
        (1, "amount", 41, false),
        // What was refused was not taken.
        (2, "amount", 40, true),
        (3, "amount", 1, false),
        (4, "amount", 0, true),
        (5, "fee", 100, true),
        (6, "fee", u64::MAX, false),
        (60_000, "amount", 101, false),
        (60_001, "amount", 100, true),
    ] {
        let drawn = Some(Drawn { field: field.into(), amount });
        let budget = Budget { operation: 0, rate, drawn, by: by("p") };
        let took = budgets.take(&budget, &"bot".parse().unwrap(), &endpoint, Timestamp::from_millis(at));
        assert_eq!(took, left, "{at} {field} {amount}");
    }
}

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
        let budget = Budget { operation: 0, rate, drawn: None, by: by(policy) };
        let took = budgets.take(&budget, &workload.parse().unwrap(), &column(name), Timestamp::from_millis(at));
        assert_eq!(took, left, "{at} {policy} {workload} {name}");
    }
}
