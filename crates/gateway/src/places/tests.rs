//! ID18: proofs in one network and in several, sessions that end, and what follows.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_233_600_000);

#[test]
fn networks_are_counted_while_sessions_live() {
    let places = Places::default();
    let (mine, others) = (ProofId([1; 32]), ProofId([2; 32]));
    let arrive = |proof, source: &str| places.arrive(proof, source.parse().unwrap());
    for (proof, source, networks) in [
        (mine, "192.0.2.1", 1),
        (mine, "192.0.2.1", 1),
        // Machines side by side, and the same address written as IPv6.
        (mine, "192.0.2.254", 1),
        (mine, "::ffff:192.0.2.9", 1),
        // One host speaks both families.
        (mine, "2001:db8:1::1", 1),
        (mine, "2001:db8:1:ffff::1", 1),
        // Another proof of the same workload, elsewhere.
        (others, "198.51.100.1", 1),
        (mine, "198.51.100.1", 2),
        (mine, "203.0.113.7", 3),
        (mine, "2001:db8:2::1", 2),
    ] {
        assert_eq!(arrive(proof, source), networks, "{source}");
    }
    // Who has left is not there any more; a place with another session is.
    for source in ["198.51.100.1", "203.0.113.7", "192.0.2.1"] {
        places.leave(mine, source.parse().unwrap());
    }
    assert_eq!(arrive(mine, "192.0.2.77"), 1);
    places.leave(others, "198.51.100.1".parse().unwrap());
    places.leave(others, "198.51.100.1".parse().unwrap());
    assert!(!places.in_use.lock().unwrap().contains_key(&others), "nobody uses it");
}

#[test]
fn many_places_weigh_more_than_two() {
    for (networks, weight) in [(0, None), (1, None), (2, Some(20)), (4, Some(20)), (5, Some(50)), (400, Some(50))] {
        assert_eq!(signal(networks, NOW).map(|reason| reason.weight), weight, "{networks}");
    }
}
