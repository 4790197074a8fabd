//! What masks do to each column of a result, for people who write policies: lineage, mask, and an example that no database
//! ever held. It shows what `MaskPlan` would do; it permits nothing.

use std::sync::Arc;

use kernel::verdict::Mask;

use super::key::MaskKey;
use super::kind::{Kind, Type, type_of};
use super::rows::write_value;
use super::value::Value;
use super::{Cell, cell};
use crate::sql::{Analysis, Flow, Outputs, Statement};

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewedColumn {
    /// How its value comes about: `clear` (of nothing that has a name), `bare` (one column, unchanged), `derived` (computed
    /// from columns) or `unknown`.
    pub flow: &'static str,
    /// The operations, by index, that read what flows into the value.
    pub sources: Vec<usize>,
    /// What replaces the value; `None` if it passes.
    pub mask: Option<Mask>,
    /// The policies that ask for a mask on one of the sources; on any column of the statement where the flow is unknown.
    pub policies: Vec<Arc<str>>,
    /// An invented value of the column's type, and what would leave in its place, `None` for NULL. Keyed masks show what
    /// they look like, not what this upstream's key makes.
    pub example: Option<(&'static str, Option<String>)>,
}

/// Every column of a statement's result under the masks of a permit's terms, whose indices are those of
/// [`Analysis::operations`]. Empty if the statement returns no rows, or those of a prepared statement.
pub fn preview(analysis: &Analysis, statement: &Statement, masks: &[(usize, Mask, Arc<str>)]) -> Vec<PreviewedColumn> {
    let Outputs::Columns(outputs) = &statement.outputs else { return Vec::new() };
    let mine: Vec<&(usize, Mask, Arc<str>)> = masks
        .iter()
        .filter(|(place, _, _)| statement.operations.contains(place) && *place < analysis.operations.len())
        .collect();
    let key = MaskKey::new(b"an example");
    let columns = outputs.iter().map(|output| {
        let (flow, sources) = match &output.flow {
            Flow::Clear => ("clear", &[][..]),
            Flow::Bare(sources) => ("bare", &sources[..]),
            Flow::Derived(sources) => ("derived", &sources[..]),
            Flow::Unknown => ("unknown", &[][..]),
        };
        let mask = match cell(output, &mine) {
            Cell::Masked(mask) if !mine.is_empty() => Some(mask),
            Cell::Masked(_) | Cell::Pass => None,
        };
        let asks = |place: &usize| mask.is_some() && (flow == "unknown" || sources.contains(place));
        let mut policies: Vec<Arc<str>> =
            mine.iter().filter(|(place, _, _)| asks(place)).map(|(_, _, policy)| policy.clone()).collect();
        policies.sort();
        policies.dedup();
        let example = mask.zip(output.type_oid).and_then(|(mask, oid)| example(mask, oid, &key));
        PreviewedColumn { flow, sources: sources.to_vec(), mask, policies, example }
    });
    columns.collect()
}

/// A value of the type, and its masked form.
fn example(mask: Mask, oid: u32, key: &MaskKey) -> Option<(&'static str, Option<String>)> {
    let Type { kind, array } = type_of(oid, -1);
    let value = sample(kind, array)?;
    let mut out = Vec::new();
    let of = Value { mask, value: value.as_bytes(), binary: false, key };
    let masked = write_value(of, kind, array, &mut out);
    Some((value, if masked { Some(String::from_utf8(out).ok()?) } else { None }))
}

fn sample(kind: Kind, array: bool) -> Option<&'static str> {
    let (value, list) = match kind {
        Kind::Text { .. } => ("marie@example.com", "{marie@example.com,pierre@example.com}"),
        Kind::Integer { bytes: 2 } => ("12345", "{12345,234}"),
        Kind::Integer { .. } => ("123456789", "{123456789,234}"),
        Kind::Float { .. } => ("1234.5", "{1234.5,2.5}"),
        Kind::Numeric { .. } => ("123456.78", "{123456.78,2.50}"),
        Kind::Boolean => ("t", "{t,f}"),
        Kind::Date => ("1987-03-29", "{1987-03-29,2026-11-21}"),
        Kind::Time => ("17:41:23", "{17:41:23,08:00:00}"),
        Kind::Timestamp => ("1987-03-29 17:41:23", "{\"1987-03-29 17:41:23\"}"),
        Kind::TimestampTz => ("1987-03-29 17:41:23+00", "{\"1987-03-29 17:41:23+00\"}"),
        Kind::Interval => ("3 days 04:05:06", "{\"3 days 04:05:06\"}"),
        Kind::Uuid => ("123e4567-e89b-42d3-a456-426614174000", "{123e4567-e89b-42d3-a456-426614174000}"),
        Kind::Json | Kind::Jsonb => ("{\"name\": \"Marie\"}", "{\"{\\\"name\\\": \\\"Marie\\\"}\"}"),
        Kind::Bytea => ("\\x0102030405060708", "{\"\\\\x0102030405060708\"}"),
        Kind::Address { cidr: false } => ("192.0.2.17", "{192.0.2.17}"),
        Kind::Address { cidr: true } => ("192.0.2.0/24", "{192.0.2.0/24}"),
        Kind::Hardware { bytes: 6 } => ("08:00:2b:01:02:03", "{08:00:2b:01:02:03}"),
        Kind::Hardware { .. } => ("08:00:2b:01:02:03:04:05", "{08:00:2b:01:02:03:04:05}"),
        Kind::Range | Kind::Multirange | Kind::Opaque => return None,
    };
    Some(if array { list } else { value })
}

#[cfg(test)]
mod tests;
