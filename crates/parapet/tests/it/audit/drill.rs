//! The tamper drill: every way to alter a log is tried on a copy, found, and named by its first bad entry. The one that nothing
//! in the folder tells, a log rolled back as a whole, is found through a witness.

use std::fs;
use std::path::Path;
use std::time::Duration;

use kernel::audit::{Checkpoint, KeyUse, LeafIndex, Note, Record, SignerKey, leaf_hash, next_chain_hash, write_record};
use kernel::time::Timestamp;
use serde_json::Value;

use super::outside::{key, shown_at, signed};
use crate::bed::clients::{Ran, run};
use crate::bed::folder::Folder;
use crate::bed::gateway::{BINARY, Gateway, Setup};
use crate::bed::{Bed, wait};

pub(super) fn copy(from: &Path, to: &Path) {
    let _first = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// `parapet audit verify` with the key that the auditor knows.
fn verify(folder: &Path, more: &[&str]) -> (Ran, Value) {
    let mut command = std::process::Command::new(BINARY);
    let ran = run(command.args(["audit", "verify", "-o", "json"]).arg(folder).args(more).env("NO_COLOR", "1"));
    let said = serde_json::from_str(&ran.out).unwrap_or_default();
    (ran, said)
}

const SEGMENT: &str = "00000000000000000000.log";

fn lines(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join(SEGMENT)).unwrap().lines().map(str::to_owned).collect()
}

