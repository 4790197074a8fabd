//! A permit is entered once.

use parapet_kernel::audit::Pending;
use parapet_kernel::time::Timestamp;
use parapet_kernel::verdict::Permit;

pub fn enter(pending: &mut Pending, permit: Permit, now: Timestamp) {
    pending.permit(permit, now);
    pending.permit(permit, now);
}

fn main() {}
