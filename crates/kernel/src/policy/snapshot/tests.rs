//! A snapshot is built whole or not at all.

use super::*;
use crate::testing::{name, parts, snapshot, upstream};

#[test]
fn every_problem_of_policies_and_classes_is_told() {
    let mut parts = parts("permit(principal, action, resource);");
    parts.upstreams.push(upstream("crm-db", &[("customers", "pii"), ("public.customers", "")]));
    let problems: Vec<String> = Snapshot::build(parts)
        .unwrap_err()
        .iter()
        .map(|problem| format!("{} {}", problem.file, problem.code()))
        .collect();
    assert_eq!(problems, ["crm-db PAR0112", "crm-db PAR0112", "test.cedar PAR0103"]);
}

#[test]
fn a_change_of_workloads_parses_nothing_again() {
    let before = snapshot("@id(\"a\") permit(principal, action, resource);");
    let after = before.with_workload_status(7, &name("bot"), WorkloadStatus::Retired).unwrap();
    assert!(Arc::ptr_eq(before.bundle(), after.bundle()));
    assert_eq!((before.epoch(), after.epoch()), (1, 7));
    assert_eq!(before.workload(&name("bot")).unwrap().status, WorkloadStatus::Active);
    assert_eq!(after.workload(&name("bot")).unwrap().status, WorkloadStatus::Retired);
    assert_eq!(after.workloads().count(), 1);
    assert_eq!(after.upstreams().count(), 1);
    assert!(!Arc::ptr_eq(before.mark(), after.mark()));
}
