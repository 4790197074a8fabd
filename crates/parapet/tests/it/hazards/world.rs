//! The guarded database that the corpus attacks: one server, one gateway, and the canaries in its labelled columns.

use std::fmt::Write as _;
use std::path::Path;

use crate::bed::Bed;
use crate::bed::folder::Folder;
use crate::bed::gateway::{Gateway, Setup};
use crate::bed::issuer::Issuer;
use crate::bed::postgres::{Postgres, Server};

use super::canaries::Canaries;
use super::corpus::Corpus;
use super::exchange;

/// A guarded database with canaries in it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) bed: Bed,
    pub(super) canaries: Canaries,
    pub(super) major: u32,
}

impl World {
    /// Starts it with the corpus' tables and every entry's own; `None` if the machine lacks the server.
    pub(super) fn start(name: &str, server: Server, corpus: &Corpus) -> Option<Self> {
        Self::with(name, server, &classes(corpus), &corpus.world.canaries, |major| {
            let own = corpus.entries.iter().filter(|entry| entry.is_about(major) && !entry.setup.is_empty());
            let own = own.map(|entry| format!("set role parapet;\n{};\nreset role", entry.setup));
            std::iter::once(corpus.world.setup.clone()).chain(own).collect()
        })
    }

    /// Starts it with this SQL as its content.
    pub(super) fn with(
        name: &str,
        server: Server,
        classes: &str,
        canaries: &[String],
        setup: impl FnOnce(u32) -> Vec<String>,
    ) -> Option<Self> {
        let folder = Folder::new(&format!("{name}-{server:?}").to_lowercase());
        let postgres = Postgres::start_on(server, &folder)?;
        let major = postgres.major();
        let failed: Vec<String> = setup(major)
            .iter()
            .filter_map(|sql| postgres.try_sql(&exchange::expand(sql)).err().map(|error| format!("{error}{sql}")))
            .collect();
        assert!(failed.is_empty(), "the set-up fails on {major}:\n{}", failed.join("\n"));
        let canaries = Canaries::planted(&postgres, canaries);
        let issuer = Issuer::new(&folder);
        let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hazards/policies");
        let gateway =
            Gateway::start(Setup::new(&folder, &postgres, &issuer).policies(&policies).classes(classes.to_owned()));
        let bed = Bed { gateway, postgres, issuer, folder };
        Some(Self { bed, canaries, major })
    }

    /// Nothing that the gateway wrote down may hold a canary: neither the audit log nor its own.
    pub(super) fn assert_logs_are_clean(&self) {
        let own = self.bed.folder.join("gateway.log");
        for path in self.bed.gateway.segments().into_iter().chain([own]) {
            let bytes = std::fs::read(&path).unwrap();
            if let Some(found) = self.canaries.find_in_log(&bytes) {
                panic!("{} holds {found}", path.display());
            }
        }
    }
}

fn classes(corpus: &Corpus) -> String {
    let mut text = String::new();
    for (class, columns) in &corpus.world.classes {
        let columns: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        writeln!(text, "{class} = [{}]", columns.join(", ")).unwrap();
    }
    text
}
