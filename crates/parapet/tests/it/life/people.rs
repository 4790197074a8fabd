//! People whose rights change while the gateway runs: by a file that changes, and at SIGHUP.

use std::fs;

use crate::bed::Bed;
use crate::bed::folder::replace;
use crate::bed::wait::{self, PATIENCE};

#[test]
fn rights_change_with_the_file() {
    let Some(bed) = Bed::start("life-people") else { return };
    let file = bed.folder.join("parapet.toml");
    let good = fs::read_to_string(&file).unwrap();
    let dana = "[people.\"dana@example.com\"]\ngroups = [\"dba\"]\nadmin = ";
    assert!(good.contains(&format!("{dana}false")), "the bed's file has another form");
    let asks = |person: &str| bed.gateway.cli_as(person, &["sessions", "list"]).code;
    let becomes = |person: &str, code: i32| {
        wait::until(&format!("{person} to get {code}"), PATIENCE, || (asks(person) == code).then_some(()));
    };
    assert_eq!((asks("dana@example.com"), asks("root@example.com")), (5, 0));
    let promoted = good.replace(&format!("{dana}false"), &format!("{dana}true"));
    replace(&file, &promoted);
    becomes("dana@example.com", 0);
    // Who is no longer named may ask nothing, whatever they hold.
    let start = promoted.find("\n[people.\"root@example.com\"]").unwrap();
    replace(&file, &promoted[..start]);
    becomes("root@example.com", 4);
    assert_eq!(asks("dana@example.com"), 0);
    // A file with a mistake takes no right away and gives none.
    replace(&file, &format!("{good}\n[nonsense]\n"));
    wait::until("the bad file to be noticed", PATIENCE, || {
        bed.gateway.entries().iter().any(|entry| entry["result"] == "refused").then_some(())
    });
    assert_eq!((asks("dana@example.com"), asks("root@example.com")), (0, 4));
    replace(&file, &good);
    becomes("dana@example.com", 5);
    becomes("root@example.com", 0);
}

/// SIGHUP reads everything again, also where no file has changed, and says so in the log.
#[test]
fn hanging_up_reloads() {
    let Some(bed) = Bed::start("life-hangup") else { return };
    let loaded = || bed.gateway.entries().iter().filter(|entry| entry["result"] == "loaded").count();
    let before = loaded();
    bed.gateway.hang_up();
    wait::until("the configuration to be loaded again", PATIENCE, || (loaded() > before).then_some(()));
    bed.gateway.cli(&["sessions", "list"]).assert_done();
}
