//! What somebody sees who reads results one after the other, as `updates` says that they are to be read. It is how runs with early
//! results are judged: how many there are depends on when rows come, what they lead to does not.

use std::collections::BTreeMap;

use crate::instants;
use crate::lines::Line;
use crate::rules::{Rules, Updates, Windows};

/// What was seen of each window and key. Late rows and dead letters stand for themselves.
#[derive(Default)]
pub(crate) struct View {
    places: BTreeMap<String, Seen>,
}

#[derive(Default)]
struct Seen {
    /// The last publication that was not taken back, with its number.
    now: Option<(String, i64)>,
    /// What is seen after each publication that is not early. Sessions have none: which of their windows are published on the way
    /// depends on what is early.
    finals: Vec<String>,
    next: i64,
    is_over: bool,
}

impl View {
    /// Reads results in order.
    ///
    /// # Errors
    /// Which line does not go with those before it.
    pub(crate) fn of(lines: &[Line], rules: &Rules) -> Result<Self, String> {
        let mut view = Self::default();
        for line in lines {
            let seen = view.places.entry(line.place.clone()).or_default();
            seen.read(line, rules)
                .map_err(|why| format!("{why}: {line}"))?;
        }
        Ok(view)
    }

    /// A result that stands, was never final, and is of a window that has ended: nobody has said that it is no more.
    pub(crate) fn forgotten(&self, until: i64) -> Option<&str> {
        let early = self.places.iter().filter(|(_, seen)| !seen.is_over);
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
        let over = self.places.iter().filter(|(_, seen)| seen.is_over);
        let places = over.filter_map(|(place, seen)| {
            let (now, _) = seen.now.as_ref()?;
            Some(format!("{place}: {now} after {:?}\n", seen.finals))
        });
        places.collect()
    }
}

impl Seen {
    fn read(&mut self, line: &Line, rules: &Rules) -> Result<(), &'static str> {
        let mut words: Vec<&str> = line.rest.split(' ').collect();
        if !line.rest.contains("revision=") {
            (self.now, self.is_over) = (Some((line.rest.clone(), 0)), true);
            return Ok(());
        }
        let is_retraction = words.pop_if(|word| *word == "retraction").is_some();
        let is_early = words.pop_if(|word| *word == "early").is_some();
        words.pop_if(|word| *word == "final");
        let revision = words.pop().and_then(|word| word.strip_prefix("revision="));
        let revision: i64 = revision.and_then(|r| r.parse().ok()).ok_or("no revision")?;
        let fields = words.join(" ");
        if is_retraction {
            return match self.now.take() {
                Some(now) if now == (fields, revision) => Ok(()),
                _ => Err("it takes back what does not stand"),
            };
        }
        if revision != self.next {
            return Err("the revisions are not in order");
        }
        if is_early && self.is_over {
            return Err("an early result after a final one");
        }
        (self.next, self.is_over) = (revision + 1, !is_early);
        let before = self.now.take();
        let fields = match (rules.updates, before) {
            (Updates::Retracting, Some(_)) => return Err("the one before was not taken back"),
            (Updates::Discarding, Some((before, _))) => {
                let number = |fields: &str| fields.strip_prefix("sum=")?.parse::<i64>().ok();
                let sum = number(&before).zip(number(&fields)).ok_or("no sum")?;
                format!("sum={}", sum.0 + sum.1)
            }
            (_, _) => fields,
        };
        let is_session = matches!(rules.windows, Windows::Session { .. });
        if !is_early && !is_session {
            self.finals.push(fields.clone());
            self.finals.dedup();
        }
        self.now = Some((fields, revision));
        Ok(())
    }
}
