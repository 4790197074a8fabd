//! Masks of every type through stock clients: types as they were, values masked, and in no byte on the wire what was planted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::bed::Bed;
use crate::bed::clients::{Driver, environment, psql, run_with, skip_without_driver};
use crate::bed::postgres::Server;
use crate::bed::raw::{self, message};

/// Each mask has a table of its own: `kept_…` is the same table without one.
const MASKS: [&str; 6] = ["null", "redact", "hash", "token", "last4", "partial"];

/// Column, type, and the planted value.
const COLUMNS: [(&str, &str, &str); 19] = [
    ("t", "text", "Canary-Orlando-4417"),
    ("v", "varchar(20)", "CanaryVarchar4418"),
    ("c", "char(12)", "CANARYCHARS"),
    ("n", "numeric(12, 2)", "7349182.55"),
    ("i", "int4", "81726354"),
    ("l", "int8", "918273645546372819"),
    ("f", "float8", "31415926.5"),
    ("o", "bool", "true"),
    ("d", "date", "1987-03-29"),
    ("s", "timestamptz", "1991-07-16 12:34:56.789+00"),
    ("h", "time", "17:41:23.5"),
    ("w", "interval", "3 years 4 mons 5 days 06:07:08"),
    ("u", "uuid", "c0ffee11-2233-4455-8677-8899aabbccdd"),
    ("j", "jsonb", "{\"canary\": \"json-4419\"}"),
    ("a", "text[]", "{CanaryElementOne,\"Canary, Two\"}"),
    ("k", "int4[]", "{74218831,74218832}"),
    ("m", "numeric[]", "{{8361927.25},{8361928.25}}"),
    ("b", "bytea", "\\xca9a97deadbeef0011223344"),
    ("p", "inet", "203.0.113.77"),
];

/// The columns that a mask leaves no value of; see docs/reference/masks.md.
fn nulls(mask: &str) -> Vec<&'static str> {
    match mask {
        "null" => COLUMNS.iter().map(|(name, ..)| *name).collect(),
        "redact" => Vec::new(),
        "last4" => vec!["f", "o", "d", "s", "h", "w", "p"],
        _ => vec!["o", "w"],
    }
}

fn start(server: Server, name: &str) -> Option<Bed> {
    let bed = Bed::start_on(server, &format!("{name}-{server:?}").to_lowercase(), |setup| {
        let folder = setup.own_policies();
        let mut policies = String::new();
        let mut classes = String::new();
        for mask in MASKS {
            let _infallible = writeln!(
                policies,
                "@id(\"m-{mask}\") @mask(\"{mask}\") forbid (principal, action in Action::\"read\", resource is Column) \
                 when {{ resource.classes.contains(\"m-{mask}\") }};"
            );
            let globs: Vec<String> =
                COLUMNS.iter().map(|(column, ..)| format!("\"public.kept_{mask}.{column}\"")).collect();
            let _infallible = writeln!(classes, "m-{mask} = [{}]", globs.join(", "));
        }
        std::fs::write(folder.join("masks.cedar"), policies).unwrap();
        setup.policies(&folder).classes(classes)
    })?;
    for mask in MASKS.into_iter().chain(["clear"]) {
        let columns: Vec<String> = COLUMNS.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
        let values: Vec<String> = COLUMNS.iter().map(|(_, kind, value)| format!("'{value}'::{kind}")).collect();
        let absent = vec!["null"; COLUMNS.len()].join(", ");
        bed.postgres.sql(&format!(
            "set role parapet; create table kept_{mask} (id int primary key, {}); \
             insert into kept_{mask} values (1, {}), (2, {absent})",
            columns.join(", "),
            values.join(", "),
        ));
    }
    // The gateway polls for what others define; a name that it does not know makes it look at once.
    let ran = psql(&bed, "reporting", &["-c", "select count(*) from kept_clear"]);
    assert_eq!((ran.code, ran.out.trim()), (0, "2"), "{ran:?}");
    Some(bed)
}

