//! What is done about an error: the decision apart from the mechanism.
//!
//! [`classify`] is a pure function from what is known of a failure to one of a few answers; [`Backoff`] is an
//! iterator of pauses; [`Budget`] caps the retries of a whole call; [`tries`] puts these together. The loop around
//! a chunk is in [`chunk`]; whether its call is still wanted, [`life`] tells.

mod backoff;
mod budget;
mod chunk;
mod classify;
mod life;
mod policy;
mod read;
mod tries;
mod workers;
mod works;

pub(crate) use backoff::Backoff;
pub(crate) use budget::Budget;
pub(crate) use chunk::{FirstTry, Ran, Shared, connect, run};
pub use classify::Answer;
pub(crate) use classify::{Failure, Stage, classify};
pub(crate) use life::{CallGuard, CallWatch};
pub(crate) use policy::{Policy, within};
pub(crate) use read::Retries;
pub(crate) use workers::Workers;
pub(crate) use works::{Renew, Works};
