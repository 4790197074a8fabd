//! What tasks allow, what may narrow what, and what is refused for its form.

use serde_json::{Value, json};

use super::*;
use crate::operation::Action;
use crate::testing::{NOW, operation};

const ORDERS: [&str; 3] = ["shop", "public", "orders"];
const STATUS: [&str; 4] = ["shop", "public", "orders", "status"];
const CUSTOMERS: [&str; 3] = ["shop", "public", "customers"];

fn details(value: &Value) -> Details {
    Details::read(value).unwrap()
}

fn link(value: &Value, mark: u8) -> Link {
    Link { mark: [mark; 32], details: details(value), expires: NOW.after(std::time::Duration::from_secs(60)) }
}

fn task(links: &[Value]) -> Result<Task, InvalidTask> {
    let links = links.iter().zip(0..).map(|(value, mark)| link(value, mark)).collect();
    Task::new(TaskId::new(NOW, 1), vec!["bot".into()], links)
}

fn backfill() -> Value {
    json!([{"type": "parapet_task", "locations": ["shop-db"], "actions": ["read", "sql:update"],
        "identifier": "shop.public.orders", "goal": "backfill order status", "run": "github:9912/1", "commit": "4be1",
        "limits": {"rows": 5000, "uses": 200}}])
}

fn with(mut value: Value, member: &str, to: Value) -> Value {
    value[0][member] = to;
    value
}

fn without(mut value: Value, member: &str) -> Value {
    value[0].as_object_mut().unwrap().remove(member);
    value
}

#[test]
fn an_operation_lies_inside_or_breaks_a_bound() {
    for (change, action, path, expected) in [
        (None, Action::SqlSelect, &ORDERS[..], None),
        (None, Action::SqlSelect, &STATUS, None),
        (None, Action::SqlInfer, &STATUS, None),
        (None, Action::SqlUpdate, &ORDERS, None),
        (None, Action::SqlDelete, &ORDERS, Some(Bound::Action)),
        (None, Action::SqlInsert, &ORDERS, Some(Bound::Action)),
        (None, Action::SqlSelect, &CUSTOMERS, Some(Bound::Resource)),
        (None, Action::SqlSelect, &["shop", "public", "orders_old"], Some(Bound::Resource)),
        (None, Action::SqlSelect, &["shop", "public"], Some(Bound::Resource)),
        (None, Action::SqlSelect, &["other", "public", "orders"], Some(Bound::Resource)),
        // `SELECT 1`, and what opens and steers a session.
        (None, Action::SqlSelect, &["shop"], None),
        (None, Action::SqlSelect, &["other"], Some(Bound::Resource)),
        (None, Action::Connect, &[], None),
        (None, Action::SqlTransaction, &["shop"], None),
        (None, Action::SqlEnd, &["shop"], None),
        (None, Action::SqlGrant, &["shop"], Some(Bound::Action)),
        (Some(("locations", json!(["other-db"]))), Action::Connect, &[], Some(Bound::Location)),
        (Some(("locations", json!(["other-db"]))), Action::SqlSelect, &ORDERS, Some(Bound::Location)),
        (Some(("identifier", json!("shop.public"))), Action::SqlSelect, &CUSTOMERS, None),
        (Some(("identifier", json!("shop"))), Action::SqlSelect, &CUSTOMERS, None),
        (Some(("identifier", json!("shop.public.orders.status"))), Action::SqlSelect, &STATUS, None),
        (Some(("identifier", json!("shop.public.orders.status"))), Action::SqlSelect, &ORDERS, None),
        (Some(("identifier", json!("shop.public.orders.status"))), Action::SqlUpdate, &ORDERS, Some(Bound::Resource)),
        (
            Some(("identifier", json!("shop.public.orders.status"))),
            Action::SqlSelect,
            &["shop", "public", "orders", "total"],
            Some(Bound::Resource),
        ),
    ] {
        let value = match &change {
            Some((member, to)) => with(backfill(), member, to.clone()),
            None => backfill(),
        };
        let task = task(&[value]).unwrap();
        assert_eq!(task.outside(&operation(action, path)), expected, "{action} {path:?} {change:?}");
    }
    // Roles are not in a schema of the name `role`.
    let role = json!([{"type": "parapet_task", "identifier": "shop.role"}]);
    let mut on_role = operation(Action::SqlGrant, &["shop", "role", "admin"]);
    let mut resource = crate::resource::Resource::clone(&on_role.resource);
    resource.kind = crate::resource::ResourceKind::Object;
    on_role.resource = Arc::new(resource);
    assert_eq!(task(&[role]).unwrap().outside(&on_role), Some(Bound::Resource));
}

