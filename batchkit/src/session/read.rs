//! Reads that leave in one flush: BEGIN, settings, all statements and COMMIT cost one round trip together.
//!
//! Nothing is written, so nothing has to be known before COMMIT is sent: after any error it is a ROLLBACK.

use bytes::Bytes;
use futures_util::future::{join_all, join4};
use postgres_types::ToSql;
use tokio_postgres::Statement;

use super::client::{Encoded, Session, encoded, read, remember};
use super::fate::settle;
use crate::error::Result;
use crate::settings::Opening;
use crate::wire::EncodedRows;

/// One statement, and its parameters in binary form.
#[derive(Debug)]
pub(crate) struct Read {
    /// Its text, the same from call to call.
    pub(crate) sql: String,
    /// The parameters.
    pub(crate) parameters: Vec<Bytes>,
}

impl Session<'_> {
    /// Runs these reads in a transaction of their own, or under the caller's savepoint; their rows, in order.
    pub(crate) async fn read(&mut self, opening: &Opening, reads: &[Read]) -> Result<Vec<EncodedRows>> {
        let mut statements = Vec::with_capacity(reads.len());
        for read in reads {
            statements.push(self.prepare(&read.sql).await?);
        }
        let settling = match self {
            Session::Pooled(pooled) => Some(pooled.client()?.prepare_cached(&settle(false)).await?),
            Session::Caller(_) => None,
        };
        // Dropped half-way, a statement goes on at the server: its connection is not for the next borrower.
        self.vouch(false);
        let this = &*self;
        let all = join_all(reads.iter().zip(&statements).map(|(read, statement)| this.rows(statement, read)));
        // They are polled in this order, and so they leave.
        let (begun, settled, answers, ended) =
            join4(this.simple(opening.begin), this.settle(settling.as_ref(), opening), all, this.simple("COMMIT"))
                .await;
        let lost = |result: &Result<()>| result.as_ref().is_err_and(crate::error::Error::is_lost);
        let clean = !lost(&begun) && ended.is_ok();
        self.vouch(clean);
        begun?;
        settled?;
        let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
        ended?;
        Ok(answers)
    }

    /// Ends a session that has read: gives the caller's savepoint back.
    pub(crate) async fn end_read(self) {
        if matches!(self, Session::Caller(_)) {
            self.rollback().await;
        }
    }

    /// Sends a text without parameters, in a transaction of our own.
    async fn simple(&self, sql: &str) -> Result<()> {
        match self {
            Session::Pooled(pooled) => Ok(pooled.client()?.batch_execute(sql).await?),
            Session::Caller(_) => Ok(()),
        }
    }

    /// Makes the transaction's settings, and learns whose it is.
    async fn settle(&self, statement: Option<&Statement>, opening: &Opening) -> Result<()> {
        let (Session::Pooled(pooled), Some(statement)) = (self, statement) else { return Ok(()) };
        let settings: [&(dyn ToSql + Sync); 2] = [&opening.names, &opening.values];
        let rows = pooled.client()?.query(statement, &settings).await?;
        remember(&pooled.reader, &encoded(&rows)?);
        Ok(())
    }

    async fn rows(&self, statement: &Statement, of: &Read) -> Result<EncodedRows> {
        let parameters: Vec<Encoded> = of.parameters.iter().cloned().map(Encoded).collect();
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
        Ok(read(self.query(statement, &parameters).await?).await?.0)
    }
}
