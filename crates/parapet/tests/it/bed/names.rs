//! A name server that says what a test wants, to each question something else if need be, and remembers what it was asked.
//! Nothing that it says may be kept: its answers live for no time.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Arc, Mutex};

const ADDRESS_4: u16 = 1;
const ALIAS: u16 = 5;
const ADDRESS_6: u16 = 28;
const NO_SUCH_NAME: u8 = 3;
const SERVER_FAILED: u8 = 2;

/// The server; its thread ends with the tests' process.
#[derive(Debug)]
pub(crate) struct Names(Arc<Mutex<Zone>>);

#[derive(Debug, Default)]
struct Zone {
    /// What is said of a name, look-up by look-up; the last again and again.
    said: HashMap<String, Vec<String>>,
    asked: Vec<(String, u16)>,
}

impl Names {
    /// Where the resolver of a network apart asks.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let told = Arc::clone(&zone);
        std::thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((count, from)) = socket.recv_from(&mut packet) {
                let answer = told.lock().unwrap().answer(&packet[..count]);
                drop(socket.send_to(&answer, from));
            }
        });
        Self(zone)
    }

    /// What is said of a name: for each look-up addresses, and `=name` for the name that they are of, or `!` for a failure.
    pub(crate) fn say(&self, name: &str, lookups: &[&str]) {
        let lookups = lookups.iter().map(|lookup| (*lookup).to_owned()).collect();
        self.0.lock().unwrap().said.insert(name.to_owned(), lookups);
    }

    /// How often somebody wanted an address of a name, of the fourth version.
    pub(crate) fn asked(&self, name: &str) -> usize {
        let zone = self.0.lock().unwrap();
        zone.asked.iter().filter(|(asked, kind)| asked == name && *kind == ADDRESS_4).count()
    }
}

impl Zone {
    fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let (name, end) = name_at(question, 12);
        let kind = u16::from_be_bytes([question[end], question[end + 1]]);
        // One look-up asks for both versions, so each kind of question has its own turn.
        let turn = self.asked.iter().filter(|asked| asked.0 == name && asked.1 == kind).count();
        self.asked.push((name.clone(), kind));
        let said = self.said.get(&name).map(|said| said[turn.min(said.len() - 1)].as_str());
        let (failure, said) = match said {
            None => (NO_SUCH_NAME, ""),
            Some("!") => (SERVER_FAILED, ""),
            Some(said) => (0, said),
        };
        let (mut records, mut owner) = (Vec::new(), vec![0xc0, 12]);
        for word in said.split(' ').filter(|word| !word.is_empty()) {
            let (sort, data) = match word.strip_prefix('=') {
                Some(alias) => (ALIAS, encoded(alias)),
                None => match word.parse::<IpAddr>().unwrap() {
                    IpAddr::V4(address) => (ADDRESS_4, address.octets().to_vec()),
                    IpAddr::V6(address) => (ADDRESS_6, address.octets().to_vec()),
                },
            };
            if sort == kind || sort == ALIAS {
                let [high, low] = sort.to_be_bytes();
                let length = u8::try_from(data.len()).unwrap();
                records.push([&owner[..], &[high, low, 0, 1, 0, 0, 0, 0, 0, length], &data].concat());
            }
            if sort == ALIAS {
                owner = data;
            }
        }
        let many = u8::try_from(records.len()).unwrap();
        let head = [question[0], question[1], 0x81, 0x80 | failure, 0, 1, 0, many, 0, 0, 0, 0];
        [&head[..], &question[12..end + 4], &records.concat()].concat()
    }
}

/// A name, and where it ends. Questions have no pointers.
fn name_at(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    while packet[at] > 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
