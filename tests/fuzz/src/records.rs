//! Records of Kafka: those of a source topic, which anybody may have written, and those between the stages.

use millstream::decode::{Decoded, Decoder, EventTime, Format, TimeUnit};
use millstream::log::{Offset, RecordBatch, TopicPartition};
use millstream::rows::{Field, FieldType, RowJson, decode_rows, encode_rows};
use millstream::state::{ExchangeReader, Exchanged, Pieces};
use millstream::time::Timestamp;

/// A record as columns: the first byte says how it is written and where its time is, the rest is its value.
pub(crate) fn decode(bytes: &[u8]) -> bool {
    let Some((kind, value)) = bytes.split_first() else {
        return false;
    };
    let format = match kind & 3 {
        0 => Format::AccessLog,
        1 => Format::Raw,
        _ => Format::Json,
    };
    let fields: &[(&str, FieldType)] = match format {
        Format::Json => &[
            ("flag", FieldType::Bool),
            ("n", FieldType::Int64),
            ("user.score", FieldType::Float64),
            ("user.id", FieldType::Text),
            ("user", FieldType::Json),
            ("at", FieldType::Timestamp),
            ("data", FieldType::Bytes),
            ("$value", FieldType::Json),
        ],
        Format::AccessLog => &[
            ("host", FieldType::Text),
            ("time", FieldType::Timestamp),
            ("method", FieldType::Text),
            ("path", FieldType::Text),
            ("status", FieldType::Int64),
            ("bytes", FieldType::Int64),
            ("user_agent", FieldType::Text),
        ],
        Format::Raw => &[("$value", FieldType::Text), ("$key", FieldType::Bytes)],
    };
    let fields: Vec<Field> = fields
        .iter()
        .map(|(name, ty)| Field {
            name: (*name).to_owned(),
            ty: *ty,
            optional: kind & 4 != 0 || *name == "$key",
        })
        .collect();
    let unit = match kind >> 3 & 3 {
        0 => TimeUnit::Millis,
        1 => TimeUnit::Seconds,
        _ => TimeUnit::Rfc3339,
    };
    let event_time = match format {
        Format::Json if kind & 32 != 0 => EventTime::Field {
            path: "time".to_owned(),
            unit,
        },
        _ => EventTime::Record,
    };
    let decoder = Decoder::new(format, event_time, fields.clone());
    let mut decoder = decoder.expect("these fields exist in these types");
    let mut batch = RecordBatch::new(TopicPartition::new("clicks", 0));
    batch.push(Offset(0), Timestamp(0), None, Some(value));
    let mut out = Decoded::new();
    decoder.decode(&batch, 0..1, &mut out);
    assert_eq!(
        out.source.len() + out.failures.len(),
        1,
        "a row or a reason"
    );
    let rows = &out.rows;
    assert_eq!(rows.len, out.source.len());
    let mut kept = Vec::new();
    encode_rows(&fields, rows, 0..rows.len, &mut kept);
    let again = decode_rows(&fields, &[&kept]).expect("decoded rows can be kept");
    for row in 0..rows.len {
        let json = |rows| {
            let fields = &fields;
            serde_json::to_string(&RowJson { fields, rows, row }).expect("and written")
        };
        assert_eq!(json(rows), json(&again));
    }
    !rows.is_empty()
}

/// A record between the stages, and what its pieces come to.
pub(crate) fn exchange(bytes: &[u8]) -> bool {
    let mut pieces = Pieces::new();
    for entry in ExchangeReader::new(bytes) {
        let is_taken = match entry {
            Ok(Exchanged::Piece {
                pane,
                key,
                source,
                piece,
            }) => pieces.add(pane, key, source, piece).is_ok(),
            entry => entry.is_ok(),
        };
        if !is_taken {
            return false;
        }
    }
    pieces.is_empty()
}
