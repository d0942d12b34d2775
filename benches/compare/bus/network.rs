//! Hosts on one machine: network namespaces on a bridge, removed with their owner.
//!
//! The bridge lies in a namespace of its own, so that the machine's own network is not touched. The
//! calling thread moves there: it and what it starts reach every host by its address.

use crate::failure::{Failure, Result, while_doing};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::Command;

/// What every namespace's name begins with.
const PREFIX: &str = "tickcast-bench-";

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";

/// A host of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Publisher,
    /// All in one process.
    Alone,
    Nats(usize),
    Gateway(usize),
    Load,
}

impl Host {
    /// The namespace, without the prefix.
    fn name(self) -> String {
        match self {
            Host::Publisher => "pub".into(),
            Host::Alone => "one".into(),
            Host::Nats(n) => format!("nats{n}"),
            Host::Gateway(n) => format!("gw{n}"),
            Host::Load => "load".into(),
        }
    }

    /// Its address, which nothing outside the namespaces sees.
    pub(super) fn address(self) -> String {
        let last = match self {
            Host::Publisher => 1,
            Host::Alone => 2,
            Host::Load => 3,
            Host::Nats(n) => 10 + n,
            Host::Gateway(n) => 20 + n,
        };
        format!("10.77.0.{last}")
    }

    /// A program that will run there.
    pub(super) fn command(self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{PREFIX}{}", self.name()), program]);
        command
    }
}

/// The namespaces; gone when dropped.
#[derive(Debug)]
pub(super) struct Network;

impl Network {
    /// Makes a bridge and these hosts, and moves the calling thread to the bridge.
    ///
    /// # Errors
    /// This is not root, there is no `ip`, or such a measurement runs already.
    pub(super) fn make(hosts: &[Host]) -> Result<Network> {
        remove_leftovers()?;
        // From here on what was made goes away with this, whatever fails.
        let network = Network;
        let hub = format!("{PREFIX}hub");
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "set", "lo", "up"])?;
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        ip(&["-n", &hub, "addr", "add", "10.77.0.254/24", "dev", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
        for host in hosts {
            let (short, full) = (host.name(), format!("{PREFIX}{}", host.name()));
            ip(&["netns", "add", &full])?;
            ip(&["-n", &full, "link", "set", "lo", "up"])?;
            let peer = ["peer", "name", "eth0", "netns", &full];
            ip(&[&["-n", &hub, "link", "add", &short, "type", "veth"], &peer[..]].concat())?;
            ip(&["-n", &hub, "link", "set", &short, "master", "bridge", "up"])?;
            let address = format!("{}/24", host.address());
            ip(&["-n", &full, "addr", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &full, "link", "set", "eth0", "up"])?;
        }
        let space = File::open(format!("{FOLDER}/{hub}")).map_err(while_doing(&hub))?;
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(while_doing("into the bridge's namespace"))?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in ours() {
            // What cannot be removed is removed by the next run.
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

/// The namespaces of this or an earlier measurement.
fn ours() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(FOLDER) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}

fn remove_leftovers() -> Result<()> {
    for name in ours() {
        let pids = ip(&["netns", "pids", &name])?;
        if !pids.trim().is_empty() {
            let pids = pids.split_whitespace().collect::<Vec<_>>().join(", ");
            return Err(Failure(format!("{name} is in use by {pids}: another measurement runs")));
        }
        ip(&["netns", "del", &name])?;
    }
    Ok(())
}

fn ip(args: &[&str]) -> Result<String> {
    let words = format!("ip {}", args.join(" "));
    let output = Command::new("ip").args(args).output().map_err(while_doing(&words))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure(format!("{words}: {} (this needs root)", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_has_a_name_and_an_address_of_its_own() {
        let hosts = [Host::Publisher, Host::Alone, Host::Load, Host::Nats(1), Host::Nats(3)];
        let hosts = hosts.into_iter().chain((1..=4).map(Host::Gateway)).collect::<Vec<_>>();
        for (at, host) in hosts.iter().enumerate() {
            for other in &hosts[at + 1..] {
                assert_ne!(host.address(), other.address());
                assert_ne!(host.name(), other.name());
            }
            assert!(host.name().len() <= 15, "it names the interface too");
        }
        let command = format!("{:?}", Host::Gateway(2).command("/bin/true"));
        assert!(command.contains("\"tickcast-bench-gw2\" \"/bin/true\""), "{command}");
    }
}
