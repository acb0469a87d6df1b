//! Which window and key each row belongs to, and which rows come too late: what the first stage with a window does with
//! rows, whoever owns the windows.

use std::collections::BTreeSet;

use super::contents::Contents;
use super::steps::{Flow, Rejected, StepError, reject};
use super::write::key_text;
use crate::pipeline::Pipeline;
use crate::pipeline::config::{Output, Window as WindowConfig};
use crate::pipeline::plan::OutputPlan;
use crate::rows::FieldType;
use crate::time::Timestamp;
use crate::window::{Owner, Slot, Tumbling, Window};

/// How long a key may be. It stands in every result, which has to fit into a record.
const MAX_KEY_BYTES: usize = 32 << 10;

/// A row that came after its window had fired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Late {
    /// The record's row in its batch.
    pub(super) record: u32,
    pub(super) window: Window,
    /// The watermark it was judged by.
    pub(super) watermark: Timestamp,
}

/// Whose windows some rows go to.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) owner: Owner,
    /// The number of the partition that the rows come from.
    pub(super) source: u32,
    /// The owner's windows of which the store may have more than is at hand, if it has a store.
    pub(super) cold: Option<&'a BTreeSet<Window>>,
}

/// Assigns rows to windows.
pub(super) struct Gatherer {
    key: Option<(usize, FieldType)>,
    assigner: Tumbling,
    // Reused from batch to batch.
    key_buffer: Vec<u8>,
    rows: Vec<u32>,
    slots: Vec<Slot>,
}

impl Gatherer {
    /// For the window step of a pipeline, if it has one.
    pub(super) fn of(pipeline: &Pipeline) -> Option<Self> {
        let (Output::Windows(config), OutputPlan::Windows { key, .. }) =
            (&pipeline.config().output, &pipeline.plan().output)
        else {
            return None;
        };
        let WindowConfig::Tumbling { size, offset } = config.window;
        Some(Self {
            key: *key,
            assigner: Tumbling::new(size, offset).expect("the pipeline file has checked the size"),
            key_buffer: Vec::new(),
            rows: Vec::new(),
            slots: Vec::new(),
        })
    }

    /// Adds rows to windows. Rows that could not be processed are added to `rejected`, those that came too late to `late`.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn gather(
        &mut self,
        flow: &Flow<'_>,
        to: Destination<'_>,
        contents: &mut Contents,
        rejected: &mut Vec<Rejected>,
        late: &mut Vec<Late>,
    ) -> Result<(), StepError> {
        self.rows.clear();
        self.slots.clear();
        let Destination {
            owner,
            source,
            cold,
        } = to;
        let is_cold = |window: Window| cold.is_some_and(|cold| cold.contains(&window));
        let function = contents.function();
        // Without a key, a run of rows in one window has one slot.
        let mut last: Option<(Window, Slot)> = None;
        for row in 0..flow.rows.len {
            let record = flow.origin[row];
            let window = self.assigner.window_of(flow.times[row]);
            let watermark = flow.watermarks[row];
            if window.end <= watermark {
                // A record of which a map made several rows is late once.
                if late.last().is_none_or(|last: &Late| last.record != record) {
                    late.push(Late {
                        record,
                        window,
                        watermark,
                    });
                }
                continue;
            }
            let slot = match (self.key, last) {
                (None, Some((same, slot))) if same == window => slot,
                (None, _) => contents.slot(owner, window, &[], is_cold(window)),
                (Some((column, ty)), _) => {
                    let column = &flow.rows.columns[column];
                    if let Err(reason) = key(column, ty, row, &mut self.key_buffer) {
                        rejected.push(Rejected {
                            record,
                            function: Some(function),
                            reason,
                        });
                        continue;
                    }
                    contents.slot(owner, window, &self.key_buffer, is_cold(window))
                }
            };
            last = Some((window, slot));
            let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            self.rows.push(row);
            self.slots.push(slot);
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let taken;
        let flow = if self.rows.len() == flow.rows.len {
            flow
        } else {
            taken = flow.take(&self.rows)?;
            &taken
        };
        let errors = contents.add(&flow.rows, &self.slots, source)?;
        reject(errors, &flow.origin, function, rejected);
        Ok(())
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
