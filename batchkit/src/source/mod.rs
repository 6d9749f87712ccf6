//! Where chunks come from: the caller's rows, encoded once, cut by rows and bytes.
//!
//! Rows that need not be compared with each other are encoded as their chunk's turn comes. Where two rows
//! with one key must be found (update, upsert, delete), all are encoded first, and what falls out of the
//! input is decided before anything is written; so every strategy sees the same rows.
//!
//! A stream's rows are encoded as they come; where they must be compared, as many at a time as the chunks have that run
//! at once.
//!
//! Where the caller's own code makes the rows, [`ahead`] runs it on other cores.

mod ahead;
mod chunks;
mod feed;
mod graph;
mod input;
mod items;
mod order;
mod pace;
mod positions;

pub(crate) use chunks::{Chunk, Chunks, Limits, Style};
pub(crate) use feed::{Encoded, Feed, Layout};
pub use graph::ChildWriter;
pub(crate) use graph::{ChildFault, ChildLayout, ChildLayouts, Wiring, is_recursive};
pub use input::{Keys, Rows};
pub(crate) use pace::Pace;
pub(crate) use positions::{Positions, ranges};
