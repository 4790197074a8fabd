//! Tests of cancel requests to upstreams that take them and say nothing.

use super::*;

/// Whether it is silent about TLS or does not close, a session waits for it as long as for a connection.
#[tokio::test]
async fn a_silent_upstream_holds_no_cancel_request_for_ever() {
    let authority = rcgen::generate_simple_self_signed(["db.example".to_owned()]).unwrap();
    for tls in [None, Some(UpstreamTls::with_authorities(vec![authority.cert.der().clone()]).unwrap())] {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = PostgresUpstream {
            name: "silent".parse().unwrap(),
            address: Address::Tcp { host: "127.0.0.1".to_owned(), port: silent.local_addr().unwrap().port() },
            database: "shop".to_owned(),
            user: "parapet".to_owned(),
            password: None,
            tls,
            require_channel_binding: false,
            connect_timeout: Duration::from_millis(200),
            hold: Duration::ZERO,
            max_message: 1024,
            max_sessions: 1,
            label_providers: Vec::new(),
            detect: Detect::Off,
        };
        let dialler = Dialler::new();
        let cancelled = tokio::time::timeout(Duration::from_secs(60), upstream.cancel(&dialler, 7, &[0; 4]));
        let error = cancelled.await.expect("it waits no longer").unwrap_err();
        assert!(matches!(&error, ConnectError::Channel(why) if *why == ChannelError::TimedOut.to_string()), "{error}");
    }
}
