//! The promises of the edge, each against the real binary over real sockets.
//!
//! A test is named after its row (`row_12_…`) and prints one line with its figure. What a row
//! promises stands in the README under "Putting it on the internet". Deadlines are asserted
//! strictly on the early side, where they are the promise, and generously on the late one.

mod disconnects;
mod fault_proxy;
mod floods;
mod frame_corpus;
mod frames;
mod handshake_corpus;
mod handshakes;
mod hostile;
mod idle;
mod process;
mod raw;
mod resources;
mod rotation;
#[path = "../service/mod.rs"]
mod service;
mod slow;
mod venue;
