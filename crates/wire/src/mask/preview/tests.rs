//! What is told of each column.

use std::sync::Arc;

use kernel::verdict::Mask;

use super::{example, preview};
use crate::mask::MaskKey;
use crate::sql::tests::understood;

#[test]
fn each_column_is_told_with_its_lineage() {
    for (sql, expect) in [
        (
            "SELECT id, ssn, upper(ssn), 1 FROM users",
            &[("bare", None), ("bare", Some(Mask::Last4)), ("derived", Some(Mask::Null)), ("clear", None)][..],
        ),
        ("SELECT secret FROM active_users", &[("bare", Some(Mask::Last4))]),
        ("SELECT id FROM users", &[("bare", None)]),
        ("INSERT INTO guess (id) VALUES (1)", &[]),
    ] {
        let analysis = understood(sql);
        let is_ssn = |path: &[Arc<str>]| path.get(2..).is_some_and(|path| path == ["users".into(), "ssn".into()]);
        let places = analysis.operations.iter().enumerate().filter(|(_, operation)| is_ssn(&operation.resource.path));
        let masks: Vec<_> = places.map(|(place, _)| (place, Mask::Last4, Arc::from("pii"))).collect();
        let came = preview(&analysis, &analysis.statements[0], &masks);
        let brief: Vec<_> = came.iter().map(|column| (column.flow, column.mask)).collect();
        assert_eq!(brief, expect, "{sql}");
        for column in came {
            assert_eq!(column.policies.is_empty(), column.mask.is_none(), "{sql}");
            assert_eq!(column.sources.is_empty(), column.flow == "clear", "{sql}");
            if column.mask == Some(Mask::Last4) {
                assert_eq!(column.example, Some(("marie@example.com", Some("*************.com".to_owned()))), "{sql}");
            }
        }
    }
}

/// Every sample is a value that its type's masks understand: none is NULL because it was misread.
#[test]
fn every_type_has_an_example() {
    let key = MaskKey::new(&[1; 32]);
    for oid in [
        25, 19, 1042, 1043, 21, 23, 20, 700, 701, 1700, 16, 1082, 1083, 1114, 1184, 1186, 2950, 114, 3802, 17, 869,
        650, 829, 774, 1009, 1007, 1005, 1016, 1021, 1022, 1231, 1000, 1182, 1183, 1115, 1185, 1187, 2951, 199, 3807,
        1001, 1041, 651, 1040, 775,
    ] {
        let (value, masked) = example(Mask::Redact, oid, &key).unwrap_or_else(|| panic!("{oid}"));
        assert!(masked.is_some_and(|masked| masked != value && !masked.contains("NULL")), "{oid} {value}");
    }
    assert_eq!(example(Mask::Redact, 99_999, &key), None);
}
