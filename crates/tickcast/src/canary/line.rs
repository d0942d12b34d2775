//! The canary's way in: a loopback connection to itself, whose other end the door is given.
//!
//! The listener is there for one connection only and takes none but the one whose address the canary
//! has bound itself: who else finds the port comes to nothing.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tickcast_client::{Options, SocketReader, SocketWriter};
use tickcast_gateway::Door;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long it may take until the connection is a WebSocket.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Opens a connection that this shard serves.
///
/// *Errors:* it is not served, in words.
pub(super) async fn open(door: &Door, shard: usize) -> Result<(SocketReader, SocketWriter)> {
    let opened = async {
        let (ours, theirs) = pair().await.context("loopback")?;
        let options = Options::new("ws://canary/v1/ws");
        let client = async { anyhow::Ok(options.open_over(ours).await?) };
        let server = async { Ok(door.take_canary(theirs, shard).await?) };
        let (halves, ()) = tokio::try_join!(client, server)?;
        Ok(halves)
    };
    tokio::time::timeout(OPEN_WITHIN, opened).await.context("no answer in time")?
}

/// Both ends of a TCP connection over loopback.
async fn pair() -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(loopback).await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(loopback)?;
    let own = socket.local_addr()?;
    let accepted = async {
        loop {
            let (stream, peer) = listener.accept().await?;
            if peer == own {
                return stream.into_std();
            }
        }
    };
    let (ours, theirs) = tokio::try_join!(socket.connect(listener.local_addr()?), accepted)?;
    ours.set_nodelay(true)?;
    Ok((ours, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn both_ends_are_of_one_connection() {
        let (mut ours, mut theirs) = pair().await.unwrap();
        assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
        ours.write_all(b"tick").await.unwrap();
        ours.shutdown().await.unwrap();
        theirs.set_nonblocking(false).unwrap();
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "tick");
    }
}
