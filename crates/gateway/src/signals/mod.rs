//! What changes risk while sessions run: threat lists that are refreshed, security events of other parties, and the second look
//! at open sessions when any of it, or a policy, has changed.
//!
//! Whether an event is genuine is `login/security_event.rs`; what follows from it the kernel says, and the store remembers it.

pub mod accept;
pub mod deliver;
pub mod lists;
pub mod poll;
pub mod receive;
pub mod rejudge;
