//! Rewriting rows: the body of a DataRow, in one pass, and with no allocation but the growth of the output. Values that pass
//! are copied in runs, with their lengths.

use std::sync::Arc;

use kernel::verdict::{Mask, Undecidable};

use super::key::MaskKey;
use super::kind::{Kind, Type, type_of};
use super::value::Value;
use super::{Cell, DescribedField, array, scalar};

/// What happens to one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Pass,
    Masked { mask: Mask, kind: Kind, array: bool, binary: bool },
}

impl Column {
    /// A column of that type; where nothing is known of it, masked means NULL.
    pub(super) fn new(cell: Cell, described: Option<&DescribedField>) -> Self {
        let Cell::Masked(mask) = cell else { return Self::Pass };
        let (Type { kind, array }, binary) = match described {
            Some(field) => (type_of(field.type_oid, field.type_modifier), field.binary),
            None => (Type { kind: Kind::Opaque, array: false }, false),
        };
        Self::Masked { mask, kind, array, binary }
    }
}

/// How the rows of one result are rewritten.
#[derive(Clone, Debug)]
pub struct RowMask {
    columns: Vec<Column>,
    key: Arc<MaskKey>,
}

/// Takes `N` bytes off the front.
fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Result<&'b [u8; N], Undecidable> {
    let (head, tail) = rest.split_first_chunk().ok_or(Undecidable::UnsupportedMessage)?;
    *rest = tail;
    Ok(head)
}

/// Appends the masked form; says `false` where it becomes NULL.
pub(super) fn write_value(of: Value<'_>, kind: Kind, is_array: bool, out: &mut Vec<u8>) -> bool {
    if is_array { array::write(of, kind, out) } else { scalar::write(of, kind, out) }
}

impl RowMask {
    pub(super) fn new(columns: Vec<Column>, key: &Arc<MaskKey>) -> Self {
        Self { columns, key: key.clone() }
    }

    /// Appends the masked form of a DataRow's body (the bytes behind type and length) to `out`. On error `out` is as long
    /// as it was.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if the row has another number of columns than the plan;
    /// [`Undecidable::UnsupportedMessage`] if the body is malformed.
    pub fn apply_row(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let start = out.len();
        self.rewrite(body, out).inspect_err(|_| out.truncate(start))
    }

    fn rewrite(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), Undecidable> {
        let mut rest = body;
        let count = take::<2>(&mut rest)?;
        if usize::from(u16::from_be_bytes(*count)) != self.columns.len() {
            return Err(Undecidable::CannotMask);
        }
        out.reserve(body.len() + 32);
        // What passes, from here up to the next value that is masked.
        let mut run = body;
        for column in &self.columns {
            let before = rest;
            let length = i32::from_be_bytes(*take::<4>(&mut rest)?);
            if length == -1 {
                continue;
            }
            let length = usize::try_from(length).map_err(|_| Undecidable::UnsupportedMessage)?;
            let (value, after) = rest.split_at_checked(length).ok_or(Undecidable::UnsupportedMessage)?;
            rest = after;
            if let Column::Masked { mask, kind, array, binary } = *column {
                out.extend_from_slice(run.get(..run.len() - before.len()).unwrap_or_default());
                run = rest;
                let place = out.len();
                out.extend_from_slice(&(-1i32).to_be_bytes());
                let begin = out.len();
                if write_value(Value { mask, value, binary, key: &self.key }, kind, array, out) {
                    let length = i32::try_from(out.len() - begin).map_err(|_| Undecidable::CannotMask)?;
                    if let Some(prefix) = out.get_mut(place..begin) {
                        prefix.copy_from_slice(&length.to_be_bytes());
                    }
                }
            }
        }
        if !rest.is_empty() {
            return Err(Undecidable::UnsupportedMessage);
        }
        out.extend_from_slice(run);
        Ok(())
    }
}
