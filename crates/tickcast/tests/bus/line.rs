//! The line to a NATS server, as a proxy: it can be cut, silenced and healed while it is used.
//!
//! Two threads a connection. What had been sent into a silent line arrives late when it heals, as with
//! TCP on any network.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Open,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Connections are closed as soon as they are made.
    Cut,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    open: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A running proxy; it ends with the test.
#[derive(Debug)]
pub(crate) struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What the kernel holds for a connection on each side of it.
const BUFFER_BYTES: usize = 16 << 10;

impl Line {
    /// Leads to `server`.
    pub(crate) fn to(server: SocketAddr) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::<Shared>::default();
        let line = Line { address, shared: shared.clone() };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.state().mode == Mode::Cut {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server) else { continue };
                for socket in [&client, &server] {
                    let socket = socket2::SockRef::from(socket);
                    socket.set_recv_buffer_size(BUFFER_BYTES).expect("a size");
                    socket.set_send_buffer_size(BUFFER_BYTES).expect("a size");
                }
                shared.state().open.extend([copy(&client), copy(&server)]);
                let (up, down) = (shared.clone(), shared.clone());
                let ends = (copy(&client), copy(&server));
                thread::spawn(move || pass(ends.0, ends.1, &up));
                thread::spawn(move || pass(server, client, &down));
            }
        });
        line
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on nothing passes.
    pub(crate) fn silence(&self) {
        self.turn(Mode::Silent);
    }

    /// Ends all connections, and refuses others.
    pub(crate) fn cut(&self) {
        self.turn(Mode::Cut);
    }

    pub(crate) fn heal(&self) {
        self.turn(Mode::Open);
    }

    fn turn(&self, mode: Mode) {
        let mut state = self.shared.state();
        state.mode = mode;
        if mode == Mode::Cut {
            for socket in state.open.drain(..) {
                let _already_closed = socket.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    fn wait_while_silent(&self) {
        let silent = |state: &mut State| state.mode == Mode::Silent;
        drop(self.changed.wait_while(self.state(), silent).expect("nobody panics with it"));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = [0; 4096];
    while let Ok(some @ 1..) = from.read(&mut buffer) {
        shared.wait_while_silent();
        if to.write_all(&buffer[..some]).is_err() {
            break;
        }
    }
    // What ends one side ends the other, when the line is open again.
    shared.wait_while_silent();
    let _already_closed = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().expect("a descriptor is free")
}
