//! Values in answers: wherever they stand and however the answer is cut, and nothing else is touched.

use super::*;

fn needles(values: &[&str]) -> Arc<Needles> {
    Arc::new(Needles::of(values.iter().map(|value| Zeroizing::new((*value).to_owned()))))
}

/// What leaves of an answer that comes in these pieces, and how many values were found.
fn searched(needles: &Arc<Needles>, pieces: &[&[u8]]) -> (String, u32) {
    let mut search = Search::new(needles).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(search.pass(Bytes::copy_from_slice(piece)));
    }
    out.extend(search.finish());
    assert_eq!((search.held(), search.finish().len()), (0, 0));
    (String::from_utf8(out).unwrap(), search.found())
}

/// In an answer, these values are overwritten so, and so many are found.
const CASES: [(&[&str], &str, &str, u32); 15] = [
    (&["canary-1"], "nothing", "nothing", 0),
    (&["canary-1"], "", "", 0),
    (&["canary-1"], "canary-1", "********", 1),
    (&["canary-1"], "a canary-1 b", "a ******** b", 1),
    (&["canary-1"], "canary-canary-1canary-1canary-", "canary-****************canary-", 2),
    (&["canary-1"], "cacanary-1, at the end: cana", "ca********, at the end: cana", 1),
    // Overlaps, of a value with itself and with another, and one in the other's beginning.
    (&["ababab"], "xababababx", "x********x", 2),
    (&["abcdefg", "efghijk"], "-abcdefghijk-", "-***********-", 2),
    (&["abcdefg", "efghijk"], "-abcdefghij-", "-*******hij-", 1),
    (&["xxabcdefyy", "abcdef"], "xxabcdefyy xxabcdefy abcdef", "********** xx******y ******", 4),
    (&["canary-1", "canary-22"], "canary-22,canary-1,canary-2", "*********,********,canary-2", 2),
    // As JSON writes them.
    (&["key+a/b"], r#"["key+a/b","key+a\/b"]"#, r#"["*******","********"]"#, 2),
    (&["key+a/b"], r#"["key\u002Ba/b","key\u002ba/b"]"#, r#"["************","************"]"#, 2),
    (&[r#"say"it\"#], r#"say"it\ or "say\"it\\""#, r#"******* or "*********""#, 2),
    // Too short to be looked for.
    (&["short", "canary-1"], "short canary-1", "short ********", 1),
];

#[test]
fn values_are_overwritten_wherever_an_answer_is_cut() {
    for (values, text, expected, found) in CASES {
        let needles = needles(values);
        let expected = (expected.to_owned(), found);
        assert_eq!(searched(&needles, &[text.as_bytes()]), expected, "{text}");
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(searched(&needles, &bytes), expected, "{text}, byte by byte");
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let (begin, rest) = text.as_bytes().split_at(first);
                let (middle, end) = rest.split_at(second - first);
                assert_eq!(
                    searched(&needles, &[begin, middle, b"", end]),
                    expected,
                    "{text}, cut at {first}, {second}"
                );
            }
        }
    }
}

#[test]
fn only_what_may_be_a_beginning_is_held_and_only_until_the_next_byte_decides() {
    let mut search = Search::new(&needles(&["canary-1"])).unwrap();
    for (chunk, leaves, held) in [
        ("data: 1\n\n", "data: 1\n\n", 0),
        ("data: can", "data: ", 3),
        ("", "", 3),
        ("ary", "", 6),
        ("!\n\n", "canary!\n\n", 0),
        ("canary-", "", 7),
        ("1", "********", 0),
        ("c", "", 1),
        ("canary-1c", "c********", 1),
    ] {
        assert_eq!(search.pass(Bytes::from(chunk)), leaves, "{chunk}");
        assert_eq!(search.held(), held, "{chunk}");
    }
    assert_eq!((search.finish().as_ref(), search.found()), (&b"c"[..], 2));
}

#[test]
fn what_holds_nothing_is_not_copied() {
    let mut search = Search::new(&needles(&["canary-1"])).unwrap();
    let chunk = Bytes::from(vec![b'x'; 4096]);
    assert_eq!(search.pass(chunk.clone()).as_ptr(), chunk.as_ptr());
    let held = Bytes::from("an end that is held: canary");
    assert_eq!(search.pass(held.clone()).as_ptr(), held.as_ptr());
}

#[test]
fn without_a_value_there_is_no_search() {
    assert!(Search::new(&needles(&[])).is_none());
    assert!(Search::new(&needles(&["short"])).is_none());
    assert!(Search::new(&Arc::default()).is_none());
}

#[test]
fn a_search_does_not_show_what_it_seeks() {
    let mut search = Search::new(&needles(&["canary-1"])).unwrap();
    search.pass(Bytes::from("canary-"));
    assert!(!format!("{search:?}").contains("canary"));
}
