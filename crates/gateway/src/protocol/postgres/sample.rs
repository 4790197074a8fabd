//! Looks at samples of an upstream's values, so that classes can be suggested: over a connection of the gateway's own, read
//! only, with bounds on rows, bytes and time. What leaves this file are counts and names of detectors, never values.

use std::sync::Arc;
use std::time::Duration;

use wire::detect::{Detector, Evidence, Scratch, Suggestion, sample_query, samples_type};
use wire::postgres::message::{BackendMessage, Query};
use wire::sql::{Relation, RelationKind};

use super::catalogue::Guarded;
use super::channel::Channel;
use super::connect::{ConnectError, Right};
use super::stream::UpstreamStream;
use crate::upstream::dial::Dialler;

/// No column whose values run code of the database's users is read; a policy of row security would, so such a table is
/// left out. Nothing is written, and nothing waits.
const SETTINGS: &str = "SET search_path = ''; SET lock_timeout = '1s'; SET statement_timeout = '2s'; SET jit = off; \
                        SET default_transaction_read_only = on; SET row_security = off";
/// How long one query may take, the network included.
const PATIENCE: Duration = Duration::from_secs(5);
/// When no further table is begun.
const LONGEST: Duration = Duration::from_secs(20);
/// So many columns are read at a time: with the bounds on rows and characters, what one query returns stays small.
const COLUMNS: usize = 16;
/// A message may be this long.
const CAP: u32 = 8 << 20;

/// What was found of one column.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Schema, table, column.
    pub column: [Arc<str>; 3],
    /// What it seems to need.
    pub suggestion: Suggestion,
}

/// What was found in a database.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Columns that seem to need a class.
    pub found: Vec<Sampled>,
    /// Tables of which values were looked at.
    pub tables: usize,
    /// Tables that the role may not read, or that took too long.
    pub unreadable: usize,
    /// Tables that were not begun in time.
    pub left_out: usize,
}

/// Why nothing was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The catalogue has not been read.
    #[error("the catalogue of the upstream is not loaded")]
    NoCatalogue,
    /// The upstream cannot be reached.
    #[error("the upstream cannot be reached")]
    Unreachable,
    /// The detectors cannot be built.
    #[error("the detectors cannot be built")]
    Detectors,
}

/// Why a table was not read.
enum Unread {
    /// The upstream refused: the next table may go.
    Refused,
    /// The connection is of no more use.
    Broken,
}

impl Guarded {
    /// Samples the columns that `wanted` names. Values are looked at as they come and kept nowhere.
    ///
    /// # Errors
    /// [`SampleError`] where nothing could be looked at.
    pub async fn sample(
        &self,
        dialler: &Dialler,
        wanted: impl Fn(&Relation, &str) -> bool + Send + Sync,
    ) -> Result<Sample, SampleError> {
        let catalogue = self.catalogue().ok_or(SampleError::NoCatalogue)?;
        let detector = Detector::new().map_err(|_impossible| SampleError::Detectors)?;
        let mut scratch = detector.scratch();
        let mut connection = Some(self.connect_to_sample(dialler).await?);
        let began = self.clock().now();
        let mut sample = Sample::default();
        for relation in catalogue.relations().iter().filter(|relation| !relation.system) {
            let columns: Vec<_> = relation.columns.iter().filter(|column| wanted(relation, &column.name)).collect();
            let mut evidence = vec![None; columns.len()];
            let readable: Vec<usize> = (0..columns.len())
                .filter(|place| columns.get(*place).is_some_and(|column| samples_type(column.type_oid)))
                .collect();
            // A partitioned table holds nothing itself, and a view would run whatever it is made of.
            let holds = matches!(relation.kind, RelationKind::Table | RelationKind::MaterialisedView);
            if holds && !readable.is_empty() {
                if self.clock().now().since(began) > LONGEST {
                    sample.left_out += 1;
                    continue;
                }
                let (mut read, mut refused) = (false, false);
                for places in readable.chunks(COLUMNS) {
                    if connection.is_none() {
                        connection = Some(self.connect_to_sample(dialler).await?);
                    }
                    let Some(channel) = connection.as_mut() else { break };
                    let names = places.iter().filter_map(|place| columns.get(*place)).map(|column| &*column.name);
                    let text = sample_query(&relation.schema, &relation.name, names);
                    let mut found = vec![Evidence::default(); places.len()];
                    match look(channel, &text, &detector, &mut scratch, &mut found).await {
                        Ok(()) => {
                            read = true;
                            for (place, found) in places.iter().zip(found) {
                                if let Some(slot) = evidence.get_mut(*place) {
                                    *slot = Some(found);
                                }
                            }
                        }
                        Err(Unread::Refused) => refused = true,
                        Err(Unread::Broken) => {
                            refused = true;
                            connection = None;
                        }
                    }
                }
                sample.tables += usize::from(read);
                sample.unreadable += usize::from(refused);
            }
            for (column, evidence) in columns.into_iter().zip(&evidence) {
                if let Some(suggestion) = Suggestion::of(&column.name, evidence.as_ref()) {
                    let column = [relation.schema.clone(), relation.name.clone(), column.name.clone()];
                    sample.found.push(Sampled { column, suggestion });
                }
            }
        }
        Ok(sample)
    }

    async fn connect_to_sample(&self, dialler: &Dialler) -> Result<Channel<UpstreamStream>, SampleError> {
        let opened = self.upstream.open(dialler, Right::Catalogue, &[]).await.map_err(|error: ConnectError| {
            tracing::warn!(upstream = %self.upstream.name, %error, "no connection to sample by");
            SampleError::Unreachable
        })?;
        let mut channel = Channel::with_read_ahead(opened.stream, opened.read_ahead);
        exchange(&mut channel, SETTINGS, |_| {}).await.map_err(|_unread| SampleError::Unreachable)?;
        Ok(channel)
    }
}

/// Looks at the rows of a sample, a cell for each column.
async fn look(
    channel: &mut Channel<UpstreamStream>,
    text: &str,
    detector: &Detector,
    scratch: &mut Scratch,
    found: &mut [Evidence],
) -> Result<(), Unread> {
    exchange(channel, text, |row| {
        for (evidence, value) in found.iter_mut().zip(row.columns()) {
            evidence.add(detector, scratch, value.unwrap_or_default());
        }
    })
    .await
}

/// Runs a query of the gateway's own making, and shows each row to `visit`.
async fn exchange(
    channel: &mut Channel<UpstreamStream>,
    text: &str,
    mut visit: impl FnMut(&wire::postgres::message::DataRow<'_>),
) -> Result<(), Unread> {
    let mut out = Vec::new();
    Query { text }.encode(&mut out).map_err(|_unencodable| Unread::Refused)?;
    channel.send(&out, PATIENCE).await.map_err(|_closed| Unread::Broken)?;
    let mut refused = false;
    loop {
        let message = channel.receive(CAP, PATIENCE).await.map_err(|_closed| Unread::Broken)?;
        match BackendMessage::decode(message.tag, &message.body).map_err(|_malformed| Unread::Broken)? {
            BackendMessage::DataRow(row) => visit(&row),
            BackendMessage::ErrorResponse(_) => refused = true,
            BackendMessage::ReadyForQuery(_) => break,
            BackendMessage::RowDescription(_)
            | BackendMessage::CommandComplete(_)
            | BackendMessage::NoticeResponse(_)
            | BackendMessage::ParameterStatus(_) => {}
            _ => return Err(Unread::Broken),
        }
    }
    if refused { Err(Unread::Refused) } else { Ok(()) }
}
