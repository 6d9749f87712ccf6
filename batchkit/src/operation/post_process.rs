//! The caller's own work on stored rows, behind the COMMIT of their chunk.

use std::fmt::{self, Display};
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::{Answered, decode};
use super::call::{Call, CountVerb, Plain, Returning};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BatchModel, ReadRow};
use crate::report::{PostFailure, Report};
use crate::session::StoredRow;
use crate::source::ranges;
use crate::strategy::{Function, WorkedUp};
use crate::wire::ColumnType;

/// A call whose stored rows are handed to the caller's own code: see [`Call::post_process`].
///
/// `.await` gives what that made of them, in input order, and is an error if it failed at a row or if rows were
/// turned away; [`report`](Self::report) goes on without those.
#[must_use = "a call does nothing until it is awaited"]
pub struct PostProcess<'a, M, V, U, A = Plain> {
    call: Call<'a, M, V, Returning>,
    function: Arc<Function>,
    made: Made<U>,
    of: PhantomData<fn() -> A>,
}

/// Asks for the report beside what post-processing made.
#[derive(Debug)]
pub struct WithReport;

/// What was made of the rows, by their input positions.
type Made<U> = Arc<Mutex<Vec<Option<U>>>>;

impl<M, V, U, A> fmt::Debug for PostProcess<'_, M, V, U, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostProcess")
    }
}

impl<'a, M: ReadRow, V> Call<'a, M, V, Returning> {
    /// Hands each stored row to the caller's own code once its chunk is in: `Ok(Some(…))` is part of the answer,
    /// `Ok(None)` leaves the row out of it, an error is told with the row's position. **The row is stored in any
    /// case**: [`Report::post_dropped`] and [`Report::post_failures`] count what came after.
    ///
    /// Under [`ExecutionStrategy::Pipelined`](crate::ExecutionStrategy::Pipelined) it runs while the next chunks are
    /// being written, otherwise behind the last one; in a blocking thread either way.
    pub fn post_process<U, E, F>(self, process: F) -> PostProcess<'a, M, V, U>
    where
        F: Fn(M) -> Result<Option<U>, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Display,
    {
        let made = Made::default();
        let keep = Arc::clone(&made);
        let function = move |rows: Vec<(usize, StoredRow)>, types: &[ColumnType]| {
            let mut done = WorkedUp::default();
            for (position, row) in rows {
                let processed = match decode::<M>(row.fields(), types) {
                    Ok(row) => process(row).map_err(|reason| reason.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                match processed {
                    Ok(Some(value)) => put(&keep, position, value),
                    Ok(None) => done.dropped += 1,
                    Err(reason) => done.failures.push(PostFailure { position, reason }),
                }
            }
            done
        };
        PostProcess { call: self, function: Arc::new(function), made, of: PhantomData }
    }
}

impl<'a, M, V, U> PostProcess<'a, M, V, U> {
    /// Answers one slot per input row, `None` where there is nothing, and the report.
    pub fn report(self) -> PostProcess<'a, M, V, U, WithReport> {
        PostProcess { call: self.call, function: self.function, made: self.made, of: PhantomData }
    }
}

fn put<U>(made: &Made<U>, position: usize, value: U) {
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    if made.len() <= position {
        made.resize_with(position + 1, || None);
    }
    made[position] = Some(value);
}

impl<'a, M, V, U, A> PostProcess<'a, M, V, U, A>
where
    M: BatchModel + ReadRow + 'a,
    V: CountVerb + 'static,
{
    /// What was made of the rows, one slot each, and what became of them.
    async fn run(self) -> Result<(Vec<Option<U>>, Answered)> {
        let answered = self.call.request(Some(self.function), Arc::new([])).run().await?;
        let mut made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        made.resize_with(usize::try_from(answered.report.total()).unwrap_or(usize::MAX), || None);
        Ok((made, answered))
    }
}

impl<'a, M, V, U> IntoFuture for PostProcess<'a, M, V, U>
where
    M: BatchModel + ReadRow + 'a,
    V: CountVerb + 'static,
    U: Send + 'a,
{
    type Output = Result<Vec<U>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (made, answered) = self.run().await?;
            let report = answered.without_rejects()?.report;
            if report.post_failures().is_empty() {
                return Ok(made.into_iter().flatten().collect());
            }
            let what = format!(
                "post-processing failed at {} rows, which are stored; ask for .report() to go on without them",
                report.post_failures().len()
            );
            let positions: Vec<usize> = report.post_failures().iter().map(|failure| failure.position).collect();
            Err(Error::new(ErrorKind::PostProcess, what).of_rows(ranges(&positions)).with_report(report))
        })
    }
}

impl<'a, M, V, U> IntoFuture for PostProcess<'a, M, V, U, WithReport>
where
    M: BatchModel + ReadRow + 'a,
    V: CountVerb + 'static,
    U: Send + 'a,
{
    type Output = Result<(Vec<Option<U>>, Report)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (made, answered) = self.run().await?;
            Ok((made, answered.report))
        })
    }
}
