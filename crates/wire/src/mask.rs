//! Masks: which cells of a result are replaced, decided by lineage and checked against what the server describes.
//!
//! A plan is made from an analysis and the terms of a permit, before anything is sent: what cannot be masked is refused
//! then. `rows.rs` and `copy.rs` rewrite what comes; `kind.rs` says what a type is, `scalar.rs` and `array.rs` mask one value
//! of it, `json.rs` values of JSON, `key.rs` and `permute.rs` are the cryptography, and `token.rs` knows masked values again. Which mask is for policy to say;
//! what each does to each type stands in docs/reference/masks.md.
//!
//! Policies name columns. A mask on a table without one on its columns has no cells to act on.

mod array;
mod copy;
mod decimal;
pub(crate) mod json;
mod key;
mod kind;
mod moment;
mod network;
mod number;
mod permute;
mod preview;
mod recent;
mod rows;
mod scalar;
mod text;
mod token;
mod value;

use std::sync::Arc;

use kernel::facts::Inference;
use kernel::operation::{Action, Operation};
use kernel::verdict::{Mask, Undecidable};

use crate::sql::{Analysis, CopyFormat, CopyLayout, Flow, Output, Outputs, Statement};

use rows::Column;

pub use copy::CopyMask;
pub use key::MaskKey;
pub use preview::{PreviewedColumn, preview};
pub use rows::RowMask;

/// The first object id that `initdb` does not give away: relations below it belong to the system.
const FIRST_USER_OID: u32 = 16_384;

/// A column as the server's RowDescription has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescribedField {
    /// Object id of the table or view, or 0.
    pub table_oid: u32,
    /// Number of its column, or 0.
    pub column: i16,
    /// Object id of the type.
    pub type_oid: u32,
    /// The type's modifier, −1 for none.
    pub type_modifier: i32,
    /// Whether values come in binary.
    pub binary: bool,
}

/// What happens to one cell of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Pass,
    Masked(Mask),
}

/// What is masked in the result of one statement.
#[derive(Clone, Debug)]
pub struct MaskPlan {
    cells: Vec<Cell>,
    outputs: Outputs,
    policies: Vec<Arc<str>>,
    layout: Option<Arc<CopyLayout>>,
}

impl MaskPlan {
    /// The plan for one statement under the masks of a permit's terms, whose indices are those of
    /// [`Analysis::operations`]. `None` if none of them is about this statement.
    ///
    /// A bare column gets its mask, where several ask the strongest; anything computed from a masked column, or of
    /// unknown origin in a statement that touches one, becomes NULL.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] if a masked value would be stored or handed to code, if a masked column decides which
    /// rows exist (other than by equality with one value, which is for rate limits to bound), if something other than a
    /// read is masked, or if the rows leave in a COPY format that is not rewritten.
    pub fn new(
        analysis: &Analysis,
        statement: &Statement,
        masks: &[(usize, Mask, Arc<str>)],
    ) -> Result<Option<Self>, Undecidable> {
        let mine: Vec<&(usize, Mask, Arc<str>)> =
            masks.iter().filter(|(place, _, _)| statement.operations.contains(place)).collect();
        if mine.is_empty() {
            return Ok(None);
        }
        for (place, _, _) in &mine {
            let operation = analysis.operations.get(*place).ok_or(Undecidable::CannotMask)?;
            if statement.copied.contains(place) || !is_maskable(operation) {
                return Err(Undecidable::CannotMask);
            }
        }
        let cells: Vec<Cell> = match &statement.outputs {
            Outputs::Columns(outputs) => outputs.iter().map(|output| cell(output, &mine)).collect(),
            Outputs::None | Outputs::Named | Outputs::Text => Vec::new(),
        };
        let masked = cells.iter().any(|cell| *cell != Cell::Pass);
        let rewritten = match statement.copy_format {
            None | Some(CopyFormat::Text) => true,
            Some(CopyFormat::Other) => statement.copy_layout.is_some(),
            Some(CopyFormat::Binary) => false,
        };
        if masked && !rewritten {
            return Err(Undecidable::CannotMask);
        }
        let mut policies: Vec<Arc<str>> = mine.iter().map(|(_, _, policy)| policy.clone()).collect();
        policies.sort();
        policies.dedup();
        Ok(Some(Self { cells, outputs: statement.outputs.clone(), policies, layout: statement.copy_layout.clone() }))
    }

    /// The policies that mask.
    pub fn policies(&self) -> &[Arc<str>] {
        &self.policies
    }

    /// Whether any cell of the result is replaced; if not, rows can pass as they are.
    pub fn rewrites_rows(&self) -> bool {
        self.cells.iter().any(|cell| *cell != Cell::Pass)
    }

    /// Error and notice texts quote values, so a statement that touches a masked column loses them (hazards MK07).
    pub fn redacts_diagnostics(&self) -> bool {
        true
    }

