//! The template cache.

/// The cache.
#[derive(Debug)]
pub struct Templates;
