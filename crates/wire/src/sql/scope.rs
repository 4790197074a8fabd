//! What names mean at one place of a query: the FROM items with their columns, the CTEs, and the scopes around.
//!
//! Names come from the grammar, folded and cut as the server folds and cuts them, and are compared byte for byte.

use std::sync::Arc;

use super::lineage::{Field, Lineage};

/// Something in FROM that has a name.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its alias, or the relation's own name.
    pub(super) name: Arc<str>,
    /// The relation's schema, unless an alias hides it.
    pub(super) schema: Option<Arc<str>>,
    pub(super) fields: Vec<Field>,
    /// Its columns are not known by name: each has this lineage.
    pub(super) open: Option<Lineage>,
    /// The relation that it is, whose `ctid` and other system columns it has.
    pub(super) relation: Option<usize>,
    /// The fields of its whole row have the names of its columns here. Those of a relation or a function whose columns an
    /// alias renames do not: the row's type has names of its own.
    pub(super) row_is_known: bool,
}

impl Item {
    /// The whole row as a value.
    pub(super) fn whole_row(&self) -> Lineage {
        let mut all = self.open.clone().unwrap_or_default();
        for field in &self.fields {
            all.add(&field.lineage);
        }
        all.derived()
    }

    /// The field of that name, if there is one alone.
    pub(super) fn only_field(&self, name: &str) -> Option<&Field> {
        super::rows::only(&self.fields, name)
    }

    pub(super) fn field(&self, name: &str) -> Option<Lineage> {
        let mut found = self.fields.iter().filter(|field| &*field.name == name);
        if let Some(first) = found.next() {
            let mut lineage = first.lineage.clone();
            // An ambiguous name: the server will refuse it. Until then it counts as all that it could be.
            for more in found {
                lineage.add(&more.lineage);
            }
            return Some(lineage);
        }
        if self.relation.is_some() && is_system_column(name) {
            return Some(Lineage::clear());
        }
        self.open.clone()
    }
}

fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

/// The FROM items of one level, and what `*` and bare names see of them: USING merges columns, an alias hides items.
#[derive(Clone, Debug, Default)]
pub(super) struct From {
    pub(super) items: Vec<Item>,
    pub(super) visible: Vec<Field>,
    /// Each item is a subquery whose rows are bounded.
    pub(super) bounded: bool,
}

impl From {
    pub(super) fn one(item: Item, bounded: bool) -> Self {
        Self { visible: item.fields.clone(), items: vec![item], bounded }
    }

    /// Puts another FROM list behind this one, without merging.
    pub(super) fn append(&mut self, other: Self) {
        self.bounded = if self.items.is_empty() { other.bounded } else { self.bounded && other.bounded };
        self.items.extend(other.items);
        self.visible.extend(other.visible);
    }
}

/// A common table expression.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: Arc<str>,
    /// `None` while it is not analysed: a reference to it is a forward reference, which is refused.
    pub(super) found: Option<(Vec<Field>, bool)>,
}

/// One level of names, with those around it.
#[derive(Debug, Default)]
pub(super) struct Scope<'p> {
    pub(super) from: From,
    pub(super) ctes: Vec<Cte>,
    pub(super) parent: Option<&'p Scope<'p>>,
    /// How many levels stand around it.
    pub(super) depth: u32,
}

impl<'p> Scope<'p> {
    pub(super) fn inside(parent: Option<&'p Scope<'p>>) -> Self {
        Self::with(From::default(), parent)
    }

    pub(super) fn with(from: From, parent: Option<&'p Scope<'p>>) -> Self {
        Self { from, ctes: Vec::new(), parent, depth: parent.map_or(0, |parent| parent.depth + 1) }
    }

    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.parent)
    }

    pub(super) fn cte(&self, name: &str) -> Option<&Cte> {
        self.levels().find_map(|scope| scope.ctes.iter().rev().find(|cte| &*cte.name == name))
    }

    pub(super) fn item(&self, schema: Option<&str>, name: &str) -> Option<(&Item, u32)> {
        self.levels().find_map(|scope| {
            let mut items = scope.from.items.iter();
            let item = items.find(|item| {
                &*item.name == name && schema.is_none_or(|schema| item.schema.as_deref() == Some(schema))
            })?;
            Some((item, scope.depth))
        })
    }

    /// What a bare name means: a column of the nearest level that has one, else the whole row of an item. An item whose
    /// columns are not known may own the name or not, so both readings count.
    /// The depth of the level is told with it.
    pub(super) fn column(&self, name: &str) -> Option<(Lineage, u32)> {
        let mut guess: Option<(Lineage, u32)> = None;
        for scope in self.levels() {
            if let Some(found) = scope.own_column(name) {
                return Some(join(guess, found, scope.depth));
            }
            for open in scope.from.items.iter().filter_map(|item| item.open.as_ref()) {
                guess = Some(join(guess, open.clone(), scope.depth));
            }
        }
        match self.item(None, name) {
            Some((item, depth)) => Some(join(guess, item.whole_row(), depth)),
            None => guess,
        }
    }

    /// Whether a bare name may be a column, rather than the whole row of an item.
    pub(super) fn may_have_column(&self, name: &str) -> bool {
        self.levels()
            .any(|scope| scope.own_column(name).is_some() || scope.from.items.iter().any(|item| item.open.is_some()))
    }

    /// The column of that name at the nearest level that has one, if it is one alone and no other level could own it.
    pub(super) fn own_field(&self, name: &str) -> Option<&Field> {
        for scope in self.levels() {
            if scope.from.items.iter().any(|item| item.open.is_some()) {
                return None;
            }
            let mut found = scope.from.visible.iter().filter(|field| &*field.name == name);
            if let Some(first) = found.next() {
                return found.next().is_none().then_some(first);
            }
        }
        None
    }

    /// What a bare name means at this level alone.
    pub(super) fn own_column(&self, name: &str) -> Option<Lineage> {
        let mut found = self.from.visible.iter().filter(|field| &*field.name == name);
        if let Some(first) = found.next() {
            let mut lineage = first.lineage.clone();
            for more in found {
                lineage.add(&more.lineage);
            }
            return Some(lineage);
        }
        if is_system_column(name) && self.from.items.iter().any(|item| item.relation.is_some()) {
            return Some(Lineage::clear());
        }
        None
    }
}

/// The nearest level counts: it is the one whose rows the value varies with.
fn join(guess: Option<(Lineage, u32)>, found: Lineage, depth: u32) -> (Lineage, u32) {
    match guess {
        Some((mut guess, nearest)) => {
            guess.add(&found);
            (guess, nearest)
        }
        None => (found, depth),
    }
}
