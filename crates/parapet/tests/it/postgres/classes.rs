//! Classes from four sources, on both servers: comments, labels, configuration, people. What is suggested, who decides, and
//! when it bites; what detectors see in results; budgets of questions.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::bed::clients::psql;
use crate::bed::folder::Folder;
use crate::bed::gateway::{Gateway, Setup};
use crate::bed::issuer::Issuer;
use crate::bed::postgres::{Postgres, Server};
use crate::bed::raw::{self, errors};
use crate::bed::{Bed, wait};

const POLICIES: &str = r#"
@id("all") permit (principal, action, resource);
@id("pii-is-masked") @mask("partial")
forbid (principal, action == Action::"sql:select", resource is Column)
when { resource.classes.contains("pii") } unless { principal in Group::"pii-readers" };
@id("cards-are-masked") @mask("last4")
forbid (principal, action == Action::"sql:select", resource is Column)
when { resource.classes.contains("pci") };
@id("no-guessing")
forbid (principal, action == Action::"sql:infer", resource is Column)
when { resource.classes.contains("pii") && context.inference != "equality" };
@id("few-questions") @limit("per=3/1h") @reason("three look-ups an hour are enough")
forbid (principal, action == Action::"sql:infer", resource is Column)
when { resource.classes.contains("pii") && context.inference == "equality" };
@id("few-writes") @limit("per=1/1h")
forbid (principal == Workload::"deploy", action == Action::"sql:update", resource is Table);
@id("people-look") @approve("dba")
forbid (principal == Workload::"triage-bot", action == Action::"sql:update", resource is Table);
"#;

/// A guarded shop on one of the servers, without classes in its configuration.
fn start(server: Server, name: &str, upstream_also: &str) -> Option<Bed> {
    let folder = Folder::new(&format!("{name}-{server:?}").to_lowercase());
    let postgres = Postgres::start_on(server, &folder)?;
    let issuer = Issuer::new(&folder);
    let policies = folder.make("class-policies");
    std::fs::write(Path::new(&policies).join("classes.cedar"), POLICIES).unwrap();
    let setup = Setup::new(&folder, &postgres, &issuer).policies(Path::new(&policies)).classes(String::new());
    let gateway = Gateway::start(setup.upstream_also(upstream_also.to_owned()));
    Some(Bed { gateway, postgres, issuer, folder })
}

/// The only cell of a query's result.
fn shown(raw: &mut raw::Raw, sql: &str) -> String {
    let came = raw.query(sql);
    assert!(errors(&came).is_empty(), "{sql}: {came:?}");
    let row = came.iter().find(|message| message.tag == b'D').unwrap_or_else(|| panic!("{sql}: no row"));
    String::from_utf8(row.body[6..].to_vec()).unwrap()
}

/// Waits until what the reporting workload sees is this.
fn until_shown(raw: &mut raw::Raw, sql: &str, expected: &str) {
    wait::until(&format!("{expected} to be shown"), Duration::from_secs(20), || {
        (shown(raw, sql) == expected).then_some(())
    });
}

fn listed(bed: &Bed, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> =
        ["upstreams", "classes", "shop-db"].into_iter().chain(arguments.iter().copied()).chain(["--json"]).collect();
    let ran = bed.gateway.cli(&arguments);
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
    serde_json::from_str::<Value>(&ran.out).unwrap()["items"].as_array().unwrap().clone()
}

/// What the list says of a column: classes with their sources, masks, suggestions.
fn told(items: &[Value], column: &str) -> String {
    let Some(item) = items.iter().find(|item| item["column"] == column) else { return "-".to_owned() };
    let mut text = String::new();
    for class in item["classes"].as_array().unwrap() {
        write!(text, "{} by {}; ", class["class"], class["source"]).unwrap();
    }
    for mask in item["masks"].as_array().into_iter().flatten() {
        let workloads = mask["workloads"].as_array().unwrap().len();
        write!(text, "{} for {workloads}; ", mask["policy"]).unwrap();
    }
    for suggestion in item["suggestions"].as_array().unwrap() {
        write!(text, "{} by {} {}; ", suggestion["class"], suggestion["origin"], suggestion["detector"]).unwrap();
    }
    text.trim_end_matches("; ").replace('"', "")
}

