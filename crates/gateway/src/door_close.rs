//! Orderly ends: a refused client reads its answer before the connection goes.

use crate::door_stream::Stream;
use crate::limits::{LINGER, LINGER_BYTES_MAX};
use crate::refusal::Refusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Writes the refusal and ends the connection.
pub(crate) async fn refuse(mut socket: Stream, refusal: &Refusal) {
    let mut answer = Vec::new();
    refusal.write(&mut answer);
    if let Ok(Ok(())) = timeout(LINGER, socket.write_all(&answer)).await {
        linger(socket).await;
    }
}

/// Says that nothing more will come, and takes what the client still sends until it has done the
/// same: a socket that is closed with bytes unread is reset, and the reset overtakes the answer.
pub(crate) async fn linger(mut socket: Stream) {
    let ending = async {
        socket.shutdown().await?;
        let mut taken = 0;
        let mut into = [0; 1024];
        while taken < LINGER_BYTES_MAX {
            match socket.read(&mut into).await? {
                0 => break,
                some => taken += some,
            }
        }
        std::io::Result::Ok(())
    };
    // Late or broken, it ends here all the same.
    let _ = timeout(LINGER, ending).await;
}
