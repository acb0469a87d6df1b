//! The log that lives in one folder.
