//! How long the lists of a document may be, by the arguments that say so: in place, by a variable, by a variable's default,
//! or inside of an input object. What says it in no number that is understood counts as no limit at all.

use std::collections::HashMap;

use apollo_parser::cst::{self, CstNode};
use serde_json::{Map, Value};

/// Arguments that say how long a list may be.
const LIMITS: [&str; 8] = ["first", "last", "limit", "take", "size", "count", "pageSize", "perPage"];

/// What an operation's variables say.
#[derive(Debug)]
pub(super) struct Limits<'v> {
    variables: &'v Map<String, Value>,
    defaults: HashMap<String, cst::Value>,
}

impl<'v> Limits<'v> {
    pub(super) fn of(operation: &cst::OperationDefinition, variables: &'v Map<String, Value>) -> Self {
        let definitions = operation.variable_definitions().into_iter().flat_map(|all| all.variable_definitions());
        let default = |one: cst::VariableDefinition| {
            let name = one.variable()?.name()?.text().to_string();
            Some((name, one.default_value()?.value()?))
        };
        Self { variables, defaults: definitions.filter_map(default).collect() }
    }

    /// How long the list of a field may be; 1 if nothing says it.
    pub(super) fn of_field(&self, field: &cst::Field) -> u64 {
        let arguments = field.arguments().into_iter().flat_map(|arguments| arguments.arguments());
        let limits = arguments.filter_map(|one| self.of_value(&one.value()?, is_limit(&one.name()?.text())));
        limits.max().unwrap_or(1).max(1)
    }

    /// The largest limit in a value; `limit`: the value is one itself. Recursion is bounded by the nesting of the text.
    fn of_value(&self, value: &cst::Value, limit: bool) -> Option<u64> {
        match value {
            cst::Value::Variable(variable) => {
                let name = variable.name()?.text().to_string();
                match self.variables.get(&name) {
                    Some(given) => of_json(given, limit),
                    // A default holds no variable.
                    None => self.defaults.get(&name).and_then(|value| match value {
                        cst::Value::Variable(_) => None,
                        value => self.of_value(value, limit),
                    }),
                }
            }
            cst::Value::ObjectValue(object) => object
                .object_fields()
                .filter_map(|one| self.of_value(&one.value()?, is_limit(&one.name()?.text())))
                .max(),
            cst::Value::ListValue(list) => list.values().filter_map(|one| self.of_value(&one, limit)).max(),
            cst::Value::NullValue(_) => None,
            other if limit => Some(number(other.syntax().text().to_string().trim())),
            _ => None,
        }
    }
}

fn is_limit(name: &str) -> bool {
    LIMITS.contains(&name)
}

fn of_json(value: &Value, limit: bool) -> Option<u64> {
    match value {
        Value::Object(members) => members.iter().filter_map(|(name, one)| of_json(one, is_limit(name))).max(),
        Value::Array(all) => all.iter().filter_map(|one| of_json(one, limit)).max(),
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => limit.then(|| number(text)),
        Value::Number(given) => limit.then(|| number(&given.to_string())),
    }
}

/// A whole number however it is written; whatever else it is, a server may take it for everything.
fn number(text: &str) -> u64 {
    let whole = |value: f64| value >= 0.0 && value.fract() == 0.0 && value < 1e15;
    let rounded = |value: f64| format!("{value:.0}").parse().ok();
    text.parse().ok().or_else(|| text.parse().ok().filter(|value| whole(*value)).and_then(rounded)).unwrap_or(u64::MAX)
}
