//! A plain TCP relay, the floor that the benchmark compares with: `relay LISTEN UPSTREAM`. It copies bytes both ways and knows
//! nothing. Not part of the product.
#![expect(clippy::disallowed_methods, reason = "a benchmark's floor: it dials and spawns by itself, on loopback")]

use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("usage: relay LISTEN UPSTREAM"));
    };
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let mut server = TcpStream::connect(upstream).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await
        });
    }
}
