//! Pipeline files, and the stages they become.
