//! Work that a dropped call does not cut short: it is polled where the call is, and goes on in a task of its own when
//! that is dropped. (In a task from the beginning, it would be handed from thread to thread for each call, which costs
//! as much as a round trip to a server nearby.)

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::runtime::Handle;

use super::runner::panicked;
use crate::error::Result;

/// Work that goes on when this is dropped, as long as the runtime lives.
pub(super) struct Lasting {
    work: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    runtime: Option<Handle>,
}

impl Lasting {
    pub(super) fn new(work: impl Future<Output = Result<()>> + Send + 'static) -> Self {
        let work = AssertUnwindSafe(work).catch_unwind().map(|done| done.unwrap_or_else(|_| Err(panicked())));
        Lasting { work: Some(Box::pin(work)), runtime: None }
    }
}

impl Future for Lasting {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let done = work.as_mut().poll(context);
        if done.is_ready() {
            self.work = None;
        } else if self.runtime.is_none() {
            self.runtime = Handle::try_current().ok();
        }
        done
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        // What was never polled has not begun.
        if let (Some(work), Some(runtime)) = (self.work.take(), &self.runtime) {
            runtime.spawn(work);
        }
    }
}
