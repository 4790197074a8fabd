//! Attestations that count once (hazard ID01): which were shown, until they expire. Implements `kernel::ports::SpentTokens`.
//!
//! One conditional insert decides; a restart forgets nothing. What is kept is a hash: a `jti` is of no use to a reader.

use std::sync::Arc;

use kernel::ports::{Clock, PortFuture, SpendError, Spent, SpentTokens};
use kernel::trust::OnceToken;

use crate::database::Database;

/// The most tokens that are remembered at once; about 10 MB. More than that in the life of a token is an attack or a rule
/// that should not be `once`: it is refused rather than forgotten.
const MOST: i64 = 100_000;

/// The tokens that were spent.
pub struct SpentStore {
    database: Database,
    clock: Arc<dyn Clock>,
    most: i64,
}

impl std::fmt::Debug for SpentStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpentStore").field("most", &self.most).finish_non_exhaustive()
    }
}

impl SpentStore {
    /// Over a database.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self { database, clock, most: MOST }
    }

    async fn insert(&self, token: &OnceToken) -> Result<Spent, SpendError> {
        let now = self.clock.now();
        let hash = token.hash();
        let mut change = self.database.begin().await.map_err(unavailable)?;
        let forget = sqlx::query("DELETE FROM spent_tokens WHERE until <= ?").bind(now.millis());
        forget.execute(&mut *change).await.map_err(unavailable)?;
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM spent_tokens");
        let known = count.fetch_one(&mut *change).await.map_err(unavailable)?;
        let insert = sqlx::query("INSERT INTO spent_tokens (hash, until) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING")
            .bind(hash.as_slice())
            .bind(token.until.millis());
        let inserted = insert.execute(&mut *change).await.map_err(unavailable)?.rows_affected();
        if inserted == 0 {
            return Ok(Spent::AlreadyUsed);
        }
        if known >= self.most {
            return Err(SpendError::Full);
        }
        change.commit().await.map_err(unavailable)?;
        Ok(Spent::Consumed)
    }
}

impl SpentTokens for SpentStore {
    fn spend<'a>(&'a self, token: &'a OnceToken) -> PortFuture<'a, Result<Spent, SpendError>> {
        Box::pin(self.insert(token))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unavailable(error: sqlx::Error) -> SpendError {
    tracing::error!(%error, "the database of spent tokens fails");
    SpendError::Unavailable
}

#[cfg(test)]
mod tests;
