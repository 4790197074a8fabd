//! PostgreSQL statements: text to operations with facts, and the lineage of each result column.
//!
//! Begin with `analysis.rs` for what comes out, then `analyse.rs` for the way. The grammar is PostgreSQL's own, through
//! `pg_query`, which only `parse.rs` calls; none of its types leaves this folder. `catalogue.rs` is what is known about
//! one database, and `template.rs` spares the work for statements that differ in their constants alone.
//!
//! It decides nothing: what it cannot name it refuses, and policy judges the rest.

mod analyse;
mod analysis;
mod catalogue;
mod collect;
mod copy;
mod define;
mod explain;
mod expression;
mod from;
mod functions;
mod json;
mod lexer;
mod lineage;
mod maintain;
mod modify;
mod names;
mod parse;
mod predicate;
mod query;
mod scope;
mod session;
mod shape;
mod system;
mod template;
mod views;

pub use analyse::analyse;
pub use analysis::{Analysis, Control, CopyFormat, Discarded, Flow, Origin, Output, Outputs, Refused, Statement};
pub use catalogue::{
    CATALOGUE_FUNCTIONS, CATALOGUE_RELATIONS, CATALOGUE_VIEWS, Catalogue, CatalogueError, CatalogueQuery, CatalogueRow,
    Column, Function, Relation, RelationKind, Volatility,
};
pub use template::Templates;

#[cfg(test)]
pub(crate) mod tests;
