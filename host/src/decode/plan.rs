//! What to read, settled once before the first record: each declared field gets its place in the record.

use thiserror::Error;

use super::access_log::{LogField, LogReader};
use super::event_time;
use super::json::ObjectReader;
use super::property::Property;
use super::{EventTime, Format, TimeUnit};
use crate::rows::{Field, FieldType};

/// Why fields cannot be read from a format. Either the pipeline or the function's declaration is at fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DecoderError {
    /// A name begins with `$` and is no property.
    #[error("records have no property {name}; there are {}", property_names())]
    UnknownProperty {
        /// The name.
        name: String,
    },
    /// A property is declared as a type that it does not come in.
    #[error("{name} cannot be read as {ty}, only as {}", list(*known))]
    PropertyType {
        /// The property.
        name: &'static str,
        /// The declared type.
        ty: FieldType,
        /// The types that it comes in.
        known: &'static [FieldType],
    },
    /// A path has nothing before, between or after its dots.
    #[error("the path {path:?} has an empty part; write it like user.id")]
    EmptySegment {
        /// The path.
        path: String,
    },
    /// A path descends further than the parser does.
    #[error("the path {path:?} has more than {most} parts")]
    PathTooLong {
        /// The path.
        path: String,
        /// The most parts that a path may have.
        most: usize,
    },
    /// A field that lines of an access log do not have.
    #[error("access logs have no field {name:?}; there are {}", log_field_names())]
    UnknownLogField {
        /// The name.
        name: String,
    },
    /// A field of an access log is declared as another type than its own.
    #[error("the access log field {name} is {is}, it cannot be read as {ty}")]
    LogFieldType {
        /// The field.
        name: &'static str,
        /// Its type.
        is: FieldType,
        /// The declared type.
        ty: FieldType,
    },
    /// A field of a record that is not parsed.
    #[error("raw records have no field {name:?}; there are {}", property_names())]
    RawField {
        /// The name.
        name: String,
    },
    /// The event time is to come from a property.
    #[error(
        "the event time cannot be read from {path}; name a field, or take the record's timestamp"
    )]
    EventTimeProperty {
        /// The property.
        path: String,
    },
    /// Watermarks are to come from something that is no field of a JSON object.
    #[error("watermarks cannot be read from {path}; name a field of json records")]
    WatermarkField {
        /// What was named.
        path: String,
    },
    /// The event time is to come from a field of an access log that is not its time.
    #[error("the event time of an access log is its field time, not {path:?}")]
    EventTimeLogField {
        /// The field.
        path: String,
    },
}

/// Where a column's values are found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    /// In the cell with this index.
    Cell(usize),
    /// In the record itself.
    Property(Property),
}

/// Finds the cells of a record by its format.
#[derive(Debug)]
pub(super) enum Reader {
    Json(ObjectReader),
    AccessLog(LogReader),
    Raw,
}

/// What to read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) format: Format,
    pub(super) reader: Reader,
    pub(super) event_time: event_time::Input,
    /// Where watermarks are read, if records carry them.
    pub(super) watermark: Option<event_time::Input>,
    /// The declared fields in their order, each with its place.
    pub(super) columns: Vec<(Field, Input)>,
}

impl Plan {
    pub(super) fn new(
        format: Format,
        event_time: EventTime,
        fields: Vec<Field>,
    ) -> Result<Self, DecoderError> {
        let mut reader = match format {
            Format::Json => Reader::Json(ObjectReader::new()),
            Format::AccessLog => Reader::AccessLog(LogReader::new()),
            Format::Raw => Reader::Raw,
        };
        let event_time = match event_time {
            EventTime::Record => event_time::Input::Record,
            EventTime::Field { path, .. } if path.starts_with('$') => {
                return Err(DecoderError::EventTimeProperty { path });
            }
            EventTime::Field { path, unit } => reader.event_time(path, unit)?,
        };
        let columns = fields
            .into_iter()
            .map(|field| {
                let input = if field.name.starts_with('$') {
                    Input::Property(property(&field)?)
                } else {
                    Input::Cell(reader.cell(&field)?)
                };
                Ok((field, input))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            format,
            reader,
            event_time,
            watermark: None,
            columns,
        })
    }

    /// Reads watermarks from a field too.
    pub(super) fn read_watermarks(
        &mut self,
        path: String,
        unit: TimeUnit,
    ) -> Result<(), DecoderError> {
        if path.starts_with('$') || !matches!(self.reader, Reader::Json(_)) {
            return Err(DecoderError::WatermarkField { path });
        }
        self.watermark = Some(self.reader.event_time(path, unit)?);
        Ok(())
    }
}

impl Reader {
    /// How many cells it fills.
    pub(super) fn cells(&self) -> usize {
        match self {
            Reader::Json(reader) => reader.cells(),
            Reader::AccessLog(_) => LogField::ALL.len(),
            Reader::Raw => 0,
        }
    }

    /// The cell that a field is read into.
    fn cell(&mut self, field: &Field) -> Result<usize, DecoderError> {
        match self {
            Reader::Json(reader) => reader.cell(&field.name, field.ty == FieldType::Json),
            Reader::AccessLog(reader) => reader.cell(&field.name, field.ty),
            Reader::Raw => Err(DecoderError::RawField {
                name: field.name.clone(),
            }),
        }
    }

    fn event_time(
        &mut self,
        path: String,
        unit: TimeUnit,
    ) -> Result<event_time::Input, DecoderError> {
        let (cell, unit) = match self {
            // Seconds are read from the number's source text, see there.
            Reader::Json(reader) => (reader.cell(&path, unit == TimeUnit::Seconds)?, unit),
            Reader::AccessLog(_) if path != LogField::Time.name() => {
                return Err(DecoderError::EventTimeLogField { path });
            }
            Reader::AccessLog(reader) => {
                let cell = reader.cell(&path, FieldType::Timestamp)?;
                (cell, TimeUnit::Millis)
            }
            Reader::Raw => return Err(DecoderError::RawField { name: path }),
        };
        Ok(event_time::Input::Cell { cell, path, unit })
    }
}

fn property(field: &Field) -> Result<Property, DecoderError> {
    let property = Property::ALL
        .into_iter()
        .find(|property| property.name() == field.name)
        .ok_or_else(|| DecoderError::UnknownProperty {
            name: field.name.clone(),
        })?;
    let known = property.types();
    if known.contains(&field.ty) {
        Ok(property)
    } else {
        Err(DecoderError::PropertyType {
            name: property.name(),
            ty: field.ty,
            known,
        })
    }
}

fn property_names() -> String {
    list(Property::ALL.map(Property::name))
}

fn log_field_names() -> String {
    list(LogField::ALL.map(LogField::name))
}

fn list(names: impl IntoIterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}
