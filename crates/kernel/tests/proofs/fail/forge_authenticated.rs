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
    Ok(Authenticated { workload: workload.name.clone(), evidence: shown.evidence().clone(), until: None })
}

fn main() {}
