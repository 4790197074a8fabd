//! `parapet audit verify`: a folder, an export or a proof, on the reader's own machine and without a network.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use kernel::audit::{
    Checkpoint, EXPORT_SCHEMA, ExportProved, ExportVerifier, LONGEST_RECORD, ProofFile, TreeHash, VerifierKey,
    leaf_hash,
};
use serde_json::{Value, json};
use store::log::{Expected, Tampered, Verified, VerifyError};

use super::{log_folder, trusted_keys};
use crate::cli::exit::{Exit, Failure};
use crate::cli::globals::Globals;
use crate::cli::output;
use crate::cli::style::{Styled, Tone};

/// The longest header line of an export: keys, checkpoint and at most 128 hashes.
const LONGEST_HEADER: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Folder of the log, an export, or a proof; the configured folder unless given
    path: Option<PathBuf>,
    /// A public key that is trusted, `name+id+base64`: the log's, and those of its witnesses
    #[arg(long = "key", value_name = "KEY", value_parser = key)]
    keys: Vec<VerifierKey>,
    /// A signed head that was kept, of which the log must be a continuation
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// The first entry to look at, of a folder
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// The entry to end before, of a folder
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
}

fn key(text: &str) -> Result<VerifierKey, String> {
    text.parse().map_err(|error: kernel::audit::InvalidKey| error.to_string())
}

/// Reads a head that was kept. Its signature counts where its keys are known.
pub(super) fn kept_head(path: &Path, keys: &[VerifierKey]) -> Result<Checkpoint, Failure> {
    let unreadable = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error.kind().to_string()))?;
    let note = kernel::audit::Note::parse(&text).map_err(|error| unreadable(&error.to_string()))?;
    if !keys.is_empty() {
        note.verify(keys).map_err(|error| bad_proof(path, &error.to_string()))?;
    }
    Checkpoint::parse(note.text()).ok_or_else(|| unreadable("it is no head of a log"))
}

fn bad_proof(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::ProofFailed, "PAR0312", format!("{}: {why}", path.display()))
        .help("compare the keys with those that the log's owner has given you")
}

impl Verify {
    pub(super) fn execute(self, globals: &Globals) -> Result<Exit, Failure> {
        let own_folder = self.path.is_none();
        let path = self.path.clone().unwrap_or_else(|| log_folder(globals));
        let keys = if self.keys.is_empty() && own_folder { trusted_keys(globals) } else { self.keys.clone() };
        let known: Vec<Checkpoint> =
            self.since.iter().map(|file| kept_head(file, &keys)).collect::<Result<_, Failure>>()?;
        if path.is_file() {
            return file(&path, &keys, known, globals);
        }
        let expected = Expected { keys, known, first: self.from, end: self.to };
        folder(&path, &expected, globals)
    }
}

/// Proves the log in a folder, without the gateway: proof is computed by the reader.
fn folder(folder: &Path, expected: &Expected, globals: &Globals) -> Result<Exit, Failure> {
    let (view, text, exit) = match store::log::verify_as(folder, expected) {
        Ok(verified) => proved(folder, &verified),
        Err(VerifyError::Tampered(tampered)) => broken(folder, &tampered),
        Err(error @ (VerifyError::NoLog | VerifyError::Unreadable(_))) => {
            // No log and no proof: that must not look like a proof.
            let failure = Failure::new(Exit::ProofFailed, "PAR0312", format!("{}: {error}", folder.display()));
            return Err(failure.help("name the folder of the log, or check its permissions"));
        }
    };
    output::data(&if globals.for_programs() { output::object("parapet.audit-verify/v1", &view) } else { text });
    Ok(exit)
}

fn proved(folder: &Path, verified: &Verified) -> (Value, String, Exit) {
    let signed = verified.signed.as_ref().map(|signed| {
        json!({ "origin": signed.origin, "size": signed.size, "root": kernel::audit::hash_text(&signed.root), "by": verified.signed_by })
    });
    let view = json!({
        "verified": true,
        "folder": folder.display().to_string(),
        "first": verified.first,
        "entries": verified.entries,
        "chain": verified.chain.to_string(),
        "root": kernel::audit::hash_text(&verified.root),
        "signed": signed,
        "consistent_with": verified.consistent_with,
        "unfinished_bytes": verified.unfinished,
    });
    let from = if verified.first > 0 { format!(" from {}", verified.first) } else { String::new() };
    let mut text =
        format!("{}: {} entries{from}, chain {}\n", Styled(Tone::Good, "✓ verified"), verified.entries, verified.chain);
    if let Some(signed) = &verified.signed {
        text.push_str(&format!(
            "  signed  the first {} of {}, by {}\n",
            signed.size,
            signed.origin,
            verified.signed_by.join(", ")
        ));
    }
    for size in &verified.consistent_with {
        text.push_str(&format!("  kept    the head of {size} entries is a beginning of this log\n"));
    }
    if verified.unfinished > 0 {
        text.push_str(&format!(
            "  {} bytes of an entry that is being written, or was cut off by a crash\n",
            verified.unfinished
        ));
    }
    (view, text, Exit::Done)
}

