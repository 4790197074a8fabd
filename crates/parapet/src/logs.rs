//! The operators' log, on stderr: text for a terminal, JSON for everything else. `PARAPET_LOG` sets what is shown, as in
//! `info` or `parapet_gateway=debug`. It is not the audit log, and nothing in the audit log comes from it.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts the log; `default` is shown unless `PARAPET_LOG` says otherwise.
pub(crate) fn start(default: &str) {
    let wanted = crate::config::variable("PARAPET_LOG").unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    // A second start changes nothing.
    let _already_started = if terminal { log.try_init() } else { log.json().flatten_event(true).try_init() };
}
