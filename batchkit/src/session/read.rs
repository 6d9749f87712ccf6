//! Reads that leave in one flush: BEGIN, settings, all statements and COMMIT cost one round trip together.
//!
//! Nothing is written, so nothing has to be known before COMMIT is sent: after any error it is a ROLLBACK.

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{join_all, join3};
use postgres_types::{ToSql, Type};
use tokio::sync::oneshot;
use tokio_postgres::Statement;

use super::client::Session;
use super::opening::Opening;
use super::receive::read_decoded;
use super::shape::Shape;
use super::values::{Encoded, Question, Values};
use crate::error::Result;
use crate::settings::Plans;
use crate::wire::{Decoder, EncodedRows};

/// One statement, and its parameters.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    /// Its text, the same from call to call.
    pub(crate) sql: Arc<str>,
    /// The parameters.
    pub(crate) parameters: Parameters<'a>,
    /// The stored rows that it answers.
    pub(crate) shape: Option<Shape>,
    /// How its rows are decoded as they come, if that is wanted.
    pub(crate) decoder: Option<Decoder>,
}

impl Read<'_> {
    /// A statement without parameters and without rows.
    pub(crate) fn plain(sql: &str) -> Self {
        Read { sql: sql.into(), parameters: Parameters::Encoded(Vec::new()), shape: None, decoder: None }
    }
}

/// The parameters of a read.
#[derive(Debug)]
pub(crate) enum Parameters<'a> {
    /// In binary form.
    Encoded(Vec<Encoded>),
    /// Encoded once the server has told their types.
    Asked(&'a Question<'a>),
}

impl Parameters<'_> {
    /// Their types, as far as they are known.
    fn types(&self) -> &[Type] {
        match self {
            Parameters::Encoded(_) => &[],
            Parameters::Asked(question) => question.types,
        }
    }

    fn values(&self, types: &[Type]) -> Result<Values> {
        match self {
            Parameters::Encoded(values) => Ok(values.iter().cloned().map(Some).collect()),
            Parameters::Asked(question) => (question.encode)(types),
        }
    }
}

impl Session<'_> {
    /// Runs these reads in a transaction of their own, or under the caller's savepoint; their rows, in order.
    pub(crate) async fn read(&self, opening: &Opening, plans: Plans, reads: &[Read<'_>]) -> Result<Vec<EncodedRows>> {
        // Dropped half-way, a statement goes on at the server: its connection is not for the next borrower.
        self.vouch(false);
        let (tell, told) = oneshot::channel();
        let commit = async {
            // However that ends: after an error it is a ROLLBACK.
            let _ = told.await;
            self.simple("COMMIT").await
        };
        // They are polled in this order, and so they leave.
        let (opened, answers, ended) = join3(self.open_read(opening, plans), self.all_rows(reads, tell), commit).await;
        let is_lost = |result: &Result<()>| result.as_ref().is_err_and(crate::error::Error::is_lost);
        let clean = !is_lost(&opened) && ended.is_ok();
        self.vouch(clean);
        opened?;
        let answers = answers?;
        ended?;
        Ok(answers)
    }

    /// Runs these reads at once; tells when all of them are on their way. A statement that is not prepared yet is
    /// prepared behind the settings: by then the server can find whom to end if that takes too long.
    async fn all_rows(&self, reads: &[Read<'_>], tell: oneshot::Sender<()>) -> Result<Vec<EncodedRows>> {
        let mut prepared = Vec::with_capacity(reads.len());
        for read in reads {
            let statement = self.prepare_typed(&read.sql, read.parameters.types()).await?;
            read.shape.as_ref().map_or(Ok(()), |shape| shape.check(&statement))?;
            let values = read.parameters.values(statement.params())?;
            prepared.push((statement, values, read.decoder.as_ref()));
        }
        let answers =
            join_all(prepared.iter().map(|(statement, values, decoder)| self.rows(statement, values, *decoder)));
        let mut answers = std::pin::pin!(answers);
        let first = std::future::poll_fn(|context| Poll::Ready(answers.as_mut().poll(context))).await;
        // Nobody listens any longer when the session is given up.
        let _ = tell.send(());
        let answers = match first {
            Poll::Ready(answers) => answers,
            Poll::Pending => answers.await,
        };
        answers.into_iter().collect()
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
            Session::Pooled(pooled) => pooled.execute(sql).await,
            Session::Caller(_) => Ok(()),
        }
    }

    /// Opens a transaction of our own.
    async fn open_read(&self, opening: &Opening, plans: Plans) -> Result<()> {
        match self {
            Session::Pooled(pooled) => {
                let knows = pooled.knows(opening, false)?;
                pooled.open(opening, false, plans, knows).await.map(drop).map_err(|unopened| unopened.error)
            }
            Session::Caller(_) => Ok(()),
        }
    }

    async fn rows(&self, statement: &Statement, values: &Values, decoder: Option<&Decoder>) -> Result<EncodedRows> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        Ok(read_decoded(self.query(statement, &values).await?, decoder).await?.0)
    }
}
