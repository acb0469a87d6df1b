//! What somebody sees who reads results one after the other. It is how runs with early results are judged.

use std::collections::BTreeMap;

use crate::instants;
use crate::lines::Line;
use crate::reading::{Publication, Seen};
use crate::rules::{Rules, Windows};

/// What was seen of each window and key. Late rows and dead letters stand for themselves.
#[derive(Default)]
pub(crate) struct View {
    results: BTreeMap<String, Seen>,
    others: BTreeMap<String, String>,
    has_sessions: bool,
}

impl View {
    /// Reads results in order.
    ///
    /// # Errors
    /// Which line does not go with those before it.
    pub(crate) fn of(lines: &[Line], rules: &Rules) -> Result<Self, String> {
        let mut view = Self {
            has_sessions: matches!(rules.windows, Windows::Session { .. }),
            ..Self::default()
        };
        for line in lines {
            if !line.rest.contains("revision=") {
                view.others.insert(line.place.clone(), line.rest.clone());
                continue;
            }
            let seen = view.results.entry(line.place.clone()).or_default();
            publication(&line.rest)
                .ok_or("no revision")
                .and_then(|publication| seen.read(publication, rules.updates))
                .map_err(|why| format!("{why}: {line}"))?;
        }
        Ok(view)
    }

    /// A result that stands, was never final, and is of a window that has ended: nobody has said that it is no more.
    pub(crate) fn forgotten(&self, until: i64) -> Option<&str> {
        let early = self.results.iter().filter(|(_, seen)| !seen.is_over());
        let standing = early.filter(|(_, seen)| seen.now.is_some());
        let ended = |place: &str| {
            let end = place.split(' ').nth(2).and_then(instants::parse);
            end.is_some_and(|end| end < until)
        };
        let mut places = standing.map(|(place, _)| place.as_str());
        places.find(|place| ended(place))
    }

    /// It as a text to compare. What was not final yet is left out: the oracle knows of windows that have ended only.
    pub(crate) fn text(&self) -> String {
        let over = self.results.iter().filter(|(_, seen)| seen.is_over());
        let results = over.filter_map(|(place, seen)| {
            let now = seen.now.as_ref()?;
            let mut finals = seen.finals.clone();
            finals.dedup();
            if self.has_sessions {
                // Which of their windows are published on the way depends on what is early.
                finals.clear();
            }
            Some(format!("{place}: {:?} after {finals:?}\n", now.rows))
        });
        let others = self.others.iter();
        results
            .chain(others.map(|(place, rest)| format!("{place}: {rest}\n")))
            .collect()
    }
}

/// What a line says after its place.
fn publication(rest: &str) -> Option<Publication> {
    let mut words: Vec<&str> = rest.split(' ').collect();
    let is_retraction = words.pop_if(|word| *word == "retraction").is_some();
    let is_early = words.pop_if(|word| *word == "early").is_some();
    words.pop_if(|word| *word == "final");
    let revision = words.pop()?.strip_prefix("revision=")?.parse().ok()?;
    Some(Publication {
        revision,
        is_early,
        is_retraction,
        rows: vec![words.join(" ")],
    })
}
