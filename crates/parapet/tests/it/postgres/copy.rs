//! COPY both ways, and cursors.

use crate::bed::Bed;
use crate::bed::clients::{Driver, environment, psql_command, run, run_with, skip_without_driver, step};
use crate::bed::raw;

#[test]
fn copy_out_is_masked() {
    let Some(bed) = Bed::start("copy-out") else { return };
    let mut raw = bed.raw("reporting");
    let copies = [
        "copy customers (id, card) to stdout",
        "copy (select id, card from customers order by id) to stdout",
        "copy (select id, card as innocent from customers order by id) to stdout",
    ];
    for copy in copies {
        let replies = raw.query(copy);
        let data: Vec<u8> =
            replies.iter().filter(|reply| reply.tag == b'd').flat_map(|reply| reply.body.clone()).collect();
        let text = String::from_utf8(data).unwrap();
        assert_eq!(text.lines().count(), 2000, "{copy}: {}", raw::tags(&replies));
        assert!(text.lines().all(|line| line.contains("************")), "{copy}: {:?}", text.lines().next());
        assert!(!text.contains("4111"), "{copy}");
    }
    // Other formats are masked too, or refused: never in clear.
    for format in ["binary", "csv"] {
        let replies = raw.query(&format!("copy customers (id, card) to stdout (format {format})"));
        assert!(replies.iter().all(|reply| !String::from_utf8_lossy(&reply.body).contains("4111")), "{format}");
    }
    assert_eq!(raw::tags(&raw.query("select 1")), "TDCZ");
}

#[test]
fn copy_in() {
    let Some(bed) = Bed::start("copy-in") else { return };
    let rows: String = (1..=5000).map(|id| format!("{id}\tnote {id}\n")).collect();
    let ran = run_with(&mut psql_command(&bed, "reporting", &["-c", "copy notes from stdin"]), &rows);
    assert_eq!((ran.code, ran.out.trim()), (0, "COPY 5000"), "{ran:?}");
    assert_eq!(bed.postgres.sql("select count(*) from notes"), "5000");
    // Data that the server refuses is its own error, and the session goes on.
    let ran =
        run_with(&mut psql_command(&bed, "reporting", &["-c", "copy notes from stdin", "-c", "select 1"]), "x\ty\n");
    assert!(ran.err.contains("22P02") && ran.out.contains('1'), "{ran:?}");
}

#[test]
fn copy_by_drivers() {
    let Some(bed) = Bed::start("copy-drivers") else { return };
    let cases = [(Driver::Psycopg, "psycopg_copy.py"), (Driver::Asyncpg, "asyncpg_copy.py")];
    for (driver, script) in cases {
        bed.postgres.sql("delete from notes");
        let Some(mut command) = skip_without_driver(driver, script) else { continue };
        let ran = run(environment(&bed, "reporting", &mut command));
        assert_eq!((ran.code, ran.out.trim()), (0, "in=1000 out=2000 clear=0"), "{driver:?}: {ran:?}");
    }
}

#[test]
fn cursors_are_masked() {
    let Some(bed) = Bed::start("copy-cursors") else { return };
    for driver in Driver::ALL {
        let steps = [
            step("begin"),
            step("declare c cursor for select id, card as innocent from customers order by id"),
            step("fetch 2 from c"),
            step("fetch all from c"),
            step("close c"),
            step("commit"),
        ];
        let Some(came) = driver.steps(&bed, "reporting", &steps) else { continue };
        assert_eq!(came[2].rows(), [["1", "************0001"], ["2", "************0002"]], "{driver:?}");
        assert_eq!(came[3].rows().len(), 1998, "{driver:?}");
        assert!(came[3].rows().iter().all(|row| row[1].starts_with("************")), "{driver:?}");
    }
}
