//! A contender as a process: started on the cores that it may use, ended with its owner.

use crate::pin;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What is kept of what a server writes to its standard error.
const STDERR_BYTES_MAX: u64 = 64 << 10;

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program could not be run.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// Its file.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended, or wrote something else, before it said where it listens.
    #[error("{program} does not say where it listens: it wrote {line:?} and {stderr:?}")]
    Silent {
        /// Its file.
        program: String,
        /// Its first line.
        line: String,
        /// The rest of what it had to say.
        stderr: String,
    },
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens, in the order of its first line.
    pub addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts it and waits until it has said, in its first line, where it listens.
    ///
    /// *Errors:* it cannot be started, or ends before it listens.
    ///
    /// *Panics:* the calling thread may not run on the cores that it ran on before.
    pub fn start(program: &Path, args: &[String], cores: &[usize]) -> Result<Server, ServerError> {
        let name = || program.display().to_string();
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = on_cores(cores, || command.spawn());
        let mut child = started.map_err(|source| ServerError::Start { program: name(), source })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut stdout = BufReader::new(stdout.expect("it was asked for"));
        let mut stderr = stderr.expect("it was asked for");
        let mut line = String::new();
        // What cannot be read has no address in it.
        let _ = stdout.read_line(&mut line);
        let addresses = addresses(&line);
        if addresses.is_empty() {
            // With nothing written it is about to end and has a reason to give.
            if !line.is_empty() {
                let _ = child.kill();
            }
            let mut text = Vec::new();
            let _ = stderr.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut text);
            let _ = child.kill();
            let _ = child.wait();
            let stderr = String::from_utf8_lossy(&text).trim().to_owned();
            return Err(ServerError::Silent { program: name(), line, stderr });
        }
        // Whatever it writes later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(Server { child, addresses })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does something, such as starting a process, with the calling thread kept on these cores; on
/// all that it may have if none are named.
///
/// # Panics
/// When the thread may not go back to the cores that it ran on.
pub fn on_cores<T>(
    cores: &[usize],
    act: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<T> {
    if cores.is_empty() {
        return act();
    }
    let before = pin::allowed_cores()?;
    pin::keep_on(cores)?;
    let done = act();
    pin::keep_on(&before).expect("a thread may run where it ran before");
    done
}

/// The socket addresses in a line, with or without `http://` before and punctuation behind.
fn addresses(line: &str) -> Vec<SocketAddr> {
    let word = |word: &str| {
        let word = word.trim_start_matches("http://").trim_start_matches("https://");
        word.trim_end_matches(['/', ',', ';', '.', ')']).parse().ok()
    };
    line.split_whitespace().filter_map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_a_sentence() {
        let line = "tickcast listens on http://127.0.0.1:80, metrics at http://[::1]:81/.\n";
        let expect = ["127.0.0.1:80", "[::1]:81"].map(|text| text.parse().unwrap());
        assert_eq!(addresses(line), expect);
        assert_eq!(addresses("listening on 127.0.0.1:9"), ["127.0.0.1:9".parse().unwrap()]);
        assert_eq!(addresses("nothing here"), []);
    }

    #[test]
    fn a_server_that_does_not_start_is_named_with_what_it_said() {
        let error = Server::start(Path::new("/nonexistent/floor"), &[], &[]).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/floor cannot be started"), "{error}");
        let args = ["-c", "echo no port is free >&2; exit 3"].map(String::from);
        let error = Server::start(Path::new("/bin/sh"), &args, &[]).unwrap_err().to_string();
        assert!(error.contains("no port is free"), "{error}");
        let args = ["-c", "echo hello; exec sleep 1000"].map(String::from);
        let error = Server::start(Path::new("/bin/sh"), &args, &[]).unwrap_err().to_string();
        assert!(error.contains("hello"), "{error}");
    }
}
