//! What pings and pongs say where policy masks: up to 125 bytes of which nobody knows what they are. A pong must repeat what its ping
//! said (RFC 6455, 5.5.3), so nothing can be left out on one way alone.
//!
//! A server's ping reaches the client as a number, and the client's pong with that number reaches the server as what the ping
//! said. A server's pong says what a ping of the client's said before it, or nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Opcode, Side};

/// So many pings of each side are remembered. An older one has no answer any more.
const REMEMBERED: usize = 32;

/// What both directions of one connection know of its pings.
#[derive(Clone, Debug, Default)]
pub struct Pings(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    next: u32,
    /// The server's, by the number that the client was told.
    hidden: VecDeque<([u8; 4], Vec<u8>)>,
    /// The client's.
    asked: VecDeque<Vec<u8>>,
}

impl Pings {
    /// Puts in place of what a ping or a pong from a side says what the other side may hear.
    pub(super) fn pass(&self, side: Side, opcode: Opcode, said: &mut Vec<u8>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (side, opcode) {
            (Side::Server, Opcode::Ping) if !said.is_empty() => {
                let number = known.next.to_be_bytes();
                known.next = known.next.wrapping_add(1);
                keep(&mut known.hidden, (number, std::mem::replace(said, number.to_vec())));
            }
            (Side::Client, Opcode::Pong) => {
                if let Some((_, hidden)) = known.hidden.iter().find(|(number, _)| number == said.as_slice()) {
                    said.clone_from(hidden);
                }
            }
            (Side::Client, Opcode::Ping) => keep(&mut known.asked, said.clone()),
            (Side::Server, Opcode::Pong) if !known.asked.contains(said) => said.clear(),
            _ => {}
        }
    }
}

/// Remembers one more, and forgets the oldest.
fn keep<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() >= REMEMBERED {
        all.pop_front();
    }
    all.push_back(one);
}
