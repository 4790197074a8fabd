//! Lines of COPY under a mask, in each layout that the server can write, and cut in every way.

use std::sync::Arc;

use kernel::verdict::Mask;
use proptest::prelude::*;

use super::super::{MaskKey, MaskPlan};
use super::CopyMask;
use crate::sql::tests::understood;

fn copied(sql: &str, mask: Mask) -> CopyMask {
    let analysis = understood(sql);
    let is_ssn = |path: &[Arc<str>]| path.get(2..).is_some_and(|path| path == ["users".into(), "ssn".into()]);
    let places = analysis.operations.iter().enumerate().filter(|(_, operation)| is_ssn(&operation.resource.path));
    let masks: Vec<_> = places.map(|(place, _)| (place, mask, Arc::from("pii"))).collect();
    let plan = MaskPlan::new(&analysis, &analysis.statements[0], &masks);
    let plan = plan.unwrap_or_else(|why| panic!("{sql}: {why:?}")).unwrap_or_else(|| panic!("{sql}"));
    plan.copied(&Arc::new(MaskKey::new(&[7; 32])))
}

fn run(sql: &str, mask: Mask, pieces: &[&[u8]]) -> Option<String> {
    let mut copy = copied(sql, mask);
    let mut out = Vec::new();
    for piece in pieces {
        copy.push(piece, &mut out).ok()?;
    }
    copy.finish().ok()?;
    String::from_utf8(out).ok()
}

const COLUMNS: &str = "COPY (SELECT id, ssn, name FROM users) TO STDOUT";

#[test]
fn every_layout_mk06() {
    for (options, mask, lines, expect) in [
        ("", Mask::Last4, "1\t123-45-6789\tx\n", Some("1\t*******6789\tx\n")),
        ("", Mask::Last4, "1\t\\N\tx\n", Some("1\t\\N\tx\n")),
        ("", Mask::Null, "1\t123\tx\n", Some("1\t\\N\tx\n")),
        ("", Mask::Last4, "1\t1234\\t567\\\\9\tx\\ty\n", Some("1\t******67\\\\9\tx\\ty\n")),
        ("", Mask::Last4, "1\t123-45-6789\n", None),
        ("", Mask::Last4, "1\t123\t4\t5\n", None),
        ("", Mask::Last4, "1\t123-45-6789\tx", None),
        ("", Mask::Redact, "1\t1\tx\n2\t2\ty\n", Some("1\t[redacted]\tx\n2\t[redacted]\ty\n")),
        ("(DELIMITER ';')", Mask::Last4, "1;12345\\;789;x\n", Some("1;*****\\;789;x\n")),
        ("(NULL 'none')", Mask::Null, "1\t123\tnone\n", Some("1\tnone\tnone\n")),
        ("(HEADER)", Mask::Redact, "id\tssn\tname\n1\t1\tx\n", Some("id\tssn\tname\n1\t[redacted]\tx\n")),
        ("(FORMAT csv)", Mask::Last4, "1,123-45-6789,x\n", Some("1,*******6789,x\n")),
        ("(FORMAT csv)", Mask::Last4, "1,,x\n", Some("1,,x\n")),
        ("(FORMAT csv)", Mask::Last4, "1,\"\",x\n", Some("1,\"\",x\n")),
        ("(FORMAT csv)", Mask::Null, "1,\"a\",x\n", Some("1,,x\n")),
        ("(FORMAT csv)", Mask::Last4, "1,\"a\n\"\"b,c\"\"defg\",\"x\ny\"\n", Some("1,\"*******defg\",\"x\ny\"\n")),
        ("(FORMAT csv)", Mask::Last4, "1,\"abcdef,\"\"g\",x\n", Some("1,\"*****f,\"\"g\",x\n")),
        (
            "(FORMAT csv, HEADER)",
            Mask::Redact,
            "id,\"s\nsn\",name\n1,1,x\n",
            Some("id,\"s\nsn\",name\n1,[redacted],x\n"),
        ),
        ("(FORMAT csv, FORCE_QUOTE *)", Mask::Redact, "\"1\",\"1\",\"x\"\n", Some("\"1\",\"[redacted]\",\"x\"\n")),
        (
            "(FORMAT csv, QUOTE '''', ESCAPE '\\')",
            Mask::Last4,
            "1,'a\\'\nb\\\\c,defg',x\n",
            Some("1,'*******defg',x\n"),
        ),
        ("(FORMAT csv, DELIMITER '|', NULL 'NULL')", Mask::Null, "1|a|\"NULL\"\n", Some("1|NULL|\"NULL\"\n")),
        ("(FORMAT csv, NULL '[redacted]')", Mask::Redact, "1,a,x\n", Some("1,\"[redacted]\",x\n")),
        ("(FORMAT csv, ENCODING 'utf-8')", Mask::Last4, "1,äöüßäöüß,x\n", Some("1,****äöüß,x\n")),
        ("(FORMAT csv)", Mask::Redact, "1,a\n", None),
        ("(FORMAT csv)", Mask::Redact, "1,a,b,c\n", None),
        ("(FORMAT csv)", Mask::Redact, "1,\"a,b,c\n", None),
    ] {
        let came = run(&format!("{COLUMNS} {options}"), mask, &[lines.as_bytes()]);
        assert_eq!(came.as_deref(), expect, "{options} {lines}");
    }
}

