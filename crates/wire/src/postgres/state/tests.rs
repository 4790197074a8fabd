//! Tests of reply tracking: scripts of what is forwarded and what comes back.

use proptest::prelude::*;

use super::*;

/// Runs a script of words and gives what each message of the upstream's was taken for.
///
/// `>Q` forwards a Query (`P` Parse, `B` Bind, `d` Describe of a statement, `D` of a portal, `E` Execute, `C` Close, `S`
/// Sync), `!` instead of `>` as the refusal probe; `.` ends COPY data, `!.` refuses it. Entries are numbered from 1.
/// `<C` is a message of the upstream's; `<E` an error, `<F` a fatal one; `<Zi`, `<Zt`, `<Ze` ready.
fn run(script: &str) -> String {
    let (mut replies, mut number, mut got) = (Replies::<u32>::new(), 0, Vec::new());
    for word in script.split_whitespace() {
        if matches!(word, "." | "!.") {
            let answer = if word == "." { Answer::Upstream } else { Answer::Refusal };
            if let Err(not_now) = replies.end_copy_in(answer) {
                got.push(format!("{not_now:?}"));
            }
            continue;
        }
        if let Some(message) = word.strip_prefix('<') {
            let said = said(&mut replies, message);
            let stop = said.contains("cut");
            got.push(said);
            if stop {
                break;
            }
            continue;
        }
        let (answer, asked) = word.split_at(1);
        let answer = if answer == ">" { Answer::Upstream } else { Answer::Refusal };
        let asked = match asked {
            "Q" => Asked::Query,
            "P" => Asked::Parse,
            "B" => Asked::Bind,
            "d" => Asked::DescribeStatement,
            "D" => Asked::DescribePortal,
            "E" => Asked::Execute,
            "C" => Asked::Close,
            "S" => Asked::Sync,
            other => panic!("{other}"),
        };
        number += 1;
        if let Err(not_now) = replies.push(asked, answer, number) {
            got.push(format!("{not_now:?}"));
        }
    }
    got.join(" ")
}

fn said(replies: &mut Replies<u32>, message: &str) -> String {
    let (tag, body): (u8, &[u8]) = match message {
        "E" => (b'E', b"SERROR\0VERROR\0C42601\0\0"),
        "F" => (b'E', b"SFATAL\0VFATAL\0C57P01\0\0"),
        "Zi" => (b'Z', b"I"),
        "Zt" => (b'Z', b"T"),
        "Ze" => (b'Z', b"E"),
        "Z?" => (b'Z', b"?"),
        other => (other.as_bytes()[0], b""),
    };
    match replies.on_backend(tag, body) {
        Ok(Reply::Aside) => "aside".to_owned(),
        Ok(Reply::Part(of)) => format!("part{of}"),
        Ok(Reply::Done(of)) => format!("done{of}"),
        Ok(Reply::Error(of)) => format!("error{of}"),
        Ok(Reply::Refused(of)) => format!("refused{of}"),
        Ok(Reply::Fatal) => "fatal".to_owned(),
        Ok(Reply::Ready { of, status, undone }) => {
            let undone: String = undone.iter().map(|of| format!("-{of}")).collect();
            format!("ready{of}{status:?}{undone}")
        }
        Err(OutOfState::Unexpected { tag }) => format!("cut:{}", char::from(tag)),
        Err(OutOfState::NoError { tag }) => format!("cut:no-error:{}", char::from(tag)),
        Err(OutOfState::CopyInBehind) => "cut:copy".to_owned(),
        Err(OutOfState::Malformed(_)) => "cut:malformed".to_owned(),
    }
}

