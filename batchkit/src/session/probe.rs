//! What is asked in front of a COPY: whether the table is as it was when the rows were encoded.
//!
//! The rows of a binary COPY have no types that the server could compare with those of the columns: it takes the bytes of
//! a column's old type for those of the new one. The types that a statement answers are compared, here when it is
//! prepared and by the server when it is run again; and it keeps the table as it is until the transaction's end.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join3;

use super::client::Session;
use super::receive::read;
use super::shape::{Shape, Text};
use crate::error::{Error, Result};
use crate::wire::{ColumnType, EncodedRows};

/// A statement that answers no row of a table, but what is to be known of it: whether it is one that COPY writes into as
/// INSERT does, whether the current user may do that in this transaction, and then NULL for each column.
#[derive(Debug)]
pub(crate) struct Probe {
    sql: String,
    shape: Shape,
    /// What keeps the table as it is, where the statement does not.
    lock: Option<String>,
}

impl Probe {
    /// The statement's text, the types that the columns had, and what has to be sent in front of it.
    pub(crate) fn new(sql: String, types: Arc<[ColumnType]>, lock: Option<String>) -> Self {
        Probe { sql, shape: Shape { first: 2, types }, lock }
    }

    /// It, with what it has to answer.
    pub(super) fn text(&self) -> Text<'_> {
        Text { sql: &self.sql, shape: Some(&self.shape) }
    }
}

/// What of a table is to be known that takes COPY.
#[derive(Debug, Clone, Copy)]
enum Fact {
    /// Nothing is passed by that an INSERT would not pass by.
    WritesAsInsert,
    /// It would not be refused.
    Allowed,
}

fn holds(fact: Fact, answer: &EncodedRows) -> bool {
    let mut fields = if answer.is_empty() { None } else { Some(answer.row(0)) };
    fields.as_mut().and_then(|fields| fields.nth(fact as usize)).flatten() == Some(&[1])
}

impl Session<'_> {
    /// Whether rows can be sent by COPY into the table. In the caller's transaction that has to be known beforehand:
    /// behind a COPY that was refused the driver takes its answers for those of other requests, and in a connection of
    /// the caller's nobody would notice.
    pub(super) async fn takes_copy(&self, probe: &Probe) -> Result<bool> {
        if matches!(self, Session::Pooled(_)) {
            return Ok(true);
        }
        let (answer, _) = match &probe.lock {
            None => self.run(probe.text(), &[]).await?,
            Some(lock) => self.run_behind(lock, probe.text(), &[]).await?,
        };
        Ok(holds(Fact::WritesAsInsert, &answer) && holds(Fact::Allowed, &answer))
    }

    /// Sends rows through binary COPY into the table; answers their number.
    ///
    /// # Errors
    /// Also when the table is no longer as it was.
    pub(super) async fn copy_into(&self, probe: &Probe, sql: &str, rows: Bytes) -> Result<u64> {
        let Session::Pooled(pooled) = self else { return self.copy_in(sql, rows).await };
        let known = self.prepare_text(probe.text()).await?;
        let copy = pooled.prepare(sql, &[]).await?;
        // Polled together, they leave in one flush.
        let lock = async {
            match &probe.lock {
                None => Ok(()),
                Some(lock) => self.execute(lock).await,
            }
        };
        let ask = async { read(self.query(&known, &[]).await?).await };
        let (locked, asked, opened) = join3(pin!(lock), pin!(ask), pin!(pooled.open_copy(&copy))).await;
        locked?;
        if !holds(Fact::WritesAsInsert, &asked?.0) {
            return Err(Error::changed_table());
        }
        self.feed(opened?, rows).await
    }
}
