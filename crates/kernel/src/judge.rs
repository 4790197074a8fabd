//! Placeholder until the policy module is complete.
