//! The template cache.