#[test]
fn answers_in_order() {
    let cases = [
        // Simple queries.
        (">Q <T <D <D <C <Zi", "part1 part1 part1 part1 ready1Idle"),
        (">Q <C <T <C <Zt", "part1 part1 part1 ready1Open"),
        (">Q <I <Zi", "part1 ready1Idle"),
        (">Q <T <D <E <Ze", "part1 part1 error1 ready1Failed"),
        (">Q >Q <C <Zi <E <Zi", "part1 ready1Idle error2 ready2Idle"),
        (">Q <N <S <A <C <N <Zi <A", "aside aside aside part1 aside ready1Idle aside"),
        // Extended protocol.
        (">P >d >S <1 <t <T <Zi", "done1 part2 done2 ready3Idle"),
        (">P >B >D >E >C >S <1 <2 <n <C <3 <Zi", "done1 done2 done3 done4 done5 ready6Idle"),
        (">B >E >E >S <2 <D <D <s <D <C <Zt", "done1 part2 part2 done2 part3 done3 ready4Open"),
        (">E <I >S <Zi", "done1 ready2Idle"),
        // An error skips to Sync, a Query in between as well.
        (">P >B >E >S >P >S <1 <E <Zi <1 <Zi", "done1 error2 ready4Idle-2-3 done5 ready6Idle"),
        (">P >Q >S >Q <E <Zi <C <Zi", "error1 ready3Idle-1-2 part4 ready4Idle"),
        (">P <E >B >E >S <Ze", "error1 ready4Failed-1-2-3"),
        // A deferred constraint fails at Sync.
        (">E >S <C <E <Zi", "done1 error2 ready2Idle"),
    ];
    for (script, expect) in cases {
        assert_eq!(run(script), expect, "{script}");
    }
}

#[test]
fn copy() {
    let cases = [
        (">Q <G . <C <Zi", "part1 part1 ready1Idle"),
        (">Q <G >S >Q . <C <Zi", "part1 CopyIn CopyIn part1 ready1Idle"),
        (">Q <G . <E <Zi", "part1 error1 ready1Idle"),
        (">Q <G <E . <Zi", "part1 error1 CopyIn ready1Idle"),
        (">Q <G !. <E <Zi", "part1 refused1 ready1Idle"),
        (">Q <G !. <C", "part1 cut:no-error:C"),
        (">Q <G <C", "part1 cut:C"),
        (">Q <G <d", "part1 cut:d"),
        (">Q <H <d <d <c <C <Zi", "part1 part1 part1 part1 part1 ready1Idle"),
        (">Q <H <C", "part1 cut:C"),
        (">Q <d", "cut:d"),
        (">Q <W", "cut:W"),
        (">E <W", "cut:W"),
        (">E <G . >S <C <Zi", "part1 done1 ready2Idle"),
        (">E <G !. >P >S <E <Zi", "part1 Refused refused1 ready3Idle-1"),
        (">E >S <G", "cut:copy"),
        (">E <H <d <c <C >S <Zi", "part1 part1 part1 done1 ready2Idle"),
        (". >Q <T .", "CopyIn part1 CopyIn"),
    ];
    for (script, expect) in cases {
        assert_eq!(run(script), expect, "{script}");
    }
}

#[test]
fn the_refusal_probe() {
    let cases = [
        ("!Q <E <Ze", "refused1 ready1Failed"),
        ("!Q <N <E <Zi", "aside refused1 ready1Idle"),
        ("!Q <I", "cut:no-error:I"),
        ("!Q <C", "cut:no-error:C"),
        ("!Q <T", "cut:no-error:T"),
        ("!Q <Zi", "cut:no-error:Z"),
        ("!Q <F", "fatal"),
        ("!Q <E <E", "refused1 cut:E"),
        // Insert, denied drop, Sync: the upstream rolls the insert back.
        (">P >B >E !P >B >S <1 <2 <C <E <Zi", "Refused done1 done2 done3 refused4 ready6Idle-4"),
        ("!B >E >S >P <E <Zi <1", "Refused refused1 ready3Idle-1 done4"),
        ("!E >S <D", "cut:no-error:D"),
        // An error before it: the probe itself is skipped.
        (">P !P >S <E <Zi", "error1 ready3Idle-1-2"),
    ];
    for (script, expect) in cases {
        assert_eq!(run(script), expect, "{script}");
    }
}

