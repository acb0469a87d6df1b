//! `cargo xtask fuzz-api`: Schemathesis makes requests of the service's own OpenAPI description, right ones and wrong ones, and looks at the
//! answers: none is a failure of the server, and each has a status, a type and a shape that the description names.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, probe};
use crate::tools;
use crate::workspace::Workspace;

/// For how long the gate asks.
const SECONDS: u32 = 90;
/// The seed of its requests.
const SEED: u32 = 1;
/// How long the service may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long, at most
    #[arg(long, value_name = "N", default_value_t = SECONDS)]
    seconds: u32,
    /// The seed of the requests, to see the same again
    #[arg(long, value_name = "N", default_value_t = SEED)]
    seed: u32,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            seed: SEED,
        }
    }
}

/// What it is told about the bodies of requests.
const HOOKS: &str = include_str!("fuzz_api_hooks.py");

/// The pipelines to ask for, each in a log of its own: one that copies clicks, and one whose source is missing.
const PIPELINES: [&str; 2] = ["clicks", "broken"];
/// What follows their names.
const PIPELINE: &str = "source.topic = \"in\"\nsink.topic = \"out\"\ndead_letters.topic = \"dead\"\n\
                        [log]\n";

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let Some(mut schemathesis) = tools::tool("schemathesis", workspace)? else {
        return Ok(());
    };
    // The same selection as for the tests: another would resolve other features and build the dependencies twice.
    shell.run(
        workspace
            .cargo()
            .args(["build", "--workspace", "--bins", "--tests"]),
    )?;
    let folder = workspace.target.join("fuzz-api");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot empty the folder of the last run")?;
    }
    fs::create_dir_all(folder.join("pipelines"))?;
    for name in PIPELINES {
        let text = format!("name = \"{name}\"\n{PIPELINE}embedded = \"{name}-log\"\n");
        fs::write(folder.join("pipelines").join(format!("{name}.toml")), text)?;
    }
    fs::write(folder.join("hooks.py"), HOOKS)?;
    let host = workspace.host_binary();
    let log = folder.join("pipelines").join("clicks-log");
    shell.run(
        Command::new(&host)
            .args(["generate", "clicks", "--topic", "in", "--create-topic"])
            .args(["--events", "2000", "--embedded"])
            .arg(log),
    )?;
    let printed = probe(Command::new(&host).args(["token", "--name", "xtask", "--role", "admin"]))
        .context("millstream token does not work")?;
    let (lines, token) = token(&printed).context("millstream token prints something else")?;
    let config = format!(
        "data = \"data\"\npipelines = \"pipelines\"\nhttp.listen = \"127.0.0.1:0\"\nhttp.requests_per_second = 100000\n{lines}"
    );
    fs::write(folder.join("millstream.toml"), config)?;
    let mut service = Service::start(&host, &folder)?;
    let address = service.address(&folder.join("log"))?;
    schemathesis
        .current_dir(&folder)
        .args(["run", &format!("http://{address}/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "all"])
        // A body of random text is no pipeline file, and a name made up is no pipeline: that is told, and right.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--max-time", &args.seconds.to_string()])
        .args(["--seed", &args.seed.to_string()])
        .args([
            "--workers",
            "2",
            "--continue-on-failure",
            "--warnings",
            "off",
        ])
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &folder)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    shell.run(&mut schemathesis)?;
    if !service.is_alive()? {
        bail!("the service ended: see {}", folder.join("log").display());
    }
    Ok(())
}

/// The lines for the service's file, and the token, of what `millstream token` prints.
fn token(printed: &str) -> Option<(String, String)> {
    let is_token = |line: &&str| line.starts_with("export MILLSTREAM_TOKEN=");
    let token = printed.lines().find(is_token)?.split_once('=')?.1;
    let lines: Vec<&str> = printed.lines().filter(|line| !is_token(line)).collect();
    Some((lines.join("\n"), token.to_owned()))
}

/// The address in the lines of the service's log, once it listens.
fn address_in(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let said: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = said["message"] == "listening";
        is_it.then(|| said["address"].as_str().map(str::to_owned))?
    })
}

/// A service that does not outlive its use.
struct Service(Child);

impl Service {
    fn start(host: &Path, folder: &Path) -> Result<Self> {
        let child = Command::new(host)
            .args(["serve", "--log-format", "json", "--config"])
            .arg(folder.join("millstream.toml"))
            .stdin(Stdio::null())
            .stderr(File::create(folder.join("log"))?)
            .spawn();
        Ok(Self(child.context("cannot start the service")?))
    }

    fn address(&mut self, log: &Path) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.is_alive()? {
            if let Some(address) = address_in(&fs::read_to_string(log)?) {
                return Ok(address);
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        bail!("the service does not listen: see {}", log.display())
    }

    fn is_alive(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_token_and_its_lines_are_told_apart() {
        let printed = "[[token]]\nname = \"xtask\"\n\nexport MILLSTREAM_TOKEN=abc\n";
        let (lines, found) = token(printed).unwrap();
        assert_eq!((&*lines, &*found), ("[[token]]\nname = \"xtask\"\n", "abc"));
        assert_eq!(token("nothing"), None);
    }

    #[test]
    fn the_address_stands_in_the_line_that_says_it_listens() {
        let log = "not json\n{\"message\":\"starting\"}\n{\"message\":\"listening\",\"address\":\"127.0.0.1:5\"}\n";
        assert_eq!(address_in(log).as_deref(), Some("127.0.0.1:5"));
        assert_eq!(address_in("{\"message\":\"listen"), None);
    }
}
