//! Loading the configuration for a command, and telling all that is wrong with it.

use std::path::Path;

use anyhow::Context as _;

use crate::config::Config;

/// The configuration of a file, or the defaults; `None` when there are problems, which are then on standard error.
pub(super) fn load(path: Option<&Path>) -> anyhow::Result<Option<Config>> {
    let text = match path {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?,
        None => String::new(),
    };
    match Config::from_text(&text, std::env::vars()) {
        Ok(config) => Ok(Some(config)),
        Err(problems) => {
            let what = path.map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string());
            eprintln!("{what} has {}:", count(problems.len()));
            for problem in problems {
                eprintln!("  {problem}");
            }
            Ok(None)
        }
    }
}

fn count(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}
