//! The SQLite database: one file, one connection that writes, a few that read, migrations embedded.
//!
//! One connection writes, so that a writer waits in our queue and not in SQLite's busy loop. Commits are forced to the disk:
//! a used grant must not come back when the machine loses its power.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqlSafeStr, SqliteTransaction};

/// The migrations in order. One that was released never changes.
const MIGRATIONS: [(i64, &str, &str); 8] = [
    (1, "desk and standings", include_str!("../migrations/0001_desk_and_standings.sql")),
    (2, "tokens", include_str!("../migrations/0002_tokens.sql")),
    (3, "classes", include_str!("../migrations/0003_classes.sql")),
    (4, "signals", include_str!("../migrations/0004_signals.sql")),
    (5, "tasks", include_str!("../migrations/0005_tasks.sql")),
    (6, "copied labels", include_str!("../migrations/0006_copied_labels.sql")),
    (7, "incidents", include_str!("../migrations/0007_incidents.sql")),
    (8, "kept requests", include_str!("../migrations/0008_kept_requests.sql")),
];

/// Why the database cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The file cannot be used: missing folder, permission, not a database, or no space.
    #[error("the database cannot be opened")]
    Unusable,
    /// A newer version of Parapet has changed its form.
    #[error("the database was made by a newer version of Parapet")]
    Newer,
    /// Its form cannot be brought up to date.
    #[error("the database cannot be brought up to date")]
    Migration,
}

/// A handle on the database; clones share the connections.
#[derive(Debug, Clone)]
pub struct Database {
    write: SqlitePool,
    read: SqlitePool,
}

impl Database {
    /// Opens the database in the file `path`, making it if there is none, and brings its form up to date.
    pub async fn open(path: &Path) -> Result<Self, DatabaseError> {
        // Statements under approval hold literals: nobody else on the machine reads them. SQLite gives its other files
        // the permissions of this one.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|_| DatabaseError::Unusable)?;
        let options = options().filename(path).journal_mode(SqliteJournalMode::Wal);
        let write = connect(options.clone(), 1).await?;
        let read = connect(options.read_only(true), 4).await?;
        Self { write, read }.migrated().await
    }

    /// A database that is gone when the last handle is.
    pub async fn in_memory() -> Result<Self, DatabaseError> {
        // Every connection to memory is a database of its own: there is only one, and it is never closed.
        let write = connect(options().in_memory(true), 1).await?;
        Self { read: write.clone(), write }.migrated().await
    }

    /// Waits for what runs, and closes.
    pub async fn close(&self) {
        self.write.close().await;
        self.read.close().await;
    }

    /// Begins a change. Nobody else changes anything until it ends.
    pub(crate) async fn begin(&self) -> sqlx::Result<SqliteTransaction<'static>> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    /// Empties the write-ahead log, and with it what was erased. An error while somebody else reads an older state: that one stays.
    pub(crate) async fn settle(&self) -> sqlx::Result<()> {
        let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.write).await?;
        // SQLite tells it so, and not as an error (https://sqlite.org/pragma.html#pragma_wal_checkpoint).
        if row.try_get::<i64, _>(0)? == 0 {
            return Ok(());
        }
        let told = "somebody else reads the database, and what was erased stands in its write-ahead log";
        Err(io::Error::new(io::ErrorKind::ResourceBusy, told).into())
    }

    /// For reading.
    pub(crate) fn read(&self) -> &SqlitePool {
        &self.read
    }

    async fn migrated(self) -> Result<Self, DatabaseError> {
        let migrations = MIGRATIONS.map(|(version, description, sql)| {
            Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
        });
        match Migrator::with_migrations(migrations.to_vec()).run(&self.write).await {
            Ok(()) => Ok(self),
            Err(MigrateError::VersionMissing(_)) => Err(DatabaseError::Newer),
            Err(error) => {
                tracing::error!(%error, "a migration of the database failed");
                Err(DatabaseError::Migration)
            }
        }
    }
}

fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .foreign_keys(true)
        // What is deleted is overwritten.
        .pragma("secure_delete", "on")
        .disable_statement_logging()
}

async fn connect(options: SqliteConnectOptions, connections: u32) -> Result<SqlitePool, DatabaseError> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options);
    pool.await.map_err(|error| {
        tracing::error!(%error, "the database cannot be opened");
        DatabaseError::Unusable
    })
}

#[cfg(test)]
mod tests;
