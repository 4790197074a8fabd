//! Hazard PL10, whole: every volatile built-in function of each major is called through the gateway, with NULL for each
//! argument. All are refused but those that are listed here.

use std::collections::BTreeSet;

use crate::bed::postgres::Server;

use super::corpus::Form;
use super::exchange::{Came, send_sql};
use super::world::World;

/// Volatile, and let through: clocks, chance, sizes, positions of the log, the release of one's own locks, and the next value
/// of a sequence, which whoever inserts draws.
const HARMLESS: [&str; 27] = [
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_current_wal_lsn",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
];

/// One call of each volatile function of `pg_catalog` that SQL can call.
const CALLS: &str = "select p.proname || ' ' || format('select pg_catalog.%I(%s)', p.proname,
        (select string_agg('null::' || format_type(a, null), ', ' order by n)
         from unnest(p.proargtypes::oid[]) with ordinality as u(a, n)))
    from pg_proc p
    where p.provolatile = 'v' and p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'w')
        and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype, 'language_handler'::regtype)
        and not exists (select from unnest(p.proargtypes::oid[]) as a where a in ('internal'::regtype, 'cstring'::regtype))
    order by p.oid";

fn call_all(server: Server) {
    let setup = |_major| vec!["create table tripwire (n int)".to_owned()];
    let Some(world) = World::with("hazards-functions", server, "", &[], setup) else { return };
    let calls = world.bed.postgres.sql(CALLS);
    let mut raw = world.bed.raw("reporting");
    let mut passed = BTreeSet::new();
    for call in calls.lines() {
        let (name, sql) = call.split_once(' ').unwrap();
        let mut came = Came::default();
        send_sql(&mut raw, Form::Simple, sql, &mut came);
        if !came.is_refused() {
            passed.insert(name);
        }
        if came.closed {
            raw = world.bed.raw("reporting");
        }
    }
    let count = calls.lines().count();
    eprintln!("PL10 on {}: {count} volatile functions called, {} not refused: {passed:?}", world.major, passed.len());
    assert!(count > 200, "only {count} were found");
    let unknown: Vec<_> = passed.iter().filter(|name| !HARMLESS.contains(name)).collect();
    assert!(unknown.is_empty(), "not refused: {unknown:?}");
}

#[test]
fn volatile_functions_are_refused_on_the_systems_postgres() {
    call_all(Server::System);
}

#[test]
fn volatile_functions_are_refused_on_the_second_major() {
    call_all(Server::Second);
}