#[test]
fn several_objects_allow_what_any_allows() {
    let two = json!([
        {"type": "parapet_task", "actions": ["read"], "identifier": "shop.public.customers", "goal": "copy"},
        {"type": "parapet_task", "actions": ["write"], "identifier": "shop.public.orders"},
    ]);
    let task = task(&[two]).unwrap();
    assert_eq!(task.outside(&operation(Action::SqlSelect, &CUSTOMERS)), None);
    assert_eq!(task.outside(&operation(Action::SqlInsert, &ORDERS)), None);
    assert_eq!(task.outside(&operation(Action::SqlInsert, &CUSTOMERS)), Some(Bound::Resource));
    assert_eq!(task.outside(&operation(Action::SqlSelect, &ORDERS)), Some(Bound::Resource));
    assert_eq!(task.goal().map(|goal| &**goal), Some("copy"));
}

#[test]
fn links_only_narrow() {
    let wide = |wider| Err(InvalidTask::Wider(wider));
    let narrow = || with(without(without(backfill(), "run"), "commit"), "goal", json!("one row of it"));
    for (child, expected) in [
        (narrow(), Ok(())),
        (with(narrow(), "actions", json!(["sql:select"])), Ok(())),
        (with(narrow(), "identifier", json!("shop.public.orders.status")), Ok(())),
        (with(narrow(), "limits", json!({"rows": 1, "uses": 200})), Ok(())),
        (with(narrow(), "run", json!("github:9912/1")), Ok(())),
        (with(narrow(), "run", json!("github:9913/1")), wide(Wider::Run)),
        (with(narrow(), "commit", json!("ffff")), wide(Wider::Run)),
        (with(narrow(), "actions", json!(["write"])), wide(Wider::Scope)),
        (with(narrow(), "actions", json!(["read", "sql:update", "sql:delete"])), wide(Wider::Scope)),
        (without(narrow(), "actions"), wide(Wider::Scope)),
        (with(narrow(), "locations", json!(["shop-db", "other-db"])), wide(Wider::Scope)),
        (without(narrow(), "locations"), wide(Wider::Scope)),
        (with(narrow(), "identifier", json!("shop.public")), wide(Wider::Scope)),
        (with(narrow(), "identifier", json!("shop.public.orders_old")), wide(Wider::Scope)),
        (without(narrow(), "identifier"), wide(Wider::Scope)),
        (with(narrow(), "limits", json!({"rows": 5001, "uses": 200})), wide(Wider::Limits)),
        (with(narrow(), "limits", json!({"rows": 5000})), wide(Wider::Limits)),
        (without(narrow(), "limits"), wide(Wider::Limits)),
    ] {
        assert_eq!(task(&[backfill(), child.clone()]).map(drop), expected, "{child}");
    }
    let narrowed = task(&[backfill(), with(narrow(), "identifier", json!("shop.public.orders.status"))]).unwrap();
    assert_eq!(narrowed.goal().map(|goal| &**goal), Some("one row of it"));
    assert_eq!(narrowed.run().map(|run| &**run), Some("github:9912/1"));
    assert_eq!(narrowed.outside(&operation(Action::SqlUpdate, &ORDERS)), Some(Bound::Resource));
    // A grandchild is held against its parent, not against the first.
    let again = task(&[backfill(), with(narrow(), "identifier", json!("shop.public.orders.status")), narrow()]);
    assert_eq!(again.map(drop), wide(Wider::Scope));
    assert_eq!(task(&vec![backfill(); MOST_LINKS + 1]).map(drop), Err(InvalidTask::Length));
    assert_eq!(task(&[]).map(drop), Err(InvalidTask::Length));
    let mut longer = link(&narrow(), 1);
    longer.expires = longer.expires.after(std::time::Duration::from_millis(1));
    let outliving = Task::new(TaskId::new(NOW, 1), Vec::new(), vec![link(&backfill(), 0), longer]);
    assert_eq!(outliving.map(drop), wide(Wider::Life));
}

