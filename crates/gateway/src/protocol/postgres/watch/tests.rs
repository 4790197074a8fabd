//! Which rows are looked at, how often a finding is entered, and what stands for a value.

use super::*;

#[test]
fn some_rows_of_some_results_are_looked_at() {
    let looked = |due: bool, masks: bool, rows: u64| -> Vec<u64> {
        let watch = Watch { due, masks, fields: None, looking: None };
        (0..rows).filter(|row| watch.wants(*row)).collect()
    };
    assert_eq!(looked(true, false, 200), [0, 1, 2, 3, 4, 5, 6, 7, 64, 128, 192]);
    assert_eq!(looked(false, false, 400), [256, 320, 384]);
    assert_eq!(looked(true, true, 100).len(), 100);
    assert_eq!(looked(true, false, 100_000).len(), 8 + 100_000 / 64);
}

#[test]
fn requests_are_looked_at_in_turn() {
    let due = |mode: Detect| {
        let watchers = Watchers::new(mode).unwrap();
        (0..64).filter(|_| watchers.next().due).count()
    };
    assert_eq!((due(Detect::Signal), due(Detect::Mask)), (19, 64));
    assert!(Watchers::new(Detect::Off).is_none());
}

#[test]
fn a_finding_is_entered_once_in_an_hour_with_what_came_since() {
    let watchers = Watchers::new(Detect::Signal).unwrap();
    let column = |name: &str| [Arc::from("public"), Arc::from("notes"), Arc::from(name)];
    for (minute, name, kind, expected) in [
        (0, "body", Kind::Email, Some((2, 10))),
        (1, "body", Kind::Email, None),
        (2, "body", Kind::Iban, Some((2, 10))),
        (2, "title", Kind::Email, Some((2, 10))),
        (59, "body", Kind::Email, None),
        (60, "body", Kind::Email, Some((6, 30))),
        (61, "body", Kind::Email, None),
    ] {
        let now = Timestamp::from_millis(minute * 60_000);
        assert_eq!(watchers.due_entry((column(name), kind), 2, 10, now), expected, "{minute} {name}");
    }
}

#[test]
fn what_stands_for_a_value_is_of_its_type() {
    for (type_oid, type_modifier, binary, expected) in [
        (25, -1, false, Some(&b"[redacted]"[..])),
        (1043, -1, false, Some(b"[redacted]")),
        (1043, 14, true, Some(b"[redacted]")),
        (1043, 13, true, None),
        (1042, 24, false, None),
        (3802, -1, true, Some(b"\x01\"[redacted]\"")),
        (114, -1, true, Some(b"\"[redacted]\"")),
        (1009, -1, false, None),
        (1700, -1, false, None),
    ] {
        let column = [Arc::from("s"), Arc::from("t"), Arc::from("c")];
        let watched = Watched { place: 0, column, type_oid, type_modifier, binary };
        assert_eq!(watched.instead(), expected, "{type_oid} {type_modifier}");
    }
}