fn write(folder: &Path, lines: &[String]) {
    fs::write(folder.join(SEGMENT), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

/// Writes every line anew, chain and head as well: what who has the machine, but not the key, can do.
fn forge(folder: &Path, change: impl Fn(usize, String) -> String) {
    let mut chain = kernel::audit::ChainHash::default();
    let mut fresh = Vec::new();
    for (seq, line) in lines(folder).into_iter().enumerate() {
        let record = Record::parse(line.as_bytes()).unwrap();
        let entry = change(seq, String::from_utf8(record.entry.to_vec()).unwrap());
        chain = next_chain_hash(&chain, &leaf_hash(entry.as_bytes()));
        write_record(LeafIndex(seq as u64), &chain, entry.as_bytes(), &mut fresh);
    }
    fs::write(folder.join(SEGMENT), fresh).unwrap();
    let head = fs::read_to_string(folder.join("head.json")).unwrap();
    let old: Value = serde_json::from_str(&head).unwrap();
    fs::write(folder.join("head.json"), head.replace(old["chain"].as_str().unwrap(), &chain.to_string())).unwrap();
}

/// AU03.
#[test]
fn every_way_to_tamper_is_found_with_the_first_bad_entry() {
    let Some(mut bed) = Bed::start("audit-drill") else { return };
    let mut raw = bed.raw("reporting");
    for number in 0..20 {
        raw.query(&format!("select 1 as n{number}"));
    }
    drop(raw);
    signed(&bed.gateway, 20);
    let key = key(&bed.gateway);
    bed.gateway.stop();
    let (sound, trial) = (bed.gateway.audit(), bed.folder.join("trial"));
    let trusted = ["--key", &key];
    assert_eq!(verify(&sound, &trusted).0.code, 0);
    let size = lines(&sound).len();
    let last = size as u64 - 1;
    // Another node's log, with its own key.
    let other = Folder::new("audit-drill-other");
    let mut second = Gateway::start(Setup::new(&other, &bed.postgres, &bed.issuer));
    signed(&second, 1);
    second.stop();

    type Change<'c> = Box<dyn Fn(&Path) + 'c>;
    let edit = |change: fn(&mut Vec<String>)| -> Change<'_> {
        Box::new(move |folder| {
            let mut all = lines(folder);
            change(&mut all);
            write(folder, &all);
        })
    };
    let drills: Vec<(&str, Change<'_>, u64)> = vec![
        ("an entry is changed", edit(|all| all[9] = all[9].replacen("\"v\":1", "\"v\":2", 1)), 9),
        ("an entry is deleted", edit(|all| drop(all.remove(9))), 9),
        ("an entry is inserted", edit(|all| all.insert(9, all[8].clone())), 9),
        ("two entries change places", edit(|all| all.swap(9, 10)), 9),
        ("the end is cut off", edit(|all| all.truncate(all.len() - 1)), last),
        (
            "everything is written anew from one entry on",
            Box::new(|folder| {
                forge(folder, |seq, entry| if seq >= 9 { entry.replacen("\"v\":1", "\"v\":2", 1) } else { entry });
            }),
            9,
        ),
        (
            "written anew, and signed with another key",
            Box::new(|folder| {
                forge(folder, |seq, entry| if seq == 9 { entry.replacen("\"v\":1", "\"v\":2", 1) } else { entry });
                let head = fs::read_to_string(folder.join("checkpoint")).unwrap();
                let head = Checkpoint::parse(Note::parse(&head).unwrap().text()).unwrap();
                let thief = SignerKey::from_seed(&head.origin, KeyUse::Sign, &[7; 32]).unwrap();
                let text = head.text();
                let note = Note::new(text.clone(), vec![thief.sign(&text, Timestamp::from_millis(0))]);
                fs::write(folder.join("checkpoint"), note.to_string()).unwrap();
                fs::write(folder.join("keys"), format!("{}\n", thief.public())).unwrap();
            }),
            0,
        ),
        ("another node's log stands here", Box::new(|folder| copy(&second.audit(), folder)), 0),
        ("the signed head is taken away", Box::new(|folder| fs::remove_file(folder.join("checkpoint")).unwrap()), 0),
    ];
    for (what, change, first_bad) in drills {
        copy(&sound, &trial);
        change(&trial);
        let (ran, said) = verify(&trial, &trusted);
        assert_eq!((ran.code, said["first_bad_seq"].as_u64()), (8, Some(first_bad)), "{what}: {ran:?}");
        println!("found: {what}: first bad entry {first_bad}: {}", said["why"].as_str().unwrap());
    }
    // A file rolled back: the records of earlier, and with them the whole folder of earlier.
    let mut all = lines(&sound);
    all.truncate(12);
    copy(&sound, &trial);
    write(&trial, &all);
    assert_eq!(verify(&trial, &trusted).1["first_bad_seq"], 12);
    // The gateway does not begin upon any of it either.
    copy(&trial, &sound);
    let started = bed.gateway.cli(&["serve", "-c", "parapet.toml"]);
    assert!(started.code != 0 && started.err.contains("tampered"), "{started:?}");
}

/// AU03: a whole folder of earlier is a good log in itself. The witness has seen more.
#[test]
fn a_log_that_is_rolled_back_is_found_through_its_witness() {
    let ours = |setup: Setup| setup.also("\n[audit]\norigin = \"a.example/audit\"\n".to_owned());
    let Some(mut bed) = Bed::start_with("audit-witnessed", ours) else { return };
    let other = Folder::new("audit-witness");
    let witness = Setup::new(&other, &bed.postgres, &bed.issuer).also(format!(
        "\n[audit]\norigin = \"w.example/audit\"\nlisten = \"127.0.0.1:0\"\n\n[audit.witnessed.a]\nkey = \"{}\"\n",
        key(&bed.gateway)
    ));
    let witness = Gateway::start(witness);
    let said: Value = serde_json::from_str(&witness.cli(&["audit", "witness", "-o", "json"]).out).unwrap();
    let cosigner = said["witness_key"].as_str().unwrap().to_owned();
    bed.gateway.stop();
    let toml = bed.folder.join("parapet.toml");
    let text = fs::read_to_string(&toml).unwrap();
    let url = shown_at(&other.join(""));
    fs::write(&toml, format!("{text}\n[audit.witnesses.w]\nurl = \"{url}\"\nkey = \"{cosigner}\"\n")).unwrap();
    bed.gateway.restart();
    let mut raw = bed.raw("reporting");
    raw.query("select 1 as early");
    signed(&bed.gateway, 3);
    bed.gateway.stop();
    let earlier = bed.folder.join("earlier");
    copy(&bed.gateway.audit(), &earlier);
    bed.gateway.restart();
    let mut raw = bed.raw("reporting");
    for number in 0..200 {
        raw.query(&format!("select 1 as late{number}"));
    }
    let cosigned = bed.gateway.audit().join("checkpoint.cosigned");
    wait::until("a cosigned head", Duration::from_secs(30), || {
        let text = fs::read_to_string(&cosigned).ok()?;
        let head = Checkpoint::parse(Note::parse(&text).ok()?.text())?;
        (head.size > 200).then_some(())
    });
    // The file stands there a moment before it is told of.
    wait::until("the witness to be told of", wait::PATIENCE, || {
        let seen = bed.gateway.cli(&["audit", "witness"]);
        assert_eq!(seen.code, 0, "{seen:?}");
        seen.out.contains("w.example/audit/witness has cosigned the first").then_some(())
    });
    let key = key(&bed.gateway);
    bed.gateway.stop();
    // Who has only the cosigned head finds it without the witness.
    let kept = bed.folder.join("kept");
    fs::copy(&cosigned, &kept).unwrap();
    let keys = ["--key", &key, "--key", &cosigner];
    assert_eq!(verify(&bed.gateway.audit(), &keys).0.code, 0);
    assert_eq!(verify(&earlier, &keys).0.code, 0, "in itself it is a good log");
    let since = [&keys[..], &["--since", kept.to_str().unwrap()]].concat();
    let (ran, said) = verify(&earlier, &since);
    assert_eq!((ran.code, said["first_bad_seq"].as_u64()), (8, Some(lines(&earlier).len() as u64)), "{ran:?}");
    // The node itself learns it from the witness.
    copy(&earlier, &bed.gateway.audit());
    bed.gateway.restart();
    let found = wait::until("the witness's objection", Duration::from_secs(30), || {
        let seen = bed.gateway.cli(&["audit", "witness"]);
        (seen.code == 8).then_some(seen)
    });
    assert!(found.out.contains("rolled back"), "{found:?}");
    wait::until("its entry", wait::PATIENCE, || {
        bed.gateway.entries().iter().any(|entry| entry["action"] == "audit rolled back").then_some(())
    });
}
