//! Views: what each of their columns is made of, worked out once for each view and catalogue.
//!
//! A view gives no rights to what it reads: the relations and columns behind it are operations too. What the view's own
//! conditions look at is not counted as an inference, because the client cannot vary it; its conditions on the view's
//! columns are. Materialised views are treated alike, since they hold copies of what they read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel::operation::Action;
use kernel::verdict::Undecidable;

use super::analyse::{Context, Walk};
use super::analysis::Refused;
use super::lineage::{ColumnId, Field, Lineage};
use super::parse::{self, NodeEnum};

/// How many views may stand on each other.
const MAX_DEPTH: usize = 32;

/// What a view's definition comes to.
#[derive(Debug)]
pub(super) struct Expansion {
    /// One for each column of the view.
    pub(super) columns: Vec<Lineage>,
    pub(super) reads: Vec<usize>,
    calls: BTreeMap<(Arc<str>, Arc<str>), Action>,
    functions: BTreeSet<Arc<str>>,
}

impl Walk<'_> {
    /// The fields of a view; what it reads and calls is read and called by this statement.
    pub(super) fn view_fields(&mut self, place: usize, location: i32) -> Result<Vec<Field>, Refused> {
        let catalogue = self.context.catalogue;
        let Some(view) = catalogue.at(place) else { return super::names::unknown(location) };
        let expansion = self.expansion(place).map_err(|why| Refused::at(why, location))?;
        for read in &expansion.reads {
            self.found.read(*read, -1);
        }
        self.found.calls.extend(expansion.calls.iter().map(|(key, action)| (key.clone(), *action)));
        self.found.functions.extend(expansion.functions.iter().cloned());
        let fields = view.columns.iter().zip(&expansion.columns).enumerate().map(|(column, (known, lineage))| {
            let mut own = Lineage::bare(ColumnId { relation: place, column });
            let bare = lineage.bare;
            own.add(lineage);
            own.bare = bare || lineage.is_clear();
            Field::new(known.name.clone(), own)
        });
        Ok(fields.collect())
    }

    /// What the view reads, from the catalogue's memory if it was worked out before.
    pub(super) fn expansion(&mut self, place: usize) -> Result<Arc<Expansion>, Undecidable> {
        let catalogue = self.context.catalogue;
        let Some(view) = catalogue.at(place) else { return Err(Undecidable::UnknownRelation) };
        if let Some(known) = view.expansion.get() {
            return known.clone();
        }
        if self.expanding.len() >= MAX_DEPTH || self.expanding.contains(&place) {
            return Err(Undecidable::TooLarge);
        }
        let result = parse::with_stack(|| self.expand(place));
        // A cap that depends on where the expansion began is not the view's own property.
        if self.expanding.is_empty() || result.is_ok() {
            return view.expansion.get_or_init(|| result).clone();
        }
        result
    }

    fn expand(&self, place: usize) -> Result<Arc<Expansion>, Undecidable> {
        let view = self.context.catalogue.at(place).ok_or(Undecidable::UnknownRelation)?;
        let definition = view.definition.as_deref().ok_or(Undecidable::UnknownRelation)?;
        let parsed =
            parse::parse(definition, self.context.catalogue.common.server_major).map_err(|refused| refused.why)?;
        let [only] = parsed.as_slice() else { return Err(Undecidable::UnknownForm) };
        let Some(NodeEnum::SelectStmt(select)) = only.stmt.as_ref().and_then(|node| node.node.as_ref()) else {
            return Err(Undecidable::UnknownForm);
        };
        let mut walk = Walk::new(Context { text: definition, ..self.context });
        walk.expanding = self.expanding.clone();
        walk.expanding.push(place);
        let selected = walk.select(select, None).map_err(|refused| refused.why)?;
        if selected.fields.len() != view.columns.len() {
            return Err(Undecidable::UnknownRelation);
        }
        let found = walk.found;
        Ok(Arc::new(Expansion {
            columns: selected.fields.into_iter().map(|field| field.lineage).collect(),
            reads: found.reads.into_iter().map(|(read, _)| read).collect(),
            calls: found.calls,
            functions: found.functions,
        }))
    }
}
