//! The spine's proofs: programs that must not compile, each beside a twin that does and differs in the one thing.
//!
//! The twins are modules of this test, so they compile if it does. The others are tried by trybuild, because a
//! `compile_fail` doctest passes for any error, typos included. After a change of wording:
//! `TRYBUILD=overwrite cargo test -p parapet-kernel --test proofs`, and read what changed.
#![expect(dead_code, unreachable_pub, reason = "the twins are compiled, never run")]

use std::collections::BTreeSet;

#[path = "proofs/pass/clone_grant.rs"]
mod clone_grant;
#[path = "proofs/pass/clone_permit.rs"]
mod clone_permit;
#[path = "proofs/pass/clone_receipt.rs"]
mod clone_receipt;
#[path = "proofs/pass/enter_twice.rs"]
mod enter_twice;
#[path = "proofs/pass/forge_authenticated.rs"]
mod forge_authenticated;
#[path = "proofs/pass/forge_permit.rs"]
mod forge_permit;
#[path = "proofs/pass/forge_receipt.rs"]
mod forge_receipt;
#[path = "proofs/pass/grant_twice.rs"]
mod grant_twice;
#[path = "proofs/pass/judge_for_another.rs"]
mod judge_for_another;
#[path = "proofs/pass/send_on_a_denial.rs"]
mod send_on_a_denial;
#[path = "proofs/pass/send_twice.rs"]
mod send_twice;
#[path = "proofs/pass/send_without_receipt.rs"]
mod send_without_receipt;

fn names(folder: &str) -> BTreeSet<String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proofs").join(folder);
    let Ok(entries) = std::fs::read_dir(path) else { return BTreeSet::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect()
}

#[test]
fn every_program_has_its_twin() {
    assert_eq!(names("fail"), names("pass"));
    let source = include_str!("proofs.rs");
    let absent: Vec<_> = names("pass").into_iter().filter(|name| !source.contains(&format!("mod {name};"))).collect();
    assert!(absent.is_empty(), "twins that are not compiled: {absent:?}");
}

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/proofs/fail/*.rs");
}
