//! Shredding: content gone from every file, byte for byte, while the log goes on to verify.

use std::fs;
use std::path::{Path, PathBuf};

use super::verify;
use crate::bed::Bed;
use crate::bed::folder::files_below;

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Every file below a folder that holds the text.
fn holding(dir: &Path, text: &str) -> Vec<PathBuf> {
    let files = files_below(dir).into_iter();
    files.filter(|(_, bytes)| contains(bytes, text.as_bytes())).map(|(path, _)| path).collect()
}

/// The second field from the end of every line of a file: ciphertexts, or wrapped keys.
fn secrets(path: &Path) -> Vec<String> {
    let text = fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&text);
    let lines = text.trim_end_matches('\0').lines();
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

/// AU10.
#[test]
fn shredded_content_is_gone_and_the_log_verifies() {
    let Some(mut bed) = Bed::start("audit-shred") else { return };
    bed.raw("reporting").query("select 1 as patient_4711");
    bed.raw("auditor").query("select 1 as patient_0815");
    let statements = |bed: &Bed| {
        let entries = bed.gateway.entries();
        let find = |name: &str| {
            entries.iter().any(|entry| entry["statement"].as_str().is_some_and(|statement| statement.contains(name)))
        };
        [find("patient_4711"), find("patient_0815")]
    };
    assert_eq!(statements(&bed), [true, true]);
    let state = bed.folder.join("state");
    assert_eq!(holding(&state, "patient_"), Vec::<PathBuf>::new(), "statements stand nowhere in clear");
    let (contents, keys) = (bed.gateway.audit().join("content/content"), bed.gateway.audit().join("content/keys"));
    let before = [secrets(&contents), secrets(&keys)].concat();
    let explained = bed.gateway.cli(&["audit", "search", "--workload", "reporting", "-o", "jsonl"]);
    assert!(explained.out.contains("patient_4711"), "{explained:?}");

    let arguments = ["workloads", "shred", "reporting", "--reason", "a request for erasure"];
    assert_eq!(bed.gateway.cli_as("dana@example.com", &arguments).code, 5, "for administrators alone");
    bed.gateway.cli(&arguments).assert_done();
    assert_eq!(statements(&bed), [false, true]);
    let searched = bed.gateway.cli(&["audit", "search", "--workload", "reporting", "-o", "jsonl"]);
    assert!(searched.out.contains("\"shredded\":true") && !searched.out.contains("patient_4711"), "{searched:?}");
    // Of what was taken neither ciphertext nor key is left in any file.
    let after = [secrets(&contents), secrets(&keys)].concat();
    let gone: Vec<&String> = before.iter().filter(|secret| !after.contains(secret)).collect();
    assert!(gone.len() >= 2, "{before:?} {after:?}");
    for secret in gone {
        assert_eq!(holding(&state, secret), Vec::<PathBuf>::new());
    }
    // A session alone.
    let entries = bed.gateway.entries();
    let of_auditor = entries.iter().find(|entry| entry["workload"] == "auditor").unwrap();
    let session = of_auditor["session"].as_str().unwrap();
    bed.gateway.cli(&["sessions", "shred", session, "--reason", "the same"]).assert_done();
    assert_eq!(statements(&bed), [false, false]);
    // What a person wrote.
    bed.gateway.cli(&["audit", "shred", "--person", "root@example.com", "--reason", "they left"]).assert_done();
    let reasons = bed.gateway.entries();
    assert!(!reasons.iter().any(|entry| entry["reason"] == "a request for erasure"));
    // Work goes on, under other keys; and all of it verifies, before and after a restart.
    bed.raw("reporting").query("select 1 as patient_42");
    assert!(bed.gateway.entries().iter().any(|entry| entry["statement"] == "select $1 as patient_42"));
    assert_eq!(verify(&bed.gateway.audit()).0, 0, "{}", verify(&bed.gateway.audit()).1);
    bed.gateway.stop();
    bed.gateway.restart();
    assert_eq!(statements(&bed), [false, false]);
    assert_eq!(verify(&bed.gateway.audit()).0, 0, "{}", verify(&bed.gateway.audit()).1);
}
