//! HT12, by names that lie: a name server that is the attacker's, and the machine's own resolver, which believes it. Every
//! address there is leads to one server that says which of them was dialled.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::hazards::Guarded;
use crate::bed::apart::{OWN, is_apart};
use crate::bed::names::Names;

const PUBLIC: &str = "93.184.215.14";
const METADATA: &str = "169.254.169.254";

/// Whoever is dialled, on any address: it answers each connection's first bytes with the address that was dialled.
struct Everywhere {
    port: u16,
    dialled: Arc<Mutex<Vec<IpAddr>>>,
}

impl Everywhere {
    fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").or_else(|_no_ipv6| TcpListener::bind("0.0.0.0:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialled = Arc::new(Mutex::new(Vec::new()));
        let noting = Arc::clone(&dialled);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let address = stream.local_addr().unwrap().ip().to_canonical();
                noting.lock().unwrap().push(address);
                std::thread::spawn(move || answer(stream, address));
            }
        });
        Self { port, dialled }
    }

    /// Which addresses were dialled since it was asked last, in order.
    fn take(&self) -> Vec<IpAddr> {
        std::mem::take(&mut *self.dialled.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, dialled: IpAddr) {
    let mut bytes = [0; 4096];
    if stream.read(&mut bytes).is_ok_and(|count| count > 0) {
        let body = dialled.to_string();
        let head =
            format!("HTTP/1.1 302 Found\r\nlocation: http://{METADATA}/\r\ncontent-length: {}\r\n\r\n", body.len());
        drop(stream.write_all((head + &body).as_bytes()));
    }
}

struct Apart {
    guarded: Guarded,
    names: Names,
    everywhere: Everywhere,
}

impl Apart {
    fn start(name: &str) -> Self {
        Self { names: Names::start(), everywhere: Everywhere::start(), guarded: Guarded::start(name) }
    }

    /// The status of the answer to `CONNECT`.
    fn connect(&self, host: &str) -> String {
        let (_, answer) = self.guarded.connect(&format!("{host}:{}", self.everywhere.port));
        assert!(!answer.starts_with("HTTP/1.1 403") || answer.contains("PAR0227"), "{host}: {answer}");
        answer[9..12].to_owned()
    }

    /// The status of the answer to a plain request, and its body.
    fn get(&self, host: &str) -> (String, String) {
        let (to, authorization) = (format!("{host}:{}", self.everywhere.port), self.guarded.authorization());
        let (mut stream, answer) = self.guarded.open(&format!(
            "GET http://{to}/latest/meta-data HTTP/1.1\r\nHost: {to}\r\nProxy-Authorization: Basic {authorization}\r\n\r\n"
        ));
        let mut body = String::new();
        stream.read_to_string(&mut body).unwrap();
        (answer[9..12].to_owned(), body)
    }

    /// Nobody was dialled: what comes after it, comes first.
    fn nobody_was_dialled(&self, what: &str) {
        self.names.say("twin.test", &[PUBLIC]);
        assert_eq!(self.get("twin.test").0, "302", "after {what}");
        assert_eq!(self.everywhere.take(), [PUBLIC.parse::<IpAddr>().unwrap()], "{what}");
    }
}

#[test]
fn ht12_a_name_that_turns_is_looked_up_once_and_dialled_as_it_was_checked() {
    if !is_apart(module_path!(), "ht12_a_name_that_turns_is_looked_up_once_and_dialled_as_it_was_checked") {
        return;
    }
    let apart = Apart::start("egress-rebinding");
    let public = PUBLIC.parse::<IpAddr>().unwrap();
    for bad in ["127.0.0.1", METADATA, "10.0.0.1", "::1", "fd00:ec2::254"] {
        // The public address for whoever checks, the other for whoever looks again.
        let name = format!("turns-{}.test", bad.replace([':', '.'], "-"));
        apart.names.say(&name, &[PUBLIC, bad]);
        // The redirect that comes is the client's to follow, through the egress again.
        assert_eq!(apart.get(&name), ("302".to_owned(), PUBLIC.to_owned()), "{bad}");
        assert_eq!((apart.everywhere.take(), apart.names.asked(&name)), (vec![public], 1), "{bad}");
        assert_eq!(apart.get(&name).0, "403", "{bad}");
        assert_eq!(apart.connect(&name), "403", "{bad}");
        assert_eq!(apart.names.asked(&name), 3, "{bad}");
        apart.nobody_was_dialled(bad);
    }
    // A tunnel leads where its name was checked, too.
    apart.names.say("tunnel.test", &[PUBLIC, "127.0.0.1"]);
    assert_eq!((apart.connect("tunnel.test"), apart.names.asked("tunnel.test")), ("200".to_owned(), 1));
    assert_eq!(apart.connect("tunnel.test"), "403");
    apart.names.say("twin.test", &[PUBLIC]);
    apart.get("twin.test");
    assert_eq!(apart.everywhere.take(), [public; 2]);
    // Back and forth.
    apart.names.say("flips.test", &[PUBLIC, "127.0.0.1", PUBLIC, METADATA, PUBLIC]);
    let statuses: Vec<_> = (0..5).map(|_| apart.get("flips.test").0).collect();
    assert_eq!(statuses, ["302", "403", "302", "403", "302"]);
    assert_eq!(apart.everywhere.take(), [public; 3]);
}

#[test]
fn ht12_no_answer_of_a_name_server_leads_inside() {
    if !is_apart(module_path!(), "ht12_no_answer_of_a_name_server_leads_inside") {
        return;
    }
    let apart = Apart::start("egress-answers");
    for (number, answer) in [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        METADATA,
        "255.255.255.255",
        // One that is public does not make up for another.
        "93.184.215.14 127.0.0.1",
        "127.0.0.1 93.184.215.14",
        "93.184.215.14 ::1",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c 169.254.169.254",
        // Other names for the same.
        "=metadata.google.internal 169.254.169.254",
        "=public.example =localhost 127.0.0.1",
        "=public.example 93.184.215.14 10.0.0.1",
        // Addresses of IPv6 that lead to those of IPv4.
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:7f00:1::",
        "fe80::1",
        "fd00:ec2::254",
        "fd20:ce::254",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("lies-{number}.test");
        apart.names.say(&name, &[answer]);
        assert_eq!(apart.connect(&name), "403", "{answer}");
        assert_eq!(apart.get(&name).0, "403", "{answer}");
    }
    // What is no answer at all.
    apart.names.say("fails.test", &["!"]);
    apart.names.say("empty.test", &[""]);
    for name in ["fails.test", "empty.test", "nobody.test"] {
        assert_eq!(apart.connect(name), "502", "{name}");
    }
    apart.nobody_was_dialled("lies");
    // A public address that is this very machine's: dialled, seen, and left without a byte.
    apart.names.say("own.test", &[OWN]);
    let (status, body) = apart.get("own.test");
    assert_eq!((status.as_str(), body.contains(OWN)), ("502", false), "{body}");
    apart.names.say("public.test", &["=elsewhere.example 93.184.215.14"]);
    assert_eq!(apart.get("public.test"), ("302".to_owned(), PUBLIC.to_owned()));
}
