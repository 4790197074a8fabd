//! `parapet audit prove` and `parapet audit export`: proofs that others verify, by the files of the log.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use kernel::audit::tree::verify_consistency;
use kernel::audit::{TreeHash, hash_text, leaf_hash};
use serde_json::json;
use store::log::{ProveError, Prover, find_decision};

use super::verify::kept_head;
use super::{log_folder, trusted_keys};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::cli::style::{Styled, Tone};

/// The page that verifies the export in it, in any browser and without a network.
const PAGE: &str = include_str!("page.html");
/// Where the export stands in it, in base64.
const PLACE: &str = "@EXPORT@";

#[derive(Debug, Args)]
pub(super) struct Prove {
    /// The entry: its sequence, a decision's id or the id's beginning, or `last`
    #[arg(required_unless_present = "since")]
    entry: Option<String>,
    /// A head that was kept: prove that the log goes on from it
    #[arg(long, value_name = "FILE", conflicts_with = "entry")]
    since: Option<PathBuf>,
    /// Write the proof to this file, instead of to the output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder of the log, instead of the configured one
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to write
    out: PathBuf,
    /// The first entry
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// The entry to end before; the end of what is signed unless given
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// A page that verifies what it holds by itself, in a browser
    #[arg(long)]
    html: bool,
    /// Folder of the log, instead of the configured one
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn failed(folder: &Path, error: &ProveError) -> Failure {
    let failure = Failure::new(Exit::ProofFailed, "PAR0312", format!("{}: {error}", folder.display()));
    failure.help("heads are signed once a second; `parapet audit verify` looks at the whole log")
}

impl Prove {
    pub(super) fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let folder = self.folder.clone().unwrap_or_else(|| log_folder(globals));
        match (&self.entry, &self.since) {
            (Some(entry), _) => self.inclusion(&folder, entry, globals),
            (None, Some(since)) => consistency(&folder, since, globals),
            (None, None) => Err(Failure::usage("name an entry, or a head with `--since`")),
        }
    }

    fn inclusion(&self, folder: &Path, entry: &str, globals: &Globals) -> Result<Exit, Failure> {
        let seq = match entry.parse::<u64>() {
            Ok(seq) => seq,
            Err(_) => {
                let found = find_decision(folder, entry, None);
                found.map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?.seq
            }
        };
        let prove = || {
            let prover = Prover::open(folder, seq.saturating_add(1))?;
            let proof = prover.inclusion(seq)?;
            Ok((prover, proof))
        };
        let (prover, proof) = prove().map_err(|error: ProveError| failed(folder, &error))?;
        let leaf = TreeHash(leaf_hash(proof.extra.as_deref().unwrap_or_default()));
        let head = prover.checkpoint();
        // What is handed out was tried here first.
        if kernel::audit::tree::verify_inclusion(&leaf, seq, head.size, &proof.path, &head.root).is_err() {
            return Err(failed(folder, &ProveError::Damaged));
        }
        let Some(out) = &self.out else {
            output::data(&proof.text());
            return Ok(Exit::Done);
        };
        write(out, |file| file.write_all(proof.text().as_bytes()))?;
        let keys = trusted_keys(globals).first().map_or_else(|| "KEY".to_owned(), ToString::to_string);
        output::message(&format!(
            "{}: entry {seq} under the signed head of {} entries\n  verify  parapet audit verify {} --key {keys}\n",
            Styled(Tone::Good, "✓ proved"),
            head.size,
            out.display(),
        ));
        Ok(Exit::Done)
    }
}

/// Proves that the log goes on from a head that was kept.
fn consistency(folder: &Path, since: &Path, globals: &Globals) -> Result<Exit, Failure> {
    let known = kept_head(since, &[])?;
    let prove = || {
        let prover = Prover::open(folder, 0)?;
        let proof = prover.consistency(known.size)?;
        Ok((prover, proof))
    };
    let (prover, proof) = prove().map_err(|error: ProveError| failed(folder, &error))?;
    let head = prover.checkpoint();
    let holds = head.origin == known.origin
        && verify_consistency((known.size, &known.root), (head.size, &head.root), &proof).is_ok();
    let view = json!({
        "verified": holds, "origin": head.origin, "old_size": known.size, "old_root": hash_text(&known.root),
        "size": head.size, "root": hash_text(&head.root), "proof": proof.iter().map(hash_text).collect::<Vec<_>>(),
        "checkpoint": prover.note().to_string(),
    });
    let text = if holds {
        format!(
            "{}: the log of {} entries goes on from the head of {}, which {} hashes prove (-o json)\n",
            Styled(Tone::Good, "✓ proved"),
            head.size,
            known.size,
            proof.len()
        )
    } else {
        format!("{}: the log does not go on from the head of {} entries\n", Styled(Tone::Bad, "✗ failed"), known.size)
    };
    output::data(&if globals.for_programs() { output::object("parapet.audit-consistency/v1", &view) } else { text });
    Ok(if holds { Exit::Done } else { Exit::ProofFailed })
}

/// Writes a file that only its owner can read: entries name workloads and people.
fn write(
    path: &Path,
    content: impl FnOnce(&mut std::io::BufWriter<std::fs::File>) -> std::io::Result<()>,
) -> Result<(), Failure> {
    let written = || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut file = std::io::BufWriter::new(file);
        content(&mut file)?;
        file.flush()
    };
    written().map_err(|error| {
        Failure::new(Exit::Failed, "PAR0313", format!("{} cannot be written: {}", path.display(), error.kind()))
    })
}

impl Export {
    pub(super) fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let folder = self.folder.clone().unwrap_or_else(|| log_folder(globals));
        let open = |size| Prover::open(&folder, size).map_err(|error| failed(&folder, &error));
        let prover = open(self.to.unwrap_or(0))?;
        let end = self.to.unwrap_or(prover.checkpoint().size);
        if self.from > end {
            return Err(Failure::usage(format!("entry {} stands after {end}", self.from)));
        }
        let mut failure = None;
        write(&self.out, |file| {
            let exported =
                if self.html { page(&prover, (self.from, end), file) } else { prover.export((self.from, end), file) };
            failure = exported.err();
            Ok(())
        })?;
        if let Some(error) = failure {
            let _absent = std::fs::remove_file(&self.out);
            return Err(failed(&folder, &error));
        }
        output::message(&format!(
            "{}: {} entries from {} in {}\n",
            Styled(Tone::Good, "✓ exported"),
            end - self.from,
            self.from,
            self.out.display()
        ));
        if let Some(key) = trusted_keys(globals).first() {
            output::message(&format!("  give the auditor, by another way, the key {key}\n"));
        }
        Ok(Exit::Done)
    }
}

/// The page with the export in it. In base64: no entry can end the element that holds it.
fn page(prover: &Prover, part: (u64, u64), out: &mut dyn Write) -> Result<(), ProveError> {
    let mut export = Vec::new();
    prover.export(part, &mut export)?;
    let (before, after) = PAGE.split_once(PLACE).unwrap_or((PAGE, ""));
    out.write_all(before.as_bytes())?;
    out.write_all(STANDARD.encode(export).as_bytes())?;
    Ok(out.write_all(after.as_bytes())?)
}
