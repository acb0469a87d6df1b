//! Which pane and key each row belongs to, and which rows come too late: what the first stage with a window does with
//! rows, whoever owns the windows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;

use super::cold::Cold;
use super::contents::Contents;
use super::steps::{Flow, Rejected, StepError, reject};
use super::windowing::{Kind, Windowing};
use super::write::key_text;
use crate::log::TopicPartition;
use crate::pipeline::Pipeline;
use crate::pipeline::config::Output;
use crate::pipeline::plan::OutputPlan;
use crate::rows::FieldType;
use crate::state::{Counter, HeldRow};
use crate::time::Timestamp;
use crate::window::{Key, Owner, Pane, Sessions, Slot, Window};

/// How long a key may be. It stands in every result, which has to fit into a record.
const MAX_KEY_BYTES: usize = 32 << 10;
/// How long the gap of a session may be.
const MAX_GAP: i64 = 365 * 24 * 3_600_000;

/// A row that came after its windows were over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Late {
    /// The record's row in its batch.
    pub(super) record: u32,
    pub(super) window: Window,
    /// The watermark it was judged by.
    pub(super) watermark: Timestamp,
}

/// How many rows of each key there have been.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) of: HashMap<Key, Counter>,
    /// The keys of those that have changed since they were last written.
    pub(super) changed: Vec<Key>,
}

/// Whose windows some rows go to.
pub(super) struct Destination<'a> {
    pub(super) owner: Owner,
    /// The number of the partition that the rows come from.
    pub(super) source: u32,
    /// That partition.
    pub(super) at: &'a TopicPartition,
    /// Of which panes the store may have more than is at hand, if the owner has a store.
    pub(super) cold: Option<&'a Cold>,
    pub(super) sessions: &'a mut Sessions,
    pub(super) counters: &'a mut Counters,
}

/// What came of some rows, beside what went into windows.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) late: Vec<Late>,
    /// Records that may be late.
    pub(super) held: Vec<HeldRow>,
    /// How many rows came when a window of theirs had been published, and still count.
    pub(super) behind: usize,
    /// Counted windows that are full, each with its key and the event time of its last row.
    pub(super) full: Vec<(Window, Key, Timestamp)>,
}

/// Where a row goes.
enum Place {
    Pane(Pane),
    /// In a pane of its own, and it may turn out to be late.
    Held(Pane),
    Late(Window),
}

/// A pane with what a row's watermark is compared with.
#[derive(Clone, Copy)]
struct Known {
    pane: Window,
    /// The end of the window that ends first.
    first_end: Timestamp,
    /// The window that ends last, and when it is forgotten.
    last: Window,
    over_at: Timestamp,
}

/// Assigns rows to panes.
pub(super) struct Gatherer {
    key: Option<(usize, FieldType)>,
    /// The column of the gap of sessions, if rows may have one of their own.
    gap: Option<usize>,
    windowing: Arc<Windowing>,
    /// The pane of the row before: mostly that of the next, too.
    known: Option<Known>,
    // Reused from batch to batch.
    key_buffer: Vec<u8>,
    rows: Vec<u32>,
    slots: Vec<Slot>,
    /// Rows that may be late: each with its index among `rows`.
    held: Vec<(usize, Pane)>,
}

impl Gatherer {
    /// For the window step of a pipeline, if it has one.
    pub(super) fn of(pipeline: &Pipeline) -> Option<Self> {
        let (Output::Windows(step), OutputPlan::Windows { key, gap, .. }) =
            (&pipeline.config().output, &pipeline.plan().output)
        else {
            return None;
        };
        Some(Self {
            key: *key,
            gap: *gap,
            windowing: Arc::new(Windowing::of(step)),
            known: None,
            key_buffer: Vec::new(),
            rows: Vec::new(),
            slots: Vec::new(),
            held: Vec::new(),
        })
    }

    /// The rules of the step.
    pub(super) fn windowing(&self) -> &Arc<Windowing> {
        &self.windowing
    }

