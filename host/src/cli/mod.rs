//! The command line: one file a command. Each command is a plain function from its arguments to success or a
//! [`Failure`], which knows its exit code.

mod check;
mod code;
mod completions;
mod demo;
mod failure;
mod generate;
mod logs;
mod out;
mod place;
mod plugin;
mod progress;
mod remote;
mod run;
mod serve;
mod signals;
mod signing;
mod state;
mod token;
mod topic;

use clap::{Parser, Subcommand};

pub use failure::Failure;

/// The arguments of the `millstream` binary.
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    about = "Event-time stream processing on Kafka, with functions as WebAssembly components",
    long_about = "Millstream reads Kafka topics, runs event-time windows over them and calls functions that people write in \
                  Rust and compile to sandboxed WebAssembly components. A pipeline is one TOML file.",
    after_help = HELP,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    logs: logs::Options,
    #[command(flatten)]
    code: code::Options,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "\
Examples:
  millstream check pipeline.toml      is the file right, do the functions fit, do the topics exist
  millstream run pipeline.toml        run it until Ctrl-C
  millstream generate clicks --embedded data/log --topic web_clicks --create-topic
                                      fill a topic with clicks to try things on
  millstream topic tail web_clicks --embedded data/log --count 3
                                      look at records of a topic
  millstream state show pipeline.toml
                                      where each part of a pipeline stands, and what it holds
  millstream plugin test my-plugin    does a component give what its sample expects
  millstream demo --plugins FOLDER    see it work, without a broker
  millstream serve --config millstream.toml
                                      run many pipelines, with an HTTP API
  millstream plugins push my-plugin.wasm
                                      give a running service a plugin
  millstream pipelines create pipeline.toml
                                      and a pipeline
  millstream deploy clicks bot-filter my-filter.wasm
                                      put another component in place while it runs

Exit codes:
  0    done
  1    failed for a reason that is none of these
  2    the command line or the pipeline file is wrong
  3    a plugin was refused, or failed
  4    the log refused, or stayed away for longer than --give-up-after
  5    another process runs the pipeline now and has fenced this one
  130  ended at once by a second signal";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Generate(Box<generate::Args>),
    Topic(topic::Args),
    State(state::Args),
    #[command(subcommand)]
    Plugin(plugin::Command),
    Serve(serve::Args),
    Token(token::Args),
    Pipelines(remote::pipelines::Args),
    Results(remote::results::Args),
    DeadLetters(remote::dead_letters::Args),
    Plugins(remote::plugins::Args),
    Deploy(remote::deploys::Args),
    Deploys(remote::deploys::DeploysArgs),
    Rollback(remote::deploys::RollbackArgs),
    Completions(completions::Args),
    Demo(demo::Args),
}

/// Parses the process's arguments and does what they say. Prints failures; returns the exit code.
pub fn main() -> u8 {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(&args, &cli.logs, &cli.code),
        Command::Check(args) => check::run(&args, &cli.logs, &cli.code),
        Command::Generate(args) => generate::run(&args, &cli.logs),
        Command::Topic(args) => topic::run(&args, &cli.logs),
        Command::State(args) => state::run(&args, &cli.logs, &cli.code),
        Command::Plugin(command) => plugin::run(&command, &cli.logs, &cli.code),
        Command::Serve(args) => serve::run(&args, &cli.logs, &cli.code),
        Command::Token(args) => token::run(&args),
        Command::Pipelines(args) => remote::pipelines::run(&args),
        Command::Results(args) => remote::results::run(&args),
        Command::DeadLetters(args) => remote::dead_letters::run(&args),
        Command::Plugins(args) => remote::plugins::run(&args),
        Command::Deploy(args) => remote::deploys::deploy(&args),
        Command::Deploys(args) => remote::deploys::deploys(&args),
        Command::Rollback(args) => remote::deploys::rollback(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Demo(args) => demo::run(&args, &cli.logs, &cli.code),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            out::error(&failure);
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }
}
