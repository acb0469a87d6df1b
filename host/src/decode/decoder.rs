//! From records to rows: reads each record into cells, converts them, and appends the row once all of it is good.

use std::ops::Range;

use super::cell::{Cell, Datum, Scratch};
use super::columns::ColumnBuilder;
use super::plan::{DecoderError, Input, Plan, Reader};
use super::property::utf8;
use super::{Decoded, EventTime, Failure, Format, TimeUnit};
use crate::log::RecordBatch;
use crate::rows::{Field, Rows};
use crate::time::Timestamp;

/// A record's watermark: what its field says, if it is there, or why that can't be read.
type Watermark = Result<Option<Timestamp>, String>;

/// Turns records of one format into columns of declared fields. It keeps its buffers, so a worker keeps it.
#[derive(Debug)]
pub struct Decoder {
    plan: Plan,
    scratch: Scratch,
    /// How many bytes each column of variable width took last: what the next one will need.
    column_bytes: Vec<usize>,
}

impl Decoder {
    /// A decoder for these fields. A name may occur with several types, but no name and type twice.
    ///
    /// # Errors
    /// If the format does not have a field, or not as that type.
    pub fn new(
        format: Format,
        event_time: EventTime,
        fields: Vec<Field>,
    ) -> Result<Self, DecoderError> {
        let plan = Plan::new(format, event_time, fields)?;
        Ok(Self {
            column_bytes: vec![0; plan.columns.len()],
            plan,
            scratch: Scratch::default(),
        })
    }

    /// The same, which also reads how far time has come from a field of the records, written like the event time. Records that
    /// lack it are as good as others.
    ///
    /// # Errors
    /// If the format has no such field.
    pub fn with_watermarks(mut self, path: String, unit: TimeUnit) -> Result<Self, DecoderError> {
        self.plan.read_watermarks(path, unit)?;
        Ok(self)
    }

    /// Decodes the records `rows` of a batch into `out`, which is emptied first.
    ///
    /// # Panics
    /// If `rows` reaches beyond the batch, or if the values of one column would take more than 2 GiB, the most that
    /// its offsets reach.
    pub fn decode(&mut self, batch: &RecordBatch, rows: Range<usize>, out: &mut Decoded) {
        out.clear();
        out.source.reserve(rows.len());
        out.event_times.reserve(rows.len());
        let mut columns: Vec<ColumnBuilder> = self
            .plan
            .columns
            .iter()
            .zip(&self.column_bytes)
            .map(|((field, _), bytes)| ColumnBuilder::new(field.ty, rows.len(), *bytes))
            .collect();
        let mut cells = vec![Cell::Missing; self.plan.reader.cells()];
        let mut row_data = Vec::with_capacity(columns.len());
        for at in rows {
            let row = u32::try_from(at).expect("a batch has fewer than 2^32 records");
            match self.read(batch, at, &mut cells, &mut row_data) {
                Ok((event_time, watermark)) => {
                    for (column, datum) in columns.iter_mut().zip(&row_data) {
                        column.append(*datum, &self.scratch);
                    }
                    out.source.push(row);
                    out.event_times.push(event_time);
                    match watermark {
                        Some(Ok(watermark)) => out.watermarks.push(watermark),
                        Some(Err(reason)) => {
                            out.watermarks.push(None);
                            out.unread_watermarks.push(Failure { row, reason });
                        }
                        None => {}
                    }
                }
                Err(reason) => out.failures.push(Failure { row, reason }),
            }
        }
        for (bytes, column) in self.column_bytes.iter_mut().zip(&columns) {
            *bytes = column.bytes();
        }
        let columns = columns.into_iter().map(ColumnBuilder::finish).collect();
        out.rows = Rows::new(out.source.len(), columns);
    }

    /// Reads one record: its event time, its watermark where such are read, and in `row` a value for each column.
    fn read<'a>(
        &mut self,
        batch: &'a RecordBatch,
        at: usize,
        cells: &mut [Cell<'a>],
        row: &mut Vec<Datum<'a>>,
    ) -> Result<(Timestamp, Option<Watermark>), String> {
        let Self { plan, scratch, .. } = self;
        let value = batch.value(at).ok_or("the record has no value")?;
        if value.is_empty() {
            return Err("the value is empty".to_owned());
        }
        cells.fill(Cell::Missing);
        scratch.clear();
        row.clear();
        match &plan.reader {
            Reader::Json(reader) => reader.read(utf8(value, "the value")?, cells, scratch)?,
            Reader::AccessLog(reader) => reader.read(utf8(value, "the value")?, cells, scratch)?,
            Reader::Raw => {}
        }
        let event_time = plan.event_time.read(batch.timestamp(at), cells, scratch)?;
        let watermark = plan.watermark.as_ref();
        let watermark = watermark.map(|input| input.read_if_there(cells, scratch));
        for (field, input) in &plan.columns {
            row.push(match *input {
                Input::Cell(cell) => cells[cell].convert(field, scratch)?,
                Input::Property(property) => {
                    property.datum(field, plan.format, batch, at, event_time)?
                }
            });
        }
        Ok((event_time, watermark))
    }
}
