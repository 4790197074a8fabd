//! PostgreSQL's own functions whose volatility does not say what they do: the harmless ones and the dangerous ones, by
//! name (hazards PL10, PL11).

/// Volatile built-ins that do nothing beyond a value, and the sequence functions: `nextval` moves a counter, which every
/// INSERT into a serial column does unasked. Releasing one's own advisory locks is harmless, taking them is not.
pub(super) fn is_harmless(name: &str) -> bool {
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
pub(super) fn administers(name: &str) -> bool {
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
