//! The part of the disk that is kept to be given back when the disk is full, so that cursors and dead letters can still
//! be written then.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// In the journal's folder.
const FILE: &str = "reserve";

/// Keeps `bytes` of the disk to give back when it is full; whether there was room for them. Real zeros: a sparse file
/// would keep nothing.
pub(super) fn make(dir: &Path, bytes: u64) -> io::Result<bool> {
    let path = dir.join(FILE);
    if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
        return Ok(true);
    }
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
    let zeros = vec![0; 1 << 16];
    let mut left = bytes as usize;
    while let Some(part) = zeros.get(..left.min(zeros.len())).filter(|part| !part.is_empty()) {
        if let Err(error) = file.write_all(part) {
            drop(file);
            fs::remove_file(&path)?;
            return if error.kind() == io::ErrorKind::StorageFull { Ok(false) } else { Err(error) };
        }
        left -= part.len();
    }
    file.sync_all()?;
    Ok(true)
}

/// Makes the reserve again after the disk was full: only where there is room for as much again beside it, or else the next
/// group would find the disk as full as the last one.
pub(super) fn remake(dir: &Path, bytes: u64) -> io::Result<bool> {
    let remade = make(dir, bytes.saturating_mul(2))?;
    if remade {
        OpenOptions::new().write(true).open(dir.join(FILE))?.set_len(bytes)?;
    }
    Ok(remade)
}

/// Gives the reserve back to the disk; whether there was one.
pub(super) fn release(dir: &Path) -> bool {
    fs::remove_file(dir.join(FILE)).is_ok()
}
