//! A connection for one chunk: begin, work, commit; and how the chunk's rows travel.
//!
//! A pooled connection whose transaction was not seen to end never goes back to the pool.

mod along;
mod answer;
mod client;
mod draw;
mod fate;
mod graph;
mod isolate;
mod mark;
mod named;
mod opening;
mod portal;
mod probe;
mod read;
mod receive;
mod riding;
mod run;
mod shape;
mod stored;
mod transport;
mod trips;
mod values;
mod way;

pub(crate) use along::Along;
pub(crate) use answer::Matching;
pub(crate) use client::Session;
pub use client::Within;
pub(crate) use draw::{Draw, Place};
pub(crate) use fate::{Fate, Identity, fate};
pub(crate) use graph::{Above, ChildWork, Graph, Kind};
pub(crate) use isolate::{Suspect, Suspects};
pub(crate) use opening::{Opening, Openings};
pub(crate) use portal::{Fetching, Piece, Unread};
pub(crate) use probe::Probe;
pub(crate) use read::{Parameters, Read};
pub(crate) use riding::{Next, Ridden, Uncommitted, begin_chunk};
pub(crate) use run::{Broken, ChunkAnswer, Mode, Reading, Work, run_chunk};
pub(crate) use shape::Shape;
pub(crate) use stored::{RowAnswer, RowAnswers, StoredRow};
pub(crate) use transport::{Carrier, INSERTED, JOINED};
pub(crate) use trips::Total;
pub(crate) use values::{Encoded, Question, Values};
pub(crate) use way::{Foreknown, Way, Ways};
