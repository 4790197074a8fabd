//! Any order of forwarded messages and answers: no panic, and never more answers than questions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::postgres::state::{Answer, Asked, Replies, Reply};

const ASKED: [Asked; 8] = [
    Asked::Query,
    Asked::Parse,
    Asked::Bind,
    Asked::DescribeStatement,
    Asked::DescribePortal,
    Asked::Execute,
    Asked::Close,
    Asked::Sync,
];

fuzz_target!(|steps: Vec<(u8, Vec<u8>)>| {
    let (mut replies, mut due) = (Replies::new(), 0usize);
    for (byte, body) in steps {
        match byte {
            // The tags of server messages are printable; the bytes above them stand for what is forwarded.
            128.. => {
                let answer = if byte & 8 == 0 { Answer::Upstream } else { Answer::Refusal };
                due += usize::from(replies.push(ASKED[usize::from(byte & 7)], answer, ()).is_ok());
            }
            1 => {
                let _ended = replies.end_copy_in(Answer::Upstream);
            }
            tag => match replies.on_backend(tag, &body) {
                Ok(Reply::Done(())) => due -= 1,
                Ok(Reply::Ready { undone, .. }) => due -= 1 + undone.len(),
                Ok(_) => {}
                Err(_) => return,
            },
        }
        assert_eq!(replies.waiting(), due);
    }
});
