//! Loading what rows are related to: one query per relation and level, whatever the number of rows.
//!
//! ```text
//! rows ─► keys of each relation, each once ─► one query per relation, all of a level in one flush ─► related rows
//!   ▲                                                                                                    │
//!   └── fields are filled from the deepest level upwards ◄── and what these are related to: the next level
//! ```
//!
//! [`Tree`] is what was asked for, its names looked up. A branch is one relation of some rows: it knows their type
//! and that of the related rows, and everything between the two works on encoded keys and rows. Who answers the
//! questions of a level is a [`Relate`]: PostgreSQL, or a store in memory.

mod answers;
mod branch;
mod load;
mod stored;
mod tree;

pub(crate) use answers::{Answers, Block, KeyNumbers, Owner, has_ordinal, key_numbers};
pub use branch::{Branched, to_many, to_one};
pub(crate) use branch::{Question, decodings};
pub(crate) use load::{Relate, load};
pub(crate) use stored::Stored;
pub(crate) use tree::Tree;
