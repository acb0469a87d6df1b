//! Scenarios as text, in cases, on the page and when a random one has failed.
//!
//! A line of events is one of
//! ```text
//! p0 12:00:05 alice 3 gap_ms=500    a record: partition, event time, user (`-`: none), n (1 if left out), further fields
//! restart                           the worker starts anew, without its disk
//! expel                             the worker loses its partitions, and gets them again
//! wait 30s                          nothing comes for so long
//! ```
//! `#` begins a comment. A field whose value is an instant holds its milliseconds.

use std::collections::BTreeMap;
use std::fmt;

use toml::Table;

use crate::instants;
use crate::scenario::{Happening, Row, Scenario};

/// The lines of a text without comments, blank lines and more than one space in a row.
pub(crate) fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| {
        let line = line.split('#').next().unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// A scenario from the tables of a pipeline file and lines of events.
pub(crate) fn scenario(source: Table, step: Table, events: &str) -> Scenario {
    let happening =
        |line: &String| happening(line).unwrap_or_else(|| panic!("not a line of events: {line:?}"));
    Scenario {
        source,
        step,
        max_rows: 50_000,
        happenings: lines(events).iter().map(happening).collect(),
    }
}

fn happening(line: &str) -> Option<Happening> {
    let mut words = line.split(' ');
    Some(match words.next()? {
        "restart" => Happening::Restart,
        "expel" => Happening::Expel,
        "wait" => Happening::Wait(instants::duration(words.next()?)),
        partition => Happening::Row(row(partition, words)?),
    })
}

fn row<'a>(partition: &str, mut words: impl Iterator<Item = &'a str>) -> Option<Row> {
    let mut row = Row {
        partition: partition.strip_prefix('p')?.parse().ok()?,
        at: instants::parse(words.next()?)?,
        user: Some(words.next()?.to_owned()).filter(|user| user != "-"),
        n: 1,
        more: BTreeMap::new(),
    };
    for word in words {
        match word.split_once('=') {
            None => row.n = word.parse().ok()?,
            Some((name, value)) => {
                let number = value.parse().ok().or_else(|| instants::parse(value))?;
                row.more.insert(name.to_owned(), number);
            }
        }
    }
    Some(row)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = instants::show(self.at);
        let user = self.user.as_deref().unwrap_or("-");
        write!(f, "p{} {at} {user} {}", self.partition, self.n)?;
        let mut more = self.more.iter();
        more.try_for_each(|(name, number)| write!(f, " {name}={number}"))
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Row(row) => row.fmt(f),
            Happening::Restart => f.write_str("restart"),
            Happening::Expel => f.write_str("expel"),
            Happening::Wait(millis) => write!(f, "wait {millis}ms"),
        }
    }
}

/// As a case is written down.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "source = {}", toml::Value::Table(self.source.clone()))?;
        writeln!(f, "step = {}", toml::Value::Table(self.step.clone()))?;
        writeln!(f, "commit.max_rows = {}", self.max_rows)?;
        writeln!(f, "events = '''")?;
        for happening in &self.happenings {
            writeln!(f, "{happening}")?;
        }
        f.write_str("'''")
    }
}