    /// Adds rows to windows. Rows that could not be processed are added to `rejected`.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn gather(
        &mut self,
        flow: &Flow<'_>,
        to: Destination<'_>,
        contents: &mut Contents,
        rejected: &mut Vec<Rejected>,
    ) -> Result<Gathered, StepError> {
        self.rows.clear();
        self.slots.clear();
        self.held.clear();
        let mut gathered = Gathered::default();
        let function = contents.function();
        let Destination {
            owner,
            source,
            at,
            cold,
            sessions,
            counters,
        } = to;
        // Without a key, a run of rows in one pane has one slot.
        let mut last: Option<(Pane, Slot)> = None;
        for row in 0..flow.rows.len {
            let record = flow.origin[row];
            let reject = |reason| Rejected {
                record,
                function: Some(function),
                reason,
            };
            let (time, watermark) = (flow.times[row], flow.watermarks[row]);
            let timed = self.timed(time, watermark);
            if let Some(Place::Late(window)) = timed {
                // A record of which a map made several rows is late once.
                let previous = gathered.late.last();
                if previous.is_none_or(|last: &Late| last.record != record) {
                    gathered.late.push(Late {
                        record,
                        window,
                        watermark,
                    });
                }
                continue;
            }
            self.key_buffer.clear();
            if let Some((column, ty)) = self.key {
                let column = &flow.rows.columns[column];
                if let Err(reason) = key(column, ty, row, &mut self.key_buffer) {
                    rejected.push(reject(reason));
                    continue;
                }
            }
            let place = match timed {
                Some(place) => Ok(place),
                None => self.by_key(flow, row, sessions, counters, &mut gathered),
            };
            let pane = match place {
                Ok(Place::Pane(pane)) => pane,
                Ok(Place::Held(pane)) => {
                    self.held.push((self.rows.len(), pane));
                    pane
                }
                Ok(Place::Late(_)) => continue,
                Err(reason) => {
                    rejected.push(reject(reason));
                    continue;
                }
            };
            gathered.behind += usize::from(pane.is_pending());
            let slot = match last {
                Some((same, slot)) if same == pane && self.key.is_none() => slot,
                _ => {
                    let is_cold = cold.is_some_and(|cold| cold.contains(pane, &self.key_buffer));
                    contents.slot(owner, pane, &self.key_buffer, is_cold)
                }
            };
            last = Some((pane, slot));
            let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            self.rows.push(row);
            self.slots.push(slot);
        }
        if self.rows.is_empty() {
            return Ok(gathered);
        }
        let taken;
        let flow = if self.rows.len() == flow.rows.len {
            flow
        } else {
            taken = flow.take(&self.rows)?;
            &taken
        };
        let errors = contents.add(&flow.rows, &self.slots, source)?;
        for (row, pane) in &self.held {
            let is_refused = errors.0.iter().any(|(bad, _)| *bad as usize == *row);
            if !is_refused {
                let slot = self.slots[*row];
                let key = contents.slots().of(slot).map(|(_, _, key)| key.to_vec());
                let held = held_row(flow, *row, *pane, key.unwrap_or_default(), at);
                gathered.held.push(held);
            }
        }
        reject(errors, &flow.origin, function, rejected);
        Ok(gathered)
    }

    /// Where a row goes, if its time alone says so.
    fn timed(&mut self, time: Timestamp, watermark: Timestamp) -> Option<Place> {
        let assigner = self.windowing.assigner()?;
        let is_total = matches!(self.windowing.kind, Kind::TotalByTime(_));
        // Nothing is late for what never ends: it counts in the span that is open.
        let time = if is_total { time.max(watermark) } else { time };
        let known = match self.known {
            Some(known) if known.pane.start <= time && time < known.pane.end => known,
            _ => {
                let pane = assigner.pane_of(time);
                let last = assigner.last(pane);
                let known = Known {
                    pane,
                    first_end: assigner.first(pane).end,
                    last,
                    over_at: self.windowing.over_at(last.end),
                };
                self.known = Some(known);
                known
            }
        };
        Some(if is_total || watermark < known.first_end {
            Place::Pane(Pane::of(known.pane))
        } else if known.over_at <= watermark {
            Place::Late(known.last)
        } else {
            Place::Pane(Pane {
                since: Timestamp(watermark.0 + 1),
                span: known.pane,
            })
        })
    }

    /// Where a row goes whose key is in the buffer, if other rows of the key have a say in it.
    ///
    /// # Errors
    /// Why it can go nowhere.
    fn by_key(
        &self,
        flow: &Flow<'_>,
        row: usize,
        sessions: &mut Sessions,
        counters: &mut Counters,
        gathered: &mut Gathered,
    ) -> Result<Place, String> {
        let (time, watermark) = (flow.times[row], flow.watermarks[row]);
        match self.windowing.kind {
            Kind::Session { gap } => {
                let own = self.gap.map(|column| &flow.rows.columns[column]);
                let own = own.filter(|column| column.is_valid(row));
                let gap = own.map_or(gap, |column| column.as_primitive::<Int64Type>().value(row));
                if !(0..=MAX_GAP).contains(&gap) {
                    return Err(format!(
                        "its gap is {gap} ms: at least 0 and at most {MAX_GAP} (365 days) are taken"
                    ));
                }
                let span = Window {
                    start: time,
                    end: Timestamp(time.0 + gap + 1),
                };
                if time >= watermark {
                    let pane = sessions.join(&self.key_buffer, span);
                    return Ok(Place::Pane(Pane::of(pane)));
                }
                let pane = Pane {
                    since: Timestamp(watermark.0 + 1),
                    span,
                };
                Ok(if self.windowing.over_at(span.end) <= watermark {
                    Place::Held(pane)
                } else {
                    Place::Pane(pane)
                })
            }
            Kind::Count { rows } | Kind::TotalByCount { rows } => {
                let key = self.key_buffer.as_slice();
                let number = match counters.of.get_mut(key) {
                    Some(counter) => {
                        let number = counter.rows;
                        counter.rows += 1;
                        counter.last = time;
                        number
                    }
                    None => {
                        let first = Counter {
                            rows: 1,
                            last: time,
                        };
                        counters.of.insert(key.into(), first);
                        0
                    }
                };
                counters.changed.push(key.into());
                let window = counted(number, rows);
                if window.end.0.cast_unsigned() == number + 1 {
                    gathered.full.push((window, key.into(), time));
                }
                Ok(Place::Pane(Pane::of(window)))
            }
            Kind::Timed(_) | Kind::TotalByTime(_) => {
                Err("its window depends on its time alone".to_owned())
            }
        }
    }
}

