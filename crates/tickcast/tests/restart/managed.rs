//! A service manager: listeners that it passes, what it is told, the example units.

use super::*;

/// A service that is started as a service manager would: listeners as descriptors from 3 on.
struct Managed {
    public: TcpListener,
    admin: TcpListener,
    notices: UnixDatagram,
    at: PathBuf,
}

impl Managed {
    fn new() -> Managed {
        let at = own_path("notify");
        let notices = UnixDatagram::bind(&at).expect("a writable folder");
        notices.set_read_timeout(Some(PATIENCE)).expect("a time");
        let port = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Managed { public: port(), admin: port(), notices, at }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [&self.public, &self.admin].map(|one| one.local_addr().expect("an address"))
    }

    /// Descriptors 3 and 4 are these two; a shell moves them there and becomes the service.
    fn start(&self, names: &str, swapped: bool, args: &[&str]) -> Service {
        let (three, four) = if swapped { (2, 0) } else { (0, 2) };
        let script = format!(
            "exec 3<&{three} 4<&{four}; exec 2>&1 0</dev/null; \
             export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec \"$@\""
        );
        let mut child = Command::new("sh");
        child
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tickcast"), "serve"])
            .args(SIMULATED)
            .args(args)
            .env("NOTIFY_SOCKET", &self.at)
            .env("TICKCAST_LOG", "off")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(self.public.try_clone().expect("ours"))));
        let admin = std::os::fd::OwnedFd::from(self.admin.try_clone().expect("ours"));
        Service::spawn_with_stderr(child, Stdio::from(admin)).listening()
    }

    fn notice(&self) -> String {
        let mut text = [0; 256];
        let length = self.notices.recv(&mut text).expect("a notice");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.at);
    }
}

#[test]
fn listeners_of_a_service_manager_are_used_and_it_is_told_how_far_the_service_is() {
    let meeting = Meeting::new();
    let managed = Managed::new();
    let [public, admin] = managed.addresses();
    let listen =
        ["--listen", &public.to_string(), "--admin", &admin.to_string()].map(str::to_owned);
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let here = ["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:2"];
    let mut last = None;
    for (names, swapped, args) in [
        ("public:admin", false, &here[..]), // By name, whatever the settings say.
        ("admin:public", true, &here),      // By name, whatever the order is.
        ("tickcast.socket:tickcast.socket", false, &here), // By order.
        ("unknown:unknown", true, &listen), // By address.
    ] {
        let mut service = managed.start(names, swapped, args);
        assert_eq!((service.public, service.admin), (public, admin), "{names}");
        assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
        subscribed(&service);
        service.ask_to_stop();
        assert_eq!(managed.notice(), "STOPPING=1\nSTATUS=Draining");
        assert_eq!(service.wait(), Some(0));
        TcpStream::connect(public).expect("the manager keeps the port open");
        last = Some(service);
    }
    drop(last);
    // Two of them, the later one taking over: the manager learns which process it is now.
    let args = ["--takeover", meeting.path(), "--drain-window", "1s"];
    let args = [&listen[..], &args].concat();
    let mut old = managed.start("public:admin", false, &args);
    assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
    let new = managed.start("public:admin", false, &args);
    assert_eq!(managed.notice(), format!("MAINPID={}", new.pid()));
    assert_eq!(managed.notice(), "READY=1\nSTATUS=Serving");
    assert_eq!(old.wait(), Some(0));
    subscribed(&new);
}

#[test]
fn what_a_service_manager_passes_must_make_sense() {
    for (variables, part) in [
        ("LISTEN_FDS=x", "LISTEN_FDS: \"x\""),
        ("LISTEN_FDS=999", "LISTEN_FDS: \"999\""),
        ("LISTEN_FDS=1", "descriptor 3 is not"),
    ] {
        let script = format!("exec 3</dev/null; export LISTEN_PID=$$ {variables}; exec \"$@\"");
        let mut command = Command::new("sh");
        let (listen, admin) = (ANY.to_string(), ANY.to_string());
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tickcast"), "serve"]);
        command.args(["--listen", &listen, "--admin", &admin]);
        let (code, log) = Service::spawn(command).ended();
        assert_eq!(code, Some(1));
        assert!(log.iter().any(|line| line.contains(part)), "{log:?}");
    }
    // Variables that are meant for another process say nothing.
    let mut command = Command::new(env!("CARGO_BIN_EXE_tickcast"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    drop(Service::spawn(command).listening());
}

#[test]
fn the_example_units_are_well_formed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd");
    let units = std::fs::read_dir(folder).expect("the folder");
    let units: Vec<PathBuf> = units.map(|unit| unit.expect("a file").path()).collect();
    assert!(units.len() >= 3, "{units:?}");
    let verified = Command::new("systemd-analyze").arg("verify").args(&units).output();
    let Ok(verified) = verified else {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "systemd-analyze is missing");
        println!("SKIPPED: no systemd-analyze");
        return;
    };
    let words = String::from_utf8_lossy(&verified.stderr);
    // The program is not installed where they say; everything else must be right.
    let wrong: Vec<&str> = (words.lines())
        .filter(|line| line.contains("tickcast") && !line.contains("is not executable"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
