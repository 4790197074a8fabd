//! The detectors against the labelled corpus, with precision and recall; checksums against published numbers; names.
#![expect(clippy::string_slice, reason = "tests know their texts")]

use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;

const CORPUS: &str = include_str!("../../testdata/detect/corpus.tsv");
/// What the detectors must reach over the whole corpus, and each kind by itself, in parts of a thousand.
const RECALL: [u32; 2] = [985, 900];
const PRECISION: [u32; 2] = [980, 850];

/// Validators may look at so many bytes for each byte of the text: `@@@…` is the dearest, a local part and a domain for each.
const COST: usize = 500;

thread_local! {
    /// How many bytes validators have looked at on this thread.
    pub(super) static SPENT: Cell<usize> = const { Cell::new(0) };
}

/// What validators look at in a text, for each byte of it.
fn cost(detector: &Detector, text: &[u8]) -> usize {
    SPENT.with(|spent| spent.set(0));
    detector.scan(&mut detector.scratch(), text, |_| {});
    SPENT.with(Cell::get) / text.len().max(1)
}

fn found(detector: &Detector, text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    detector.scan(&mut detector.scratch(), text.as_bytes(), |hit| hits.push(hit));
    hits
}

/// The kinds that a line is labelled with, and its text.
fn corpus() -> Vec<(Vec<&'static str>, String)> {
    let read = |line: &'static str| {
        let (kinds, text) = line.split_once('\t').unwrap_or_default();
        let text = text.replace('~', "").replace("\\n", "\n").replace("\\t", "\t");
        (kinds.split(',').filter(|kind| *kind != "-").collect(), text)
    };
    CORPUS.lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

#[derive(Default)]
struct Score {
    right: u32,
    missed: u32,
    wrong: u32,
    hinted: u32,
}

impl Score {
    fn recall(&self) -> u32 {
        (self.right * 1000).checked_div(self.right + self.missed).unwrap_or(1000)
    }

    fn precision(&self) -> u32 {
        (self.right * 1000).checked_div(self.right + self.wrong).unwrap_or(1000)
    }

    fn add(&mut self, other: &Self) {
        self.right += other.right;
        self.missed += other.missed;
        self.wrong += other.wrong;
        self.hinted += other.hinted;
    }

    fn line(&self, name: &str) -> String {
        let percent = |thousandths: u32| f64::from(thousandths) / 10.0;
        format!(
            "{name:>18} {:>6} {:>7} {:>6} {:>6} {:>9.1}% {:>6.1}%",
            self.right,
            self.missed,
            self.wrong,
            self.hinted,
            percent(self.precision()),
            percent(self.recall())
        )
    }
}

#[test]
fn precision_and_recall_stay_above_their_floor() {
    let detector = Detector::new().unwrap();
    let mut scores: BTreeMap<&str, Score> = Kind::ALL.iter().map(|kind| (kind.as_str(), Score::default())).collect();
    let corpus = corpus();
    for (labels, text) in &corpus {
        let hits = found(&detector, text);
        for label in labels {
            let score = scores.get_mut(label).unwrap_or_else(|| panic!("no kind is called {label}"));
            if hits.iter().any(|hit| hit.kind.as_str() == *label) {
                score.right += 1;
            } else {
                score.missed += 1;
                println!("missed {label}: {text:?}, found {hits:?}");
            }
        }
        for hit in hits.iter().filter(|hit| !labels.contains(&hit.kind.as_str())) {
            let score = scores.get_mut(hit.kind.as_str()).unwrap();
            if hit.strength == Strength::Hint {
                score.hinted += 1;
            } else {
                score.wrong += 1;
                println!("wrong {}: {text:?}", hit.kind.as_str());
            }
        }
    }
    println!("{} texts", corpus.len());
    println!(
        "{:>18} {:>6} {:>7} {:>6} {:>6} {:>10} {:>7}",
        "kind", "right", "missed", "wrong", "hints", "precision", "recall"
    );
    let mut all = Score::default();
    for (kind, score) in &scores {
        println!("{}", score.line(kind));
        all.add(score);
    }
    println!("{}", all.line("all"));
    for (kind, score) in &scores {
        assert!(score.right + score.missed >= 8, "{kind} has too few examples");
        assert!(score.recall() >= RECALL[1], "recall of {kind}");
        assert!(score.precision() >= PRECISION[1], "precision of {kind}");
    }
    assert!(all.recall() >= RECALL[0] && all.precision() >= PRECISION[0]);
}

