//! Nobody is a workload without a verified attestation and a trust rule.

use parapet_kernel::time::Timestamp;
use parapet_kernel::trust::{Authenticated, IdentityRefusal, Trust, VerifiedAttestation};
use parapet_kernel::workload::Workload;

pub fn log_in(
    _: &Trust,
    shown: &VerifiedAttestation,
    workload: &Workload,
    _: Timestamp,
) -> Result<Authenticated, IdentityRefusal> {
    let (workload, evidence) = (workload.name.clone(), shown.evidence().clone());
    Ok(Authenticated { workload, evidence, until: Default::default(), accepted: Default::default(), once: Vec::new(), provenance: Default::default(), issued: Default::default(), task_life: Default::default() })
}

fn main() {}
