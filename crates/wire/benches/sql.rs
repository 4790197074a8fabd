//! What the analysis of a statement costs: from the template memory, and in full. `cargo bench -p parapet-wire`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]

mod shop;

use std::hint::black_box;
use std::time::Instant;

use parapet_wire::sql::{Templates, analyse};

fn nanoseconds(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..200 {
            run();
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / 200.0);
    }
    best
}

fn main() {
    let catalogue = shop::catalogue();
    let upstream = "shop-db".parse().unwrap();
    let templates = Templates::new();
    let medium = "SELECT u.id, u.name, u.email, o.total, o.status, o.created FROM users u JOIN orders o ON o.user_id = u.id \
        LEFT JOIN guess g ON g.id = u.id WHERE o.status = 'open' AND o.total > 100.50 AND u.name <> 'nobody' \
        AND o.created > now() - interval '1 day' AND (g.ssn IS NULL OR g.name = 'x') GROUP BY u.id, u.name, u.email, \
        o.total, o.status, o.created HAVING count(*) > 1 ORDER BY o.created DESC, u.name LIMIT 50";
    let values = vec!["(1, '123-45-6789', 'somebody')"; 160].join(", ");
    let large = format!("INSERT INTO guess (id, ssn, name) VALUES {values}");
    // Aims: a known template under 1,500 ns in all, a new typical statement under 60,000 ns beyond its parse.
    println!(
        "{:>6} {:>14} {:>14} {:>14} {:>16}",
        "bytes", "template ns", "full ns", "parse alone ns", "beyond parse ns"
    );
    for sql in ["SELECT name, email FROM users WHERE id = 4711", medium, &large] {
        let hit = nanoseconds(|| {
            black_box(templates.analyse(black_box(sql), &catalogue, &upstream)).unwrap();
        });
        let full = nanoseconds(|| {
            black_box(analyse(black_box(sql), &catalogue, &upstream)).unwrap();
        });
        let parse = nanoseconds(|| {
            black_box(pg_query::parse(black_box(sql), 0)).unwrap();
        });
        println!("{:>6} {hit:>14.0} {full:>14.0} {parse:>14.0} {:>16.0}", sql.len(), full - parse);
    }
}
