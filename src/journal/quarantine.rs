//! Where damaged data goes: out of the way, kept for a person, counted; the service goes on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, params};

use super::format::Damage;
use super::{Journal, JournalError};

/// The folder beside the database.
const FOLDER: &str = "quarantine";

/// Moves one damaged group out of the journal. Both consumers may meet it; it is counted once.
pub(super) async fn group(
    journal: &Journal,
    first_seq: u64,
    count: u64,
    damage: &Damage,
    bytes: Vec<u8>,
) -> Result<(), JournalError> {
    let path = journal.dir.join(FOLDER).join(format!("group-{first_seq}.bin"));
    let kept = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || keep(&path, &bytes)).await.map_err(|_| JournalError::Closed)?
    };
    kept.map_err(|error| JournalError::Folder { path: path.clone(), message: error.to_string() })?;
    let removed = journal
        .write(move |connection| connection.execute("DELETE FROM groups WHERE first_seq = ?1", params![first_seq]))
        .await?;
    if removed > 0 {
        journal.account.quarantined(count);
        tracing::error!(first_seq, readings = count, %damage, file = %path.display(),
            "a damaged group of the journal was moved to quarantine; its readings are lost");
    }
    Ok(())
}

/// Writes a file so that it is whole or absent after a crash.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

/// The file that says that the database turned out to be damaged while it was used.
const NOTE: &str = "damaged";

/// Remembers damage that was met while running, so that the next start moves the database away instead of meeting it
/// again.
pub(super) fn note_if_damaged(dir: &Path, error: &rusqlite::Error) {
    if let Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) = error.sqlite_error_code()
        && let Err(failed) = fs::write(dir.join(NOTE), error.to_string())
    {
        tracing::error!(%failed, "the damage of the journal could not be noted");
    }
}

/// The damage that an earlier run noted.
pub(super) fn noted(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join(NOTE)).ok()
}

/// Moves the whole database out of the way, and forgets the note of its damage; returns where it went.
pub(super) fn database(database: &Path, now: crate::reading::Millis) -> io::Result<PathBuf> {
    let folder = database.parent().unwrap_or(Path::new(".")).join(FOLDER).join(format!("journal-{now}"));
    fs::create_dir_all(&folder)?;
    let name = database.file_name().unwrap_or_default();
    for suffix in ["", "-wal", "-shm"] {
        let mut part = name.to_owned();
        part.push(suffix);
        let from = database.with_file_name(&part);
        match fs::rename(&from, folder.join(&part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    File::open(&folder)?.sync_all()?;
    // Absent unless the damage was noted by an earlier run.
    fs::remove_file(database.with_file_name(NOTE)).ok();
    Ok(folder)
}