fn broken(folder: &Path, tampered: &Tampered) -> (Value, String, Exit) {
    let view = json!({
        "verified": false,
        "folder": folder.display().to_string(),
        "first_bad_seq": tampered.seq,
        "file": tampered.file,
        "offset": tampered.offset,
        "why": tampered.why.to_string(),
    });
    let text = format!(
        "{}: the first bad entry is seq {}, in {} at byte {}\n  why   {}\n  next  keep the files as they are, and find out who could write there\n",
        Styled(Tone::Bad, "✗ failed"),
        tampered.seq,
        folder.join(&tampered.file).display(),
        tampered.offset,
        tampered.why,
    );
    (view, text, Exit::ProofFailed)
}

/// An export or a proof, by its first line.
fn file(path: &Path, keys: &[VerifierKey], known: Vec<Checkpoint>, globals: &Globals) -> Result<Exit, Failure> {
    let unreadable = |error: std::io::Error| bad_proof(path, &error.kind().to_string());
    let mut lines = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut first = Vec::new();
    (&mut lines).take(LONGEST_HEADER).read_until(b'\n', &mut first).map_err(unreadable)?;
    let header = String::from_utf8(first).map_err(|_| bad_proof(path, "it is neither an export nor a proof"))?;
    let result = if header.starts_with("c2sp.org/tlog-proof@v1") {
        proof(path, keys)
    } else if header.contains(EXPORT_SCHEMA) {
        export(lines, header.trim_end_matches('\n'), keys, known)
    } else {
        return Err(bad_proof(path, "it is neither an export nor a proof"));
    };
    let own_keys = keys.is_empty();
    let (mut view, mut text, exit) = match result {
        Ok((view, text)) => (view, format!("{}: {text}", Styled(Tone::Good, "✓ verified")), Exit::Done),
        Err(why) => {
            let text = format!("{}: {why}\n", Styled(Tone::Bad, "✗ failed"));
            (json!({ "verified": false, "why": why }), text, Exit::ProofFailed)
        }
    };
    if own_keys && exit == Exit::Done {
        text.push_str(
            "  whose   by the keys that the file itself names: give the log's with `--key` to know whose log it is\n",
        );
    }
    crate::recorded::set(&mut view, "file", Value::from(path.display().to_string()));
    crate::recorded::set(&mut view, "trusted_keys", Value::from(!own_keys));
    output::data(&if globals.for_programs() { output::object("parapet.audit-verify/v1", &view) } else { text });
    Ok(exit)
}

fn export(
    mut lines: BufReader<File>,
    header: &str,
    keys: &[VerifierKey],
    known: Vec<Checkpoint>,
) -> Result<(Value, String), String> {
    let most = u64::try_from(LONGEST_RECORD).unwrap_or(u64::MAX).saturating_add(1);
    let mut verifier = ExportVerifier::begin(header, keys, known).map_err(|fault| fault.to_string())?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(most).read_until(b'\n', &mut line).map_err(|error| error.kind().to_string())?;
        if read == 0 {
            break;
        }
        let record = line.strip_suffix(b"\n").ok_or("the last line has no end")?;
        verifier.accept(record).map_err(|fault| fault.to_string())?;
    }
    let ExportProved { first, end, checkpoint, signed_by, consistent_with } =
        verifier.finish().map_err(|fault| fault.to_string())?;
    let view = json!({
        "verified": true, "first": first, "entries": end - first, "origin": checkpoint.origin, "size": checkpoint.size,
        "root": kernel::audit::hash_text(&checkpoint.root), "signed_by": signed_by, "consistent_with": consistent_with,
    });
    let mut text = format!(
        "{} entries from {first} of {}, all of them and none changed\n  signed  a log of {} entries, by {}\n",
        end - first,
        checkpoint.origin,
        checkpoint.size,
        signed_by.join(", ")
    );
    for size in consistent_with {
        text.push_str(&format!("  kept    the head of {size} entries is a beginning of this log\n"));
    }
    Ok((view, text))
}

fn proof(path: &Path, keys: &[VerifierKey]) -> Result<(Value, String), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.kind().to_string())?;
    let proof = ProofFile::parse(&text).ok_or("it is not a proof in its whole")?;
    let entry = proof.extra.clone().ok_or("the proof does not hold the entry that it proves")?;
    if keys.is_empty() {
        return Err("a proof names no keys: give the log's with `--key`".to_owned());
    }
    let leaf = TreeHash(leaf_hash(&entry));
    let checkpoint = proof.verify(&leaf, keys).map_err(|error| error.to_string())?;
    let entry: Value = serde_json::from_slice(&entry).map_err(|_| "the entry is not JSON")?;
    let shown =
        format!("entry {} of {}, a log of {} entries\n  {entry}\n", proof.index, checkpoint.origin, checkpoint.size);
    let view = json!({
        "verified": true, "seq": proof.index, "leaf": leaf.to_string(), "origin": checkpoint.origin, "size": checkpoint.size,
        "entry": entry,
    });
    Ok((view, shown))
}
