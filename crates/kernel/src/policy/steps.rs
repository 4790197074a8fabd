//! Finds comparisons of the session's counters that would not mean what they say: policies see the counters in steps of 1,
//! 2, 5, 10, 20, 50, …, so `rows_read >= 30000` would not match before 50,000 rows.

use cedar_policy::Policy;
use serde_json::Value;

use crate::circumstances::{next_step, rounded};

/// A comparison that falls between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BetweenSteps {
    /// The number that was written.
    pub(super) number: u64,
    /// The largest step that is not above it; to compare with by `>=` or `<`.
    pub(super) below: u64,
    /// The next step.
    pub(super) above: u64,
}

/// The first comparison of a policy that falls between steps.
pub(super) fn between_steps(policy: &Policy) -> Option<BetweenSteps> {
    find(policy.to_json().ok()?.get("conditions")?)
}

fn find(json: &Value) -> Option<BetweenSteps> {
    match json {
        Value::Object(members) => {
            members.iter().find_map(|(operator, operands)| comparison(operator, operands).or_else(|| find(operands)))
        }
        Value::Array(items) => items.iter().find_map(find),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn comparison(operator: &str, operands: &Value) -> Option<BetweenSteps> {
    let (left, right) = (operands.get("left")?, operands.get("right")?);
    let (operator, number) = if is_counter(left) {
        (operator, literal(right)?)
    } else if is_counter(right) {
        let mirrored = match operator {
            ">=" => "<=",
            "<=" => ">=",
            ">" => "<",
            "<" => ">",
            same => same,
        };
        (mirrored, literal(left)?)
    } else {
        return None;
    };
    let is_step = |count: u64| rounded(count) == count;
    let exact = match operator {
        ">=" | "<" => is_step(number),
        ">" | "<=" => is_step(number.saturating_add(1)),
        "==" | "!=" => number == 0,
        _ => true,
    };
    (!exact).then(|| BetweenSteps { number, below: rounded(number), above: next_step(number) })
}

/// `context.session.…`
fn is_counter(json: &Value) -> bool {
    let Some(session) = json.get(".").and_then(|access| access.get("left")) else {
        return false;
    };
    session.get(".").is_some_and(|access| {
        access.get("attr").and_then(Value::as_str) == Some("session")
            && access.get("left").and_then(|left| left.get("Var")).and_then(Value::as_str) == Some("context")
    })
}

fn literal(json: &Value) -> Option<u64> {
    json.get("Value")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_exact_or_refused() {
        for (condition, expected) in [
            ("context.session.rows_read >= 50000", None),
            ("context.session.rows_read >= 30000", Some((20_000, 50_000))),
            ("50000 <= context.session.rows_read", None),
            ("50000 < context.session.rows_read", Some((50_000, 100_000))),
            ("context.session.rows_read > 49999", None),
            ("!(context.session.denials < 3)", Some((2, 5))),
            ("context.session.denials > 0", None),
            ("context.session.denials == 0", None),
            ("context.tls && context.session.denials == 5", Some((5, 10))),
            ("principal.risk > 33", None),
            ("context.time.hour < 7", None),
        ] {
            let policy =
                Policy::parse(None, format!("forbid(principal, action, resource) when {{ {condition} }};")).unwrap();
            let found = between_steps(&policy).map(|found| (found.below, found.above));
            assert_eq!(found, expected, "{condition}");
        }
    }
}