#[test]
fn what_is_unknown_is_refused() {
    for (value, expected) in [
        (json!([]), InvalidDetails::Form),
        (json!({}), InvalidDetails::Form),
        (json!([{"actions": ["read"]}]), InvalidDetails::Form),
        (with(backfill(), "type", json!("payment")), InvalidDetails::Type),
        (with(backfill(), "privileges", json!(["all"])), InvalidDetails::Form),
        (with(backfill(), "datatypes", json!([])), InvalidDetails::Form),
        (with(backfill(), "limits", json!({"bytes": 3})), InvalidDetails::Form),
        (with(backfill(), "limits", json!({"rows": -1})), InvalidDetails::Form),
        (with(backfill(), "limits", json!({"rows": 1.5})), InvalidDetails::Form),
        (with(backfill(), "actions", json!([])), InvalidDetails::Form),
        (with(backfill(), "locations", json!([])), InvalidDetails::Form),
        (with(backfill(), "locations", json!(["shop db"])), InvalidDetails::Location),
        (with(backfill(), "locations", json!(["*"])), InvalidDetails::Location),
        (with(backfill(), "actions", json!(["sql:*"])), InvalidDetails::Action),
        (with(backfill(), "actions", json!(["READ"])), InvalidDetails::Action),
        (with(backfill(), "identifier", json!("")), InvalidDetails::Identifier),
        (with(backfill(), "identifier", json!("shop..orders")), InvalidDetails::Identifier),
        (with(backfill(), "identifier", json!("shop.public.*")), InvalidDetails::Identifier),
        (with(backfill(), "identifier", json!("shop.")), InvalidDetails::Identifier),
        (with(backfill(), "identifier", json!("\"shop")), InvalidDetails::Identifier),
        (with(backfill(), "identifier", json!("a.b.c.d.e")), InvalidDetails::Identifier),
        (with(backfill(), "goal", json!("a\nb")), InvalidDetails::Text),
        (with(backfill(), "goal", json!(" ")), InvalidDetails::Text),
        (with(backfill(), "run", json!("x".repeat(300))), InvalidDetails::Text),
    ] {
        assert_eq!(Details::read(&value), Err(expected), "{value}");
    }
    let both = |second: Value| json!([backfill()[0], second]);
    let other = json!({"type": "parapet_task", "goal": "another"});
    assert_eq!(Details::read(&both(other)), Err(InvalidDetails::Disagreement));
    let twice = r#"[{"type": "parapet_task", "goal": "a", "goal": "b"}]"#;
    assert_eq!(Details::parse(twice), Err(InvalidDetails::Form));
}

#[test]
fn details_are_written_as_they_are_read() {
    let quoted = with(backfill(), "identifier", json!("shop.\"odd.schema\".\"say \"\"x\"\"\""));
    for value in
        [backfill(), quoted, json!([{"type": "parapet_task"}]), json!([backfill()[0], {"type": "parapet_task"}])]
    {
        assert_eq!(details(&details(&value).value()), details(&value), "{value}");
    }
    assert_eq!(details(&backfill()).value(), backfill());
}

#[test]
fn a_task_ends_and_is_used_up() {
    let task = task(&[backfill()]).unwrap();
    let (select, end) = ([operation(Action::SqlSelect, &ORDERS)], [operation(Action::SqlEnd, &["shop"])]);
    let left = |rows, uses| Left { rows: Some(rows), uses: Some(uses) };
    let later = NOW.after(std::time::Duration::from_secs(60));
    for (operations, left, now, expected) in [
        (&select, left(1, 1), NOW, None),
        (&select, Left::default(), NOW, None),
        (&select, left(1, 0), NOW, Some(Bound::Uses)),
        (&select, left(0, 1), NOW, Some(Bound::Rows)),
        (&end, left(0, 0), NOW, None),
        (&end, left(1, 1), later, Some(Bound::Expired)),
    ] {
        assert_eq!(task.ended(operations, left, now), expected, "{left:?}");
    }
}
