//! What the documents and the layout say of the code, held against the code.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use wardline::pipeline::{CHANGES, PREPARED, RECEIVED};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All Rust files below a folder, with their path from the root.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 1, "there is nothing in {folder}");
    found
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn the_diagram_has_the_queues_of_the_pipeline() {
    let document = read("ARCHITECTURE.md");
    for (name, capacity) in [("RECEIVED", RECEIVED), ("PREPARED", PREPARED), ("CHANGES", CHANGES)] {
        assert!(document.contains(&format!("{name} = {capacity} ")), "the diagram has another {name} than {capacity}");
    }
    // And there are no others: every queue of the pipeline is one of these.
    let pipeline = read("src/pipeline.rs");
    let queues = pipeline.lines().filter(|line| line.contains("channel("));
    let named = |line: &&str| ["RECEIVED", "PREPARED", "CHANGES"].iter().any(|name| line.contains(name));
    assert_eq!(queues.filter(|line| !named(line)).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn no_queue_is_unbounded() {
    for (path, text) in sources("src") {
        for unbounded in ["unbounded_channel", "mpsc::channel()", "unbounded()"] {
            assert!(!code(&text).contains(unbounded), "{} has {unbounded}", path.display());
        }
    }
}

#[test]
fn the_pure_core_does_no_io_and_reads_no_clock() {
    let core = [
        "src/vital.rs",
        "src/reading.rs",
        "src/limits.rs",
        "src/validate.rs",
        "src/intake/draft.rs",
        "src/intake/payload.rs",
        "src/intake/json.rs",
        "src/intake/acks.rs",
        "src/intake/duplicates.rs",
        "src/enrich.rs",
        "src/enrich/age.rs",
        "src/enrich/directory.rs",
        "src/enrich/interval.rs",
        "src/enrich/timeline.rs",
        "src/watch/asystole.rs",
        "src/watch/condition.rs",
        "src/watch/detector.rs",
        "src/watch/episode.rs",
        "src/watch/limits.rs",
        "src/store/line.rs",
        "src/journal/format.rs",
    ];
    for path in core {
        let text = read(path);
        for impure in
            ["std::fs", "std::io", "std::net", "tokio::", "Instant::now", "SystemTime", "clock::now", "Timestamp::now"]
        {
            assert!(!code(&text).contains(impure), "{path} uses {impure}");
        }
    }
}

#[test]
fn nothing_below_the_configuration_reads_the_environment() {
    for (path, text) in sources("src") {
        // The command line hands the environment to the configuration, and the demo asks where temporary files go.
        let may = ["src/cli/config.rs", "src/cli/demo.rs"].iter().any(|allowed| path == Path::new(allowed));
        assert!(may || !code(&text).contains("env::"), "{} reads the environment", path.display());
    }
}

#[test]
fn nothing_outside_metrics_names_a_metric() {
    for (path, text) in sources("src") {
        let may = path.starts_with("src/metrics") || path == Path::new("src/metrics.rs");
        let names = code(&text).contains("\"wardline_");
        assert!(may || !names, "{} names a metric", path.display());
    }
}

#[test]
fn files_are_small() {
    for folder in ["src", "simulator/src", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= 500, "{} has {lines} lines: split it", path.display());
        }
    }
}

#[test]
fn the_documents_name_files_that_are_there() {
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = read(document);
        let named = text.split('`').skip(1).step_by(2).filter(|code| {
            let folder = code.split('/').next().unwrap_or_default();
            let known = ["src", "simulator", "config", "tests", "deploy"].contains(&folder);
            known && code.contains('/') && !code.contains([' ', '*', '{'])
        });
        for path in named {
            assert!(root().join(path).exists(), "{document} names {path}, which is not there");
        }
    }
}
