//! Good tokens are found; wrong ones are counted by source and in all, and cost bounded memory; a revoked one cuts.

use std::sync::atomic::{AtomicI64, Ordering};

use kernel::circumstances::Circumstances;
use kernel::id::SessionId;
use kernel::ports::NativeToken;
use kernel::workload::Name;

use super::*;
use crate::sessions::{Registration, SessionStart, Sessions};

const START: i64 = 1_795_233_600_000;

#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        7
    }
}

/// A token as they are written, the same for the same seed.
fn ppt(seed: &str) -> String {
    let letters = |bytes: &[u8]| -> String { base32(bytes).map(char::from).collect() };
    let random = format!("{}a", letters(digest(&SHA256, seed.as_bytes()).as_ref()));
    let check = letters(digest(&SHA256, format!("parapet token\n{random}").as_bytes()).as_ref());
    format!("ppt_{random}{}", check.get(..CHECK).unwrap_or_default())
}

/// One token, that of the seed `good`, which can be revoked.
#[derive(Debug, Default)]
struct One {
    revoked: std::sync::atomic::AtomicBool,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl NativeTokens for One {
    fn find(&self, hash: &[u8; 32]) -> Option<NativeToken> {
        let good = digest(&SHA256, ppt("good").as_bytes()).as_ref() == hash;
        let expires = Timestamp::from_millis(START + 86_400_000);
        (good && self.in_force("tok_1")).then(|| NativeToken {
            id: "tok_1".into(),
            workload: name("reporting"),
            expires,
        })
    }

    fn in_force(&self, id: &str) -> bool {
        id == "tok_1" && !self.revoked.load(Ordering::SeqCst)
    }
}

struct Bed {
    logins: NativeLogins,
    tokens: Arc<One>,
    clock: Arc<Hand>,
}

fn bed() -> Bed {
    let (tokens, clock) = (Arc::new(One::default()), Arc::new(Hand(AtomicI64::new(START))));
    let logins = NativeLogins::new(Arc::<One>::clone(&tokens), Arc::<Hand>::clone(&clock));
    Bed { logins, tokens, clock }
}

fn source(number: u32) -> IpAddr {
    IpAddr::V4(number.into())
}

impl Bed {
    /// Shows the token of a seed.
    fn show(&self, seed: &str, from: IpAddr) -> Result<(), NativeRefusal> {
        self.logins.verify(&ppt(seed), from).map(drop)
    }

    fn wait(&self, length: Duration) {
        self.clock.0.fetch_add(i64::try_from(length.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

fn session(sessions: &Arc<Sessions>) -> Registration {
    let began = Timestamp::from_millis(START);
    sessions.register(SessionStart {
        id: SessionId::new(began, 1),
        workload: name("reporting"),
        owner: None,
        upstream: name("shop-db"),
        protocol: "postgres",
        source: source(1),
        began,
        until: None,
        task: None,
        counts_from: None,
        around: Circumstances::beginning(began, source(1), true),
    })
}

#[test]
fn a_good_token_is_found_and_nothing_else_is() {
    let bed = bed();
    let good = ppt("good");
    let found = bed.logins.verify(&good, source(1)).unwrap();
    assert_eq!(found.evidence(), &Evidence::NativeToken { id: "tok_1".into() });
    assert_eq!(bed.show("another", source(1)), Err(NativeRefusal::Unknown));
    let (cut, last) = good.split_at(good.len() - 1);
    let other = if last == "a" { "b" } else { "a" };
    for wrong in
        ["ppt_", &format!("{good} "), cut, &format!("{cut}{other}"), &good.to_uppercase().replace("PPT", "ppt")]
    {
        let refused = bed.logins.verify(wrong, source(1)).map(drop);
        assert_eq!(refused, Err(NativeRefusal::Mistyped), "{wrong}");
    }
    assert!(
        NativeLogins::is_meant("ppt_")
            && !NativeLogins::is_meant("eyJhbGciOiJFUzI1NiJ9")
            && !NativeLogins::is_meant("")
    );
}

#[test]
fn a_source_guesses_ten_times_a_minute() {
    let bed = bed();
    for guess in 0..MOST_OF_A_SOURCE {
        assert_eq!(bed.show(&guess.to_string(), source(1)), Err(NativeRefusal::Unknown), "{guess}");
    }
    assert_eq!(bed.show("good", source(1)), Err(NativeRefusal::TooManyGuesses));
    assert_eq!(bed.show("good", source(2)), Ok(()), "another source is not touched");
    bed.wait(WINDOW);
    assert_eq!(bed.show("good", source(1)), Ok(()));
}

#[test]
fn a_client_that_repeats_itself_makes_one_guess() {
    let bed = bed();
    for _attempt in 0..100 {
        assert_eq!(bed.show("stale", source(1)), Err(NativeRefusal::Unknown));
    }
    assert_eq!(bed.show("good", source(1)), Ok(()));
}

#[test]
fn guesses_in_all_stop_strangers_alone_and_memory_is_bounded() {
    let bed = bed();
    bed.show("good", source(1)).unwrap();
    let mut refused = 0;
    for number in 0..3 * u32::try_from(MOST_SOURCES).unwrap() {
        let answer = bed.show(&number.to_string(), source(1000 + number));
        refused += usize::from(answer == Err(NativeRefusal::TooManyGuesses));
    }
    assert_eq!(refused, 3 * MOST_SOURCES - usize::try_from(MOST_IN_ALL).unwrap());
    assert_eq!(bed.show("good", source(2)), Err(NativeRefusal::TooManyGuesses));
    assert_eq!(bed.show("good", source(1)), Ok(()), "who has proved itself is heard");
    // Over time more sources come than there is room for.
    for number in 0..2 * u32::try_from(MOST_SOURCES).unwrap() {
        bed.wait(Duration::from_millis(200));
        bed.show(&number.to_string(), source(100_000 + number)).unwrap_err();
    }
    assert!(bed.logins.guesses.lock().unwrap().sources.len() <= MOST_SOURCES);
}

#[test]
fn addresses_of_one_network_are_one_source() {
    for (one, other, same) in [
        ("2001:db8::1", "2001:db8::ffff:2", true),
        ("2001:db8::1", "2001:db8:0:1::1", false),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
    ] {
        let (first, second): (IpAddr, IpAddr) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(network(first) == network(second), same, "{one} {other}");
    }
}

#[test]
fn revoking_cuts_what_the_token_has_opened() {
    let (bed, sessions) = (bed(), Arc::new(Sessions::default()));
    let evidence = bed.logins.verify(&ppt("good"), source(1)).unwrap().evidence().clone();
    let (mine, others) = (session(&sessions), session(&sessions));
    bed.logins.watch(&evidence, mine.live());
    bed.logins.watch(&Evidence::Oidc { issuer: "https://issuer.example".into() }, others.live());
    assert_eq!(mine.live().is_cut(), None);
    bed.tokens.revoked.store(true, Ordering::SeqCst);
    bed.logins.cut("tok_1");
    assert_eq!((mine.live().is_cut(), others.live().is_cut()), (Some(Cut::Revoked), None));
    // It was revoked while another session began.
    let late = session(&sessions);
    bed.logins.watch(&evidence, late.live());
    assert_eq!(late.live().is_cut(), Some(Cut::Revoked));
}
