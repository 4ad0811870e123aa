//! The command `wardline`.

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use wardline::cli::{self, Cli, EXIT_USAGE};

fn main() -> ExitCode {
    // Several libraries here speak TLS; with one provider chosen first, none has to guess.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("wardline: a TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(shown) => {
            let wanted = matches!(shown.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nowhere to say it when even this can't be printed.
            shown.print().ok();
            return if wanted { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) };
        }
    };
    cli::main(cli).unwrap_or_else(|error| {
        if !cli::output::is_closed(&error) {
            eprintln!("wardline: {error:#}");
        }
        ExitCode::FAILURE
    })
}
