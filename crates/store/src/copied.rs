//! Which columns hold copies of labelled values, and with which classes. A label counts before the copy is made, is durable
//! before it is forwarded, and stays: nobody can tell from here whether a table of that name is still the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::policy::{ClassSource, DeclaredClass};
use kernel::workload::Name;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::database::Database;

/// The labels could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the labels of copies could not be stored")]
pub struct Unkept;

/// Of one upstream.
type Labels = BTreeSet<DeclaredClass>;

#[derive(Debug, Default)]
struct Known {
    labels: BTreeMap<Name, Labels>,
    /// Not written yet.
    unwritten: Vec<(Name, DeclaredClass)>,
}

/// The labels of copies.
#[derive(Debug)]
pub struct CopiedLabels {
    database: Database,
    known: Mutex<Known>,
}

impl CopiedLabels {
    /// Reads what was kept, for each upstream.
    ///
    /// # Errors
    /// [`Unkept`] where the database does not answer.
    pub async fn open(database: Database) -> Result<(Self, Vec<(Name, Vec<DeclaredClass>)>), Unkept> {
        let mut change = database.begin().await.map_err(unkept)?;
        let rows = sqlx::query("SELECT * FROM copied_labels").fetch_all(&mut *change).await.map_err(unkept)?;
        drop(change);
        let mut labels: BTreeMap<Name, Labels> = BTreeMap::new();
        for row in &rows {
            let upstream = text(row, "upstream")?.parse().map_err(|_not_a_name| Unkept)?;
            labels.entry(upstream).or_default().insert(DeclaredClass {
                schema: text(row, "schema_name")?,
                table: text(row, "table_name")?,
                column: Some(text(row, "column_name")?),
                class: text(row, "class")?,
                source: ClassSource::Copied,
            });
        }
        let all =
            labels.iter().map(|(upstream, labels)| (upstream.clone(), labels.iter().cloned().collect())).collect();
        Ok((Self { database, known: Mutex::new(Known { labels, unwritten: Vec::new() }) }, all))
    }

    /// Adds labels; all of the upstream's, if any of them is new.
    pub fn add(&self, upstream: &Name, labels: &[DeclaredClass]) -> Option<Vec<DeclaredClass>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { labels: all, unwritten } = &mut *known;
        let of_it = all.entry(upstream.clone()).or_default();
        let before = of_it.len();
        for label in labels {
            if of_it.insert(label.clone()) {
                unwritten.push((upstream.clone(), label.clone()));
            }
        }
        (of_it.len() != before).then(|| of_it.iter().cloned().collect())
    }

    /// Makes durable what was added.
    ///
    /// # Errors
    /// [`Unkept`] where the database does not take it; then it is tried again with the next.
    pub async fn keep(&self) -> Result<(), Unkept> {
        let due = std::mem::take(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner).unwritten);
        let result = self.write(&due).await;
        if result.is_err() {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).unwritten.extend(due);
        }
        result
    }

    async fn write(&self, due: &[(Name, DeclaredClass)]) -> Result<(), Unkept> {
        // Also with nothing due: what another session added may be on its way, and the one connection that writes is in turn.
        let mut change = self.database.begin().await.map_err(unkept)?;
        for (upstream, label) in due {
            sqlx::query("INSERT OR IGNORE INTO copied_labels VALUES (?, ?, ?, ?, ?)")
                .bind(upstream.as_str())
                .bind(&*label.schema)
                .bind(&*label.table)
                .bind(label.column.as_deref().unwrap_or_default())
                .bind(&*label.class)
                .execute(&mut *change)
                .await
                .map_err(unkept)?;
        }
        change.commit().await.map_err(unkept)
    }
}

fn text(row: &SqliteRow, column: &str) -> Result<Arc<str>, Unkept> {
    row.try_get::<String, _>(column).map(Arc::from).map_err(unkept)
}

fn unkept(error: sqlx::Error) -> Unkept {
    tracing::error!(%error, "the database of copied labels fails");
    Unkept
}

#[cfg(test)]
mod tests;
