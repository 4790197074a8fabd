//! Searches the requests of a mutation for what a mask made (hazards MK18): in arguments and members of input objects that have the
//! name of a masked field, in the variables that stand there, in what such a variable is if it is not given, and in members of
//! any variable that have such a name.

use std::collections::HashSet;

use apollo_parser::SyntaxNode;
use apollo_parser::cst::{self, CstNode};
use serde_json::Value;

use super::super::json_text;
use super::super::seek::Sought;
use super::{GraphqlError, document, request};

/// Does the body of a POST, which was read before, bring back what a mask made?
///
/// # Errors
/// [`GraphqlError`] if it cannot be read.
pub fn brings_back(content_type: Option<&str>, whole: &[u8], sought: &Sought) -> Result<bool, GraphqlError> {
    for request in request::requests(content_type, whole)? {
        let tree = document::parse(request.query.as_deref().unwrap_or_default())?;
        let mut search = Search { sought, variables: HashSet::new() };
        let document = tree.document();
        let variables = request.variables.unwrap_or_default();
        let found = search.arguments(document.syntax())
            || search.defaults(document.syntax())
            || variables.iter().any(|(name, value)| search.json(value, search.is_in(name)));
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Search<'s> {
    sought: &'s Sought,
    /// Variables that stand where such a value may not.
    variables: HashSet<String>,
}

impl Search<'_> {
    /// Is a variable of that name sought?
    fn is_in(&self, name: &str) -> bool {
        self.variables.contains(name) || self.sought.is_in(name)
    }

    /// Looks at arguments and members, of directives and of defaults too, and notes the variables in them.
    fn arguments(&mut self, document: &SyntaxNode) -> bool {
        for node in document.descendants() {
            let (name, value) = match (cst::Argument::cast(node.clone()), cst::ObjectField::cast(node)) {
                (Some(argument), _) => (argument.name(), argument.value()),
                (None, Some(member)) => (member.name(), member.value()),
                (None, None) => continue,
            };
            let is_sought = name.is_some_and(|name| self.sought.is_in(&name.text()));
            if is_sought && value.is_some_and(|value| self.value(&value)) {
                return true;
            }
        }
        false
    }

    /// Looks at what variables are that are not given.
    fn defaults(&mut self, document: &SyntaxNode) -> bool {
        document.descendants().filter_map(cst::VariableDefinition::cast).any(|definition| {
            let name = definition.variable().and_then(|variable| variable.name());
            let is_sought = name.is_some_and(|name| self.is_in(&name.text()));
            let value = definition.default_value().and_then(|default| default.value());
            is_sought && value.is_some_and(|value| self.value(&value))
        })
    }

    /// Looks at everything in a value.
    fn value(&mut self, value: &cst::Value) -> bool {
        for node in value.syntax().descendants() {
            let Some(value) = cst::Value::cast(node) else { continue };
            let token = value.syntax().first_token();
            let text = token.as_ref().map(|token| token.text()).unwrap_or_default();
            let found = match &value {
                cst::Value::Variable(variable) => {
                    self.variables.extend(variable.name().map(|name| name.text().to_string()));
                    false
                }
                cst::Value::StringValue(_) => self.sought.is_masked(&content(text)),
                cst::Value::IntValue(_) | cst::Value::FloatValue(_) => self.sought.is_masked(text.as_bytes()),
                _ => false,
            };
            if found {
                return true;
            }
        }
        false
    }

    /// Looks at the value of a variable; `whole`: at everything in it. Recursion is bounded by what `serde_json` reads.
    fn json(&self, value: &Value, whole: bool) -> bool {
        match value {
            Value::Object(members) => {
                members.iter().any(|(name, value)| self.json(value, whole || self.sought.is_in(name)))
            }
            Value::Array(elements) => elements.iter().any(|value| self.json(value, whole)),
            Value::String(text) => whole && self.sought.is_masked(text.as_bytes()),
            Value::Number(number) => whole && self.sought.is_masked(number.to_string().as_bytes()),
            Value::Null | Value::Bool(_) => false,
        }
    }
}

/// The content of a string, from its token; escapes that JSON does not have stay.
fn content(token: &str) -> Vec<u8> {
    if let Some(block) = token.strip_prefix("\"\"\"") {
        return block.strip_suffix("\"\"\"").unwrap_or(block).trim().as_bytes().to_vec();
    }
    let raw = token.trim_matches('"').as_bytes();
    let mut text = Vec::with_capacity(raw.len());
    if json_text::unescape(raw, &mut text).is_some() { text } else { raw.to_vec() }
}