#[test]
fn a_hostile_upstream() {
    let cases = [
        ("<Zi", "cut:Z"),
        ("<C", "cut:C"),
        ("<E", "cut:E"),
        ("<F", "fatal"),
        (">Q <Zi", "cut:Z"),
        (">Q <D", "cut:D"),
        (">Q <R", "cut:R"),
        (">Q <K", "cut:K"),
        (">Q <V", "cut:V"),
        (">Q <v", "cut:v"),
        (">Q <s", "cut:s"),
        (">Q <1", "cut:1"),
        (">Q <C <D", "part1 cut:D"),
        (">Q <E <D", "error1 cut:D"),
        (">Q <E <C", "error1 cut:C"),
        (">Q <E <F", "error1 fatal"),
        (">Q <C <Z?", "part1 cut:malformed"),
        (">P <2", "cut:2"),
        (">P >S <Zi", "cut:Z"),
        (">B <D", "cut:D"),
        (">d <T", "cut:T"),
        (">d <n", "cut:n"),
        (">D <t", "cut:t"),
        (">E <T", "cut:T"),
        (">E <Zi", "cut:Z"),
        (">S <C", "cut:C"),
        (">P <E <Zi", "error1 cut:Z"),
    ];
    for (script, expect) in cases {
        assert_eq!(run(script), expect, "{script}");
    }
}

#[test]
fn a_transaction_may_be_open() {
    let mut replies = Replies::new();
    assert!(!replies.may_be_open());
    replies.push(Asked::Parse, Answer::Upstream, 1).unwrap();
    assert_eq!(replies.on_backend(b'1', b""), Ok(Reply::Done(1)));
    // Answered, but no Sync yet: what was forwarded would commit with the next one.
    assert!(replies.waiting() == 0 && replies.may_be_open());
    replies.push(Asked::Sync, Answer::Upstream, 2).unwrap();
    assert!(replies.may_be_open());
    assert!(replies.on_backend(b'Z', b"I").is_ok());
    assert!(!replies.may_be_open());
    replies.push(Asked::Query, Answer::Upstream, 3).unwrap();
    assert_eq!(replies.oldest(), Some(&3));
    assert!(replies.on_backend(b'C', b"").is_ok() && replies.on_backend(b'Z', b"T").is_ok());
    assert!(replies.may_be_open());
    assert_eq!(replies.status(), TransactionStatus::Open);
}

#[test]
fn the_queue_is_bounded() {
    let mut replies = Replies::new();
    for number in 0..MAX_WAITING {
        assert_eq!(replies.push(Asked::Sync, Answer::Upstream, number), Ok(()));
    }
    assert_eq!(replies.push(Asked::Sync, Answer::Upstream, 0), Err(NotNow::Full));
    assert!(matches!(replies.on_backend(b'Z', b"I"), Ok(Reply::Ready { of: 0, .. })));
    assert_eq!(replies.push(Asked::Sync, Answer::Upstream, 0), Ok(()));
}

proptest! {
    #[test]
    fn nothing_panics_and_no_entry_is_lost(steps in prop::collection::vec((any::<bool>(), 0usize..16), 0..120)) {
        let asked = [Asked::Query, Asked::Parse, Asked::Bind, Asked::DescribeStatement, Asked::DescribePortal, Asked::Execute, Asked::Close, Asked::Sync];
        let messages = ["T", "D", "C", "Zi", "Zt", "E", "1", "2", "3", "t", "n", "s", "G", "H", "d", "c"];
        let (mut replies, mut pushed, mut returned) = (Replies::<u32>::new(), 0usize, 0usize);
        for (forward, choice) in steps {
            if forward {
                let answer = if choice > 13 { Answer::Refusal } else { Answer::Upstream };
                pushed += usize::from(replies.push(asked[choice % asked.len()], answer, 0).is_ok());
            } else {
                let said = said(&mut replies, messages[choice]);
                if said.starts_with("cut") {
                    break;
                }
                returned += usize::from(said.starts_with("done"));
                if said.starts_with("ready") {
                    returned += 1 + said.matches('-').count();
                }
            }
            prop_assert_eq!(replies.waiting(), pushed - returned);
        }
    }
}
