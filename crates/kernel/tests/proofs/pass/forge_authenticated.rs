//! Nobody is a workload without a verified attestation and a trust rule. The twin that may.

use parapet_kernel::time::Timestamp;
use parapet_kernel::trust::{Authenticated, IdentityRefusal, Trust, VerifiedAttestation};
use parapet_kernel::workload::Workload;

pub fn log_in(
    trust: &Trust,
    shown: &VerifiedAttestation,
    workload: &Workload,
    now: Timestamp,
) -> Result<Authenticated, IdentityRefusal> {
    trust.authenticate(shown, None, |_| Some(workload), now)
}
