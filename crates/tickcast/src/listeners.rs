//! Where the two listeners come from: the service manager, a process that this one takes over
//! from, or the system.

use crate::service_manager::{self, Passed};
use crate::settings::Resolved;
use crate::takeover::Name;
use crate::takeover_predecessor::Predecessor;
use anyhow::{Context, Result, ensure};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use tickcast_gateway::{DoorLimits, Listener};

/// Both listeners. Nobody accepts from them here yet.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) public: Listener,
    pub(crate) admin: tokio::net::TcpListener,
    /// Nobody else accepts from the admin listener: it can be served at once.
    pub(crate) is_admin_own: bool,
    /// Who accepts from what was taken, until this process is ready.
    pub(crate) predecessor: Option<Predecessor>,
    /// The socket at which the next process will ask.
    pub(crate) takeover: Option<OwnedFd>,
}

impl Listeners {
    /// Finds or binds both.
    ///
    /// *Errors* say which address, and why not.
    pub(crate) async fn open(settings: &Resolved, limits: &DoorLimits) -> Result<Listeners> {
        let mut passed = service_manager::passed_listeners()?;
        let mut predecessor = match &settings.takeover.path {
            Some(path) => Predecessor::meet(path)
                .await
                .with_context(|| format!("takeover.path {}", path.display()))?,
            None => None,
        };
        // First those that are meant, then what is left.
        let named = (
            claim(&mut passed, "public", settings.listen),
            claim(&mut passed, "admin", settings.admin),
        );
        let mut left = passed.into_iter();
        let public = named.0.or_else(|| left.next());
        let admin = named.1.or_else(|| left.next());
        let left = left.count();
        ensure!(left == 0, "LISTEN_FDS: {left} more than the public and the admin listener");
        let mut find = |name, passed: Option<Passed>, address| match passed {
            Some(passed) => from_manager(name, passed, address).map(Some),
            None => Ok(from_predecessor(name, predecessor.as_mut(), address)),
        };
        let public = find(Name::Public, public, settings.listen)?;
        let admin = find(Name::Admin, admin, settings.admin)?;
        let is_admin_own = admin.is_none();
        let admin = match admin {
            Some(admin) => {
                admin.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(admin)?
            }
            None => tokio::net::TcpListener::bind(settings.admin)
                .await
                .with_context(|| format!("cannot listen on {}", settings.admin))?,
        };
        let public = match public {
            Some(public) => Listener::adopt(public, limits),
            None => Listener::bind(settings.listen, limits),
        }
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let takeover = predecessor.as_mut().and_then(|other| other.take(Name::Takeover, None));
        Ok(Listeners { public, admin, is_admin_own, predecessor, takeover })
    }

    /// Both once more, for the next process.
    ///
    /// *Errors* of the system.
    pub(crate) fn share(&self) -> Result<Vec<(Name, SocketAddr, OwnedFd)>> {
        let admin = self.admin.as_fd().try_clone_to_owned()?;
        Ok(vec![
            (Name::Public, self.public.local_addr()?, self.public.share()?),
            (Name::Admin, self.admin.local_addr()?, admin),
        ])
    }
}

/// The one of that name, or of that address among those without a name of ours.
fn claim(passed: &mut Vec<Passed>, name: &str, address: SocketAddr) -> Option<Passed> {
    let is_ours = |one: &Passed| ["public", "admin"].contains(&one.name.as_str());
    let by_name = passed.iter().position(|one| one.name == name);
    let found = by_name
        .or_else(|| passed.iter().position(|one| !is_ours(one) && one.address == address))?;
    Some(passed.remove(found))
}

/// Its address is the manager's business, but not whether the world can reach it: what guards a
/// public address looks at the settings.
fn from_manager(name: Name, passed: Passed, address: SocketAddr) -> Result<TcpListener> {
    let (key, at) = match name {
        Name::Admin => ("admin", passed.address),
        _ => ("listen", passed.address),
    };
    ensure!(
        at.ip().is_loopback() || !address.ip().is_loopback(),
        "{key}: the service manager's listener is at {at}, beyond this machine, and the setting \
         says {address}; say {key} = \"{at}\" too"
    );
    tracing::info!(?name, %at, "listening where the service manager does");
    Ok(passed.listener)
}

fn from_predecessor(
    name: Name,
    predecessor: Option<&mut Predecessor>,
    address: SocketAddr,
) -> Option<TcpListener> {
    let predecessor = predecessor?;
    match predecessor.take(name, Some(address)) {
        Some(descriptor) => {
            tracing::info!(?name, %address, "taking the listener over");
            Some(TcpListener::from(descriptor))
        }
        None => {
            tracing::warn!(?name, %address, "the other process listens elsewhere: a listener of our own");
            None
        }
    }
}