#[test]
fn published_numbers_have_their_check_digits() {
    let detector = Detector::new().unwrap();
    for (text, kind) in [
        ("4111 1111 1111 1111", Kind::PaymentCard),
        ("378282246310005", Kind::PaymentCard),
        ("GB82 WEST 1234 5698 7654 32", Kind::Iban),
        ("DE89370400440532013000", Kind::Iban),
        ("86095742719", Kind::DeSteuerId),
        ("2 55 08 14 168 025 38", Kind::FrNir),
        ("111222333", Kind::NlBsn),
        ("44051401359", Kind::PlPesel),
        ("12345678Z", Kind::EsDni),
        ("X1234567L", Kind::EsDni),
        ("RSSMRA85T10A562S", Kind::ItCodiceFiscale),
        ("85.07.30-033.28", Kind::BeNrn),
        ("756.9217.0769.85", Kind::ChAhv),
        ("811228-9874", Kind::SePersonnummer),
        ("529.982.247-25", Kind::BrCpf),
        ("2341 2341 2346", Kind::InAadhaar),
    ] {
        let hits: Vec<_> = found(&detector, text).iter().map(|hit| (hit.kind, hit.start, hit.end)).collect();
        assert_eq!(hits, [(kind, 0, text.len())], "{text}");
        // One digit changed makes another number.
        let last = text.rfind(|character: char| character.is_ascii_digit()).unwrap();
        let digit = u32::from(text.as_bytes()[last] - b'0');
        let other = format!("{}{}{}", &text[..last], (digit + 1) % 10, &text[last + 1..]);
        assert!(found(&detector, &other).iter().all(|hit| hit.kind != kind), "{other}");
    }
}

#[test]
fn hits_tell_where_they_stand() {
    let detector = Detector::new().unwrap();
    let text = "write to pat@example.org or +44 20 7946 0958, card 4111111111111111.";
    let hits: Vec<(&str, &str)> =
        found(&detector, text).iter().map(|hit| (hit.kind.as_str(), &text[hit.start..hit.end])).collect();
    assert_eq!(
        hits,
        [("email", "pat@example.org"), ("phone", "+44 20 7946 0958"), ("payment-card", "4111111111111111")]
    );
}

#[test]
fn hostile_text_ends() {
    let detector = Detector::new().unwrap();
    let size = 1 << 18;
    for unit in
        ["@a", "1", "1 ", "1-", "+1", "-----BEGIN ", "eyJa.", "$1$", "2001:", "://a:", "AA11", "(11) 1", " ", "é@é"]
    {
        let text = unit.repeat(size / unit.len());
        let mut count = 0_usize;
        detector.scan(&mut detector.scratch(), text.as_bytes(), |hit| {
            assert!(hit.start < hit.end && hit.end <= text.len());
            count += 1;
        });
        assert!(count <= text.len());
    }
}

proptest::proptest! {
    /// Whatever the text: hits are in order, within the text, and do not overlap.
    #[test]
    fn hits_are_in_order(text in "[ -~]{0,60}[0-9 .+()/-]{0,40}[@:A-Za-z0-9$_~é-]{0,40}") {
        let detector = Detector::new().unwrap();
        let mut end = 0;
        for hit in found(&detector, &text) {
            proptest::prop_assert!(hit.start >= end && hit.start < hit.end && hit.end <= text.len(), "{hit:?}");
            end = hit.end;
        }
    }
}

#[test]
fn names_say_what_a_column_holds() {
    for (name, expected) in [
        ("email", Some(("pii", "e-mail address"))),
        ("customerEmail", Some(("pii", "e-mail address"))),
        ("E_MAIL", Some(("pii", "e-mail address"))),
        ("email2", Some(("pii", "e-mail address"))),
        ("email_verified_at", None),
        ("email_template", None),
        ("thermal", None),
        ("phone_number", Some(("pii", "telephone number"))),
        ("credit_card_number", Some(("pci", "card number"))),
        ("card_type", None),
        ("cardinality", None),
        ("span", None),
        ("birth_date", Some(("pii", "date of birth"))),
        ("FirstName", Some(("pii", "person's name"))),
        ("name", None),
        ("password_hash", Some(("secret", "password"))),
        ("password_expires_at", None),
        ("api_key", Some(("secret", "token"))),
        ("token_id", None),
        ("tax_id", Some(("pii", "national identity number"))),
        ("client_ip", Some(("pii", "network address"))),
        ("ip_address", Some(("pii", "network address"))),
        ("shipping", None),
        ("total", None),
    ] {
        assert_eq!(by_name(name).map(|named| (named.class, named.what)), expected, "{name}");
    }
}

