//! The upstream describes another result than the analysis expects: somebody has changed the database past the gateway, which
//! has not seen it yet. Nothing of the result leaves, the session ends, and the log says so (hazards MK14).

use crate::bed::postgres::Server;

use super::corpus::Form;
use super::exchange::{Came, send_sql};
use super::world::World;

/// The gateway may look at the catalogue just then: so often it is tried, each time with another table.
const TRIES: usize = 5;

const FORMS: [Form; 4] = [Form::Simple, Form::Extended, Form::Binary, Form::Copy];

/// The columns of a table change places under an open session.
fn drifts(server: Server) {
    let tables = TRIES * FORMS.len();
    let classes: Vec<String> =
        (0..tables).flat_map(|n| ["a", "b"].map(|column| format!("\"public.drift{n}.{column}\""))).collect();
    let classes = format!("secret = [{}]", classes.join(", "));
    let setup = |_major| {
        let make = |n| {
            format!(
                "create table drift{n} (a text, b text); insert into drift{n} values ('clear', 'Xq7vz4kt9wnb{n:03}')"
            )
        };
        vec![format!("set role parapet; {}", (0..tables).map(make).collect::<Vec<_>>().join("; "))]
    };
    let Some(world) = World::with("hazards-drift", server, &classes, &["drift0.b".to_owned()], setup) else { return };
    let mut superuser = world.bed.postgres.superuser();
    for (form, own) in FORMS.into_iter().zip((0..tables).collect::<Vec<_>>().chunks(TRIES)) {
        let cut = own.iter().any(|n| {
            let mut raw = world.bed.raw("reporting");
            let mut came = Came::default();
            send_sql(&mut raw, form, &format!("select a from drift{n}"), &mut came);
            assert!(came.errors().is_empty(), "{:?}", came.errors());
            superuser.ask(&format!("alter table drift{n} rename a to c; alter table drift{n} rename b to a; select 1"));
            let mut came = Came::default();
            send_sql(&mut raw, form, &format!("select a from drift{n}"), &mut came);
            assert!(!came.text().contains("Xq7vz4kt9wnb"), "{form:?}: {}", came.start());
            came.errors().iter().any(|(_, message)| message.contains("PAR0212")) && came.closed
        });
        // A COPY is not described: its columns are masked by their names alone, and the labels are those names'.
        assert!(cut || form == Form::Copy, "{form:?}: no session was cut");
    }
    let log = world.bed.gateway.log();
    assert!(log.contains("describes another result") && log.contains("catalogue_drift"), "the log does not tell");
    let ends = world.bed.gateway.entries();
    assert!(ends.iter().any(|entry| entry["why"] == "catalogue_drift"), "the audit log does not tell");
}

#[test]
fn another_result_than_expected_never_leaves_on_the_systems_postgres() {
    drifts(Server::System);
}

#[test]
fn another_result_than_expected_never_leaves_on_the_second_major() {
    drifts(Server::Second);
}
