//! From text to [`Config`]: merge, refuse unknown keys, read each key, compare what depends on each other.

use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use super::keys::{Keys, Problem};
use super::{
    Backoff, Broker, Config, DEFAULTS, DeadLetter, Http, InfluxDb, Intake, Journal, Log, Login, MongoDb, Mqtt, Neo4j,
    Notify, SafetyNet, Shutdown, Store, Sustain, Tls, Watch,
};
use crate::limits::{Limit, Limits};
use crate::vital::{self, Vital};

/// The prefix of variables that override keys.
const PREFIX: &str = "WARDLINE_";

/// The keys of a limits table that need no default: any of them may be added to any vital.
const LIMIT_KEYS: [&str; 5] = ["critical_low", "warning_low", "warning_high", "critical_high", "margin"];

/// Variables of ours that are no keys: the path of the file itself, and what scripts around the program use.
const NOT_KEYS: [&str; 5] = ["CONFIG", "CACHE", "TEST_SERVERS", "RUN_DIR", "PROMETHEUS_URL"];

impl Config {
    /// Reads a configuration from the text of a file (empty for the defaults) and from environment variables.
    ///
    /// # Errors
    /// All problems that can be found without asking a peer, each with its key.
    pub fn from_text(text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Vec<Problem>> {
        let whole = |message: String| vec![Problem { key: "the file".to_owned(), message }];
        let defaults: Table = DEFAULTS.parse().map_err(|error| whole(format!("the defaults do not parse: {error}")))?;
        let given: Table = text.parse().map_err(|error: toml::de::Error| {
            whole(format!("is not TOML: {}", error.to_string().trim_end().replace('\n', "\n  ")))
        })?;
        let mut problems = Vec::new();
        let mut merged = defaults;
        merge(&mut merged, given, "", &mut problems);
        override_from(environment, &mut merged, &mut problems);
        let mut keys = Keys::new(&merged);
        let config = read(&mut keys);
        if keys.is_clean() {
            // Only then: a key that fell back to a stand-in would give problems that nobody made.
            compare(&config, &mut keys);
        }
        problems.extend(keys.finish());
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

/// Lays `given` over `base`; a key that `base` does not have is a problem.
fn merge(base: &mut Table, given: Table, path: &str, problems: &mut Vec<Problem>) {
    let known: Vec<String> = base.keys().cloned().collect();
    for (name, value) in given {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (base.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(table)) => merge(inner, table, &key, problems),
            (Some(Value::Table(_)), other) => {
                problems.push(Problem { key, message: format!("{other} is refused: expected a table") });
            }
            (Some(slot), value) => *slot = value,
            (None, value) if path.starts_with("limits.") && LIMIT_KEYS.contains(&name.as_str()) => {
                base.insert(name, value);
            }
            (None, _) => {
                let nearest = known.iter().min_by_key(|other| distance(other, &name));
                let hint = nearest.filter(|other| distance(other, &name) <= 2 + name.len() / 4);
                let message = match hint {
                    Some(hint) => format!("is no key of wardline; did you mean \"{hint}\"?"),
                    None => format!("is no key of wardline; known here: {}", known.join(", ")),
                };
                problems.push(Problem { key, message });
            }
        }
    }
}

/// Edit distance (Levenshtein), for the hint at a misspelt key.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.chars().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Sets keys from `WARDLINE_*` variables; a variable that names no key is a problem, as a key would be.
fn override_from(environment: impl Iterator<Item = (String, String)>, table: &mut Table, problems: &mut Vec<Problem>) {
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(PREFIX).filter(|name| !NOT_KEYS.contains(name)) else { continue };
        match find(table, &name.to_ascii_lowercase()) {
            Some(slot) => match parse_like(slot, &text) {
                Some(value) => *slot = value,
                None => problems.push(Problem {
                    key: variable,
                    message: format!("\"{text}\" is refused: expected {}", slot.type_str()),
                }),
            },
            None => problems.push(Problem { key: variable, message: "names no key of wardline".to_owned() }),
        }
    }
}

/// The value whose path, with underscores for dots, is `name`.
fn find<'t>(table: &'t mut Table, name: &str) -> Option<&'t mut Value> {
    table.iter_mut().find_map(|(key, value)| match value {
        Value::Table(inner) => find(inner, name.strip_prefix(key.as_str())?.strip_prefix('_')?),
        value if key == name => Some(value),
        _ => None,
    })
}

