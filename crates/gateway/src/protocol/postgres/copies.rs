//! What a session copies (MK08): values of labelled columns keep their labels where they are stored.
//!
//! A workload that sees a column masked cannot copy it at all. From one that sees it in clear, the column that it fills takes
//! the classes of what flows into it, before the statement is forwarded; where that cannot be kept, the copy is refused.
//! Temporary tables are the session's own: what flowed into them is read with them.

use std::sync::Arc;

use kernel::policy::{ClassSource, DeclaredClass};
use kernel::resource::{Resource, ResourceKind};
use kernel::verdict::Undecidable;
use kernel::workload::Name;
use wire::sql::{Analysis, Catalogue, Control, Discarded, Refused, Statement, Templates, Temporary};

use super::catalogue::Guarded;
use super::prepared::Named;
use super::serve::{Conversation, End};

/// The temporary tables of a session, and the catalogue with them.
#[derive(Debug, Default)]
pub(super) struct Own {
    temporary: Temporary,
    view: Option<Arc<View>>,
}

/// The catalogue as one session sees it.
#[derive(Debug)]
pub(super) struct View {
    epoch: u64,
    catalogue: Catalogue,
    templates: Templates,
    upstream: Name,
}

impl View {
    /// What a text asks for.
    pub(super) fn analyse(&self, text: &str) -> Result<Arc<Analysis>, Refused> {
        self.templates.analyse(text, &self.catalogue, &self.upstream)
    }
}

impl Own {
    /// Counts the catalogue's changes and those of the session's own tables.
    pub(super) fn epoch(&self, guarded: &Guarded) -> u64 {
        guarded.epoch() ^ (self.temporary.version() << 40)
    }

    /// The session's view of the catalogue, if it has tables of its own.
    pub(super) fn view(&mut self, guarded: &Guarded) -> Option<Arc<View>> {
        if self.temporary.is_empty() {
            self.view = None;
            return None;
        }
        let epoch = self.epoch(guarded);
        if self.view.as_ref().is_none_or(|view| view.epoch != epoch) {
            let catalogue = guarded.catalogue()?.with_temporary(&self.temporary);
            let upstream = guarded.upstream.name.clone();
            self.view = Some(Arc::new(View { epoch, catalogue, templates: Templates::new(), upstream }));
        }
        self.view.clone()
    }
}

impl Conversation<'_> {
    /// Counts up whenever something changes that an analysis depends on.
    pub(super) fn epoch(&self) -> u64 {
        self.own.epoch(&self.guarded)
    }

    /// Notes what a permitted request will store where.
    ///
    /// # Errors
    /// [`Undecidable::CannotMask`] where a label cannot be kept with the copy; [`Undecidable::TooLarge`] for too many
    /// temporary tables.
    pub(super) fn note_copies(&mut self, analysis: &Analysis, named: &[Named]) -> Result<(), Undecidable> {
        for statement in &analysis.statements {
            self.note_copy(analysis, statement)?;
        }
        for named in named {
            let analysis = Arc::clone(&named.analysis);
            for statement in &analysis.statements {
                self.note_copy(&analysis, statement)?;
            }
        }
        Ok(())
    }

    fn note_copy(&mut self, analysis: &Analysis, statement: &Statement) -> Result<(), Undecidable> {
        if matches!(statement.control, Control::Discard(Discarded::All | Discarded::Temp)) {
            self.own.temporary.clear();
        }
        for name in &statement.unmade {
            self.own.temporary.unmake(name);
        }
        if let Some(made) = &statement.made
            && !self.own.temporary.make(made)
        {
            return Err(Undecidable::TooLarge);
        }
        if statement.stored.is_empty() {
            return Ok(());
        }
        let snapshot = self.session.snapshot();
        let mut labels: Vec<DeclaredClass> = Vec::new();
        for stored in &statement.stored {
            let operations = stored.from.iter().filter_map(|place| analysis.operations.get(*place));
            let columns: Vec<&Resource> =
                operations.map(|found| &*found.resource).filter(|found| found.kind == ResourceKind::Column).collect();
            let [schema, table, column] = &stored.into;
            if **schema == *TEMPORARY {
                let mut sources = Vec::new();
                for found in columns {
                    match found.path.as_slice() {
                        [_, own, table, column] if **own == *TEMPORARY => {
                            sources.extend(self.own.temporary.sources(table, column));
                        }
                        [_, schema, table, column] => {
                            sources.push([Arc::clone(schema), Arc::clone(table), Arc::clone(column)]);
                        }
                        _ => return Err(Undecidable::CannotMask),
                    }
                }
                self.own.temporary.fill(table, column, &sources, stored.bare);
                continue;
            }
            let classes = columns.into_iter().flat_map(|found| snapshot.classes(found));
            labels.extend(classes.map(|class| DeclaredClass {
                schema: Arc::clone(schema),
                table: Arc::clone(table),
                column: Some(Arc::clone(column)),
                class,
                source: ClassSource::Copied,
            }));
        }
        if labels.is_empty() {
            return Ok(());
        }
        let told = self.guarded.classes().is_some_and(|classes| classes.copied(&self.guarded.upstream.name, &labels));
        self.labels_due |= told;
        if told { Ok(()) } else { Err(Undecidable::CannotMask) }
    }

    /// The labels of copies are durable before the copies are forwarded.
    pub(super) async fn keep_labels(&mut self) -> Result<(), End> {
        if !std::mem::take(&mut self.labels_due) {
            return Ok(());
        }
        let kept = match self.guarded.classes() {
            Some(classes) => classes.keep_copied().await,
            None => false,
        };
        if kept { Ok(()) } else { Err(End::Audit(kernel::audit::AppendError::Unwritable)) }
    }
}

/// The schema of temporary tables, as the analysis calls it.
const TEMPORARY: &str = "pg_temp";