/// A field as the server writes it in CSV (`CopyAttributeOutCSV`).
fn csv(value: Option<&str>, forced: bool) -> String {
    match value {
        None => String::new(),
        Some(value) if forced || value.is_empty() || value == "\\." || value.contains([',', '"', '\n', '\r']) => {
            format!("\"{}\"", value.replace('"', "\"\""))
        }
        Some(value) => value.to_owned(),
    }
}

/// A field as the server writes it in text.
fn plain(value: Option<&str>) -> String {
    let Some(value) = value else { return "\\N".to_owned() };
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")
}

proptest! {
    /// Whatever the values are, and wherever the stream is cut: the same bytes, no secret, and what is not masked as it was.
    #[test]
    fn any_split_gives_the_same_bytes(
        rows in prop::collection::vec((0_u32..100, prop::option::of("[a-z,\"\\\\\n\t;'äö]{9,20}"), prop::option::of("[A-Z,\"\\\\\n\t;'.]{0,6}")), 1..6),
        is_csv in any::<bool>(),
        forced in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let lines = |masked: bool| -> String {
            rows.iter()
                .map(|(id, ssn, name)| {
                    let ssn = if masked { ssn.as_deref().map(|_| "[redacted]") } else { ssn.as_deref() };
                    let (id, name) = (id.to_string(), name.as_deref());
                    if is_csv {
                        let quoted = |value: Option<&str>| csv(value, forced);
                        format!("{},{},{}\n", quoted(Some(&id)), quoted(ssn), quoted(name))
                    } else {
                        format!("{id}\t{}\t{}\n", plain(ssn), plain(name))
                    }
                })
                .collect()
        };
        let options = match (is_csv, forced) {
            (true, true) => "(FORMAT csv, FORCE_QUOTE *)",
            (true, false) => "(FORMAT csv)",
            (false, _) => "",
        };
        let sql = format!("{COLUMNS} {options}");
        let stream = lines(false).into_bytes();
        let whole = run(&sql, Mask::Redact, &[&stream]).unwrap();
        let unquoted = whole.replace("\"[redacted]\"", "[redacted]");
        prop_assert_eq!(unquoted, lines(true).replace("\"[redacted]\"", "[redacted]"));
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(run(&sql, Mask::Redact, &pieces), Some(whole.clone()));
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(run(&sql, Mask::Redact, &bytes), Some(whole));
    }

    #[test]
    fn no_stream_panics(stream in "[a-c,\"\\\\\n\t]{0,40}", is_csv in any::<bool>()) {
        let options = if is_csv { "(FORMAT csv)" } else { "" };
        if let Some(out) = run(&format!("{COLUMNS} {options}"), Mask::Redact, &[stream.as_bytes()]) {
            prop_assert_eq!(out.is_empty(), stream.is_empty());
        }
    }
}
