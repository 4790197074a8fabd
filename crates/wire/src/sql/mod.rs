//! PostgreSQL statements: text to operations with facts, and the lineage of each result column.
//!
//! Begin with `analysis.rs` for what comes out, then `analyse.rs` for the way. The grammar is PostgreSQL's own, through
//! `pg_query`, which only `parse.rs` calls; none of its types leaves this folder. `catalogue.rs` is what is known about
//! one database, and `template.rs` spares the work for statements that differ in their constants alone.
//!
//! It decides nothing: what it cannot name it refuses, and policy judges the rest.

mod analyse;
mod analysis;
mod arguments;
mod bodies;
mod builtin;
mod catalogue;
mod channel;
mod collect;
mod copy;
mod copy_layout;
mod define;
mod delayed;
mod explain;
mod expression;
mod from;
mod functions;
mod json;
mod kin;
mod lexer;
mod lineage;
mod locate;
mod maintain;
mod modify;
mod names;
mod parse;
mod predicate;
mod query;
mod relabel;
mod rows;
mod scope;
mod session;
mod shape;
mod system;
mod tautology;
mod template;
mod views;

pub use analyse::analyse;
pub use analysis::{
    Analysis, Control, CopyFormat, Discarded, Flow, Origin, Output, Outputs, Refused, Statement, Stored,
};
pub use catalogue::{
    CATALOGUE_FINGERPRINT, CATALOGUE_LACKS, Cast, Catalogue, CatalogueError, CatalogueQuery, CatalogueRow,
    CatalogueRows, Column, Function, FunctionKind, Label, Made, Operator, Relation, RelationKind, Signature, Temporary,
    Type, TypeKind, Volatility,
};
pub use copy_layout::CopyLayout;
pub use locate::{characters_before, locate};
pub use template::Templates;

#[cfg(test)]
pub(crate) mod tests;
