//! The binary `parapet`: reads the command line, runs the command, and exits with its code.
//!
//! It decides nothing and knows no protocol. `cli/` has a file for each noun, `config/` reads `parapet.toml`, and
//! `wiring.rs` joins the crates.

mod admin;
mod audit;
mod certificates;
mod classes;
mod cli;
mod clock;
mod config;
mod demo;
mod descriptors;
mod dev;
mod dev_issuer;
mod dry_run;
mod egress;
mod http;
mod kept_key;
mod listening;
mod logs;
mod parts;
mod pdp;
mod policy_test;
mod recorded;
mod rekey;
mod reload;
mod signals;
mod snapshots;
mod suggest;
mod task_house;
mod transmit;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

/// The SQL grammar and its trees recurse; memory is taken only as a stack grows.
const WORKER_STACK: usize = 16 << 20;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(WORKER_STACK).enable_all().build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = cli::exit::Failure::from(error).help("the system gave no threads or no file descriptors");
            cli::output::show_failure(&cli::globals::Globals::default(), &failure);
            return failure.exit.into();
        }
    };
    runtime.block_on(cli.execute()).into()
}