/// What was planted, as it would stand on the wire: in text, and in binary.
fn canaries(bed: &Bed) -> Vec<(&'static str, Vec<u8>)> {
    let send = |kind: &str| match kind {
        "varchar(20)" => "varcharsend",
        "char(12)" => "bpcharsend",
        "numeric(12, 2)" => "numeric_send",
        "date" | "time" | "interval" | "uuid" | "jsonb" | "inet" => "",
        "timestamptz" => "timestamptz_send",
        "text[]" | "int4[]" | "numeric[]" => "array_send",
        "bool" => "boolsend",
        "int4" => "int4send",
        "int8" => "int8send",
        "float8" => "float8send",
        "bytea" => "byteasend",
        _ => "textsend",
    };
    let mut canaries = Vec::new();
    for (name, kind, _) in COLUMNS.iter().filter(|(name, ..)| *name != "o") {
        let send = match send(kind) {
            "" => format!("{kind}_send"),
            send => send.to_owned(),
        };
        let hex = bed.postgres.sql(&format!(
            "select encode(convert_to({name}::text, 'UTF8'), 'hex') || ' ' || encode({send}({name}), 'hex') \
             from kept_clear where id = 1"
        ));
        for hex in hex.split_whitespace() {
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            let bytes: Vec<u8> = hex.as_bytes().chunks(2).map(byte).collect();
            assert!(bytes.len() >= 4, "{name}: too short to be looked for");
            canaries.push((*name, bytes));
        }
    }
    for inner in ["CanaryElement", "Canary, Two", "74218831", "8361927", "json-4419", "Canary-Orl", "CanaryVar"] {
        canaries.push(("part", inner.as_bytes().to_vec()));
    }
    canaries
}

fn assert_clear_of(canaries: &[(&str, Vec<u8>)], bytes: &[u8], when: &str) {
    for (name, canary) in canaries {
        let found = bytes.windows(canary.len()).any(|window| window == canary);
        assert!(!found, "{when}: what was planted in {name} left: {}", String::from_utf8_lossy(canary));
    }
}

/// For each table and way of reading: rows of cells, each its type and its value.
type Read = BTreeMap<String, BTreeMap<String, Vec<Vec<(String, String)>>>>;

#[test]
fn drivers_see_their_types_and_no_values_mk11_mk12() {
    [Server::System, Server::Second].into_iter().for_each(drivers);
}

fn drivers(server: Server) {
    let Some(bed) = start(server, "masks-drivers") else { return };
    let canaries = canaries(&bed);
    let tables: Vec<String> = MASKS.iter().chain(&["clear"]).map(|mask| format!("kept_{mask}")).collect();
    let input = serde_json::to_string(&tables).unwrap();
    let scripts = [
        (Driver::Psycopg, "psycopg_masks.py"),
        (Driver::Asyncpg, "asyncpg_masks.py"),
        (Driver::NodePostgres, "node_postgres_masks.mjs"),
    ];
    for (driver, script) in scripts {
        let Some(mut command) = skip_without_driver(driver, script) else { continue };
        let ran = run_with(environment(&bed, "reporting", &mut command), &input);
        ran.assert_done();
        let mut read: Read = serde_json::from_str(&ran.out).unwrap();
        let clear = read.remove("kept_clear").unwrap();
        for mask in MASKS {
            let ways = &read[&format!("kept_{mask}")];
            let nulls = nulls(mask);
            assert_clear_of(&canaries, serde_json::to_string(ways).unwrap().as_bytes(), &format!("{driver:?} {mask}"));
            let first = ways.values().next().unwrap();
            for (way, rows) in ways {
                assert_eq!(rows, first, "{driver:?} {mask}: {way} tells something else");
                assert_eq!((rows.len(), &rows[1]), (2, &clear[way][1]), "{driver:?} {mask} {way}: NULL stays NULL");
                for (place, (name, kind, _)) in COLUMNS.iter().enumerate() {
                    let (masked, was) = (&rows[0][place + 1], &clear[way][0][place + 1]);
                    if nulls.contains(name) {
                        assert_eq!(masked.0, "NoneType", "{driver:?} {mask} {way}: {kind} is {masked:?}");
                    } else if *kind == "jsonb" && driver != Driver::Asyncpg {
                        // A document becomes a string, which is a document, too.
                        assert!(["str", "String"].contains(&masked.0.as_str()), "{driver:?} {mask} {way}: {masked:?}");
                    } else {
                        assert_eq!(masked.0, was.0, "{driver:?} {mask} {way}: the type of {kind} changed: {masked:?}");
                    }
                }
            }
        }
    }
}

/// The server itself takes every masked value as one of the column's type, declared length included.
#[test]
fn masked_text_is_valid_for_its_type() {
    [Server::System, Server::Second].into_iter().for_each(valid);
}

