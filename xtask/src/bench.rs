//! `cargo xtask bench`: the benchmark of `tests/bench`, with a broker and programs made for it. `docs/benchmarks.md` says how to read
//! its table.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::kafka::Kafka;
use crate::phases::Phases;
use crate::plugins;
use crate::shell::{Shell, probe};
use crate::workspace::Workspace;

/// The folder of the broker under `target`.
const BROKER: &str = "bench/kafka";
/// The core of the broker and of who measures; the measured system has the next.
const BROKER_CORE: &str = "0";
/// Between them the page has the table.
const BEGIN: &str = "<!-- the table of cargo xtask bench --publish begins -->";
const END: &str = "<!-- the table ends -->";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A few cases, once each
    #[arg(long)]
    quick: bool,
    /// Flink, Kafka Streams and Bytewax too
    #[arg(long)]
    peers: bool,
    /// The cores of the measured system, as `taskset` reads them
    #[arg(long, default_value = "1")]
    cores: String,
    /// How many clicks a topic has; 5,000,000, and 2,000,000 with --quick, unless said otherwise
    #[arg(long)]
    events: Option<u64>,
    /// How often each case is run; 5 times, and once with --quick, unless said otherwise
    #[arg(long)]
    runs: Option<u64>,
    /// Put the table and the chart of all cases into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "more"])]
    publish: bool,
    /// What the benchmark itself takes: --job, --system, --partitions, each as often as need be
    #[arg(last = true)]
    more: Vec<OsString>,
}

impl Args {
    /// How many clicks, and how often.
    fn size(&self) -> (u64, u64) {
        let (events, runs) = if self.quick {
            (2_000_000, 1)
        } else {
            (5_000_000, 5)
        };
        (self.events.unwrap_or(events), self.runs.unwrap_or(runs))
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace, shell: &Shell) -> Result<()> {
    let mut phases = Phases::default();
    phases.run("plugins", || plugins::build(&[], workspace, shell))?;
    phases.run("build", || {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package", "millstream"]);
        shell.run(cargo.args(["--package", "millstream-bench"]))
    })?;
    let sources = workspace.root.join("tests").join("bench").join("peers");
    let builds = workspace.target.join("bench").join("peers");
    if args.peers {
        phases.run("peers", || build_peers(&sources, &builds, shell))?;
    }
    // The jars are shared with the broker of the tests, whose lock keeps two from fetching them at once.
    Kafka::new(workspace, shell).libs()?;
    let kafka = Kafka::apart(workspace, shell, BROKER);
    kafka.down()?;
    let broker = phases.run("kafka", || kafka.up())?;
    let results = workspace.target.join("bench");
    let release = workspace.target.join("release");
    let measures = |mut bench: Command, what: &str| {
        bench.arg(what);
        bench.arg("--millstream").arg(release.join("millstream"));
        bench.arg("--plugins").arg(workspace.plugins());
        bench.arg("--table").arg(results.join(format!("{what}.md")));
        // Start-up is that of components which have been compiled before.
        bench.env("MILLSTREAM_CODE_CACHE", workspace.target.join("code"));
        bench
    };
    let beside_the_broker = |what: &str| {
        let mut bench = Command::new("taskset");
        bench.args(["-c", BROKER_CORE]);
        bench.arg(release.join("millstream-bench"));
        let mut bench = measures(bench, what);
        bench.args(["--bootstrap", &broker.address]);
        bench.args(["--cores", &args.cores]);
        bench
    };
    let is_whole = !args.quick && args.more.is_empty();
    let measured = pin(broker.pid, shell).and_then(|()| {
        phases.run("jobs", || {
            let mut bench = beside_the_broker("compare");
            bench.arg("--peer-builds").arg(&builds);
            bench.arg("--peer-sources").arg(&sources);
            bench.arg("--chart").arg(results.join("chart.svg"));
            let (events, runs) = args.size();
            bench.args(["--events", &events.to_string()]);
            bench.args(["--runs", &runs.to_string()]);
            for (flag, is_set) in [("--quick", args.quick), ("--peers", args.peers)] {
                bench.args(is_set.then_some(flag));
            }
            shell.run(bench.args(&args.more))
        })?;
        match is_whole {
            true => phases.run("latency", || shell.run(&mut beside_the_broker("latency"))),
            false => Ok(()),
        }
    });
    kafka.down()?;
    let measured = measured.and_then(|()| match is_whole {
        true => phases.run("workers", || {
            let bench = Command::new(release.join("millstream-bench"));
            shell.run(&mut measures(bench, "workers"))
        }),
        false => Ok(()),
    });
    eprint!("\n{phases}");
    measured?;
    if args.publish {
        publish(args, workspace)?;
    }
    Ok(())
}

/// Puts the table and the chart in the place of those that the page has.
fn publish(args: &Args, workspace: &Workspace) -> Result<()> {
    let results = workspace.target.join("bench");
    let docs = workspace.root.join("docs");
    fs::copy(results.join("chart.svg"), docs.join("benchmarks.svg")).context("the chart")?;
    let read = |name: &str| fs::read_to_string(results.join(name)).context("the table");
    let [table, latency, workers] = ["compare.md", "latency.md", "workers.md"].map(read);
    let (table, latency, workers) = (table?, latency?, workers?);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let of = |program: &str, argument: &str| {
        let told = probe(Command::new(program).arg(argument)).unwrap_or_default();
        told.lines().next().unwrap_or_default().to_owned()
    };
    let (events, runs) = args.size();
    let text = format!(
        "{events} clicks, each case {runs} times; {}, Linux {}, {}, {}. One core for the measured process, one for broker and reader.\n\n\
         ![CPU seconds per million records](benchmarks.svg)\n\n{table}\n\
         How long after its watermark a result can be read, by a reader of committed records, at a steady pace, windows of 100 ms:\n\n{latency}\n\
         What a second worker with a core of its own is worth, on the log in the process, 12,000,000 clicks in four partitions:\n\n{workers}",
        cpu.map_or("an unknown processor", |(_, name)| name),
        of("uname", "-r"),
        of("rustc", "--version"),
        of("java", "--version"),
    );
    let page = docs.join("benchmarks.md");
    let old = fs::read_to_string(&page).context("the page")?;
    let new = replaced(&old, &text).context("docs/benchmarks.md has no place for the table")?;
    fs::write(&page, new).context("the page")
}

/// The page with a text between its two marks.
fn replaced(page: &str, text: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{text}{END}{tail}"))
}

/// Keeps the broker, all its threads, away from what is measured.
fn pin(pid: i32, shell: &Shell) -> Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", BROKER_CORE]);
    shell
        .run(
            taskset
                .arg(pid.to_string())
                .stdout(std::process::Stdio::null()),
        )
        .context("the broker can't be kept to a core: the benchmark takes two")
}

