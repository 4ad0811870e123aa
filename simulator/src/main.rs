//! The command `simulator`.

use std::process::ExitCode;

use clap::Parser as _;
use simulator::cli::{self, Cli};

fn main() -> ExitCode {
    // Several libraries here speak TLS; with one provider chosen first, none has to guess.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("simulator: a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    cli::main(Cli::parse()).unwrap_or_else(|error| {
        // Nobody reads our output any more, as when `head` has seen enough: nothing to say, and nobody to hear it.
        let closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        if !error.downcast_ref().is_some_and(closed) {
            eprintln!("simulator: {error:#}");
        }
        ExitCode::FAILURE
    })
}
