//! A network of a test's own, in which every address of the world is this machine, and whose resolver asks the test: so that a
//! gateway can be led anywhere, and nothing leaves.
//!
//! The test's process starts itself once more, for that one test, behind `unshare`: namespaces are a process's, not a thread's.

use std::process::Command;

use super::clients::run;
use super::folder::Folder;
use super::skip;

/// What tells the second process that it is there. The gateway takes no variable of its own name that it does not know.
const APART: &str = "APART_IN_A_TEST";
/// An address that counts as public, and that this machine has, there.
pub(crate) const OWN: &str = "93.184.215.99";

/// Is this the process in a network of its own? If not, runs the test of this name there, to its end.
pub(crate) fn is_apart(module: &str, test: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return true;
    }
    let folder = Folder::new(test);
    let resolver = folder.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n");
    // Whatever is dialled ends here, from 127.0.0.1. A machine without IPv6 has no route for it, and reaches nothing by it.
    let enter = format!(
        "mount --bind \"$1\" /etc/resolv.conf && ip link set lo up && ip address add {OWN}/32 dev lo \
         && ip route add local default dev lo src 127.0.0.1 && shift \
         && {{ ip -6 route add local default dev lo src ::1 || true; }} && exec \"$@\""
    );
    let apart = |command: &str, arguments: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["-Urnm", "sh", "-c", &enter, "sh"]).arg(&resolver).arg(command).args(arguments).env(APART, "1");
        run(&mut unshare)
    };
    if apart("true", &[]).code != 0 {
        skip("no network namespaces for a user (unshare -Urnm, ip)");
        return false;
    }
    let name = format!("{}::{test}", module.split_once("::").unwrap().1);
    // If it was built anew meanwhile, the new one does.
    let itself = std::env::current_exe().unwrap().to_str().unwrap().trim_end_matches(" (deleted)").to_owned();
    let ran = apart(&itself, &["--exact", &name, "--nocapture"]);
    assert!(ran.code == 0 && ran.out.contains("1 passed"), "{name}, apart:\n{}\n{}", ran.out, ran.err);
    false
}