fn parse_like(like: &Value, text: &str) -> Option<Value> {
    Some(match like {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(text.parse().ok()?),
        Value::Float(_) => Value::Float(text.parse().ok()?),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => return None,
    })
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn read(keys: &mut Keys<'_>) -> Config {
    Config {
        mqtt: mqtt(keys),
        intake: Intake {
            max_payload: keys.size_within("intake.max_payload", 64, 16 << 20) as usize,
            max_items: keys.non_zero("intake.max_items", 100_000).get(),
            max_vitals: keys.non_zero("intake.max_vitals", 1_000).get(),
            max_future: keys.duration("intake.max_future"),
            retention: keys.duration_within("intake.retention", MINUTE, 36_500 * DAY),
            live_within: keys.duration_within("intake.live_within", SECOND, DAY),
            max_in_flight: keys.size_within("intake.max_in_flight", 1 << 20, 1 << 30) as usize,
            read_interval: keys.duration_within("intake.read_interval", Duration::ZERO, SECOND),
        },
        journal: Journal {
            dir: keys.filled("journal.dir").into(),
            max_size: keys.size_within("journal.max_size", 1 << 20, 1 << 44),
            max_group: keys.size_within("journal.max_group", 16 << 10, 64 << 20) as usize,
            reserve: keys.size_within("journal.reserve", 1 << 20, 1 << 30),
            memory: keys.size_within("journal.memory", 1 << 20, 1 << 30) as usize,
        },
        dead_letter: DeadLetter {
            max_count: keys.count("dead_letter.max_count", 1, 1_000_000_000),
            max_size: keys.size_within("dead_letter.max_size", 64 << 10, 1 << 40),
            max_age: keys.duration_within("dead_letter.max_age", MINUTE, 36_500 * DAY),
        },
        influxdb: InfluxDb {
            url: url(keys, "influxdb.url", &["http://", "https://"]),
            org: keys.filled("influxdb.org"),
            token_file: keys.path("influxdb.token_file"),
            bucket_template: keys.filled("influxdb.bucket_template"),
            bucket_retention: keys.duration("influxdb.bucket_retention"),
            timeout: keys.duration_within("influxdb.timeout", SECOND, 10 * MINUTE),
            backoff: backoff(keys, "influxdb"),
            hold_retry: keys.duration_within("influxdb.hold_retry", SECOND / 10, 10 * MINUTE),
        },
        store: Store {
            max_lines: keys.non_zero("store.max_lines", 100_000).get(),
            max_bytes: keys.size_within("store.max_bytes", 4 << 10, 64 << 20) as usize,
            max_age: keys.duration_within("store.max_age", SECOND / 1000, MINUTE),
        },
        mongodb: MongoDb {
            url: url(keys, "mongodb.url", &["mongodb://", "mongodb+srv://"]),
            database: keys.filled("mongodb.database"),
            login: login(keys, "mongodb"),
            refresh: keys.duration_within("mongodb.refresh", SECOND / 10, 10 * MINUTE),
            reload: keys.duration_within("mongodb.reload", SECOND, DAY),
            lookup_timeout: keys.duration_within("mongodb.lookup_timeout", Duration::ZERO, 5 * SECOND),
            negative_ttl: keys.duration_within("mongodb.negative_ttl", SECOND, DAY),
            timeout: keys.duration_within("mongodb.timeout", SECOND / 10, MINUTE),
        },
        neo4j: Neo4j {
            url: url(keys, "neo4j.url", &["bolt://", "bolt+s://", "neo4j://", "neo4j+s://"]),
            user: keys.text("neo4j.user"),
            password_file: keys.path("neo4j.password_file"),
            database: keys.filled("neo4j.database"),
            timeout: keys.duration_within("neo4j.timeout", SECOND / 10, MINUTE),
        },
        watch: watch(keys),
        notify: Notify {
            mqtt_client_id: client_id(keys, "notify.mqtt_client_id"),
            safety_net: SafetyNet {
                kind: keys.one_of("notify.safety_net_kind", &[("mqtt", "mqtt"), ("webhook", "webhook")], "mqtt"),
                address: keys.filled("notify.safety_net_address"),
            },
            webhook_key_file: keys.path("notify.webhook_key_file"),
            webhook_timeout: keys.duration_within("notify.webhook_timeout", SECOND / 10, MINUTE),
            backoff: backoff(keys, "notify"),
            concurrency: keys.non_zero("notify.concurrency", 1_000),
        },
        http: Http { listen: keys.address("http.listen") },
        log: Log {
            level: keys.filled("log.level"),
            json: keys.one_of("log.format", &[("text", false), ("json", true)], false),
        },
        shutdown: Shutdown { deadline: keys.duration_within("shutdown.deadline", SECOND, 10 * MINUTE) },
    }
}

fn mqtt(keys: &mut Keys<'_>) -> Mqtt {
    Mqtt {
        broker: broker(keys),
        client_id: client_id(keys, "mqtt.client_id"),
        regions: keys.ids("mqtt.regions"),
        share_group: keys.optional("mqtt.share_group"),
        sessions: keys.non_zero("mqtt.sessions", 64),
        receive_maximum: keys.non_zero_u16("mqtt.receive_maximum"),
        session_expiry: keys.duration_within("mqtt.session_expiry", SECOND, 365 * DAY),
        // Below 5 s the MQTT library refuses the option.
        keep_alive: keys.duration_within("mqtt.keep_alive", 5 * SECOND, 10 * MINUTE),
        max_packet_size: keys.size_within("mqtt.max_packet_size", 1 << 10, 256 << 20) as u32,
        backoff: backoff(keys, "mqtt"),
        stall_timeout: keys.duration_within("mqtt.stall_timeout", 5 * SECOND, DAY),
        login: login(keys, "mqtt"),
        tls: Tls { ca_file: keys.path("mqtt.ca_file"), identity: identity(keys) },
    }
}

fn broker(keys: &mut Keys<'_>) -> Broker {
    const KEY: &str = "mqtt.url";
    let text = url(keys, KEY, &["mqtt://", "mqtts://"]);
    let tls = text.starts_with("mqtts://");
    let rest = text.split_once("://").map(|(_, rest)| rest).unwrap_or_default();
    let default_port = if tls { 8883 } else { 1883 };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(0)),
        None => (rest, default_port),
    };
    if !text.is_empty() && (host.is_empty() || host.contains('/') || port == 0) {
        keys.problem(KEY, format!("\"{text}\" is refused: expected a host and a port, such as \"mqtt://broker:1883\""));
    }
    Broker { host: host.to_owned(), port, tls }
}

