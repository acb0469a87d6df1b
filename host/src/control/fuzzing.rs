//! For [`crate::fuzzing`]: what a control topic says, read and put together.

use super::history::History;
use super::topic::{Said, said};
use crate::log::{Offset, RecordBatch, TopicPartition};
use crate::time::Timestamp;

/// Reads a control topic of which each line is a record: the key of a piece of a component, after `>`, or a message. Returns
/// whether every record says something.
///
/// # Panics
/// If what is said comes to something that cannot be.
pub fn control_topic(lines: &[u8]) -> bool {
    let mut batch = RecordBatch::new(TopicPartition::new("control", 0));
    for (line, offset) in lines.split(|byte| *byte == b'\n').zip(0..) {
        let (key, value) = match line.strip_prefix(b">") {
            Some(key) => (Some(key), &b"piece"[..]),
            None => (None, line),
        };
        batch.push(Offset(offset), Timestamp(0), key, Some(value));
    }
    let mut history = History::default();
    let mut is_taken = true;
    for row in 0..batch.len() {
        let Offset(offset) = batch.offset(row);
        match said(&batch, row) {
            Said::Piece { digest, number, of } => {
                history.piece(offset, digest, number, of);
                if let Some(pieces) = history.pieces(digest) {
                    assert!(pieces.iter().all(|piece| *piece <= offset));
                }
            }
            Said::Message(message) => history.apply(offset, message),
            Said::Foreign(_) | Said::Later(_) => is_taken = false,
        }
    }
    let wanted = history.wanted();
    let active = history.active().map(|entry| entry.id);
    assert_eq!(wanted.active, active, "one deploy at a time is under way");
    is_taken
}
