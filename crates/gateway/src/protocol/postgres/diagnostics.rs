//! The upstream's words: an error or a notice can quote what a mask hides (MK07). The code stays, the text goes.

use std::sync::Arc;

use kernel::facts::Facts;
use kernel::operation::{Action, Operation};
use kernel::resource::{Resource, ResourceKind};
use wire::postgres::message::ErrorFields;

use super::prepared::Due;
use super::serve::{Conversation, End};

impl Conversation<'_> {
    /// May the words of the answer that comes now quote a value that the workload may not see? Either its rows are masked,
    /// or it writes a table of which a labelled column would not be shown to it in clear: the server names failing rows
    /// and keys whole. Off the hot path: only an error or a notice asks.
    pub(super) fn withholds_words(&mut self) -> bool {
        let operations = match self.replies.oldest() {
            Some(Due::Running(running)) if running.masks_anything() => return true,
            Some(Due::Running(running)) => Arc::clone(&running.operations),
            _ => return false,
        };
        let labelled = self.labelled_columns(&operations);
        !labelled.is_empty() && !self.session.shows_in_clear(labelled.into(), None)
    }

    /// Reading each labelled column of the tables that are written.
    pub(super) fn labelled_columns(&self, operations: &[Operation]) -> Vec<Operation> {
        let (snapshot, Some(catalogue)) = (self.session.snapshot(), self.guarded.catalogue()) else {
            return Vec::new();
        };
        let mut reads = Vec::new();
        for table in operations.iter().map(|operation| &operation.resource) {
            let (ResourceKind::Table, [_, schema, name, ..]) = (table.kind, &*table.path) else { continue };
            for column in catalogue.relation(schema, name).iter().flat_map(|relation| &relation.columns) {
                let path = table.path.iter().chain([&column.name]).cloned().collect();
                let resource = Resource { kind: ResourceKind::Column, path, ..(**table).clone() };
                if !snapshot.classes(&resource).is_empty() {
                    let facts = Arc::new(Facts::default());
                    let resource = Arc::new(resource);
                    reads.push(Operation { action: Action::SqlSelect, resource, facts, verb: "SELECT", span: None });
                }
            }
        }
        reads
    }
}

/// An error of a statement that touches masked columns: the code stays, the text goes (MK07).
pub(super) fn write_redacted(body: &[u8], out: &mut Vec<u8>) -> Result<(), End> {
    let fields = ErrorFields::decode(body).map_err(|_malformed| End::UpstreamProtocol)?;
    let sqlstate = fields.sqlstate().unwrap_or("XX000").as_bytes().to_vec();
    let severity = fields.severity().unwrap_or(b"ERROR").to_vec();
    let message = b"the upstream reported an error; its text is withheld because the statement touches masked columns";
    let kept: Vec<(u8, &[u8])> =
        vec![(b'S', &severity), (b'V', &severity), (b'C', &sqlstate), (b'M', message), (b'R', b"parapet")];
    ErrorFields { fields: kept }.encode_error(out).map_err(|_unencodable| End::UpstreamProtocol)
}
