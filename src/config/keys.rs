//! Takes typed values out of the merged table and collects every problem on the way, so that a person who made
//! five mistakes reads five messages, once.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use toml::{Table, Value};

use super::units;

/// One thing that is wrong with the configuration: where, what was given, what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, as a dotted path.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The merged table and the problems found so far.
pub(super) struct Keys<'a> {
    table: &'a Table,
    problems: Vec<Problem>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, problems: Vec::new() }
    }

    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn problem(&mut self, key: &str, message: impl fmt::Display) {
        self.problems.push(Problem { key: key.to_owned(), message: message.to_string() });
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        let mut parts = key.split('.');
        let first = self.table.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// Reads a text and parses it; what can't be parsed is a problem, and the fallback stands in for it.
    fn parse<T>(&mut self, key: &str, fallback: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        match self.value(key) {
            Some(Value::String(text)) => match parse(text) {
                Ok(value) => return value,
                Err(message) => self.problem(key, format!("\"{text}\" is refused: {message}")),
            },
            Some(other) => {
                // A bare number where a unit is needed is the common mistake: let the parser say what it expects.
                let given = other.to_string();
                let why = parse(&given).err().unwrap_or_else(|| "write it as a quoted text".to_owned());
                self.problem(key, format!("{given} is refused: {why}"));
            }
            None => self.problem(key, "is missing"),
        }
        fallback
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        self.parse(key, String::new(), |text| Ok(text.to_owned()))
    }

    /// A text that may not be empty.
    pub(super) fn filled(&mut self, key: &str) -> String {
        self.parse(key, String::new(), |text| match text {
            "" => Err("a value is needed".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    pub(super) fn optional(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.optional(key).map(PathBuf::from)
    }

    pub(super) fn one_of<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], fallback: T) -> T {
        self.parse(key, fallback, |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                format!("expected one of {}", names.join(", "))
            })
        })
    }

    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.parse(key, Duration::ZERO, units::duration)
    }

    /// A duration within bounds, both inclusive.
    pub(super) fn duration_within(&mut self, key: &str, low: Duration, high: Duration) -> Duration {
        self.parse(key, low, |text| match units::duration(text)? {
            value if (low..=high).contains(&value) => Ok(value),
            _ => Err(format!("must be between {low:?} and {high:?}")),
        })
    }

    /// A size within bounds, both inclusive, in bytes.
    pub(super) fn size_within(&mut self, key: &str, low: u64, high: u64) -> u64 {
        self.parse(key, low, |text| match units::size(text)? {
            value if (low..=high).contains(&value) => Ok(value),
            _ => Err(format!("must be between {low} and {high} bytes")),
        })
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        self.parse(key, SocketAddr::from(([127, 0, 0, 1], 0)), |text| {
            text.parse().map_err(|_| "expected an address and a port, such as \"127.0.0.1:9464\"".to_owned())
        })
    }

    pub(super) fn count(&mut self, key: &str, low: u64, high: u64) -> u64 {
        match self.value(key) {
            Some(Value::Integer(number)) => match u64::try_from(*number) {
                Ok(value) if (low..=high).contains(&value) => return value,
                _ => self.problem(key, format!("{number} is refused: must be between {low} and {high}")),
            },
            Some(other) => self.problem(key, format!("{other} is refused: expected a whole number")),
            None => self.problem(key, "is missing"),
        }
        low
    }

    pub(super) fn non_zero(&mut self, key: &str, high: usize) -> NonZeroUsize {
        let count = usize::try_from(self.count(key, 1, high as u64)).unwrap_or(usize::MAX);
        NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN)
    }

    pub(super) fn non_zero_u16(&mut self, key: &str) -> NonZeroU16 {
        let count = u16::try_from(self.count(key, 1, u64::from(u16::MAX))).unwrap_or(u16::MAX);
        NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN)
    }

    /// A number that may be left out; a whole number is fine.
    pub(super) fn number(&mut self, key: &str) -> Option<f64> {
        match self.value(key)? {
            Value::Float(number) if number.is_finite() => Some(*number),
            // Limits are small numbers; any that f64 can't hold exactly is far outside every plausible range.
            Value::Integer(number) => Some(*number as f64),
            other => {
                self.problem(key, format!("{other} is refused: expected a number"));
                None
            }
        }
    }

    /// A list of identifiers.
    pub(super) fn ids(&mut self, key: &str) -> Vec<String> {
        let Some(Value::Array(items)) = self.value(key) else {
            self.problem(key, "expected a list of texts, such as [\"north\", \"south\"]");
            return Vec::new();
        };
        let mut ids = Vec::new();
        for item in items {
            match item.as_str().filter(|text| crate::reading::is_id(text)) {
                Some(id) => ids.push(id.to_owned()),
                None => self.problem(key, format!("{item} is refused: expected letters, digits, _ and - (1 to 64)")),
            }
        }
        ids
    }
}