const EMAIL: &str = "select email from customers where id = 7";
const CARD: &str = "select card from customers where id = 7";
const LABEL: &str = "set allow_system_table_mods = on; insert into pg_seclabel
    select 'public.customers'::regclass, 1259, attnum, 'PROVIDER', 'pci' from pg_attribute
    where attrelid = 'public.customers'::regclass and attname = 'card'";

#[test]
fn comments_and_labels_bite_on_open_connections_and_cannot_be_taken_away() {
    for server in [Server::System, Server::Second] {
        let Some(bed) = start(server, "classes-declared", "label_providers = [\"classes\"]") else { continue };
        let mut raw = bed.raw("reporting");
        assert_eq!(
            (shown(&mut raw, EMAIL), shown(&mut raw, CARD)),
            ("customer7@example.com".to_owned(), "4111111111110007".to_owned())
        );
        bed.postgres.sql("comment on column customers.email is 'Where to write to. @class(pii, contact)'");
        until_shown(&mut raw, EMAIL, "c***@e***.com");
        // A provider that nobody asked for counts for nothing; the one that is asked for does.
        bed.postgres.sql(&LABEL.replace("PROVIDER", "other"));
        bed.postgres.sql(&LABEL.replace("PROVIDER", "classes"));
        until_shown(&mut raw, CARD, "************0007");
        let items = listed(&bed, &[]);
        assert_eq!(
            (told(&items, "public.customers.email"), told(&items, "public.customers.card")),
            (
                "contact by comment; pii by comment; pii-is-masked for 3".to_owned(),
                "pci by label; cards-are-masked for 4".to_owned()
            )
        );
        // Who sees the values masked does not take the class away; who sees them in clear may.
        for statement in [
            "comment on column customers.email is null",
            "comment on column public.customers.email is '@class(none)'",
            "comment on column shop.public.customers.email is 'harmless'",
        ] {
            assert_eq!(errors(&raw.query(statement)).len(), 1, "{server:?} {statement}");
        }
        assert!(errors(&raw.query("comment on column customers.name is 'harmless'")).is_empty());
        assert_eq!(shown(&mut raw, EMAIL), "c***@e***.com");
        let mut auditor = bed.raw("auditor");
        let came = auditor.query("comment on column customers.email is null");
        assert!(errors(&came).is_empty(), "{came:?}");
        until_shown(&mut raw, EMAIL, "customer7@example.com");
        // A table's comment holds for its columns.
        bed.postgres.sql("comment on table customers is '@class(pii)'");
        until_shown(&mut raw, "select name from customers where id = 7", "C***");
    }
}

