//! The sends of a pass through io_uring: one submit for up to a thousand connections.

// Entries of the ring point at memory and descriptors; that is what the ring is.
#![allow(unsafe_code)]

use io_uring::{IoUring, opcode, types};
use std::io;
use std::os::fd::RawFd;

/// Sends of one submit.
const SUBMIT_MAX: usize = 1024;

/// A ring of one thread.
pub(crate) struct Ring(IoUring);

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring")
    }
}

impl Ring {
    /// # Errors
    /// The kernel has no io_uring or forbids it, as many containers do.
    pub(crate) fn new() -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        Ok(Ring(builder.build(SUBMIT_MAX as u32)?))
    }

    /// Sends the same bytes to all. Calls `failed` with the position of each that did not take
    /// them whole.
    ///
    /// # Errors
    /// The ring itself failed.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        descriptors: &[RawFd],
        mut failed: impl FnMut(usize),
    ) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        for (part, some) in descriptors.chunks(SUBMIT_MAX).enumerate() {
            let mut queue = self.0.submission();
            for (at, descriptor) in some.iter().enumerate() {
                let send = opcode::Send::new(types::Fd(*descriptor), bytes.as_ptr(), length)
                    .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                    .build()
                    .user_data((part * SUBMIT_MAX + at) as u64);
                // SAFETY: with MSG_DONTWAIT every send has ended when `submit_and_wait` for all
                // of them returns, and `bytes` is borrowed until then.
                unsafe { queue.push(&send) }.map_err(io::Error::other)?;
            }
            drop(queue);
            self.0.submit_and_wait(some.len())?;
            for completion in self.0.completion() {
                if usize::try_from(completion.result()) != Ok(bytes.len()) {
                    failed(completion.user_data() as usize);
                }
            }
        }
        Ok(())
    }
}