/// A URL with one of the schemes, without credentials in it and without a slash at its end.
fn url(keys: &mut Keys<'_>, key: &str, schemes: &[&str]) -> String {
    let text = keys.filled(key);
    let text = text.trim_end_matches('/');
    if !text.is_empty() && !schemes.iter().any(|scheme| text.starts_with(scheme)) {
        keys.problem(key, format!("\"{text}\" is refused: must begin with {}", schemes.join(" or ")));
    } else if text.contains('@') {
        // The value is not repeated: it holds a secret.
        keys.problem(key, "holds credentials: put the user name and the password file in their own keys");
    }
    text.to_owned()
}

fn client_id(keys: &mut Keys<'_>, key: &str) -> String {
    let id = keys.text(key);
    if !crate::reading::is_id(&id) {
        keys.problem(key, format!("\"{id}\" is refused: expected letters, digits, _ and - (1 to 64)"));
    }
    id
}

fn login(keys: &mut Keys<'_>, section: &str) -> Option<Login> {
    let key = format!("{section}.password_file");
    match (keys.optional(&format!("{section}.username")), keys.path(&key)) {
        (Some(username), Some(password_file)) => Some(Login { username, password_file }),
        (None, None) => None,
        _ => {
            keys.problem(&key, format!("{section}.username and {section}.password_file go together: set both or none"));
            None
        }
    }
}

fn identity(keys: &mut Keys<'_>) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    match (keys.path("mqtt.cert_file"), keys.path("mqtt.key_file")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            keys.problem("mqtt.cert_file", "mqtt.cert_file and mqtt.key_file go together: set both or none");
            None
        }
    }
}

fn backoff(keys: &mut Keys<'_>, section: &str) -> Backoff {
    let max = format!("{section}.backoff_max");
    let backoff = Backoff {
        min: keys.duration_within(&format!("{section}.backoff_min"), SECOND / 1000, 10 * MINUTE),
        max: keys.duration_within(&max, SECOND / 1000, 60 * MINUTE),
    };
    if backoff.min > backoff.max {
        keys.problem(&max, format!("must not be shorter than {section}.backoff_min ({:?})", backoff.min));
    }
    backoff
}

fn watch(keys: &mut Keys<'_>) -> Watch {
    let mut sustain = |name: &str| Sustain {
        time: keys.duration_within(&format!("watch.{name}_for"), Duration::ZERO, 60 * MINUTE),
        samples: keys.count(&format!("watch.{name}_samples"), 1, 10_000) as u32,
    };
    let (warning, critical) = (sustain("warning"), sustain("critical"));
    let mut limits = Limits::default();
    let mut margins = [0.0; vital::COUNT];
    for (vital, slot) in vital::ALL.into_iter().zip(&mut margins) {
        let (limit, margin) = limit(keys, vital);
        limits.set(vital, limit);
        *slot = margin;
    }
    Watch {
        warning,
        critical,
        recovery_for: keys.duration_within("watch.recovery_for", Duration::ZERO, 60 * MINUTE),
        gap: keys.duration_within("watch.gap", SECOND, 60 * MINUTE),
        limits: Arc::new(limits),
        margins,
    }
}

