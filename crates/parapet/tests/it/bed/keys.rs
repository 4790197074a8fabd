//! A server of JSON Web Key Sets over HTTP on loopback, which can change what it gives, and fall silent.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The server; its thread ends with the tests' process.
#[derive(Debug)]
pub(crate) struct KeyServer {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    keys: Mutex<String>,
    stopped: AtomicBool,
    asked: AtomicUsize,
}

impl KeyServer {
    /// Starts it with these keys.
    pub(crate) fn start(keys: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            keys: Mutex::new(keys.to_owned()),
            stopped: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    continue;
                }
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut head = [0; 4096];
                let _whole_head = stream.read(&mut head);
                serving.asked.fetch_add(1, Ordering::SeqCst);
                let keys = serving.keys.lock().unwrap().clone();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
                let _gone = write!(stream, "{head} {}\r\n\r\n{keys}", keys.len());
            }
        });
        Self { port, shared }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Gives these keys from now on.
    pub(crate) fn publish(&self, keys: &str) {
        keys.clone_into(&mut self.shared.keys.lock().unwrap());
    }

    /// From now on it closes each connection without a word.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}
