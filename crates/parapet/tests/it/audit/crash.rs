//! Crashes and bad disks: a hundred kills at random moments, a full disk that gets room again, a disk that cannot be written,
//! a torn last page, a second process.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{shape, verify};
use crate::bed::clients::run;
use crate::bed::folder::replace;
use crate::bed::raw::{self, Raw};
use crate::bed::{Bed, skip, wait};

/// How often the gateway is killed. Each round takes a fraction of a second.
const KILLS: usize = 100;

/// AU01: what was executed was entered before, wherever the process dies.
#[test]
fn a_hundred_kills_lose_no_executed_statement() {
    let Some(mut bed) = Bed::start("audit-kills") else { return };
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut recovered = 0;
    for round in 0..KILLS {
        // Nobody is to be killed in a login.
        let sessions = [bed.raw("reporting"), bed.raw("reporting")];
        let passed = AtomicU64::new(0);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Between the first statement and some hundred later.
        let moment = random % 120;
        std::thread::scope(|scope| {
            for (worker, mut raw) in sessions.into_iter().enumerate() {
                let passed = &passed;
                scope.spawn(move || {
                    for number in 0.. {
                        let text = shape(round * 2 + worker, number);
                        if !raw.try_send(&raw::query(&text)) || raw::status(&raw.until_ready()) != 'I' {
                            break;
                        }
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            wait::until("load", wait::PATIENCE, || (passed.load(Ordering::Relaxed) > moment).then_some(()));
            bed.gateway.kill();
        });
        bed.gateway.restart();
        if round % 25 == 24 {
            let (code, said) = verify(&bed.gateway.audit());
            assert_eq!(code, 0, "after {round} kills: {said}");
        }
        recovered += 1;
    }
    assert_eq!(recovered, KILLS);
    let entries = bed.gateway.entries();
    let statements = entries.iter().filter_map(|entry| entry["statement"].as_str());
    let entered: BTreeSet<&str> = statements.filter_map(|text| text.strip_prefix("select $1 as ")).collect();
    let executed = bed.postgres.executed();
    let ours: Vec<&str> = executed.iter().filter_map(|sql| sql.trim().strip_prefix("select 1 as w")).collect();
    assert!(ours.len() > KILLS, "the load was not seen at the upstream: {}", ours.len());
    let lost: Vec<&&str> = ours.iter().filter(|name| !entered.contains(format!("w{}", name.trim()).as_str())).collect();
    assert!(lost.is_empty(), "executed without an entry: {lost:?}");
}

/// A small disk of its own; `None` where that needs more rights than the tests have.
struct Disk(PathBuf);

impl Disk {
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=700");
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path));
        if mounted.code != 0 {
            skip("a disk of its own: mounting needs root");
            return None;
        }
        Some(Self(path))
    }

    fn remount(&self, options: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0)).assert_done();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _best_effort = run(Command::new("umount").args(["-l"]).arg(&self.0));
    }
}

fn audit_folder(path: &Path) -> String {
    format!("\n[audit]\nfolder = \"{}\"\n", path.display())
}

