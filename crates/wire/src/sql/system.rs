//! System schemas and the relations in them that hold what others did: samples of values, statements, passwords, files.

/// Schemas whose relations describe the database instead of holding its data.
pub(super) fn is_system_schema(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema")
}

/// Relations that an ordinary right to read must not cover (hazards MK05): reading them is `sql:administer`.
/// `pg_stat_statements` lives in whatever schema its extension was put, so the name counts alone.
pub(super) fn is_sensitive(schema: &str, name: &str) -> bool {
    if name.starts_with("pg_stat_statements") || name == "pg_buffercache" {
        return true;
    }
    if schema == "information_schema" {
        return name.starts_with("user_mapping") || name == "_pg_user_mappings";
    }
    schema == "pg_catalog"
        && matches!(
            name,
            "pg_statistic"
                | "pg_statistic_ext_data"
                | "pg_stats"
                | "pg_stats_ext"
                | "pg_stats_ext_exprs"
                | "pg_stat_activity"
                | "pg_stat_replication"
                | "pg_stat_wal_receiver"
                | "pg_stat_subscription"
                | "pg_stat_progress_copy"
                | "pg_authid"
                | "pg_shadow"
                | "pg_user_mapping"
                | "pg_user_mappings"
                | "pg_subscription"
                | "pg_largeobject"
                | "pg_hba_file_rules"
                | "pg_ident_file_mappings"
                | "pg_file_settings"
                | "pg_config"
                | "pg_shmem_allocations"
                | "pg_backend_memory_contexts"
                | "pg_replication_slots"
                | "pg_replication_origin_status"
                | "pg_prepared_statements"
                | "pg_cursors"
        )
}

/// Schemas of temporary objects, which shadow others; the catalogue does not know what is in them.
pub(super) fn is_temporary_schema(schema: &str) -> bool {
    schema == "pg_temp" || schema.starts_with("pg_temp_") || schema.starts_with("pg_toast")
}
