//! The window step: gathers rows in windows, and fires windows whose time has come.
//!
//! Which window a row belongs to, whether it is late and when a window fires is decided in [`crate::window`], what a
//! window holds is kept in `contents`; this brings the two together.

use super::WorkerError;
use super::contents::Contents;
use super::steps::{Flow, Rejected, StepError, reject};
use super::write::{ResultRow, Writing, key_text};
use crate::log::{Offset, Outbox};
use crate::pipeline::Pipeline;
use crate::pipeline::config::{Output, Window as WindowConfig};
use crate::pipeline::plan::OutputPlan;
use crate::plugin::PluginEngine;
use crate::rows::{Field, FieldType};
use crate::time::Timestamp;
use crate::window::{FirstRow, OpenWindows, Slot, Tumbling, Watermarks, Window};

/// How long a key may be. It stands in every result, which has to fit into a record.
const MAX_KEY_BYTES: usize = 32 << 10;

/// The window step of a pipeline, running.
pub(super) struct WindowStep {
    contents: Contents,
    key: Option<(usize, FieldType)>,
    fields: Vec<Field>,
    assigner: Tumbling,
    open: OpenWindows,
    watermarks: Watermarks,
    /// Windows that end at or before it have fired, in this process or an earlier one.
    fired: Timestamp,
    key_buffer: Vec<u8>,
}

/// A row that came after its window had fired.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Late {
    /// The record's row in its batch.
    pub(super) record: u32,
    pub(super) window: Window,
    /// The watermark it was judged by.
    pub(super) watermark: Timestamp,
}

/// What firing brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fired {
    /// Windows, each key counted.
    pub(super) windows: usize,
    /// Result records.
    pub(super) results: usize,
}

/// The rows that go into windows.
#[derive(Debug, Default)]
struct Assigned {
    rows: Vec<u32>,
    windows: Vec<Window>,
    slots: Vec<Slot>,
}

impl WindowStep {
    /// Starts the window step of a pipeline, if it has one, over `partitions` source partitions. Windows that end at or
    /// before `fired` have fired before.
    ///
    /// # Errors
    /// If the function does not start.
    pub(super) fn start(
        pipeline: &Pipeline,
        engine: &PluginEngine,
        partitions: usize,
        fired: Timestamp,
    ) -> Result<Option<Self>, StepError> {
        let (
            Output::Windows(config),
            OutputPlan::Windows {
                select,
                key,
                fields,
            },
        ) = (&pipeline.config().output, &pipeline.plan().output)
        else {
            return Ok(None);
        };
        let WindowConfig::Tumbling { size, offset } = config.window;
        Ok(Some(Self {
            contents: Contents::start(pipeline, engine, select.clone())?,
            key: *key,
            fields: fields.clone(),
            assigner: Tumbling::new(size, offset).expect("the pipeline file has checked the size"),
            open: OpenWindows::new(partitions),
            watermarks: Watermarks::new(partitions),
            fired,
            key_buffer: Vec::new(),
        }))
    }

    /// Gathers rows of source partition `partition`, of which those before `written_to` are read again. Rows that could not be processed are added to `rejected`, those that
    /// came too late to `late`.
    ///
    /// # Errors
    /// If the function failed.
    pub(super) fn gather(
        &mut self,
        flow: &Flow<'_>,
        partition: usize,
        written_to: Offset,
        rejected: &mut Vec<Rejected>,
        late: &mut Vec<Late>,
    ) -> Result<(), StepError> {
        let assigned = self.assign(flow, partition, written_to, rejected, late);
        if assigned.rows.is_empty() {
            return Ok(());
        }
        let taken;
        let flow = if assigned.rows.len() == flow.rows.len {
            flow
        } else {
            taken = flow.take(&assigned.rows)?;
            &taken
        };
        let errors = self
            .contents
            .add(&flow.rows, &assigned.windows, &assigned.slots)?;
        reject(errors, &flow.origin, self.contents.function(), rejected);
        Ok(())
    }