fn limit(keys: &mut Keys<'_>, vital: Vital) -> (Limit, f64) {
    let table = format!("limits.{}", vital.name());
    let mut number = |name: &str| keys.number(&format!("{table}.{name}"));
    let limit = Limit {
        critical_low: number("critical_low"),
        warning_low: number("warning_low"),
        warning_high: number("warning_high"),
        critical_high: number("critical_high"),
    };
    let margin = number("margin").unwrap_or_default();
    if let Some((lower, upper)) = limit.disorder() {
        keys.problem(&table, format!("{lower} must not be above {upper}"));
    }
    if margin < 0.0 {
        keys.problem(&format!("{table}.margin"), "must not be negative");
    }
    (limit, margin)
}

/// Rules between keys.
fn compare(config: &Config, keys: &mut Keys<'_>) {
    if config.mqtt.sessions.get() > 1 && config.mqtt.share_group.is_none() {
        keys.problem("mqtt.sessions", "more than one needs mqtt.share_group, or every session receives everything");
    }
    if let Some(group) = config.mqtt.share_group.as_deref().filter(|group| !crate::reading::is_id(group)) {
        keys.problem("mqtt.share_group", format!("\"{group}\" is refused: expected letters, digits, _ and -"));
    }
    if config.mqtt.client_id == config.notify.mqtt_client_id {
        keys.problem(
            "notify.mqtt_client_id",
            "must differ from mqtt.client_id: the broker lets one of them in at a time",
        );
    }
    if (config.mqtt.max_packet_size as usize) < config.intake.max_payload {
        keys.problem("mqtt.max_packet_size", "must not be smaller than intake.max_payload");
    }
    if !config.mqtt.broker.tls && (config.mqtt.tls.ca_file.is_some() || config.mqtt.tls.identity.is_some()) {
        keys.problem("mqtt.url", "must begin with mqtts:// when ca_file or cert_file is set");
    }
    if !config.influxdb.bucket_template.contains("{region}") && config.mqtt.regions.len() > 1 {
        keys.problem("influxdb.bucket_template", "needs {region} in it when there are several regions");
    }
    if config.intake.live_within > config.intake.retention {
        keys.problem("intake.live_within", "must not be longer than intake.retention");
    }
    if config.journal.reserve >= config.journal.max_size {
        keys.problem("journal.reserve", "must be smaller than journal.max_size");
    }
    if !config.http.listen.ip().is_loopback() {
        keys.problem(
            "http.listen",
            format!("{} is refused: only loopback, until there is authentication", config.http.listen),
        );
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        Config::from_text(text, std::iter::empty()).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_committed_file_is_a_valid_configuration() {
        assert_eq!(problems(""), Vec::<String>::new());
        assert_eq!(problems(DEFAULTS), Vec::<String>::new());
    }

    #[test]
    fn five_mistakes_give_five_messages_each_with_its_key() {
        let found = problems(
            "[mqtt]\nurll = \"mqtt://x:1\"\nkeep_alive = 10\n[journal]\nmax_size = \"4 gigs\"\n\
             [store]\nmax_lines = 0\n[neo4j]\nurl = \"http://x\"\n",
        );
        let heads: Vec<_> = found.iter().filter_map(|message| message.split(": ").next()).collect();
        assert_eq!(heads, ["mqtt.urll", "mqtt.keep_alive", "journal.max_size", "store.max_lines", "neo4j.url"]);
        assert!(found.iter().any(|message| message.contains("did you mean \"url\"")), "{found:?}");
        assert!(found.iter().any(|message| message.contains("the unit is missing")), "{found:?}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let environment = [("WARDLINE_INFLUXDB_TOKEN_FILE", "/run/token"), ("WARDLINE_MQTT_REGIONS", "north,south")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter();
        let config = Config::from_text("[mqtt]\nregions = [\"east\"]", environment).unwrap();
        assert_eq!(config.mqtt.regions, ["north", "south"]);
        assert_eq!(config.influxdb.token_file.unwrap().to_str(), Some("/run/token"));
    }

    #[test]
    fn a_variable_that_names_no_key_is_refused() {
        let environment = [("WARDLINE_MQTT_URLL".to_owned(), "x".to_owned())].into_iter();
        assert!(Config::from_text("", environment).is_err());
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_repeating_it() {
        let found = problems("[mongodb]\nurl = \"mongodb://u:hunter2@h\"");
        assert_eq!(found.len(), 1);
        assert!(found.iter().all(|message| !message.contains("hunter2")), "{found:?}");
    }

    #[test]
    fn limits_out_of_order_are_refused() {
        assert_eq!(problems("[limits.spo2]\ncritical_low = 95").len(), 1);
    }
}