#[test]
fn people_confirm_and_reject_what_is_suggested() {
    for server in [Server::System, Server::Second] {
        let Some(mut bed) = start(server, "classes-suggested", "") else { continue };
        bed.postgres.sql(
            "set role parapet; insert into notes select n, 'paid by ' || n || ', write to pat' || n || '@example.org'
             from generate_series(1, 40) as n; create table closed (secret text); revoke all on closed from parapet;
             create table wide (\"it's \"\"odd\"\".x\" text); insert into wide values ('DE89370400440532013000')",
        );
        let mut raw = bed.raw("reporting");
        assert!(errors(&raw.query("select 1 from wide")).is_empty());
        let ran = bed.gateway.cli(&["upstreams", "classes", "shop-db", "--scan"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains("1 could not be read by the gateway's login"), "{ran:?}");
        assert!(!ran.out.contains("pat1@") && !ran.out.contains("DE8937"), "{ran:?}");
        let items = listed(&bed, &[]);
        for (column, expected) in [
            ("public.customers.email", "pii by scan email"),
            ("public.customers.card", "pci by scan payment-card"),
            ("public.customers.name", "-"),
            ("public.notes.body", "pii by scan email"),
            ("public.closed.secret", "secret by name null"),
            ("public.wide.it's \"odd\".x", "pii by scan iban"),
            ("public.orders.status", "-"),
        ] {
            assert_eq!(told(&items, column), expected, "{server:?} {column}");
        }
        assert_eq!(told(&listed(&bed, &["--all"]), "public.orders.status"), "");
        // It bites on a connection that is open, at the next statement.
        assert_eq!(shown(&mut raw, EMAIL), "customer7@example.com");
        let decide = |verb: &str, column: &str, class: &str| {
            bed.gateway.cli(&["upstreams", "classes", verb, "shop-db", column, class, "--reason", "seen"]).code
        };
        assert_eq!(decide("confirm", "public.customers.email", "pii"), 0);
        assert_eq!(shown(&mut raw, EMAIL), "c***@e***.com");
        assert_eq!(decide("reject", "public.notes.body", "pii"), 0);
        assert_eq!(decide("confirm", "public.wide.\"it's \"\"odd\"\".x\"", "pii"), 0);
        for (column, class) in
            [("public.customers.emial", "pii"), ("customers.email", "pii"), ("public.customers.email", "p i")]
        {
            assert_ne!(decide("confirm", column, class), 0, "{column} {class}");
        }
        let nobody = bed.gateway.cli_as(
            "dana@example.com",
            &["upstreams", "classes", "confirm", "shop-db", "public.customers.name", "pii"],
        );
        assert_ne!(nobody.code, 0, "{nobody:?}");
        let items = listed(&bed, &["--scan"]);
        assert_eq!(told(&items, "public.customers.email"), "pii by confirmed; pii-is-masked for 3");
        assert_eq!(told(&items, "public.notes.body"), "-");
        // People's decisions outlive the gateway.
        bed.gateway.kill();
        bed.gateway.restart();
        let mut raw = bed.raw("reporting");
        assert_eq!(shown(&mut raw, EMAIL), "c***@e***.com");
        assert_eq!(decide_again(&bed, "reject", "public.customers.email"), 0);
        assert_eq!(shown(&mut raw, EMAIL), "customer7@example.com");
        let acts: Vec<String> = bed
            .gateway
            .entries()
            .iter()
            .filter(|entry| entry["kind"] == "admin")
            .map(|entry| format!("{} {} {}", entry["by"], entry["action"], entry["object"]).replace('"', ""))
            .filter(|act| act.contains("classes c") || act.contains("classes r"))
            .collect();
        let root = "root@example.com upstreams classes";
        assert!(acts.contains(&format!("{root} confirm shop-db public.customers.email pii")), "{acts:?}");
        assert!(acts.contains(&format!("{root} reject shop-db public.notes.body pii")), "{acts:?}");
        assert!(acts.contains(&"dana@example.com refused upstreams classes confirm".to_owned()), "{acts:?}");
    }
}

fn decide_again(bed: &Bed, verb: &str, column: &str) -> i32 {
    bed.gateway.cli(&["upstreams", "classes", verb, "shop-db", column, "pii", "--reason", "test data"]).code
}

const NOTES: &str = "set role parapet; create table mixed (id int primary key, body text, short varchar(5), doc jsonb, amount numeric);
    insert into mixed select n, case when n % 3 = 0 then 'write to pat' || n || '@example.org' else 'call back' end, 'ok',
        jsonb_build_object('to', 'kim@example.org'), 4111111111111111 from generate_series(1, 300) as n";

#[test]
fn values_that_look_sensitive_are_entered_by_count_and_suggested() {
    for server in [Server::System, Server::Second] {
        let Some(bed) = start(server, "classes-signal", "") else { continue };
        bed.postgres.sql(NOTES);
        let mut raw = bed.raw("reporting");
        assert!(errors(&raw.query("select 1 from mixed")).is_empty());
        for _ in 0..3 {
            let came = raw.query("select body as text, short, amount from mixed order by id");
            assert_eq!(came.iter().filter(|message| message.tag == b'D').count(), 300);
        }
        // The next request carries what was found before into the log.
        assert!(errors(&raw.query("select 1")).is_empty());
        let found: Vec<String> = bed
            .gateway
            .entries()
            .iter()
            .filter(|entry| entry["kind"] == "detected")
            .map(|entry| {
                format!(
                    "{} {} {} {} of {} to {}",
                    entry["column"],
                    entry["detector"],
                    entry["class"],
                    entry["hits"],
                    entry["samples"],
                    entry["workload"]
                )
                .replace('"', "")
            })
            .collect();
        // Rows 0 to 7, 64, 128, 192 and 256; the same again is not entered for an hour.
        assert_eq!(
            found,
            [
                "public.mixed.body email pii 3 of 12 to reporting",
                "public.mixed.amount payment-card pci 12 of 12 to reporting"
            ],
            "{server:?}"
        );
        assert!(!bed.gateway.entries().iter().any(|entry| entry.to_string().contains("@example.org")));
        let items = listed(&bed, &[]);
        assert_eq!(told(&items, "public.mixed.body"), "pii by results email");
        assert_eq!(told(&items, "public.mixed.amount"), "pci by results payment-card");
        // Off: nothing is looked at.
        drop(bed);
        let Some(bed) = start(server, "classes-off", "detect = \"off\"") else { continue };
        bed.postgres.sql(NOTES);
        let mut raw = bed.raw("reporting");
        raw.query("select * from mixed order by id");
        raw.query("select * from mixed order by id");
        assert!(!bed.gateway.entries().iter().any(|entry| entry["kind"] == "detected"));
    }
}

#[test]
fn values_that_look_sensitive_are_replaced_where_it_is_said() {
    for server in [Server::System, Server::Second] {
        let Some(bed) = start(server, "classes-masked", "detect = \"mask\"") else { continue };
        bed.postgres.sql(NOTES);
        let mut raw = bed.raw("reporting");
        assert!(errors(&raw.query("select 1 from mixed")).is_empty());
        let ran = psql(
            &bed,
            "reporting",
            &["-c", "select id, body, short, doc, amount, upper(body) from mixed order by id limit 3"],
        );
        assert_eq!(
            ran.out.lines().collect::<Vec<_>>(),
            [
                "1|call back|ok|\"[redacted]\"||CALL BACK",
                "2|call back|ok|\"[redacted]\"||CALL BACK",
                "3|[redacted]|ok|\"[redacted]\"||[redacted]",
            ],
            "{server:?} {ran:?}"
        );
        // Every row, in binary, described or not, and by cursor.
        for format in [0_u8, 1] {
            raw.send(&raw::message(b'P', &[b"s\0", b"select body, doc from mixed order by id", b"\0\0\0"]));
            for _ in 0..2 {
                raw.send(&raw::message(b'B', &[b"\0s\0", b"\0\0\0\0\0\x01\0", &[format]]));
                raw.send(&raw::message(b'E', &[b"\0", b"\0\0\0\0"]));
            }
            raw.send(&raw::message(b'C', &[b"Ss\0"]));
            raw.send(&raw::sync());
            let came = raw.until_ready();
            assert_eq!(came.iter().filter(|message| message.tag == b'D').count(), 600, "{server:?} {format}");
            for message in &came {
                assert!(
                    !String::from_utf8_lossy(&message.body).contains("@example.org"),
                    "{server:?} {format} {message:?}"
                );
            }
        }
        let came =
            raw.query("begin; declare c cursor for select * from mixed; fetch 50 from c; fetch all from c; commit");
        assert_eq!(came.iter().filter(|message| message.tag == b'D').count(), 300);
        assert!(came.iter().all(|message| !String::from_utf8_lossy(&message.body).contains("@example.org")));
    }
}

#[test]
fn questions_are_counted_over_sessions_and_refused_when_used_up() {
    let Some(bed) = start(Server::System, "classes-budget", "") else { return };
    bed.postgres
        .sql("comment on column customers.email is '@class(pii)'; comment on column customers.name is '@class(pii)'");
    let mut first = bed.raw("reporting");
    until_shown(&mut first, EMAIL, "c***@e***.com");
    let mut second = bed.raw("reporting");
    let ask = |raw: &mut raw::Raw, column: &str, value: &str| {
        let came = raw.query(&format!("select id from customers where {column} = '{value}'"));
        let said = came.iter().find(|message| message.tag == b'E');
        said.map(|error| format!("{} {}", error.field(b'C'), error.field(b'M'))).unwrap_or_default()
    };
    // Preparing is free; each run counts, whichever session runs it.
    first.send(&raw::message(b'P', &[b"q\0", b"select id from customers where email = $1", b"\0\0\0"]));
    first.send(&raw::sync());
    assert!(errors(&first.until_ready()).is_empty());
    for (number, value) in ["a@b.c", "customer7@example.com"].into_iter().enumerate() {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        first.send(&raw::message(b'B', &[b"\0q\0", b"\0\0\0\x01", &length, value.as_bytes(), b"\0\0"]));
        first.send(&raw::message(b'E', &[b"\0", b"\0\0\0\0"]));
        first.send(&raw::sync());
        let came = first.until_ready();
        assert!(errors(&came).is_empty(), "{came:?}");
        assert_eq!(came.iter().filter(|message| message.tag == b'D').count(), number);
    }
    assert_eq!(ask(&mut second, "email", "x"), "");
    for raw in [&mut first, &mut second] {
        let refused = ask(raw, "email", "customer8@example.com");
        assert!(refused.starts_with("PP003 budget used up, policy \"few-questions\": "), "{refused}");
        assert!(refused.contains("shop-db/shop.public.customers.email"), "{refused}");
    }
    // Another column, another workload, and what asks nothing have budgets of their own.
    assert_eq!(ask(&mut second, "name", "x"), "");
    assert_eq!(ask(&mut bed.raw("triage-bot"), "email", "x"), "");
    assert_eq!(ask(&mut first, "id", "7"), "");
    // Several guesses in one are no equality.
    let mut deploy = bed.raw("deploy");
    let refused = ask(&mut deploy, "email", "x' or email = 'y");
    assert!(refused.starts_with("42501 blocked by policy \"no-guessing\""), "{refused}");
    let entry = bed.gateway.entries().into_iter().rev().find(|entry| entry["reason"]["why"] == "over_budget").unwrap();
    assert_eq!((&entry["verdict"], &entry["reason"]["policy"]), (&Value::from("deny"), &Value::from("few-questions")));
    // What a mask made is not written, and draws nothing.
    for (value, expected) in
        [("c***@e***.com", "masked_value"), ("[redacted]", "masked_value"), ("a@b.c", ""), ("b@b.c", "over_budget")]
    {
        let came = deploy.query(&format!("update customers set email = '{value}' where id = 7"));
        assert_eq!(errors(&came).is_empty(), expected.is_empty(), "{value}: {came:?}");
        let entry = bed.gateway.entries().into_iter().rev().find(|entry| entry["kind"] == "decision").unwrap();
        assert!(entry["reason"].to_string().contains(expected), "{value}: {entry}");
    }
    // Nor are people asked about it.
    let came = bed.raw("triage-bot").query("update customers set email = '[redacted]' where id = 7");
    assert_eq!(errors(&came), ["PP004"], "{came:?}");
    assert!(!bed.gateway.entries().iter().any(|entry| entry["approval"].is_string()));
}
