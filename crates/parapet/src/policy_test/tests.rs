//! Policy tests find what is wrong, and pass what is right.

use super::*;

#[test]
fn the_shipped_packs_pass() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let mut count = 0;
    for pack in std::fs::read_dir(packs).unwrap() {
        let report = run(&[pack.unwrap().path()], None).unwrap();
        assert_eq!(report.failed(), 0, "{}", shown(&report));
        assert!(!report.outcomes.is_empty());
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn tables_are_read_from_their_definitions() {
    let text = "-- a comment; with ( and '\n/* another */ CREATE TABLE IF NOT EXISTS \"Odd Name\" (\n\
                id bigint PRIMARY KEY, amount numeric(10, 2) DEFAULT (1 + 2), at timestamp with time zone,\n\
                note character varying(20) DEFAULT 'a, b) ; --', CONSTRAINT c CHECK (id > 0), PRIMARY KEY (id), UNIQUE (id, at)\n);\n\
                create table audit.Log (Line text);";
    let tables = ddl::tables(text).unwrap();
    let shown: Vec<String> =
        tables.iter().map(|table| format!("{}.{} {:?}", table.schema, table.name, table.columns)).collect();
    assert_eq!(
        shown,
        [
            r#"public.Odd Name [("id", "bigint"), ("amount", "numeric"), ("at", "timestamptz"), ("note", "varchar")]"#,
            r#"audit.log [("line", "text")]"#,
        ]
    );
    for text in [
        "DROP TABLE a",
        "CREATE VIEW v AS SELECT 1;",
        "CREATE TABLE a",
        "CREATE TABLE a (id int",
        "CREATE TABLE a ('x int);",
        "CREATE TABLE a ();",
    ] {
        assert!(ddl::tables(text).is_err(), "{text}");
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy_test/testdata").join(name)
}

fn shown(report: &Report) -> String {
    let text = report.text(true).replace(&folder("").display().to_string(), "");
    anstream::adapter::strip_str(&text).to_string()
}

#[test]
fn right_policies_pass() {
    let report = run(&[folder("shop")], None).unwrap();
    assert_eq!(report.failed(), 0, "{}", shown(&report));
    insta::assert_snapshot!(shown(&report));
}

#[test]
fn each_wrong_expectation_is_told() {
    let report = run(&[folder("failing")], None).unwrap();
    assert_eq!(report.failed(), 2);
    insta::assert_snapshot!(shown(&report));
}

#[test]
fn tests_are_chosen_by_name() {
    let report = run(&[folder("shop")], Some("drop")).unwrap();
    let names: Vec<&str> = report.outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
    assert_eq!(names, ["agents cannot drop tables"]);
}

#[test]
fn a_misspelt_expectation_is_a_mistake() {
    let text = std::fs::read_to_string(folder("shop").join(TESTS)).unwrap().replacen("masks: {}", "mask: {}", 1);
    let path = std::env::temp_dir().join(format!("parapet-tests-{}.yaml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let read = file::read::<Vec<Test>>(&path);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(read, Err(TestFileError::Malformed { .. })));
}
