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
}
