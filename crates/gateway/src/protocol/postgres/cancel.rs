//! Cancel keys of our own. The upstream's stay inside; a client's key leads to its session and nothing else (PW10).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::ports::Clock;
use wire::postgres::message::ProtocolVersion;

use crate::sessions::Live;

/// A key as the client gets it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct CancelKey {
    /// Sent as the process id; it names the session in the table and means no process.
    pub(super) process_id: u32,
    /// 4 bytes for protocol 3.0, 32 from 3.2 on.
    pub(super) secret: Vec<u8>,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey").finish_non_exhaustive()
    }
}

/// The keys of all open sessions.
#[derive(Debug, Default)]
pub(super) struct CancelKeys {
    open: Mutex<HashMap<u32, Lock>>,
}

/// A secret, and the session that it opens.
type Lock = (Vec<u8>, Arc<Live>);

impl CancelKeys {
    /// Makes a key for a session, of the length that its protocol version takes.
    pub(super) fn issue(self: &Arc<Self>, version: ProtocolVersion, live: &Arc<Live>, clock: &dyn Clock) -> Issued {
        let words = if version >= ProtocolVersion::V3_2 { 4 } else { 1 };
        let mut secret: Vec<u8> = (0..words).flat_map(|_| clock.random().to_be_bytes()).collect();
        if version < ProtocolVersion::V3_2 {
            secret.truncate(4);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let process_id = loop {
            // Positive, because drivers read it as a signed number.
            let candidate = (clock.random() & 0x7fff_ffff) as u32;
            if candidate != 0 && !open.contains_key(&candidate) {
                break candidate;
            }
        };
        open.insert(process_id, (secret.clone(), Arc::clone(live)));
        Issued { keys: Arc::clone(self), key: CancelKey { process_id, secret } }
    }

    /// Leaves word of a cancel request with the session whose key it carries. Says nothing about whether there is one.
    pub(super) fn cancel(&self, process_id: u32, secret: &[u8]) {
        let found = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.get(&process_id).cloned()
        };
        if let Some((expected, live)) = found
            && bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), secret))
        {
            live.cancel();
        }
    }
}

/// A key in use; it leads nowhere once dropped.
#[derive(Debug)]
pub(super) struct Issued {
    keys: Arc<CancelKeys>,
    key: CancelKey,
}

impl Issued {
    pub(super) fn key(&self) -> &CancelKey {
        &self.key
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        self.keys.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key.process_id);
    }
}
