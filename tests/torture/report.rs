//! What was done, what came of it, and whether it counts: a run in which something that was to be done did not happen proves
//! nothing, and fails.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::judge::Verdict;
use crate::plan::Fault;

/// What a torturer or a round has to tell.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often each fault was to be done, and how often it was seen to bite.
    pub(crate) faults: BTreeMap<Fault, Bites>,
    /// What could not be done on this machine, and why.
    pub(crate) left_out: BTreeMap<Fault, String>,
    /// Kills that came when rows had been read and not committed, after commits of the same process.
    pub(crate) between_commits: u64,
    /// Tasks of which another member than before committed the state.
    pub(crate) moves: u64,
    /// Connections that ended because they were cut.
    pub(crate) connections: u64,
    /// Transactions that were aborted, and their records.
    pub(crate) aborted_transactions: u64,
    pub(crate) aborted_records: u64,
    /// Records that were committed.
    pub(crate) committed_records: u64,
    /// Ends of a host that nobody had asked for, by how it ended.
    pub(crate) own_ends: BTreeMap<String, u64>,
    /// Clicks in the topic.
    pub(crate) rows: u64,
    /// Those of them that stand in the topic once more, by the harness's own writer.
    pub(crate) repeated: u64,
    /// How often a group said where it stands.
    pub(crate) offsets_asked: u64,
    pub(crate) verdict: Verdict,
    /// The longest that a pipeline took from the end of a fault to its next commit.
    pub(crate) slowest_recovery: Duration,
    /// What must not be, each in a sentence.
    pub(crate) wrong: Vec<String>,
}

/// How often something was tried, and how often it happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Bites {
    pub(crate) tried: u64,
    pub(crate) bit: u64,
}

impl Report {
    /// Notes that a fault was tried, and whether it was seen to bite.
    pub(crate) fn note(&mut self, fault: Fault, bit: bool) {
        let bites = self.faults.entry(fault).or_default();
        bites.tried += 1;
        bites.bit += u64::from(bit);
    }

    /// Takes in what another has to tell.
    pub(crate) fn add(&mut self, other: Report) {
        for (fault, bites) in other.faults {
            let all = self.faults.entry(fault).or_default();
            all.tried += bites.tried;
            all.bit += bites.bit;
        }
        for (end, count) in other.own_ends {
            *self.own_ends.entry(end).or_default() += count;
        }
        self.left_out.extend(other.left_out);
        self.between_commits += other.between_commits;
        self.moves += other.moves;
        self.connections += other.connections;
        self.aborted_transactions += other.aborted_transactions;
        self.aborted_records += other.aborted_records;
        self.committed_records += other.committed_records;
        self.rows += other.rows;
        self.repeated += other.repeated;
        self.offsets_asked += other.offsets_asked;
        self.verdict.add(other.verdict);
        self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
        self.wrong.extend(other.wrong);
    }

    /// The end of a host that nobody had asked for.
    pub(crate) fn note_end(&mut self, end: String) {
        *self.own_ends.entry(end).or_default() += 1;
    }

    /// Why this proves nothing, or the contrary of what it should: each in a sentence. Empty is success.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = self.wrong.clone();
        if !self.verdict.is_clean() {
            failures.push("what was written is not what is right".to_owned());
        }
        for fault in Fault::ALL {
            let bites = self.faults.get(&fault).copied().unwrap_or_default();
            if bites.bit == 0 && !self.left_out.contains_key(&fault) {
                let (name, tried) = (fault.name(), bites.tried);
                failures.push(format!("it did not bite: {name}, tried {tried} times"));
            }
        }
        for (name, count) in [
            ("restarts between two commits", self.between_commits),
            ("tasks moved", self.moves),
            ("connections cut", self.connections),
            ("aborted transactions", self.aborted_transactions),
            ("aborted records", self.aborted_records),
            ("answers about where a group stands", self.offsets_asked),
            ("results", self.verdict.results.expected),
            ("dead letters", self.verdict.dead.expected),
            ("late rows", self.verdict.late.expected),
        ] {
            if count == 0 {
                failures.push(format!("it did not bite: no {name}"));
            }
        }
        failures
    }
}

/// The table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, name: &str, value: &str| {
            writeln!(f, "  {name:38} {value}")
        };
        writeln!(f, "what was done")?;
        for fault in Fault::ALL {
            let bites = self.faults.get(&fault).copied().unwrap_or_default();
            let value = match self.left_out.get(&fault) {
                Some(why) => format!("LEFT OUT: {why}"),
                None => format!("{} of {}", bites.bit, bites.tried),
            };
            line(f, &fault.name(), &value)?;
        }
        writeln!(f, "what it did")?;
        for (name, count) in [
            ("restarts between two commits", self.between_commits),
            ("tasks moved to another member", self.moves),
            ("connections cut", self.connections),
            ("transactions aborted", self.aborted_transactions),
            ("records aborted", self.aborted_records),
            ("records committed", self.committed_records),
        ] {
            line(f, name, &count.to_string())?;
        }
        for (end, count) in &self.own_ends {
            line(
                f,
                &format!("hosts that ended by themselves, {end}"),
                &count.to_string(),
            )?;
        }
        let recovery = format!("{:.1} s", self.slowest_recovery.as_secs_f64());
        line(f, "slowest recovery", &recovery)?;
        writeln!(f, "what came of it")?;
        let rows = format!("{}, {} of them repeated", self.rows, self.repeated);
        line(f, "clicks in the topic", &rows)?;
        line(f, "offsets looked at", &self.offsets_asked.to_string())?;
        for (name, tally) in self.verdict.tallies() {
            let value = format!(
                "{} of {} right, {} lost, {} twice, {} wrong",
                tally.right, tally.expected, tally.lost, tally.twice, tally.wrong
            );
            line(f, name, &value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Tally;

    fn good() -> Report {
        let mut report = Report {
            between_commits: 1,
            moves: 1,
            connections: 1,
            aborted_transactions: 1,
            aborted_records: 1,
            offsets_asked: 1,
            ..Report::default()
        };
        let tally = Tally {
            expected: 3,
            right: 3,
            ..Tally::default()
        };
        report.verdict = Verdict {
            results: tally,
            dead: tally,
            late: tally,
        };
        for fault in Fault::ALL {
            report.note(fault, true);
        }
        report
    }

    #[test]
    fn a_run_counts_if_everything_bit_and_nothing_is_wrong() {
        assert_eq!(good().failures(), Vec::<String>::new());
    }

    #[test]
    fn a_fault_that_never_bit_fails_the_run_unless_it_was_left_out() {
        let mut report = good();
        report.faults.remove(&Fault::DiskFull);
        report.note(Fault::DiskFull, false);
        let name = Fault::DiskFull.name();
        let said = format!("it did not bite: {name}, tried 1 times");
        assert_eq!(report.failures(), [said]);
        report
            .left_out
            .insert(Fault::DiskFull, "not root".to_owned());
        assert_eq!(report.failures(), Vec::<String>::new());
        assert!(report.to_string().contains("LEFT OUT: not root"));
    }

    #[test]
    fn a_run_without_an_aborted_record_or_with_a_lost_result_fails() {
        let mut report = good();
        report.aborted_records = 0;
        assert_eq!(report.failures(), ["it did not bite: no aborted records"]);
        let mut report = good();
        report.verdict.results.lost = 1;
        assert_eq!(report.failures(), ["what was written is not what is right"]);
    }
}
