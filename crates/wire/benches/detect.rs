//! How fast the detectors read: ordinary text, text full of numbers, and cells of a result. `cargo bench -p parapet-wire`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use parapet_wire::detect::Detector;
use parapet_wire::postgres::message::DataRow;

const PROSE: &str = "The quick brown fox jumps over the lazy dog, and then it rests by the river; nobody minds. \
    Orders leave the warehouse on Monday; what comes later waits until the next truck, as the manual says (chapter 4). ";
const ROWS: &str = "4711,2026-11-21 07:05:39,open,19.99,Berlin,8f14e45f-ceea-467f-a83f-1c9a2b6d0e11,standard\n\
    4712,2026-11-21 07:06:02,paid,129.00,Hamburg,c9f0f895-fb98-4b91-99f5-1fd0297e236d,express\n";

/// Megabytes a second, the best of several runs.
fn speed(bytes: usize, mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    bytes as f64 / 1e6 / best
}

fn main() {
    let detector = Detector::new().unwrap();
    let mut scratch = detector.scratch();
    let mut count = 0_u64;
    for (name, text) in [("prose", PROSE), ("rows of numbers", ROWS)] {
        let text = text.repeat((4 << 20) / text.len());
        let whole = speed(text.len(), || {
            detector.scan(&mut scratch, black_box(text.as_bytes()), |_| count += 1);
        });
        let cells: Vec<&[u8]> = text.as_bytes().chunks(24).collect();
        let by_cell = speed(text.len(), || {
            for cell in &cells {
                detector.scan(&mut scratch, black_box(cell), |_| count += 1);
            }
        });
        println!("{name:>16} {whole:>8.0} MB/s as one text {by_cell:>8.0} MB/s in cells of 24 bytes");
    }
    black_box(count);
    sampled(&detector);
}

/// What looking costs a scan of a hundred thousand rows of ten short texts: rows as the gateway looks at them (the first
/// eight, then every 64th), and each row as where it replaces what it finds.
fn sampled(detector: &Detector) {
    const SCAN: u64 = 100_000;
    let mut body = 10_u16.to_be_bytes().to_vec();
    for _ in 0..10 {
        body.extend(9_u32.to_be_bytes());
        body.extend(b"some text");
    }
    let mut scratch = detector.scratch();
    for (name, wants) in [("sampled", (|row| row < 8 || row % 64 == 0) as fn(u64) -> bool), ("each row", |_| true)] {
        let (mut best, mut count) = (f64::INFINITY, 0_u64);
        for _ in 0..5 {
            let start = Instant::now();
            for row in 0..SCAN {
                if wants(black_box(row)) {
                    let row = DataRow::decode(black_box(&body)).unwrap();
                    for value in row.columns().flatten() {
                        detector.scan(&mut scratch, value, |_| count += 1);
                    }
                }
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / SCAN as f64);
        }
        black_box(count);
        println!("{name:>16} {best:>8.1} ns a row of ten columns");
    }
}