fn valid(server: Server) {
    let Some(bed) = start(server, "masks-valid") else { return };
    let canaries = canaries(&bed);
    for mask in MASKS {
        let sql = format!("select * from kept_{mask} where id = 1");
        let ran = psql(&bed, "reporting", &["-P", "null=NULL", "-F", "\u{1f}", "-c", &sql]);
        assert_eq!(ran.code, 0, "{mask}: {ran:?}");
        assert_clear_of(&canaries, ran.out.as_bytes(), &format!("psql {mask}"));
        let values: Vec<&str> = ran.out.trim_end_matches('\n').split('\u{1f}').skip(1).collect();
        assert_eq!(values.len(), COLUMNS.len(), "{mask}: {ran:?}");
        let literals: Vec<String> = values
            .iter()
            .zip(COLUMNS)
            .map(|(value, (_, kind, _))| match *value {
                "NULL" => format!("null::{kind}"),
                value => format!("'{}'", value.replace('\'', "''")),
            })
            .collect();
        // Inserting refuses what is too long, where a cast would cut it.
        bed.postgres.sql(&format!("insert into kept_clear values (10, {}) returning 1", literals.join(", ")));
        bed.postgres.sql("delete from kept_clear where id = 10");
    }
}

/// Simple and extended queries, described and not, in both formats, by row counts and by SQL cursors; and COPY.
#[test]
fn no_planted_byte_leaves_mk06_mk11_mk12_mk13_mk16() {
    [Server::System, Server::Second].into_iter().for_each(bytes);
}

fn bytes(server: Server) {
    let Some(bed) = start(server, "masks-bytes") else { return };
    let canaries = canaries(&bed);
    let mut raw = bed.raw("reporting");
    for mask in MASKS {
        let table = format!("kept_{mask}");
        let check = |replies: &[raw::Message], when: &str| {
            let when = format!("{mask}, {when}");
            for reply in replies {
                assert_clear_of(&canaries, &reply.body, &when);
                assert_ne!(reply.tag, b'E', "{when}: {}", reply.field(b'M'));
            }
        };
        let sql = format!("select * from {table} order by id");
        check(&raw.query(&sql), "simple");
        check(&raw.query(&format!("select m.*, m.id, m.t as x, * from {table} m")), "columns moved and repeated");
        check(
            &raw.query(&format!("begin; declare c cursor for {sql}; fetch 1 from c; fetch all from c; commit")),
            "cursor",
        );
        check(
            &raw.query(&format!("begin; declare c binary cursor for {sql}; fetch 1 from c; fetch 1 from c; commit")),
            "binary cursor",
        );
        raw.send(&message(b'P', &[b"s\0", sql.as_bytes(), b"\0\0\0"]));
        raw.send(&raw::sync());
        check(&raw.until_ready(), "parsed");
        for (described, format) in [(false, 0_u8), (false, 1), (true, 0), (true, 1), (false, 1), (false, 0)] {
            if described {
                raw.send(&message(b'D', &[b"Ss\0"]));
            }
            raw.send(&message(b'B', &[b"p\0s\0", b"\0\0\0\0\0\x01\0", &[format]]));
            raw.send(&message(b'E', &[b"p\0", b"\0\0\0\x01"]));
            raw.send(&message(b'E', &[b"p\0", b"\0\0\0\0"]));
            raw.send(&raw::sync());
            let replies = raw.until_ready();
            check(&replies, &format!("described {described}, format {format}"));
            assert_eq!(replies.iter().filter(|reply| reply.tag == b'D').count(), 2);
        }
        raw.send(&message(b'C', &[b"Ss\0"]));
        raw.send(&raw::sync());
        check(&raw.until_ready(), "closed");
        for options in
            ["", "(format csv)", "(format csv, header, force_quote *, delimiter ';')", "(header, null 'none')"]
        {
            for source in [table.clone(), format!("(select * from {table})"), format!("{table} (p, a, t)")] {
                let replies = raw.query(&format!("copy {source} to stdout {options}"));
                check(&replies, &format!("copy {source} {options}"));
                let lines = replies.iter().filter(|reply| reply.tag == b'd').count();
                assert_eq!(lines, 2 + usize::from(options.contains("header")), "copy {source} {options}");
            }
        }
        let refused = raw.query(&format!("copy {table} to stdout (format binary)"));
        assert_eq!(raw::tags(&refused), "EZ", "{mask}: binary COPY");
        let allowed = raw.query(&format!("copy {table} (id) to stdout (format binary)"));
        check(&allowed, "binary COPY of what is not masked");
        assert!(raw::tags(&allowed).starts_with('H'), "{mask}: {}", raw::tags(&allowed));
    }
}
