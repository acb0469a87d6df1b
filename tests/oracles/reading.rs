//! What somebody sees of one window and key who reads its results one after the other, as `updates` says that they are to be read.
//! How many early results there are depends on when rows come; what they lead to does not.

/// What is written when a window and key is published again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Updates {
    Accumulating,
    Retracting,
    Discarding,
}

/// What was written of a window and key at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Publication {
    pub(crate) revision: i64,
    /// More may come in before the window ends.
    pub(crate) is_early: bool,
    pub(crate) is_retraction: bool,
    /// Its results, sorted.
    pub(crate) rows: Vec<String>,
}

/// See the opening of this file.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The last publication that was not taken back, with the sum of all instead of differences.
    pub(crate) now: Option<Publication>,
    /// What is seen after each publication that is not early.
    pub(crate) finals: Vec<Vec<String>>,
    next: i64,
}

impl Seen {
    /// Something that is not early has been published.
    pub(crate) fn is_over(&self) -> bool {
        !self.finals.is_empty()
    }

    /// Reads what comes next.
    ///
    /// # Errors
    /// Why it does not go with what came before.
    pub(crate) fn read(
        &mut self,
        mut publication: Publication,
        updates: Updates,
    ) -> Result<(), &'static str> {
        if publication.is_retraction {
            publication.is_retraction = false;
            return match self.now.take() {
                Some(now) if now == publication => Ok(()),
                _ => Err("it takes back what does not stand"),
            };
        }
        if publication.revision != self.next {
            return Err("the revisions are not in order");
        }
        if publication.is_early && self.is_over() {
            return Err("an early result after a final one");
        }
        self.next += 1;
        match (updates, self.now.take()) {
            (Updates::Retracting, Some(_)) => return Err("the one before was not taken back"),
            (Updates::Discarding, Some(before)) => {
                let sums = before.rows.iter().zip(&publication.rows);
                let sums: Option<Vec<String>> = sums.map(|(a, b)| sum(a, b)).collect();
                publication.rows = sums.ok_or("no number to add")?;
            }
            _ => {}
        }
        if !publication.is_early {
            self.finals.push(publication.rows.clone());
        }
        self.now = Some(publication);
        Ok(())
    }
}

/// The sum of two fields, such as of `sum=1` and `sum=2`.
fn sum(a: &str, b: &str) -> Option<String> {
    let (name, a) = a.split_once('=')?;
    let b = b.strip_prefix(name)?.strip_prefix('=')?;
    let sum = a.parse::<i64>().ok()? + b.parse::<i64>().ok()?;
    Some(format!("{name}={sum}"))
}
