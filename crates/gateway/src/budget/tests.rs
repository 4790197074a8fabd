//! How budgets are used up, and when they are whole again.

use kernel::operation::Action;
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
        assert_eq!(took.is_ok(), left, "{at} {field} {amount}");
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
        assert_eq!(took.is_ok(), left, "{at} {policy} {workload} {name}");
    }
}

/// What was taken in a window goes back to that window, and to no other.
#[test]
fn what_does_not_pass_is_given_back() {
    let budgets = Budgets::default();
    let (bot, other) = ("bot".parse().unwrap(), "other".parse().unwrap());
    let endpoint = Resource::new(ResourceKind::Endpoint, &"payments".parse().unwrap(), ["/v1/refunds"]);
    let rate = Rate { count: 100, window_s: 60 };
    let budget = |amount| {
        let drawn = Some(Drawn { field: "amount".into(), amount });
        Budget { operation: 0, rate, drawn, by: by("p") }
    };
    let at = Timestamp::from_millis;
    let takes = |now, amount| budgets.take(&budget(amount), &bot, &endpoint, at(now)).is_ok();
    assert!(takes(0, 100));
    budgets.give_back(&budget(100), &other, &endpoint, at(0));
    assert!(!takes(1, 1));
    budgets.give_back(&budget(60), &bot, &endpoint, at(0));
    assert!(!takes(2, 61));
    assert!(takes(2, 60));
    // The next window.
    assert!(takes(60_000, 100));
    budgets.give_back(&budget(60), &bot, &endpoint, at(2));
    assert!(!takes(60_001, 1));
    // Never more than the whole.
    budgets.give_back(&budget(100), &bot, &endpoint, at(60_000));
    budgets.give_back(&budget(100), &bot, &endpoint, at(60_000));
    assert!(takes(60_002, 100));
    assert!(!takes(60_002, 1));
}

#[test]
fn who_is_refused_is_told_when_there_is_room() {
    let budgets = Budgets::default();
    let endpoint = Resource::new(ResourceKind::Endpoint, &"payments".parse().unwrap(), ["/v1/refunds"]);
    let rate = Rate { count: 100, window_s: 60 };
    for (at, amount, expected) in [
        (10_000, 90, Ok(())),
        (10_001, 11, Err(Some(59_999))),
        (69_000, 11, Err(Some(1_000))),
        (69_999, 11, Err(Some(1))),
        // More than there ever is.
        (69_999, 101, Err(None)),
        (70_000, 11, Ok(())),
        // A clock that went back: the window is no longer than it is.
        (0, 100, Err(Some(60_000))),
    ] {
        let drawn = Some(Drawn { field: "amount".into(), amount });
        let budget = Budget { operation: 0, rate, drawn, by: by("p") };
        let took = budgets.take(&budget, &"bot".parse().unwrap(), &endpoint, Timestamp::from_millis(at));
        let took = took.map_err(|used_up| used_up.frees_in.map(|time| time.as_millis()));
        assert_eq!(took, expected, "{at} {amount}");
    }
}

/// A request that one of its budgets has no room for draws on none.
#[test]
fn of_several_budgets_all_are_drawn_on_or_none() {
    let budgets = Budgets::default();
    let bot = "bot".parse().unwrap();
    let resource = Resource::new(ResourceKind::Table, &"shop".parse().unwrap(), ["shop", "public", "orders"]);
    let facts = Arc::default();
    let operations =
        [Operation { action: Action::SqlSelect, resource: Arc::new(resource), facts, verb: "SELECT", span: None }];
    let of = |policy, count| Budget { operation: 0, rate: Rate { count, window_s: 60 }, drawn: None, by: by(policy) };
    let draws = |budgets| Draws { budgets, operations: &operations, workload: &bot };
    let now = Timestamp::from_millis(0);
    let (wide, both) = ([of("wide", 2)], [of("wide", 2), of("narrow", 1)]);
    assert!(budgets.take_all(draws(&both), now).is_ok());
    let (spent, _) = budgets.take_all(draws(&both), now).unwrap_err();
    assert_eq!(&*spent.by.policy, "narrow");
    assert!(budgets.take_all(draws(&wide), now).is_ok(), "what was refused drew on the wide one");
    assert!(budgets.take_all(draws(&wide), now).is_err());
    // A budget of an operation that is not there has no room.
    let stray = [of("wide", 9), Budget { operation: 1, ..of("stray", 9) }];
    assert!(budgets.take_all(draws(&stray), Timestamp::from_millis(60_000)).is_err());
}
