//! A small disk of a test's own: a tmpfs in a mount namespace, so that it needs no privilege of the test and is gone with
//! its keeper, whatever happens.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::servers::process::guard;

/// A file system that only programs started by [`Disk::command`] see at its place.
pub(crate) struct Disk {
    keeper: Child,
    guard: Child,
    folder: PathBuf,
}

impl Disk {
    pub(crate) fn mount(folder: &Path, bytes: u64) -> Self {
        let script = r#"mount -t tmpfs -o "size=$1" none "$2" && echo mounted && exec sleep infinity"#;
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh", &bytes.to_string()]).arg(folder);
        let mut keeper = command.stdout(Stdio::piped()).spawn().expect("unshare can be run");
        let guard = guard(keeper.id(), folder);
        let mut said = String::new();
        let out = keeper.stdout.take().expect("it was piped");
        BufReader::new(out).read_line(&mut said).expect("the keeper speaks");
        assert_eq!(said, "mounted\n", "this machine lets us mount no tmpfs in a namespace");
        Self { keeper, guard, folder: folder.to_owned() }
    }

    /// A program that sees the disk.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper.id().to_string(), "--user", "--mount", "--preserve-credentials"]);
        command.arg(program);
        command
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("the disk can be written");
        for size in [1 << 20, 1 << 12, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Takes back what [`Self::fill`] took.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    /// As seen from outside.
    fn ballast(&self) -> PathBuf {
        let seen = Path::new("/proc").join(self.keeper.id().to_string()).join("root");
        seen.join(self.folder.strip_prefix("/").expect("temporary folders are absolute")).join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.keeper.kill().ok();
        self.keeper.wait().ok();
        if let Some(mut stdin) = self.guard.stdin.take() {
            stdin.write_all(b"\n").ok();
        }
        self.guard.wait().ok();
    }
}
