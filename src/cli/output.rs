//! Tables for people, one JSON object a line for machines.

use std::fmt;
use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::Value;

/// Whether nobody reads our output any more, as when `head` has seen enough. Only an error of the output itself is meant:
/// one of a connection comes wrapped in its own type.
#[must_use]
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// How a command prints its results.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// JSON instead of tables.
    pub(super) json: bool,
}

impl Output {
    /// Prints one object: `key: value` lines for people.
    pub(super) fn object(&self, pairs: &[(&str, Value)]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let object: serde_json::Map<_, _> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            return writeln!(out, "{}", Value::Object(object));
        }
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in pairs {
            writeln!(out, "{name:width$}  {}", cell(value))?;
        }
        Ok(())
    }

    /// Prints lines for people.
    pub(super) fn text(&self, lines: impl fmt::Display) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{lines}")
    }

    /// Prints the state of one thing among several, as soon as it is known: a line each.
    pub(super) fn state(&self, state: &str, what: &str) -> io::Result<()> {
        if self.json {
            return self.object(&[("state", state.into()), ("what", what.into())]);
        }
        self.text(format_args!("{state:<8} {what}"))
    }

    /// A bar for work that takes long: on standard error, and only where somebody looks.
    pub(super) fn progress(&self, steps: u64) -> anyhow::Result<ProgressBar> {
        let style = ProgressStyle::with_template("{bar:20} {pos}/{len}  {elapsed} of about {duration}")?;
        Ok(ProgressBar::new(steps).with_style(style).with_finish(ProgressFinish::AndClear))
    }

    /// Prints rows under headings.
    pub(super) fn table(&self, headings: &[&str], rows: &[Vec<Value>]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            for row in rows {
                let object: serde_json::Map<_, _> =
                    headings.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect();
                writeln!(out, "{}", Value::Object(object))?;
            }
            return Ok(());
        }
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", padded.join("  ").trim_end())
        };
        line(&mut headings.iter().copied())?;
        for row in &rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

/// A value for a person; control characters of other people's bytes do not reach the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
