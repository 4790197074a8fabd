//! Any bytes as an answer, cut anywhere: no panic, the same result whatever the cut, and no canary where it is masked.
#![no_main]

use std::sync::Arc;

use kernel::verdict::Mask;
use libfuzzer_sys::fuzz_target;
use wire::http::json_mask::{Detect, Form, JsonMasker, Masks};
use wire::http::json_path::JsonPath;
use wire::mask::MaskKey;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (cut, events, body) = input;
    let form = if events { Form::Events } else { Form::Lines };
    let paths = [
        (JsonPath::parse("$..a").expect("a path"), Mask::Hash),
        (JsonPath::parse("$.b.*").expect("a path"), Mask::Null),
    ];
    let masks = Masks::new(&paths, Arc::new(MaskKey::new(b"fuzz")), Detect::Off, None);
    let run = |pieces: &[&[u8]]| {
        let (mut masker, mut out) = (JsonMasker::new(masks.clone(), form), Vec::new());
        pieces.iter().try_for_each(|piece| masker.feed(piece, &mut out))?;
        masker.finish(&mut out).map(|()| out)
    };
    let (head, tail) = body.split_at(usize::from(cut).min(body.len()));
    let whole = run(&[body]);
    assert_eq!(run(&[head, tail]).ok(), whole.clone().ok());
    assert!(whole.is_err() || events || run(&[&whole.unwrap_or_default()]).is_ok());
});
