//! The catalogue of a database that does not exist: tables as `schema.sql` defines them, and PostgreSQL's most used functions.
//!
//! The rows have the form that a server gives to `wire::sql`'s queries, so that the same reader builds the catalogue.

use wire::sql::{Catalogue, CatalogueRow};

use crate::policy_test::ddl::Table;
use crate::policy_test::file::{UpstreamEntry, Volatility};

/// Types by the names that people write, with their object ids (PostgreSQL's `pg_type.dat`).
const TYPES: [(&str, &str, u32); 30] = [
    ("bool", "bool", 16),
    ("boolean", "bool", 16),
    ("bytea", "bytea", 17),
    ("bigint", "int8", 20),
    ("int8", "int8", 20),
    ("smallint", "int2", 21),
    ("int2", "int2", 21),
    ("int", "int4", 23),
    ("integer", "int4", 23),
    ("int4", "int4", 23),
    ("text", "text", 25),
    ("json", "json", 114),
    ("xml", "xml", 142),
    ("cidr", "cidr", 650),
    ("real", "float4", 700),
    ("float4", "float4", 700),
    ("double", "float8", 701),
    ("float8", "float8", 701),
    ("inet", "inet", 869),
    ("char", "bpchar", 1042),
    ("varchar", "varchar", 1043),
    ("date", "date", 1082),
    ("time", "time", 1083),
    ("timetz", "timetz", 1266),
    ("timestamp", "timestamp", 1114),
    ("timestamptz", "timestamptz", 1184),
    ("interval", "interval", 1186),
    ("numeric", "numeric", 1700),
    ("uuid", "uuid", 2950),
    ("jsonb", "jsonb", 3802),
];

/// Functions of `pg_catalog` by their volatility. What is in neither list and not in the file is not known, and refused.
const IMMUTABLE: &str = "abs array_agg array_length avg bool_and bool_or btrim ceil ceiling char_length count date_part \
date_trunc decode dense_rank encode every extract first_value floor initcap json_agg json_build_object json_object_agg \
jsonb_agg jsonb_build_object lag last_value lead left length lower lpad ltrim make_date max md5 min mod ntile nth_value \
octet_length overlay position power rank regexp_match regexp_matches regexp_replace repeat replace reverse right round \
row_number rpad rtrim sha256 sign split_part sqrt starts_with stddev string_agg strpos substr substring sum translate \
trim trunc unnest upper variance width_bucket generate_series to_hex";
const STABLE: &str = "age concat concat_ws current_database current_schema current_setting format now pg_get_viewdef \
quote_literal row_to_json statement_timestamp to_char to_date to_json to_jsonb to_number to_timestamp \
transaction_timestamp version has_table_privilege pg_table_is_visible format_type obj_description";
const VOLATILE: &str = "clock_timestamp currval dblink gen_random_uuid lastval lo_export lo_import nextval \
pg_advisory_lock pg_cancel_backend pg_ls_dir pg_notify pg_read_binary_file pg_read_file pg_reload_conf pg_sleep \
pg_stat_file pg_terminate_backend query_to_xml random set_config setval timeofday txid_current";
const SETS: [&str; 4] = ["generate_series", "regexp_matches", "unnest", "pg_ls_dir"];

/// The major version that tests assume.
const SERVER: u32 = 17;

/// Builds the catalogue of a test's upstream.
pub(super) fn build(upstream: &UpstreamEntry, tables: &[Table]) -> Result<Catalogue, String> {
    let mut relations = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let oid = (16_384 + index).to_string();
        for (number, (column, written)) in table.columns.iter().enumerate() {
            let Some((_, type_name, type_oid)) = TYPES.iter().find(|(known, _, _)| known == written) else {
                return Err(format!("table `{}`: type `{written}` of column `{column}` is not known here", table.name));
            };
            let (number, type_oid) = ((number + 1).to_string(), type_oid.to_string());
            let [schema, name] = [&table.schema, &table.name].map(String::as_str);
            relations.push(row([schema, name, &oid, "r", &number, column, &type_oid, type_name, "f", "f"]));
        }
    }
    let mut functions = Vec::new();
    for (names, volatility) in [(IMMUTABLE, "i"), (STABLE, "s"), (VOLATILE, "v")] {
        for name in names.split_ascii_whitespace() {
            let returns_set = if SETS.contains(&name) { "t" } else { "f" };
            functions.push(function("pg_catalog", name, volatility, "internal", returns_set));
        }
    }
    for (written, volatility) in &upstream.functions {
        let (schema, name) = qualified(written);
        let volatility = match volatility {
            Volatility::Immutable => "i",
            Volatility::Stable => "s",
            Volatility::Volatile => "v",
        };
        functions.push(function(schema, name, volatility, "plpgsql", "f"));
    }
    Catalogue::from_rows(&upstream.database, SERVER, 1, &relations, &[], &functions).map_err(|error| error.to_string())
}

fn qualified(written: &str) -> (&str, &str) {
    written.split_once('.').unwrap_or(("public", written))
}

fn function(schema: &str, name: &str, volatility: &str, language: &str, returns_set: &str) -> CatalogueRow {
    let mut values = row([schema, name, volatility, language, returns_set, "f", "f"]);
    values.push(None);
    values
}

fn row<const N: usize>(values: [&str; N]) -> CatalogueRow {
    values.into_iter().map(|value| Some(value.to_owned())).collect()
}