/// The peers' programs, by Maven and pip; built again only where their sources have changed.
fn build_peers(sources: &Path, builds: &Path, shell: &Shell) -> Result<()> {
    for name in ["flink", "kafka-streams"] {
        let jar = builds.join(name).join(format!("{name}.jar"));
        let folder = sources.join(name);
        // What the two have in common is beside them.
        if is_newer(&jar, &folder)? && is_newer(&jar, &sources.join("clicks"))? {
            continue;
        }
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "-Dstyle.color=never", "--file"]);
        maven.arg(folder.join("pom.xml")).arg("package");
        maven.arg(format!("-DbuildDirectory={}", builds.join(name).display()));
        shell.run(&mut maven)?;
        ensure!(jar.exists(), "Maven has not built {}", jar.display());
    }
    let (folder, wanted) = (builds.join("bytewax"), sources.join("bytewax"));
    let note = folder.join("installed.txt");
    let wanted = wanted.join("requirements.txt");
    let packages = fs::read(&wanted).with_context(|| wanted.display().to_string())?;
    if fs::read(&note).is_ok_and(|installed| installed == packages) {
        return Ok(());
    }
    let mut venv = Command::new("python3");
    shell.run(venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin").join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
    shell.run(pip.arg(&wanted))?;
    fs::write(&note, packages).context("cannot note what is installed")
}

/// Whether a file is there and newer than all in a folder.
fn is_newer(file: &Path, folder: &Path) -> Result<bool> {
    let Ok(built) = file.metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.metadata()?.modified()? > built {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_a_page_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, "new\n");
        assert_eq!(new, Some(format!("before\n{BEGIN}\nnew\n{END}\nafter\n")));
        assert_eq!(replaced("nothing", "new"), None);
    }

    #[test]
    fn the_page_has_a_place_for_the_table() {
        let page = include_str!("../../docs/benchmarks.md");
        assert!(replaced(page, "").is_some());
    }
}
