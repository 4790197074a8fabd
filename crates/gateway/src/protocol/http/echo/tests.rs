//! How much of a coded answer waits: little, whatever it says.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use wire::http::echo::Echoes;

use super::*;

fn gzip(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn search() -> Search {
    let mut echoes = Echoes::default();
    echoes.add("ecanary+7c1f9");
    Search::new(&Arc::new(echoes)).unwrap()
}

fn decoded() -> Decoded {
    Decoded::new(Decoder::of(Some(b"gzip")).unwrap())
}

#[test]
fn what_is_all_letters_does_not_gather() {
    let plain = vec![b'e'; 4 << 20];
    for (level, size, most) in
        [(Compression::none(), 1000, 1000), (Compression::none(), 50_000, 2048), (Compression::best(), 100, 1100)]
    {
        let (coded, mut search, mut decoded) = (gzip(&plain, level), search(), decoded());
        let (mut leaves, mut held) = (Vec::new(), 0);
        for chunk in coded.chunks(size) {
            leaves.extend(decoded.pass(Bytes::copy_from_slice(chunk), &mut search).unwrap());
            held = held.max(decoded.held());
        }
        leaves.extend(decoded.finish(&mut search).unwrap());
        assert!(leaves == coded, "{level:?} by {size}");
        assert!(0 < held && held <= most, "{level:?} by {size}: {held}");
        assert_eq!((decoded.held(), search.held()), (0, 0));
    }
}

#[test]
fn what_says_nothing_breaks_off_before_it_gathers() {
    let (mut search, mut decoded) = (search(), decoded());
    decoded.pass(gzip(b"e", Compression::best()).into(), &mut search).unwrap();
    // Members that are empty decode to nothing, and what was said before is held.
    let empty: Bytes = gzip(b"", Compression::best()).repeat(1000).into();
    let many = (0..100).take_while(|_| decoded.pass(empty.clone(), &mut search).is_ok()).count();
    assert_eq!(many, MOST_WAITING / empty.len());
    assert_eq!(decoded.steps.len(), 1);
}