    /// Decides for each row: late, fired already in an earlier process, or into which slot.
    fn assign(
        &mut self,
        flow: &Flow<'_>,
        partition: usize,
        written_to: Offset,
        rejected: &mut Vec<Rejected>,
        late: &mut Vec<Late>,
    ) -> Assigned {
        let mut assigned = Assigned::default();
        for row in 0..flow.rows.len {
            let record = flow.origin[row];
            let offset = flow.batch.offset(record as usize);
            let window = self.assigner.window_of(flow.times[row]);
            // A row that is read again was judged before, and is judged by the same watermark. One that is new is late
            // for a window that has fired even if its partition is one that was added, or set back by hand.
            let judge = if offset < written_to {
                Timestamp::MIN
            } else {
                self.fired
            };
            let watermark = flow.watermarks[row].max(judge);
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
            // Read again, and its window has fired with it.
            if window.end <= self.fired {
                continue;
            }
            self.key_buffer.clear();
            if let Some((column, ty)) = self.key
                && !key_text(&flow.rows.columns[column], ty, row, &mut self.key_buffer)
            {
                rejected.push(Rejected {
                    record,
                    function: Some(self.contents.function()),
                    reason: "its key is null".to_owned(),
                });
                continue;
            }
            if self.key_buffer.len() > MAX_KEY_BYTES {
                rejected.push(Rejected {
                    record,
                    function: Some(self.contents.function()),
                    reason: format!(
                        "its key has {} bytes: at most {MAX_KEY_BYTES} are taken",
                        self.key_buffer.len()
                    ),
                });
                continue;
            }
            let first = FirstRow {
                offset,
                watermark: flow.watermarks[row],
            };
            let slot = self.open.slot(window, &self.key_buffer, partition, first);
            assigned
                .rows
                .push(u32::try_from(row).expect("a batch has fewer than 2^32 rows"));
            assigned.windows.push(window);
            assigned.slots.push(slot);
        }
        assigned
    }

    /// Takes note of how far a partition has come.
    pub(super) fn advance(&mut self, partition: usize, watermark: Timestamp) {
        self.watermarks.advance(partition, watermark);
    }

    /// The lowest watermark of all partitions.
    pub(super) fn watermark(&self) -> Timestamp {
        self.watermarks.lowest()
    }

    /// Up to where windows have fired.
    pub(super) fn fired(&self) -> Timestamp {
        self.fired
    }

    /// Where a partition has to be read from for all open windows to be built again.
    pub(super) fn first_row(&self, partition: usize) -> Option<FirstRow> {
        self.open.first_row(partition)
    }

    /// Fires all windows whose time has come, and stages their results.
    ///
    /// # Errors
    /// If the function failed, or a result is larger than the sink takes.
    pub(super) fn fire(
        &mut self,
        writing: &Writing,
        outbox: &mut Outbox,
    ) -> Result<Fired, StepError> {
        let watermark = self.watermarks.lowest();
        let mut fired = Fired::default();
        while let Some((window, keys)) = self.open.fire(watermark) {
            let bounds = (window.start.to_string(), window.end.to_string());
            let results = self.contents.finish(window, &keys, self.key.is_some())?;
            fired.windows += keys.len();
            for produced in results {
                fired.results += produced.source.len();
                for (row, source) in produced.source.iter().enumerate() {
                    let key = keys[*source as usize].0.as_slice();
                    let result = ResultRow {
                        window,
                        bounds: &bounds,
                        key: self.key.map(|(_, ty)| (key, ty)),
                        fields: &self.fields,
                        rows: &produced.rows,
                        row,
                    };
                    writing
                        .result(outbox, &result)
                        .map_err(|why| WorkerError::Commit(format!("window {window}: {why}")))?;
                }
            }
        }
        self.fired = self.fired.max(watermark);
        Ok(fired)
    }
}
