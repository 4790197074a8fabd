//! Runs the bodies of the fuzz targets (`fuzz/fuzz_targets`) on a few thousand inputs each, in every build and without a fuzzer.
//!
//! The inputs are seeds with random changes, drawn from fixed numbers, so that a run is like the one before. `just fuzz` goes
//! further where cargo-fuzz is installed. What either finds becomes a case of its module's tests.

mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Stands in for `libfuzzer_sys::fuzz_target`.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: $kind:ty| $body:expr) => {
        pub(super) fn run(mut data: &[u8]) {
            let $input: $kind = $crate::tests::Given::rest(&mut data);
            $body
        }
    };
}

/// An input of a target, made of bytes.
pub(crate) trait Given<'d>: Sized {
    /// Where something stands behind it.
    fn part(data: &mut &'d [u8]) -> Self;

    /// Where it is the last.
    fn rest(data: &mut &'d [u8]) -> Self {
        Self::part(data)
    }
}

impl<'d> Given<'d> for u8 {
    fn part(data: &mut &'d [u8]) -> Self {
        data.split_off_first().copied().unwrap_or_default()
    }
}

impl<'d> Given<'d> for bool {
    fn part(data: &mut &'d [u8]) -> Self {
        u8::part(data) & 1 == 1
    }
}

/// With its length before it, where it is not the last.
impl<'d> Given<'d> for &'d [u8] {
    fn part(data: &mut &'d [u8]) -> Self {
        let length = usize::from(u8::part(data)).min(data.len());
        data.split_off(..length).unwrap_or_default()
    }

    fn rest(data: &mut &'d [u8]) -> Self {
        std::mem::take(data)
    }
}

impl<'d> Given<'d> for Vec<u8> {
    fn part(data: &mut &'d [u8]) -> Self {
        <&[u8]>::part(data).to_vec()
    }
}

impl<'d> Given<'d> for &'d str {
    fn part(data: &mut &'d [u8]) -> Self {
        text(<&[u8]>::part(data))
    }

    fn rest(data: &mut &'d [u8]) -> Self {
        text(std::mem::take(data))
    }
}

impl<'d, A: Given<'d>, B: Given<'d>> Given<'d> for (A, B) {
    fn part(data: &mut &'d [u8]) -> Self {
        (A::part(data), B::part(data))
    }

    fn rest(data: &mut &'d [u8]) -> Self {
        (A::part(data), B::rest(data))
    }
}

impl<'d, A: Given<'d>, B: Given<'d>, C: Given<'d>> Given<'d> for (A, B, C) {
    fn part(data: &mut &'d [u8]) -> Self {
        (A::part(data), B::part(data), C::part(data))
    }

    fn rest(data: &mut &'d [u8]) -> Self {
        (A::part(data), B::part(data), C::rest(data))
    }
}

impl<'d, A: Given<'d>, B: Given<'d>> Given<'d> for Vec<(A, B)> {
    fn part(data: &mut &'d [u8]) -> Self {
        let mut all = Self::new();
        while !data.is_empty() {
            all.push(<(A, B)>::part(data));
        }
        all
    }
}

/// As much of it as is UTF-8.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_else(|error| text(&bytes[..error.valid_up_to()]))
}

/// Numbers that look random, the same in each run.
struct Numbers(TestRng);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 14] = [0, 1, 0x0a, 0x0d, b' ', b'"', b'0', b':', b'\\', b'{', 0x7f, 0x80, 0xfe, 0xff];
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.next() as u8 }
    }

    /// A range of `bytes`, short more often than not.
    fn range(&mut self, bytes: &[u8]) -> std::ops::Range<usize> {
        let begin = self.below(bytes.len() + 1);
        let most = if self.below(4) == 0 { bytes.len() - begin } else { (bytes.len() - begin).min(8) };
        begin..begin + self.below(most + 1)
    }

    /// A seed with a few changes.
    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(5) {
            let at = self.below(bytes.len() + 1);
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                3 => drop(bytes.drain(self.range(&bytes.clone()))),
                4 => {
                    let again = bytes[self.range(&bytes)].to_vec();
                    bytes.splice(at..at, again);
                }
                5 => {
                    let other = &seeds[self.below(seeds.len())];
                    let part = other[self.range(other)].to_vec();
                    bytes.splice(at..at, part);
                }
                6 => {
                    let other = &seeds[self.below(seeds.len())];
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
                _ => {}
            }
        }
        bytes
    }
}

fn drive(name: &str, cases: usize) {
    let (_, run) = targets::ALL.iter().find(|(known, _)| *known == name).unwrap();
    let seeds = seeds::of(name);
    let mut numbers = Numbers(TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let check = |input: &[u8]| {
        let ended = catch_unwind(AssertUnwindSafe(|| run(input)));
        assert!(ended.is_ok(), "{name}: {}", input.escape_ascii());
    };
    seeds.iter().for_each(|seed| check(seed));
    for _ in 0..cases {
        check(&numbers.changed(&seeds));
    }
}

macro_rules! driven {
    ($($name:ident $cases:literal,)*) => {
        $(#[test] fn $name() { drive(stringify!($name), $cases); })*

        #[test]
        fn every_target_is_driven() {
            let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/fuzz_targets"))
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!([$(stringify!($name)),*].as_slice(), files);
        }
    };
}

driven! {
    detect 2_000,
    http_body 4_000,
    http_framing 4_000,
    http_graphql 4_000,
    http_head 4_000,
    http_json_mask 4_000,
    http_openapi 2_000,
    http_websocket 4_000,
    postgres_backend 4_000,
    postgres_frontend 4_000,
    postgres_replies 4_000,
    postgres_startup 4_000,
    sql_analysis 2_000,
    sql_templates 2_000,
}