    /// The result columns, from 0, that are replaced.
    pub fn masked_columns(&self) -> impl Iterator<Item = usize> {
        self.cells.iter().enumerate().filter(|(_, cell)| **cell != Cell::Pass).map(|(place, _)| place)
    }

    /// How rows of this description are rewritten.
    ///
    /// # Errors
    /// As [`check_description`].
    pub fn described(&self, fields: &[DescribedField], key: &Arc<MaskKey>) -> Result<RowMask, Undecidable> {
        check_description(&self.outputs, fields)?;
        Ok(RowMask::new(self.columns(|place| fields.get(place).copied()), key))
    }

    /// How rows are rewritten that come without a description of their own: by what was described earlier, or by the
    /// types of the catalogue, and NULL where neither says. `formats` are those of the Bind: none is text, one is for every
    /// column, `true` is binary.
    pub fn undescribed(&self, earlier: Option<&[DescribedField]>, formats: &[bool], key: &Arc<MaskKey>) -> RowMask {
        let format = |place: usize| match formats {
            [all] => *all,
            _ => formats.get(place).copied().unwrap_or(false),
        };
        let columns = self.columns(|place| {
            let field = match earlier {
                Some(fields) => fields.get(place).copied(),
                None => self.catalogued(place),
            };
            field.map(|field| DescribedField { binary: format(place), ..field })
        });
        RowMask::new(columns, key)
    }

    /// How the lines of a `COPY … TO STDOUT` are rewritten.
    pub fn copied(&self, key: &Arc<MaskKey>) -> CopyMask {
        let layout = self.layout.as_deref().cloned().unwrap_or_else(CopyLayout::text);
        CopyMask::new(self.columns(|place| self.catalogued(place)), layout, key)
    }

    fn columns(&self, described: impl Fn(usize) -> Option<DescribedField>) -> Vec<Column> {
        let column = |(place, cell): (usize, &Cell)| Column::new(*cell, described(place).as_ref());
        self.cells.iter().enumerate().map(column).collect()
    }

    /// What the catalogue says of a column.
    fn catalogued(&self, place: usize) -> Option<DescribedField> {
        let Outputs::Columns(outputs) = &self.outputs else { return None };
        let type_oid = outputs.get(place)?.type_oid?;
        Some(DescribedField { table_oid: 0, column: 0, type_oid, type_modifier: -1, binary: false })
    }
}

/// A read of a relation or a column; or an inference by equality.
fn is_maskable(operation: &Operation) -> bool {
    match operation.action {
        Action::SqlSelect => true,
        Action::SqlInfer => operation.facts.inference == Some(Inference::Equality),
        _ => false,
    }
}

fn cell(output: &Output, masks: &[&(usize, Mask, Arc<str>)]) -> Cell {
    let strongest =
        |places: &[usize]| masks.iter().filter(|(place, _, _)| places.contains(place)).map(|(_, mask, _)| *mask).min();
    match &output.flow {
        Flow::Clear => Cell::Pass,
        Flow::Bare(places) => strongest(places).map_or(Cell::Pass, Cell::Masked),
        Flow::Derived(places) => strongest(places).map_or(Cell::Pass, |_| Cell::Masked(Mask::Null)),
        Flow::Unknown => Cell::Masked(Mask::Null),
    }
}

/// Holds the server's description of a result against the lineage, for every statement, masked or not: a disagreement
/// means that one of the two read the statement in another way.
///
/// # Errors
/// [`Undecidable::CannotMask`] if the number of columns differs, if a bare column has another origin, or if a column that
/// should hold no data comes from a table.
pub fn check_description(outputs: &Outputs, fields: &[DescribedField]) -> Result<(), Undecidable> {
    let outputs = match outputs {
        Outputs::Columns(outputs) => outputs,
        Outputs::Named | Outputs::Text => return Ok(()),
        Outputs::None if fields.is_empty() => return Ok(()),
        Outputs::None => return Err(Undecidable::CannotMask),
    };
    let agrees = |(output, field): (&Output, &DescribedField)| match &output.flow {
        // A name that the server resolves through a join or a set operation may have lost its origin on the way.
        Flow::Bare(_) => {
            field.table_oid == 0
                || output.origins.iter().any(|origin| {
                    // Of a session's temporary table only the server knows the object id.
                    (origin.table == field.table_oid || origin.table == 0) && origin.column == field.column
                })
        }
        Flow::Clear => field.table_oid < FIRST_USER_OID || field.column <= 0,
        Flow::Derived(_) | Flow::Unknown => true,
    };
    if outputs.len() == fields.len() && outputs.iter().zip(fields).all(agrees) {
        Ok(())
    } else {
        Err(Undecidable::CannotMask)
    }
}

#[cfg(test)]
mod tests;
