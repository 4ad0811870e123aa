//! One server process: found a free port, started, signalled, restarted on the same port, and never left behind.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to answer, and to end after SIGTERM. Generous, because the machine may be busy.
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Another process may take the port between our finding it free and the server's binding it.
const PORT_TRIES: usize = 5;

type Probe = Box<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// A running (or stopped) server with its port and its temporary folder.
pub(crate) struct Process {
    name: &'static str,
    folder: TempDir,
    arguments: Vec<OsString>,
    answers: Probe,
    port: u16,
    child: Option<Child>,
    guard: Option<Child>,
    record: Option<PathBuf>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {} in {}", self.name, self.address(), self.folder.path().display())
    }
}

impl Process {
    /// Starts `deploy/stack/server NAME` on a free port. `arguments` may write files into the folder it is given.
    pub(crate) fn start(
        name: &'static str,
        arguments: impl FnOnce(&Path) -> Vec<OsString>,
        answers: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("wardline-").tempdir().expect("a temporary folder");
        let arguments = arguments(folder.path());
        let answers = Box::new(answers);
        let mut process = Self { name, folder, arguments, answers, port: 0, child: None, guard: None, record: None };
        for _ in 0..PORT_TRIES {
            process.port = free_port();
            if process.spawn() {
                return process;
            }
        }
        panic!("{name} ended at once on {PORT_TRIES} ports:\n{}", process.log());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process id while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// All that the server has printed since it was first started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// SIGTERM, and SIGKILL if that does not end it; waits for the end. Does nothing to a stopped server.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        // Frozen, it would get the signal only when it goes on.
        self.signal("-CONT");
        let until = Instant::now() + STOP_LIMIT;
        while let Some(child) = &mut self.child {
            if child.try_wait().expect("the server is our child").is_some() {
                self.forget();
            } else if Instant::now() > until {
                self.kill();
            } else {
                sleep(POLL);
            }
        }
    }

    /// SIGKILL; waits for the end.
    pub(crate) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().expect("the server is our child");
            child.wait().expect("the server is our child");
            self.forget();
        }
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: goes on where it was frozen.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Stops it if it runs, and starts it on the same port and the same data.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let until = Instant::now() + START_LIMIT;
        // The port may be held for a moment yet, by the old connections or by somebody's outgoing one.
        while !self.spawn() {
            assert!(Instant::now() < until, "{} does not start again:\n{}", self.name, self.log());
            sleep(POLL);
        }
    }

    /// Stops it if it runs, wipes its data, and starts it on the same port.
    pub(crate) fn restart_fresh(&mut self) {
        self.stop();
        fs::remove_dir_all(self.data()).expect("the data of a stopped server can be removed");
        self.restart();
    }

    /// Starts the process and waits until it answers. False if it ended instead.
    fn spawn(&mut self) -> bool {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log_file()).expect("the log can be written");
        let mut child = Command::new(script("server"))
            .arg(self.name)
            .args(["--port", &self.port.to_string(), "--dir"])
            .arg(self.data())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("deploy/stack/server can be run");
        self.record = record(self.name, child.id());
        self.guard = Some(guard(child.id(), self.folder.path()));
        let until = Instant::now() + START_LIMIT;
        loop {
            let answered = (self.answers)(self.address());
            // Asked after the probe, lest another process on this port is taken for ours.
            if child.try_wait().expect("the server is our child").is_some() {
                self.forget();
                return false;
            }
            if answered {
                self.child = Some(child);
                return true;
            }
            if Instant::now() > until {
                self.child = Some(child);
                self.kill();
                panic!("{} does not answer after {START_LIMIT:?}:\n{}", self.name, self.log());
            }
            sleep(POLL);
        }
    }

    fn signal(&self, signal: &str) {
        if let Some(pid) = self.pid() {
            // As a command: a system call would need `unsafe`.
            let status = Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill can be run");
            assert!(status.success(), "kill {signal} of {self:?} failed");
        }
    }

    fn forget(&mut self) {
        self.child = None;
        if let Some(mut guard) = self.guard.take() {
            let dismissed = guard.stdin.take().map(|mut stdin| stdin.write_all(b"\n"));
            assert!(matches!(dismissed, Some(Ok(()))), "the guard of {self:?} is gone");
            guard.wait().expect("the guard is our child");
        }
        if let Some(record) = self.record.take() {
            fs::remove_file(record).expect("the record of a server is ours");
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A script of `deploy/stack`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/stack").join(name)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A shell that kills the server and removes its folder when this process ends without having done so: killed, or with the
/// server in a `static`, which is never dropped. It learns of our end because the pipe to it closes.
pub(crate) fn guard(pid: u32, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"trap '' INT TERM; read -r _ || { kill -KILL "$0"; sleep 1; rm -rf "$1"; }"#])
        .arg(pid.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh can be run")
}

/// Notes the process in the run's folder, if there is one, as `deploy/stack/processes.sh` describes.
pub(crate) fn record(name: &str, pid: u32) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("WARDLINE_RUN_DIR")?).join("pids");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain spaces.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.to_owned();
    let file = folder.join(format!("{name}-{pid}"));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, started)).expect("the run's folder can be written");
    Some(file)
}