/// AU02: a full disk denies, reads too; a slow one is `a_disk_that_hangs_denies` of the store.
#[test]
fn a_full_disk_denies_and_is_left_behind_when_there_is_room() {
    let folder = crate::bed::folder::RUN.join("small-disk");
    let Some(disk) = Disk::new(folder, "1m") else { return };
    let audit = disk.0.join("audit");
    let started = Bed::start_with("audit-full", |setup| {
        let folder = setup.own_policies();
        setup.policies(&folder).also(audit_folder(&audit))
    });
    let Some(bed) = started else { return };
    let mut raw = bed.raw("reporting");
    let mut refusal = Vec::new();
    let passed = (0..50_000).take_while(|number| {
        let replies = raw.query(&format!("select 1 as p{number}"));
        let through = raw::tags(&replies).contains('C');
        if !through {
            refusal = replies;
        }
        through
    });
    let passed = passed.count();
    assert!((100..50_000).contains(&passed), "{passed} passed");
    // In the words of the protocol, and with the code that says what to look at.
    let said: String = refusal.iter().map(|message| message.field(b'M') + &message.field(b'D')).collect();
    assert!(said.contains("PAR0210") || said.contains("audit log"), "{said}");
    // The session may have ended with it.
    let still = raw.try_send(&raw::query("select 1 as still"));
    assert!(!still || !raw::tags(&raw.until_ready()).contains('C'));
    // What the log cannot name is not put into force.
    let loaded = || bed.gateway.log().matches("configuration loaded").count();
    let before = loaded();
    let more = bed.folder.join("policies/more.cedar");
    replace(&more, "@id(\"more\") forbid (principal, action in Action::\"destroy\", resource);");
    wait::until("the policy to be read", Duration::from_secs(30), || {
        bed.gateway.log().contains("does not take its entry").then_some(())
    });
    assert_eq!(loaded(), before);
    disk.remount("size=64m");
    wait::until("the log to take entries again", Duration::from_secs(30), || {
        let mut raw = Raw::try_log_in(bed.gateway.postgres(), "reporting", &bed.token("reporting")).ok()?;
        raw::tags(&raw.query("select 1 as again")).contains('C').then_some(())
    });
    // It is as soon as the log can, without another change of its file.
    wait::until("the policy to be in force", Duration::from_secs(30), || (loaded() > before).then_some(()));
    let text: String = fs::read_dir(&audit)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .map(|entry| String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned())
        .collect();
    assert!(text.contains("audit reopen"), "the recovery is an entry");
    assert_eq!(text.matches("\"loaded\"").count(), loaded() + 1, "each configuration that was in force is an entry");
    let executed = bed.postgres.executed().iter().filter(|sql| sql.contains("select 1 as p")).count();
    assert_eq!(executed, passed);
    assert_eq!(verify(&audit).0, 0, "{}", verify(&audit).1);
    drop(bed);
}

#[test]
fn a_disk_that_cannot_be_written_stops_the_start_with_the_reason() {
    let folder = crate::bed::folder::RUN.join("read-only-disk");
    let Some(disk) = Disk::new(folder, "4m") else { return };
    let audit = disk.0.join("audit");
    let Some(mut bed) = Bed::start_with("audit-read-only", |setup| setup.also(audit_folder(&audit))) else { return };
    bed.gateway.stop();
    disk.remount("ro");
    let started = bed.gateway.cli(&["serve", "-c", "parapet.toml"]);
    assert!(started.code != 0 && started.err.contains("audit log") && started.err.contains("read-only"), "{started:?}");
    disk.remount("rw");
    bed.gateway.restart();
    assert!(raw::tags(&bed.raw("reporting").query("select 1")).contains('C'));
}

/// AU12: no second process takes a sequence of the first. Every node has a log, and a name, of its own.
#[test]
fn one_process_writes_a_folder() {
    let Some(bed) = Bed::start("audit-two") else { return };
    let second = bed.gateway.cli(&["serve", "-c", "parapet.toml"]);
    assert!(second.code != 0 && second.err.contains("another process writes this audit log"), "{second:?}");
    assert!(raw::tags(&bed.raw("reporting").query("select 1")).contains('C'), "the first goes on");
}

#[test]
fn a_torn_last_page_is_put_aside_and_entered() {
    let Some(mut bed) = Bed::start("audit-torn") else { return };
    bed.raw("reporting").query("select 1");
    bed.gateway.kill();
    let segment = bed.gateway.segments().pop().unwrap();
    let whole = fs::read(&segment).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut file = fs::File::create(&segment).unwrap();
    file.write_all(&whole[..used]).unwrap();
    // A record whose last page never reached the disk.
    let begun = b"999999 0000000000000000000000000000000000000000000000000000000000000000 {\"v\":1,\"at\":\"20";
    file.write_all(begun).unwrap();
    file.write_all(&[0; 4096]).unwrap();
    drop(file);
    bed.gateway.restart();
    assert_eq!(verify(&bed.gateway.audit()).0, 0, "{}", verify(&bed.gateway.audit()).1);
    assert!(bed.gateway.entries().iter().any(|entry| entry["action"] == "audit recover"));
    let kept = fs::read_dir(bed.gateway.audit()).unwrap().flatten();
    assert!(kept.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|extension| extension == "torn")));
}
