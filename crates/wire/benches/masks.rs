//! The cost of masks.

fn main() {}
