//! Small readings of the grammar's nodes: names, options and constants.

use kernel::verdict::Undecidable;

use super::analysis::Refused;
use super::parse::{NodeEnum, pb};

/// The text of a String node.
pub(super) fn string(node: &pb::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(&text.sval),
        _ => None,
    }
}

/// The strings of a list of String nodes; anything else in it refuses the statement.
pub(super) fn strings(nodes: &[pb::Node]) -> Result<Vec<&str>, Refused> {
    nodes.iter().map(|node| string(node).ok_or(Refused::new(Undecidable::UnknownForm))).collect()
}

/// The node itself; an empty one refuses the statement.
pub(super) fn inner(node: &pb::Node) -> Result<&NodeEnum, Refused> {
    node.node.as_ref().ok_or(Refused::new(Undecidable::UnknownForm))
}

/// The node in an optional box.
pub(super) fn boxed(node: Option<&pb::Node>) -> Result<&NodeEnum, Refused> {
    node.and_then(|node| node.node.as_ref()).ok_or(Refused::new(Undecidable::UnknownForm))
}

/// A form that the analysis does not know.
pub(super) fn unknown<T>(location: i32) -> Result<T, Refused> {
    Err(Refused::at(Undecidable::UnknownForm, location))
}

/// The last name of an operator, with its schema where it is qualified.
pub(super) fn qualified<'n>(names: &[&'n str]) -> Option<(Option<&'n str>, &'n str)> {
    match names {
        [name] => Some((None, name)),
        [schema, name] | [_, schema, name] => Some((Some(schema), name)),
        _ => None,
    }
}

/// The value of a DefElem as a word: strings, names, numbers and booleans; `None` if it has no value.
pub(super) fn option_word(element: &pb::DefElem) -> Result<Option<String>, Refused> {
    let Some(argument) = &element.arg else { return Ok(None) };
    Ok(Some(match inner(argument)? {
        NodeEnum::String(text) => text.sval.clone(),
        NodeEnum::Integer(number) => number.ival.to_string(),
        NodeEnum::Float(number) => number.fval.clone(),
        NodeEnum::Boolean(value) => value.boolval.to_string(),
        NodeEnum::TypeName(name) => strings(&name.names)?.join("."),
        NodeEnum::AStar(_) => "*".to_owned(),
        NodeEnum::AConst(constant) => constant_word(constant).unwrap_or_default(),
        _ => return unknown(element.location),
    }))
}

/// Whether a boolean option is on, as `defGetBoolean` reads it; an unreadable value refuses the statement.
pub(super) fn option_flag(element: &pb::DefElem) -> Result<bool, Refused> {
    match option_word(element)?.map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        Some(_) => unknown(element.location),
    }
}

/// The DefElems of an option list.
pub(super) fn options(nodes: &[pb::Node]) -> Result<Vec<&pb::DefElem>, Refused> {
    nodes
        .iter()
        .map(|node| match inner(node)? {
            NodeEnum::DefElem(element) => Ok(&**element),
            _ => unknown(-1),
        })
        .collect()
}

/// A constant as text; `None` for NULL and bit strings.
pub(super) fn constant_word(constant: &pb::AConst) -> Option<String> {
    match constant.val.as_ref()? {
        pb::a_const::Val::Ival(number) => Some(number.ival.to_string()),
        pb::a_const::Val::Fval(number) => Some(number.fval.clone()),
        pb::a_const::Val::Boolval(value) => Some(value.boolval.to_string()),
        pb::a_const::Val::Sval(text) => Some(text.sval.clone()),
        pb::a_const::Val::Bsval(_) => None,
    }
}

/// The type's own name, if it is a plain one: no array, no modifiers, in `pg_catalog` or unqualified.
pub(super) fn plain_type(name: &pb::TypeName) -> Option<&str> {
    if !name.typmods.is_empty() || !name.array_bounds.is_empty() || name.setof || name.pct_type {
        return None;
    }
    match name.names.as_slice() {
        [single] => string(single),
        [schema, single] if string(schema) == Some("pg_catalog") => string(single),
        _ => None,
    }
}
