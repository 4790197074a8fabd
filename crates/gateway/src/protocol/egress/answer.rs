//! What a client of a proxy is told: clients show the status line of an answer to CONNECT and nothing else, so the message
//! line stands there.

use tokio::io::AsyncWrite;
use wire::http::refuse::{Form, Refusal};

use super::decide::Stopped;
use super::{Client, EgressGateway, say};

impl EgressGateway {
    /// Says why it goes no further.
    pub(super) async fn stop(&self, stream: &mut (impl AsyncWrite + Unpin), client: &Client, stopped: Stopped) {
        match stopped {
            Stopped::Unproved(unproved) => self.refuse_login(stream, &client.arrival, unproved).await,
            Stopped::Refused(refusal) => say(stream, &bytes(&refusal.closing())).await,
        }
    }
}

/// The answer, with the message line as its reason phrase.
fn bytes(refusal: &Refusal) -> Vec<u8> {
    let line: String = refusal.refused().line.chars().filter(|char| matches!(char, ' '..='~')).collect();
    let whole = refusal.reply(Form::Problem).to_http1();
    let rest = whole.windows(2).position(|two| two == b"\r\n").and_then(|end| whole.get(end..)).unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {line}", refusal.kind().status()).into_bytes();
    bytes.extend_from_slice(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_says_it() {
        let text = String::from_utf8(bytes(&Refusal::blocked("blocked [dec_1]").closing())).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 blocked [dec_1]\r\n"), "{text}");
        assert!(text.contains("connection: close\r\n"), "{text}");
        let text = String::from_utf8(bytes(&Refusal::blocked("a\r\nX-Injected: 1"))).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 aX-Injected: 1\r\n"), "{text}");
    }
}
