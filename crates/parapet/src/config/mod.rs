//! Configuration: `parapet.toml` in layers, strict, with every mistake reported at once.
//!
//! `keys.rs` lists every key; `raw.rs` reads and merges the layers and remembers where each value stands; `checked/`
//! parses the values into the types that wiring hands out. Beyond wiring no part of the product sees a `Configuration`,
//! only its own small struct. Secrets are never in the configuration: it says where they are.

pub(crate) mod checked;
pub(crate) mod explain;
pub(crate) mod keys;
mod layers;
pub(crate) mod problem;
mod raw;
mod value;

pub(crate) use checked::Configuration;
pub(crate) use layers::{Sources, variable};
pub(crate) use problem::Problems;
pub(crate) use raw::Raw;
pub(crate) use value::{duration, timestamp};

/// Reads, merges and checks: the configuration, or every mistake in it.
pub(crate) fn load(sources: Sources) -> Result<Configuration, Problems> {
    let mut problems = Vec::new();
    let raw = Raw::read(sources, &mut problems);
    match checked::check(&raw, &mut problems) {
        Some(configuration) if problems.is_empty() => Ok(configuration),
        _ => Err(Problems::new(problems, raw.into_sources())),
    }
}

#[cfg(test)]
mod tests;
