//! `simulator seed-ward`: the ward in the real databases.

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use mongodb::Client;
use neo4rs::{ConfigBuilder, Graph};

use super::{WardOptions, secret};
use crate::seed;

#[derive(Debug, Args)]
pub(super) struct SeedWard {
    #[command(flatten)]
    ward: WardOptions,
    #[arg(long, default_value = "mongodb://127.0.0.1:27017")]
    mongodb_url: String,
    #[arg(long, default_value = "wardline")]
    database: String,
    #[arg(long, default_value = "bolt://127.0.0.1:7687")]
    neo4j_url: String,
    #[arg(long, default_value = "neo4j")]
    neo4j_user: String,
    /// A file with the password.
    #[arg(long, value_name = "FILE", env = "WARDLINE_NEO4J_PASSWORD_FILE")]
    neo4j_password_file: PathBuf,
}

pub(super) async fn seed_ward(command: SeedWard) -> anyhow::Result<ExitCode> {
    let ward = command.ward.ward()?;
    let now = jiff::Timestamp::now().as_millisecond();
    let client = Client::with_uri_str(&command.mongodb_url).await?;
    seed::profiles(&client, &command.database, &ward, now).await?;
    writeln!(stdout(), "mongodb  {} patients with their devices", ward.beds.len())?;
    let password = secret(&command.neo4j_password_file)?;
    let config =
        ConfigBuilder::default().uri(&command.neo4j_url).user(&command.neo4j_user).password(password).build()?;
    seed::care_graph(&Graph::connect(config)?, &ward, now).await?;
    writeln!(stdout(), "neo4j    {} clinicians on duty in {}", ward.clinicians.len(), ward.ward)?;
    Ok(ExitCode::SUCCESS)
}
