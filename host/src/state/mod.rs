//! State: what tasks keep between commits, how it is written to the log, and the copy of it on the local disk.
//!
//! The changelog in the log is the truth. Each task writes what changes of its windows to its partition of it, in the
//! transaction that also holds the results and the offsets; after that, the same changes are applied to the local
//! store, with the changelog's offset. The store may therefore lag the log, and never leads it.
//!
//! - [`TaskId`], [`Position`]: whose state it is, and how far the local copy has come.
//! - [`StateKey`], [`TaskState`], [`put_parts`]: the records of the changelog, which are the entries of the store.
//! - [`Published`], [`encode_session`], [`Counter`], [`HeldRow`]: what a task keeps beside the contents of panes.
//! - [`ExchangeWriter`], [`ExchangeReader`]: partials on their way from one stage to the next.
//! - [`Mark`], [`Committed`], [`Shape`]: what stands beside a committed offset, so that the next owner knows what to trust.
//! - [`Store`] with [`DiskStore`] and its twin [`MemoryStore`]: the local copy.
//! - [`InstanceFolder`]: where on the disk it is, and who this process is.
//!
//! Each format states its version and its bytes, and has a golden file under `tests/golden/state` that later versions must
//! read.

mod committed;
mod disk;
mod entries;
mod error;
mod exchange;
mod folder;
mod key;
mod mark;
mod memory;
mod parts;
pub mod segments;
mod shape;
mod store;
mod task;
mod value;

#[cfg(test)]
mod tests;

pub use crate::format::FormatError;
pub use committed::Committed;
pub use disk::DiskStore;
pub use entries::{Counter, HeldRow, Published, decode_session, encode_session};
pub use error::StoreError;
pub use exchange::{ExchangeReader, ExchangeWriter, Exchanged, Piece, Pieces};
pub use folder::InstanceFolder;
pub use key::{
    KeyRange, StateKey, Write, all_entries, all_kept_in_memory, all_parts, all_pending_parts,
    parts_after_key, parts_after_pane, parts_of_key, parts_of_pane, published_before,
};
pub use mark::{Mark, Origin};
pub use memory::MemoryStore;
pub use parts::{Part, PartReader, put_parts};
pub use shape::{Shape, Stages};
pub use store::{Change, Slice, Store, Visit};
pub use task::{Lineage, Position, Stage, TaskId};
pub use value::TaskState;
