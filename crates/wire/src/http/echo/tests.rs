//! Values in answers: wherever they stand, however they are written and the answer is cut, and nothing else is touched.

use proptest::prelude::*;

use super::*;

fn echoes(values: &[&str]) -> Arc<Echoes> {
    let mut echoes = Echoes::default();
    values.iter().for_each(|value| echoes.add(value));
    Arc::new(echoes)
}

/// What leaves of an answer that comes in these pieces, and how many values were found.
fn searched(echoes: &Arc<Echoes>, pieces: &[&[u8]]) -> (String, u32) {
    let mut search = Search::new(echoes).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(search.pass(Bytes::copy_from_slice(piece)));
    }
    out.extend(search.finish(Bytes::new()));
    assert_eq!((search.held(), search.finish(Bytes::new()).len()), (0, 0));
    (String::from_utf8(out).unwrap(), search.found())
}

/// In an answer, what of these values stands between the marks is overwritten, and so many are found.
const CASES: [(&[&str], &str, u32); 31] = [
    (&["canary-1"], "nothing", 0),
    (&["canary-1"], "", 0),
    (&["canary-1"], "⟨canary-1⟩", 1),
    (&["canary-1"], "a ⟨canary-1⟩ b", 1),
    (&["canary-1"], "canary-⟨canary-1⟩⟨canary-1⟩canary-", 2),
    (&["canary-1"], "ca⟨canary-1⟩, at the end: cana", 1),
    // Overlaps, of a value with itself and with another, and one in the other's beginning.
    (&["ababab"], "x⟨abababab⟩x", 2),
    (&["abcdefg", "efghijk"], "-⟨abcdefghijk⟩-", 2),
    (&["abcdefg", "efghijk"], "-⟨abcdefg⟩hij-", 1),
    (&["xxabcdefyy", "abcdef"], "⟨xxabcdefyy⟩ xx⟨abcdef⟩y ⟨abcdef⟩", 4),
    (&["canary-1", "canary-22"], "⟨canary-22⟩,⟨canary-1⟩,canary-2", 2),
    // As JSON writes them: all of it or a part, in PHP, .NET, Java and Go.
    (&["key+a/b"], r#"["⟨key+a/b⟩","⟨key+a\/b⟩"]"#, 2),
    (&["key+a/b"], r#"["⟨key\u002Ba/b⟩","⟨key\u002ba/b⟩"]"#, 2),
    (&["key+a/b"], r#"["⟨key\u002Ba\/b⟩","⟨key+a\u002fb⟩"]"#, 2),
    (&["a2V5LWtleQ=="], r#"{"k":"⟨a2V5LWtleQ\u003d\u003d⟩"}"#, 1),
    (&["k<e>y&'1"], r#""⟨k\u003ce\u003ey\u0026'1⟩" "⟨k<e>y&\u00271⟩""#, 2),
    (&[r#"say"it\"#], r#"⟨say"it\⟩ or "⟨say\"it\\⟩""#, 2),
    (&[r"\\\\\\"], r"⟨\\\\\\\\\\\\⟩ ⟨\\\\\\⟩", 8),
    // What is no letter of ASCII: as it is, in units of UTF-16, in bytes.
    (&["pässword"], r"⟨pässword⟩ ⟨p\u00e4ssword⟩ ⟨p%C3%A4ssword⟩", 3),
    (&["key-😀"], r"⟨key-\uD83D\uDE00⟩ ⟨key-%f0%9f%98%80⟩ ⟨key-&#x1f600;⟩", 3),
    // A hyphen, which some escape, and in JavaScript.
    (
        &["1f0c-77aa+"],
        r"⟨1f0c-77aa+⟩ ⟨1f0c\u002D77aa\x2b⟩ ⟨1f0c\-77aa+⟩ ⟨1f0c\x2d77aa\\x2B⟩ ⟨1f0c%2d77aa%2B⟩ ⟨1f0c&#45;77aa+⟩",
        6,
    ),
    // In a URI or a form, and in HTML.
    (&["key+a/b c"], "?k=⟨key%2Ba%2Fb%20c⟩&k=⟨key%2ba/b+c⟩", 2),
    (&["key+a/b="], "<b>⟨key+a&#x2F;b&#x3D;⟩</b>⟨key&#43;a/b&#61;⟩", 2),
    (&["'k\"e<y>&"], "⟨&#039;k&quot;e&lt;y&gt;&amp;⟩ ⟨&apos;k&#34;e<y>&⟩", 2),
    // In JSON within JSON, and in a URI within a URI.
    (&["key+a/\"b"], r#"{"m":"{\"⟨key\\u002ba\\/\\\"b⟩\"}","n":"{\"⟨key+a\\\/\\\"b⟩\"}"}"#, 2),
    (&["key+a/b"], "?to=%2Fme%3Fk=⟨key%252Ba%252fb⟩", 1),
    // Only what has an end that may go on waits for it.
    (&["canary&"], "⟨canary&⟩ ⟨canary&⟩am ⟨canary&amp;⟩", 3),
    // None of it is what nobody escapes. That one is found twice: behind its first backslash, too.
    (&["//++=="], r"a⟨//++==⟩ ⟨\/\/%2b+==⟩ //+=", 3),
    // What follows is an end of a value's only as a whole.
    (&["key+a/b"], r"key+a\ key+a\u002 key%2", 0),
    // Another letter case is another value.
    (&["canary/1"], "Canary/1 ⟨canary%2F1⟩ CANARY%2F1", 1),
    // Too short to be looked for.
    (&["short", "canary-1"], "short ⟨canary-1⟩", 1),
];

/// A case's answer, and what becomes of it.
fn unmarked(marked: &str) -> (String, String) {
    let parts = marked.split(['⟨', '⟩']).enumerate();
    let stars = parts.map(|(at, part)| if at % 2 == 1 { "*".repeat(part.len()) } else { part.to_owned() });
    (marked.replace(['⟨', '⟩'], ""), stars.collect())
}

#[test]
fn values_are_overwritten_wherever_an_answer_is_cut() {
    for (values, marked, found) in CASES {
        let echoes = echoes(values);
        let (text, expected) = unmarked(marked);
        let expected = (expected, found);
        assert_eq!(searched(&echoes, &[text.as_bytes()]), expected, "{text}");
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(searched(&echoes, &bytes), expected, "{text}, byte by byte");
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let (begin, rest) = text.as_bytes().split_at(first);
                let (middle, end) = rest.split_at(second - first);
                assert_eq!(searched(&echoes, &[begin, middle, b"", end]), expected, "{text}, cut at {first}, {second}");
            }
        }
        // In one piece, without a stream.
        assert_eq!(echoes.are_in(text.as_bytes()), found > 0, "{text}");
        let mut search = Search::new(&echoes).unwrap();
        let mut whole = text.as_bytes().to_vec();
        search.overwrite(&mut whole);
        assert_eq!((String::from_utf8(whole).unwrap(), search.found()), expected, "{text}");
    }
}

/// How somebody may write a value: each character in any of its ways.
fn written(value: &str, choices: &[usize]) -> Vec<u8> {
    let ways = |(char, choice): (char, &usize)| {
        let ways = if char.is_ascii_alphanumeric() { vec![char.to_string().into_bytes()] } else { ways(char) };
        ways[choice % ways.len()].clone()
    };
    value.chars().zip(choices.iter().cycle()).flat_map(ways).collect()
}

proptest! {
    #[test]
    fn no_way_of_writing_and_no_cut_lets_a_value_out(
        value in "[a-z0-9/+=&%\\\\\"é -]{6,20}",
        choices in prop::collection::vec(0..16usize, 1..20),
        around in ["[a-z\\\\%&/ ]{0,12}", "[a-z\\\\%&/ ]{0,12}"],
        cuts in prop::collection::vec(0..200usize, 0..6),
    ) {
        let said = written(&value, &choices);
        let text = [around[0].as_bytes(), &said, around[1].as_bytes()].concat();
        let echoes = echoes(&[&value]);
        let (whole, found) = searched(&echoes, &[&text]);
        prop_assert!(found > 0 && whole.len() == text.len());
        prop_assert!(whole.as_bytes()[around[0].len()..][..said.len()].iter().all(|byte| *byte == b'*'), "{whole}");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        prop_assert_eq!(searched(&echoes, &pieces), (whole, found));
    }
}

proptest! {
    #[test]
    fn what_may_be_a_beginning_is_held(
        value in "[a-z0-9/+=&%\\\\\"é -]{6,20}",
        choices in prop::collection::vec(0..16usize, 1..20),
        before in "[a-z\\\\%&/ \"]{0,12}",
    ) {
        let text = [before.as_bytes(), &written(&value, &choices)].concat();
        let echoes = echoes(&[&value]);
        for end in 0..=text.len() {
            let open = echoes.open(&text[..end]);
            prop_assert!(end - open < echoes.values[0].longest);
            for begin in 0..open {
                let begins = echoes.values[0].begins(&text[begin..end], false);
                prop_assert!(!matches!(begins, Begins::Perhaps), "{begin}, {open}, {end}");
            }
        }
    }
}

#[test]
fn the_last_letters_are_held_and_only_until_the_next_byte_decides() {
    let mut search = Search::new(&echoes(&["canary 1"])).unwrap();
    // The longest way to write its blank: `\\u0020`.
    let most = "canary1".len() + 7 - 1;
    for (chunk, leaves, held) in [
        ("data: 1\n\n", "data: 1\n\n", 0),
        (r#"{"a":["b"]}"#, r#"{"a":["b"]}"#, 0),
        ("data,can", "data,", 3),
        ("", "", 3),
        ("ary", "", 6),
        ("!\n\n", "canary!\n\n", 0),
        ("canary ", "", 7),
        ("1", "", 8),
        ("\n", "********\n", 0),
        ("other", "", 5),
        ("canary 1c", "o", most),
        ("\n", "thercanary 1c\n", 0),
    ] {
        let expected = leaves.replace("canary 1", "********");
        assert_eq!(search.pass(Bytes::from(chunk)), expected, "{chunk}");
        assert_eq!(search.held(), held, "{chunk}");
    }
    assert_eq!((search.finish(Bytes::from("can")).as_ref(), search.found()), (&b"can"[..], 2));
    // What follows the last of a text is another.
    assert_eq!(search.finish(Bytes::from("ary 1")), "ary 1");
}

#[test]
fn how_much_is_held_tells_nothing_of_a_value() {
    let value = "k7-Zq9.w+4/xT2==";
    let echoes = echoes(&[value, "other: canary"]);
    let lengths = |pieces: &[&str]| -> Vec<usize> {
        let mut search = Search::new(&echoes).unwrap();
        let mut leaves: Vec<usize> =
            pieces.iter().map(|piece| search.pass(Bytes::from(piece.to_string())).len()).collect();
        leaves.push(search.finish(Bytes::new()).len());
        leaves
    };
    for length in 1..=value.len() {
        let (right, _) = value.split_at(length);
        let (begin, _) = value.split_at(length - 1);
        for wrong in ["q", "K", "-", "%", "7"] {
            // Wrong in all of it, and in its last byte only.
            for guess in [wrong.repeat(length), format!("{begin}{wrong}")] {
                for before in ["", "\n", "you said ", "x%", "k7-"] {
                    let (told, other) = (format!("{before}{right}"), format!("{before}{guess}"));
                    for after in ["", "\n", "Z", "\\u002b"] {
                        let same = lengths(&[&told, after]) == lengths(&[&other, after]);
                        assert!(same, "{told:?}, {other:?}, {after:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_holds_nothing_is_not_copied() {
    let mut search = Search::new(&echoes(&["canary-1"])).unwrap();
    let chunk = Bytes::from(vec![b'\n'; 4096]);
    assert_eq!(search.pass(chunk.clone()).as_ptr(), chunk.as_ptr());
    let held = Bytes::from("an end that is held: canary");
    assert_eq!(search.pass(held.clone()).as_ptr(), held.as_ptr());
}

#[test]
fn without_a_value_there_is_no_search() {
    assert!(Search::new(&echoes(&[])).is_none());
    assert!(Search::new(&echoes(&["short", ""])).is_none());
    assert!(Search::new(&Arc::default()).is_none());
}

#[test]
fn a_search_does_not_show_what_it_seeks() {
    let echoes = echoes(&["canary-1", "canary-1", "canary-2"]);
    let mut search = Search::new(&echoes).unwrap();
    search.pass(Bytes::from("canary-"));
    assert!(!format!("{search:?}").contains("canary"));
    assert_eq!(format!("{echoes:?}"), "Echoes(2)");
}