/// The window of the row of this number, where each has so many: the numbers of its rows.
fn counted(number: u64, rows: u64) -> Window {
    let start = number - number % rows;
    Window {
        start: Timestamp(start.cast_signed()),
        end: Timestamp((start + rows).cast_signed()),
    }
}

fn held_row(flow: &Flow<'_>, row: usize, pane: Pane, key: Vec<u8>, at: &TopicPartition) -> HeldRow {
    let record = flow.origin[row] as usize;
    HeldRow {
        span: pane.span,
        key,
        at: at.clone(),
        offset: flow.batch.offset(record),
        timestamp: flow.batch.timestamp(record),
        watermark: flow.watermarks[row],
        record_key: flow.batch.key(record).map(<[u8]>::to_vec),
        record_value: flow.batch.value(record).map(<[u8]>::to_vec),
        omitted: 0,
    }
}

/// Writes a row's key into `buffer`.
///
/// # Errors
/// Why it has none.
fn key(
    column: &arrow_array::ArrayRef,
    ty: FieldType,
    row: usize,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    if !key_text(column, ty, row, buffer) {
        return Err("its key is null".to_owned());
    }
    if buffer.len() > MAX_KEY_BYTES {
        return Err(format!(
            "its key has {} bytes: at most {MAX_KEY_BYTES} are taken",
            buffer.len()
        ));
    }
    Ok(())
}
