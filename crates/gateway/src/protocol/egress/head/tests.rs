//! What the first request of a connection asks for.

use super::*;

async fn wanted(text: &str) -> Result<(bool, String), String> {
    let mut bytes = text.as_bytes();
    let asked = match read(&mut bytes).await {
        Ok(asked) => asked,
        Err(Unread::Gone) => return Err("gone".to_owned()),
        Err(Unread::Malformed(violation)) => return Err(format!("{violation:?}")),
    };
    match Wanted::of(&asked.parts) {
        Ok(Wanted::Tunnel(to)) => Ok((true, to.named())),
        Ok(Wanted::Request(to)) => Ok((false, to.named())),
        Err(violation) => Err(format!("{violation:?}")),
    }
}

#[tokio::test]
async fn what_is_asked_for() {
    let tunnel = |to: &str| Ok((true, to.to_owned()));
    let request = |to: &str| Ok((false, to.to_owned()));
    let no = |why: &str| Err(why.to_owned());
    for (text, expected) in [
        ("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n", tunnel("api.example:443")),
        ("CONNECT API.Example.:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n", tunnel("api.example:443")),
        ("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", tunnel("[2001:db8::1]:443")),
        ("GET http://api.example/a?b HTTP/1.1\r\nHost: api.example\r\n\r\n", request("api.example:80")),
        ("GET http://api.example:8080/ HTTP/1.1\r\nHost: api.example:8080\r\n\r\n", request("api.example:8080")),
        // As pip on Python 3.11 asks.
        ("CONNECT api.example:443 HTTP/1.0\r\n\r\n", tunnel("api.example:443")),
        // HT05: what does not agree.
        ("CONNECT api.example:443 HTTP/1.1\r\n\r\n", no("NoAuthority")),
        ("GET http://api.example/ HTTP/1.0\r\n\r\n", no("NoAuthority")),
        ("CONNECT api.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", no("AuthoritiesDiffer")),
        ("CONNECT api.example:443 HTTP/1.1\r\nHost: a:443\r\nHost: b:443\r\n\r\n", no("TwoHosts")),
        ("CONNECT user@api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n", no("Authority")),
        ("CONNECT api.example HTTP/1.1\r\nHost: api.example\r\n\r\n", no("TargetForm")),
        ("CONNECT 0x7f.1:443 HTTP/1.1\r\nHost: 0x7f.1:443\r\n\r\n", no("Authority")),
        ("CONNECT 2130706433:443 HTTP/1.1\r\nHost: 2130706433:443\r\n\r\n", no("Authority")),
        ("GET /a HTTP/1.1\r\nHost: api.example\r\n\r\n", no("TargetForm")),
        ("GET https://api.example/a HTTP/1.1\r\nHost: api.example\r\n\r\n", no("Scheme")),
        ("GET ftp://api.example/a HTTP/1.1\r\nHost: api.example\r\n\r\n", no("Scheme")),
        ("CONNECT api.example:443 HTTP/1.1\r\n", no("gone")),
        ("", no("gone")),
        // HT01, HT11.
        ("CONNECT api.example:443 HTTP/1.1\nHost: api.example:443\n\n", no("BareLineEnd")),
        ("CONNECT api.example:443 HTTP/1.1\r\nHost : api.example:443\r\n\r\n", no("HeaderName")),
        ("CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\nearly", no("EarlyBytes")),
    ] {
        let found = wanted(text).await;
        // Which of several violations comes first is the strict reader's business where it is one of two.
        assert_eq!(found, expected, "{text}");
    }
}
