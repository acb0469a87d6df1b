//! The oracle's sessions, of one key. Rows in time make sessions among themselves, whatever the instant: a session that one of them
//! could join has not ended by then. Rows that are behind come one instant after the other.

use crate::instants::show;
use crate::lines::{Line, dead, late};
use crate::oracle::{Group, Judged, Version, publish, retraction};
use crate::reading::Updates;
use crate::rules::Rules;
use crate::scenario::Row;

/// The longest gap that a row may ask for: 365 days.
const LONGEST: i64 = 365 * 86_400_000;

/// Rows of a key whose spans overlap.
#[derive(Clone, Debug)]
struct Session<'a> {
    /// Its first event time, and the latest at which a row would still have joined: what it shows.
    first: i64,
    last: i64,
    rows: Vec<Judged<'a>>,
    /// The publications that it, or what it is made of, has seen.
    published: Vec<Published<'a>>,
}

/// A session as it was published: what it held, each time.
#[derive(Clone, Debug)]
struct Published<'a> {
    first: i64,
    last: i64,
    versions: Vec<Version<'a>>,
}

impl<'a> Session<'a> {
    fn of(row: Judged<'a>, gap: i64) -> Self {
        Self {
            first: row.row.at,
            last: row.row.at + gap,
            rows: vec![row],
            published: Vec::new(),
        }
    }

    /// When it is due: a row that is exactly `last` joins.
    fn end(&self) -> i64 {
        self.last + 1
    }

    fn overlaps(&self, other: &Session<'_>) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn is_published(&self) -> bool {
        !self.published.is_empty()
    }

    fn version(&self) -> Version<'a> {
        let window = format!("{} - {}", show(self.first), show(self.last));
        (window, self.rows.clone())
    }
}

/// Joins a session with all those that it overlaps and that may be joined. Gives it back if there are none.
fn join<'a>(
    sessions: &mut Vec<Session<'a>>,
    new: Session<'a>,
    may: impl Fn(&Session<'_>) -> bool,
) -> Result<(), Session<'a>> {
    let joins = |session: &mut Session<'_>| may(session) && session.overlaps(&new);
    let joined: Vec<Session<'a>> = sessions.extract_if(.., joins).collect();
    if joined.is_empty() {
        return Err(new);
    }
    sessions.push(joined.into_iter().fold(new, |mut all, one| {
        all.first = all.first.min(one.first);
        all.last = all.last.max(one.last);
        all.rows.extend(one.rows);
        all.published.extend(one.published);
        all
    }));
    Ok(())
}

/// The sessions of a key, as lines.
pub(crate) fn sessions<'a>(
    rules: &Rules,
    group: &Group<'a>,
    gap_of: impl Fn(&Row) -> i64,
    out: &mut Vec<Line>,
) {
    let mut sessions: Vec<Session<'a>> = Vec::new();
    let mut behind = Vec::new();
    for row in &group.rows {
        let gap = gap_of(row.row);
        if !(0..=LONGEST).contains(&gap) {
            out.push(dead(row.row));
        } else if row.row.at < row.tau {
            behind.push((row.applied_at(), Session::of(*row, gap)));
        } else if let Err(new) = join(&mut sessions, Session::of(*row, gap), |_| true) {
            sessions.push(new);
        }
    }
    behind.sort_by_key(|(at, session)| (*at, session.first));
    let mut instant = i64::MIN;
    loop {
        let dues = sessions.iter().filter(|session| !session.is_published());
        let dues = dues
            .map(Session::end)
            .chain(behind.iter().map(|(at, _)| *at));
        let next = dues.filter(|due| *due > instant).min();
        match next.filter(|next| *next <= group.until) {
            Some(next) => instant = next,
            None => return,
        }
        let now = behind.iter().filter(|(at, _)| *at == instant);
        let now = now.map(|(_, session)| session.clone()).collect();
        apply(rules, group.key, &mut sessions, now, instant, out);
    }
}

/// What happens at an instant: rows that were behind are applied, then what is due is published.
fn apply<'a>(
    rules: &Rules,
    key: Option<&str>,
    sessions: &mut Vec<Session<'a>>,
    behind: Vec<Session<'a>>,
    instant: i64,
    out: &mut Vec<Line>,
) {
    let is_kept = |session: &Session<'_>| session.end() + rules.lateness >= instant;
    let (own, mut others): (Vec<_>, Vec<_>) = behind.into_iter().partition(&is_kept);
    for new in own {
        if let Err(new) = join(sessions, new, is_kept) {
            sessions.push(new);
        }
    }
    loop {
        let before = others.len();
        others = others
            .into_iter()
            .filter_map(|new| join(sessions, new, is_kept).err())
            .collect();
        if others.len() == before {
            break;
        }
    }
    for row in others {
        let tau = row.rows[0].tau;
        out.push(late(row.rows[0].row, row.first, row.last, tau - row.last));
    }
    for session in sessions {
        let (first, last) = (session.first, session.last);
        let is_same =
            |published: &mut Published<'_>| (published.first, published.last) == (first, last);
        let mut same: Vec<_> = session.published.extract_if(.., is_same).collect();
        for gone in session.published.drain(..) {
            let revision = gone.versions.len() - 1;
            out.push(retraction(rules, key, &gone.versions[revision], revision));
        }
        if session.end() > instant {
            continue;
        }
        if same.is_empty() {
            same.push(Published {
                first,
                last,
                versions: Vec::new(),
            });
        }
        let versions = &mut same[0].versions;
        let version = session.version();
        if versions
            .last()
            .is_none_or(|(_, rows)| rows.len() < version.1.len())
        {
            versions.push(version);
            republish(rules, key, versions, out);
        }
        session.published = same;
    }
}

/// Writes the last publication of a session.
fn republish(rules: &Rules, key: Option<&str>, versions: &[Version<'_>], out: &mut Vec<Line>) {
    let mut all = Vec::new();
    publish(rules, key, versions, &mut all);
    let last = match (rules.updates, versions.len()) {
        (Updates::Retracting, 2..) => 2,
        _ => 1,
    };
    out.extend(all.split_off(all.len() - last));
}
