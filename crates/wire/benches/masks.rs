//! What it costs to rewrite rows of ten text columns: nothing masked, one masked, by each mask. `cargo bench -p parapet-wire
//! --bench masks`. The scan of a hundred bytes a row through the gateway is measured apart; this is the mask's part alone.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]

mod shop;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use kernel::verdict::Mask;
use parapet_wire::mask::{DescribedField, MaskKey, MaskPlan};
use parapet_wire::sql::analyse;

/// Rows in a batch.
const ROWS: u32 = 1000;

fn row() -> Vec<u8> {
    let mut body = 10_u16.to_be_bytes().to_vec();
    for place in 0..10 {
        let value: &[u8] = if place == 4 { b"4111111111111111" } else { b"some text" };
        body.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend(value);
    }
    body
}

fn main() {
    let catalogue = shop::catalogue();
    let sql = "SELECT name, name, name, name, ssn, name, name, name, name, name FROM users";
    let analysis = analyse(sql, &catalogue, &"shop-db".parse().unwrap()).unwrap();
    let key = Arc::new(MaskKey::new(&[7; 32]));
    let field = DescribedField { table_oid: 0, column: 0, type_oid: 25, type_modifier: -1, binary: false };
    let body = row();
    println!("{:>8} {:>10} {:>22}", "mask", "ns a row", "buffer growths a batch");
    for mask in [Mask::Null, Mask::Redact, Mask::Hash, Mask::Token, Mask::Last4, Mask::Partial] {
        let operations = analysis.operations.iter().enumerate();
        let ssn =
            operations.filter(|(_, operation)| operation.resource.path.last().is_some_and(|name| &**name == "ssn"));
        let masks: Vec<_> = ssn.map(|(place, _)| (place, mask, Arc::from("pii"))).collect();
        let plan = MaskPlan::new(&analysis, analysis.statements.first().unwrap(), &masks).unwrap().unwrap();
        let rewriting = plan.described(&[field; 10], &key).unwrap();
        let mut out = Vec::new();
        let (mut best, mut growths) = (f64::INFINITY, 0);
        for _ in 0..50 {
            out.clear();
            growths = 0;
            let start = Instant::now();
            for _ in 0..ROWS {
                let before = out.capacity();
                rewriting.apply_row(black_box(&body), &mut out).unwrap();
                growths += u32::from(out.capacity() != before);
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROWS));
        }
        println!("{:>8} {best:>10.1} {growths:>22}", mask.as_str());
    }
}
