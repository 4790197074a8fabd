//! Which functions merely compute, which policy must know by name, and which run SQL or the server.
//!
//! A function counts as PostgreSQL's own only if no schema of the search path holds one of the same name: with a better
//! match for the argument types it would win over the built-in one (hazards PL14).

use std::sync::Arc;

use kernel::operation::Action;

use super::catalogue::{Catalogue, Volatility};

/// What a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// It computes from its arguments, or looks at what is harmless.
    Computes,
    /// `set_config`, which is SET in another form.
    SetsConfig,
    /// Policy must know it: where it lives, and as what it is judged. Its result is opaque.
    Judged(Arc<str>, Action),
}

/// Volatile built-ins that do nothing beyond a value, and the sequence functions: `nextval` moves a counter, which every
/// INSERT into a serial column does unasked. Releasing one's own advisory locks is harmless, taking them is not.
fn is_harmless(name: &str) -> bool {
    matches!(
        name,
        "random"
            | "random_normal"
            | "clock_timestamp"
            | "timeofday"
            | "gen_random_uuid"
            | "uuidv4"
            | "uuidv7"
            | "nextval"
            | "currval"
            | "lastval"
            | "pg_is_in_recovery"
            | "pg_advisory_unlock"
            | "pg_advisory_unlock_shared"
            | "pg_advisory_unlock_all"
            | "pg_current_xact_id"
            | "txid_current"
            | "pg_relation_size"
            | "pg_table_size"
            | "pg_indexes_size"
            | "pg_total_relation_size"
            | "pg_database_size"
            | "pg_tablespace_size"
            | "pg_relation_filenode"
            | "pg_column_size"
            | "pg_sequence_last_value"
            | "pg_is_wal_replay_paused"
            | "pg_last_wal_receive_lsn"
            | "pg_last_wal_replay_lsn"
            | "pg_current_wal_lsn"
            | "pg_get_serial_sequence"
            | "pg_lock_status"
            | "pg_listening_channels"
            | "pg_notification_queue_usage"
    )
}

/// Functions that run the SQL in their argument, read or write files, reach other servers, show other sessions' work, or
/// steer the server (hazards PL11). Volatility does not tell them apart, so names do.
fn administers(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "lo_",
        "pg_read_",
        "pg_ls_",
        "pg_stat_file",
        "pg_logical_",
        "pg_replication_",
        "pg_create_",
        "pg_drop_",
        "pg_copy_",
        "pg_backup_",
        "pg_wal_replay_",
        "pg_stat_reset",
        "pg_stat_get_activity",
        "pg_stat_get_backend",
        "pg_stat_get_progress",
        "pg_stat_get_subscription",
        "pg_stat_get_wal_",
        "pg_hba_",
        "pg_ident_",
        "pg_show_all_file",
        "pg_control_",
        "binary_upgrade_",
        "dblink",
        "crosstab",
        "connectby",
        "xpath_table",
        "pg_file_",
        "pg_log_backend",
        "pg_export_",
        "pg_import_",
        "pg_restore_",
        "pg_clear_",
        "pg_get_wal_",
        "pg_get_shmem",
        "pg_get_backend",
        "pg_get_replication",
        "pg_mcv_list",
        "pg_start_backup",
        "pg_stop_backup",
        "brin_summarize",
        "brin_desummarize",
        "gin_clean",
        "pg_sync_",
        "pg_get_logical",
        "pg_nextoid",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("_to_xml")
        || name.ends_with("_to_xmlschema")
        || name.ends_with("_to_xml_and_xmlschema")
        || matches!(
            name,
            "ts_stat"
                | "ts_rewrite"
                | "loread"
                | "lowrite"
                | "pg_terminate_backend"
                | "pg_cancel_backend"
                | "pg_reload_conf"
                | "pg_rotate_logfile"
                | "pg_rotate_logfile_old"
                | "pg_promote"
                | "pg_switch_wal"
                | "pg_current_logfile"
                | "pg_config"
                | "pg_cursor"
                | "pg_prepared_statement"
                | "set_config_by_name"
                | "pg_extension_config_dump"
                | "pg_get_multixact_members"
                | "pg_set_attribute_stats"
                | "pg_set_relation_stats"
        )
}

/// What calling `name` is, under the pinned path. The schema is given where the statement qualifies it.
pub(super) fn classify(catalogue: &Catalogue, schema: Option<&str>, name: &str) -> Called {
    let known = catalogue.functions(name);
    let foreign = |candidate: &str| !super::system::is_system_schema(candidate);
    let home = match schema {
        Some(schema) => Arc::from(schema),
        None => known
            .iter()
            .find(|function| foreign(&function.schema) && catalogue.search_path.contains(&function.schema))
            .map(|function| function.schema.clone())
            .or_else(|| known.iter().any(|function| &*function.schema == "pg_catalog").then(|| Arc::from("pg_catalog")))
            .or_else(|| catalogue.search_path.first().cloned())
            .unwrap_or_else(|| Arc::from("public")),
    };
    if administers(name) {
        return Called::Judged(home, Action::SqlAdminister);
    }
    if foreign(&home) {
        return Called::Judged(home, Action::SqlCall);
    }
    if name == "set_config" {
        return Called::SetsConfig;
    }
    let worst = known.iter().filter(|function| function.schema == home).map(|own| own.volatility).max();
    match worst {
        Some(Volatility::Immutable | Volatility::Stable) => Called::Computes,
        Some(Volatility::Volatile) if is_harmless(name) => Called::Computes,
        Some(Volatility::Volatile) | None => Called::Judged(home, Action::SqlCall),
    }
}

/// The columns of a function in FROM: the names of its OUT parameters, or one named like itself, or not known.
pub(super) fn result_columns(catalogue: &Catalogue, schema: Option<&str>, name: &str) -> Option<Vec<Arc<str>>> {
    if name == "unnest" {
        // Of an array of rows it returns more than one column; then the result's width disagrees with ours, and the
        // masks refuse it.
        return Some(Vec::new());
    }
    let mut candidates =
        catalogue.functions(name).iter().filter(|function| schema.is_none_or(|schema| *function.schema == *schema));
    let first = candidates.next()?;
    if candidates.any(|other| other.outputs != first.outputs || other.returns_row != first.returns_row) {
        return None;
    }
    match (first.outputs.as_slice(), first.returns_row) {
        ([], true) => None,
        ([], false) => Some(Vec::new()),
        (names, _) => Some(names.to_vec()),
    }
}
