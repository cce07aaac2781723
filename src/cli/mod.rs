//! What a person types: one file for each command.
//!
//! Comes in: arguments and the environment. Goes out: answers on standard output, problems on
//! standard error, an exit code.
//! Always true: 0 done, 1 what was asked about is wrong or failed, 64 usage, 78 configuration.
//! Not here: what the commands do inside; each calls one room and prints.

mod archive;
mod backfill;
mod backup;
mod check;
mod dead_letter;
mod explain;
mod journal;
mod listener;
mod reconcile;
mod reroute;
mod schema;
mod serve;
mod setup;
mod simulate;
mod strimzi;
mod tail;
mod verify;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, Environment, Origin, Problem, SecretsNeeded};

const FAILED: u8 = 1;
const USAGE: u8 = 64;
const CONFIGURATION: u8 = 78;
/// Longest text taken from standard input, in bytes.
const TEXT_MAX: u64 = 1 << 20;

/// Takes the texts people send to a public body's number and gets each to the right department.
#[derive(Parser)]
#[command(name = "sms-router", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Takes webhooks from carriers; without a settings file a sample on loopback
    Serve(Settings),
    /// Audit copies: fill the archive, read from it
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// E-mails and pushes to departments that read no topic
    #[command(subcommand)]
    Deliver(DeliverCommand),
    /// The journal behind Kafka: look at it, publish what it holds
    #[command(subcommand)]
    Journal(journal::Command),
    /// Reports every problem of settings and routes, and runs the routes' own tests
    Check(check::Arguments),
    /// Creates topics and schema; safe to run again
    Setup(setup::Arguments),
    /// Says where a text would go and why
    Explain(explain::Arguments),
    /// Pushes a text to the running server as an account's carrier would
    Simulate(simulate::Arguments),
    /// Says why a captured request is believed or not: which URL, parameters and secret fit, and what differs
    Verify(verify::Arguments),
    /// Asks a carrier which texts it received, and takes in those that never came
    Backfill(backfill::Arguments),
    /// Copies the embedded store into one file, beside a running `serve` or without one
    Backup(backup::Arguments),
    /// What nobody could read or take: list it, show it, send it on its way again
    #[command(subcommand)]
    DeadLetter(dead_letter::Command),
    /// Moves a text to another department; who, why and which is written down first
    Reroute(reroute::Arguments),
    /// Says whether log, journal and archive agree, by id, on what was received in a closed hour
    Reconcile(reconcile::Arguments),
    /// Shows a department's records, one JSON object a line
    Tail(tail::Arguments),
    /// Prints a contract: the schema of a record, AsyncAPI of the topics, OpenAPI of the listeners
    Schema(schema::Arguments),
}

#[derive(Subcommand)]
enum ArchiveCommand {
    /// Copies what was published into the archive (cluster profile)
    Run(Settings),
    /// Reads audit copies; who, when, why and which is written down first
    Get(archive::Arguments),
}

#[derive(Subcommand)]
enum DeliverCommand {
    /// Mails and pushes what was published (cluster profile; standalone, `serve` does it)
    Run(Settings),
}

/// Which settings file.
#[derive(Args, Clone)]
struct Settings {
    /// Settings file; else SMS_ROUTER_CONFIG, else the sample built in
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How results are written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default)]
enum Output {
    #[default]
    Text,
    Json,
}

/// How a command failed: what to say and the exit code.
struct Failure {
    code: u8,
    said: String,
}

type Outcome = Result<(), Failure>;

impl Failure {
    fn of(error: impl std::fmt::Display) -> Self {
        Self { code: FAILED, said: error.to_string() }
    }

    fn usage(said: impl Into<String>) -> Self {
        Self { code: USAGE, said: said.into() }
    }

    fn configuration(problems: &[Problem]) -> Self {
        let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        Self { code: CONFIGURATION, said }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::of(format!("{error:#}"))
    }
}

/// The whole process: arguments → command → exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors; where even printing fails nothing is left to say.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.said);
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Outcome {
    let environment = Environment::of_process();
    match command {
        Command::Serve(settings) => serve::serve(&settings, &environment),
        Command::Archive(ArchiveCommand::Run(settings)) => serve::archive(&settings, &environment),
        Command::Archive(ArchiveCommand::Get(arguments)) => archive::get(&arguments, &environment),
        Command::Deliver(DeliverCommand::Run(settings)) => serve::deliver(&settings, &environment),
        Command::Journal(command) => journal::journal(&command, &environment),
        Command::Check(arguments) => check::check(&arguments, &environment),
        Command::Setup(arguments) => setup::setup(&arguments, &environment),
        Command::Explain(arguments) => explain::explain(&arguments, &environment),
        Command::Simulate(arguments) => simulate::simulate(&arguments, &environment),
        Command::Verify(arguments) => verify::verify(&arguments, &environment),
        Command::Backfill(arguments) => backfill::backfill(&arguments, &environment),
        Command::Backup(arguments) => backup::backup(&arguments, &environment),
        Command::DeadLetter(command) => dead_letter::run(&command, &environment),
        Command::Reroute(arguments) => reroute::reroute(&arguments, &environment),
        Command::Reconcile(arguments) => reconcile::reconcile(&arguments, &environment),
        Command::Tail(arguments) => tail::tail(&arguments, &environment),
        Command::Schema(arguments) => schema::schema(&arguments),
    }
}

impl Settings {
    fn load(&self, environment: &Environment, secrets: SecretsNeeded) -> Result<Config, Failure> {
        let origin = Origin::choose(self.config.clone(), environment);
        config::load(&origin, environment, secrets).map_err(|problems| Failure::configuration(&problems))
    }
}

/// A runtime for commands that talk to something and end.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
    Ok(runtime.block_on(work))
}

/// `-` stands for standard input.
fn text_argument(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    std::io::stdin().take(TEXT_MAX).read_to_string(&mut read).map_err(Failure::of)?;
    Ok(read.strip_suffix('\n').map(str::to_owned).unwrap_or(read))
}

/// Prints a line. A reader who left (`| head`) is no error of ours and ends the command.
fn print(line: impl std::fmt::Display) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::of(error)),
    }
}

/// Says something beside the answer, on standard error.
fn say(line: impl std::fmt::Display) -> Outcome {
    writeln!(std::io::stderr(), "{line}").map_err(Failure::of)
}