#[test]
fn names_and_samples_make_a_suggestion() {
    use Confidence::{High, Low, Medium};
    let detector = Detector::new().unwrap();
    for (name, values, times, expected) in [
        ("contact", "pat@example.org|kim@example.com", 40, Some(("pii", High, 40))),
        ("notes", "call pat@example.org|paid|open|late|new|new|new|new|new|new", 40, Some(("pii", Medium, 4))),
        ("email", "none", 40, Some(("pii", Low, 0))),
        ("email", "none", 3, Some(("pii", Medium, 0))),
        ("surname", "Lee|Miller", 40, Some(("pii", Medium, 0))),
        ("reference", "111222333", 40, Some(("pii", Medium, 40))),
        ("bsn", "111222333", 40, Some(("pii", High, 40))),
        // One number in eleven passes the test.
        ("reference", "111222333|111222334|111222335", 40, None),
        ("status", "open|paid", 40, None),
        ("number", "4111 1111 1111 1111", 25, Some(("pci", High, 25))),
    ] {
        let mut evidence = Evidence::default();
        for value in values.split('|').cycle().take(times) {
            evidence.add(&detector, &mut detector.scratch(), value.as_bytes());
        }
        let suggestion = Suggestion::of(name, Some(&evidence));
        assert_eq!(suggestion.map(|it| (it.class, it.confidence, it.hits)), expected, "{name} {values}");
    }
    assert_eq!(Suggestion::of("iban", None).map(|it| (it.class, it.confidence)), Some(("pii", Medium)));
}

#[test]
fn samples_are_read_with_quoted_names() {
    assert_eq!(
        sample_query("public", "we\"ird; --", ["a", "B\""]),
        "SELECT pg_catalog.left(\"a\"::pg_catalog.text, 2000), pg_catalog.left(\"B\"\"\"::pg_catalog.text, 2000) \
         FROM ONLY \"public\".\"we\"\"ird; --\" LIMIT 200"
    );
}

#[test]
fn long_tokens_and_keys_are_found_and_end() {
    let detector = Detector::new().unwrap();
    let token = |payload: usize| format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", "a".repeat(payload));
    let key = |body: usize| format!("-----BEGIN PRIVATE KEY-----{}-----END ", "A".repeat(body));
    for (text, kind, end) in [
        (token(3), None, 0),
        (token(4), Some(Kind::Jwt), 30),
        (token(10_000), Some(Kind::Jwt), 10_026),
        (token(100_000), Some(Kind::Jwt), 21 + (16 << 10)),
        (key(2000), Some(Kind::PrivateKey), 2027),
        (key(100_000), Some(Kind::PrivateKey), 11 + (16 << 10)),
        ("-----BEGIN private PRIVATE KEY-----".to_owned(), None, 0),
    ] {
        let first = found(&detector, &text).first().copied();
        assert_eq!(first.map(|hit| (hit.kind, hit.end)), kind.map(|kind| (kind, end)), "{}", &text[..30]);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

    /// Whatever is repeated, in whatever order, at whatever length: each byte costs a constant.
    #[test]
    fn the_cost_of_a_byte_is_constant(
        units in proptest::collection::vec(proptest::sample::select(&[
            "eyJa", "eyJhbGciOiJIUzI1NiJ9", ".", "-eyJa", "eyJ-eyJ.", "A", "-----BEGIN ", "-----BEGIN x PRIVATE KEY",
            "PRIVATE KEY-----", "-----END ", "@", "a@b", "://", "://a:b@", "1", "1 ", "(1) ", "$1$", "md5a", "xoxb-",
            "AccountKey=", "sk_live_", "0a0:", "::", "AA11", " ", "\u{e9}", "PuTTY-User-Key-File",
        ][..]), 1..5),
        repeats in 1_usize..500,
    ) {
        let detector = Detector::new().unwrap();
        let text = units.concat().repeat(repeats);
        let cost = cost(&detector, text.as_bytes());
        proptest::prop_assert!(cost <= COST, "{cost} for each byte of {repeats} times {units:?}");
    }
}

#[test]
fn hostile_beginnings_do_not_cost_their_length() {
    let detector = Detector::new().unwrap();
    for unit in ["-eyJa", "eyJa.", "-----BEGIN x PRIVATE KEY", "-----BEGIN PRIVATE KEY", "eyJhbGciOiJIUzI1NiJ9.", "@a"]
    {
        let cost_of = |size: usize| cost(&detector, unit.repeat(size / unit.len()).as_bytes());
        let (short, long) = (cost_of(1 << 13), cost_of(1 << 17));
        assert!(long <= short + 1, "{unit}: {short} for each byte, then {long}");
    }
}
