//! nats-server among the contenders: started here or running already, loaded by `nats-peer`.

use crate::contender::Programs;
use crate::failure::{Failure, Result, while_doing};
use crate::figures::{Figures, Report};
use crate::workload::Workload;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tickcast_benches::on_cores;

/// How long it may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// Killed when dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a workload through the nats-server of that program or URL.
///
/// # Errors
/// It cannot be started or reached, or its clients give no report.
pub(crate) fn run(which: &str, workload: &Workload, programs: &Programs) -> Result<Figures> {
    let (address, process) = match which.strip_prefix("nats://") {
        Some(host) => {
            let mut found = host.to_socket_addrs().map_err(while_doing(which))?;
            (found.next().ok_or_else(|| Failure(format!("{which}: no address")))?, None)
        }
        None => {
            let (address, process) = start(which, programs)?;
            (address, Some(process))
        }
    };
    let mut command = Command::new(programs.folder.join("nats-peer"));
    let mut push = |name: &str, value: &dyn std::fmt::Display| {
        command.args([format!("--{name}"), value.to_string()]);
    };
    push("server", &address);
    push("connections", &workload.connections);
    push("symbols", &workload.symbols);
    push("instruments", &workload.instruments);
    push("rate", &workload.rate);
    push("seconds", &workload.seconds);
    push("warmup", &workload.warmup);
    if let Some(Process(child)) = &process {
        push("pid", &child.id());
    }
    let output = on_cores(&programs.client_cores, || command.output());
    let output = output.map_err(while_doing("nats-peer cannot be started"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(Failure(format!("nats-server: {}", complaint.trim())));
    }
    Ok(Report::read(&String::from_utf8_lossy(&output.stdout))?.figures())
}

fn start(program: &str, programs: &Programs) -> Result<(SocketAddr, Process)> {
    // It cannot be given a socket, so a port is asked for and let go.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(while_doing("a free port"))?;
    let mut command = Command::new(program);
    command.args(["--addr", "127.0.0.1", "--port", &address.port().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = on_cores(&programs.server_cores, || command.spawn());
    let child = child.map_err(while_doing(&format!("nats-server: {program} cannot be started")))?;
    let mut process = Process(child);
    let until = Instant::now() + START_MAX;
    while TcpStream::connect(address).is_err() {
        let ended = process.0.try_wait().is_ok_and(|status| status.is_some());
        if ended || Instant::now() > until {
            return Err(Failure(format!("nats-server: {program} does not listen")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((address, process))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_nats_server_that_is_not_there_is_named() {
        let programs = Programs::new(Path::new("/nonexistent"), &[]);
        let check = |which: &str, part: &str| {
            let error = run(which, &Workload::w1a(), &programs).unwrap_err();
            assert!(error.0.contains(part), "{error}");
        };
        check("/nonexistent/nats-server", "/nonexistent/nats-server cannot be started");
        check("/bin/true", "/bin/true does not listen");
        check("nats://127.0.0.1:1", "nats-peer cannot be started");
    }
}
