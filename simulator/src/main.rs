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
        eprintln!("simulator: {error:#}");
        ExitCode::FAILURE
    })
}
