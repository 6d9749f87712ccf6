//! Rows of the input with equal keys: found before anything is sent, and resolved by the declared policy.

use super::engine::{Engine, Running};
use super::known::Known;
use super::target::Target;
use super::verb::Unique;
use crate::catalog::TableColumn;
use crate::config::DuplicatePolicy;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{self, Pairs};
use crate::reject::Reject;
use crate::report::Outcome;
use crate::retry::{Policy, Retries};
use crate::session::{Session, Within};
use crate::source::Positions;
use crate::sql::{self, Source};
use crate::wire::EncodedRows;
use std::pin::pin;

/// Encoded rows and their input positions.
pub(super) struct Input<'i> {
    pub(super) rows: &'i EncodedRows,
    pub(super) positions: &'i Positions,
}

/// What is needed to compare the keys of rows.
pub(super) struct Asking<'q, 'w, 't> {
    pub(super) engine: &'q Engine,
    pub(super) within: Option<Within<'w>>,
    pub(super) target: &'q Target<'t>,
    pub(super) policy: &'q Policy,
    /// How many chunks there are at once.
    pub(super) workers: usize,
}

impl Asking<'_, '_, '_> {
    /// Leaves all rows of one key out but one, by the declared policy.
    pub(super) async fn keep_one_of_each(
        &mut self,
        unique: &Unique,
        duplicates: DuplicatePolicy,
        rejects: bool,
        running: &mut Running<'_>,
    ) -> Result<()> {
        let (rows, positions) = running.chunks.collect(self.workers).await?;
        if self.equal_bytes(&unique.columns) && plan::are_ascending(&rows, &self.fields(&unique.columns)) {
            return running.book_unsent();
        }
        // On the heap: most often that was all.
        Box::pin(self.leave_out(unique, duplicates, rejects, running, (rows, positions))).await
    }

    async fn leave_out(
        &mut self,
        unique: &Unique,
        duplicates: DuplicatePolicy,
        rejects: bool,
        running: &mut Running<'_>,
        (rows, positions): (EncodedRows, Positions),
    ) -> Result<()> {
        let input = Input { rows: &rows, positions: &positions };
        let refused = self.target.null_keys(unique, &input);
        if let (Some(error), false) = (refused.first().map(|(_, error)| error), rejects) {
            return Err(error.clone_invalid_row());
        }
        let nulls_equal = unique.refuses_null && self.target.takes_null(&unique.columns);
        let pairs = self.equal(&unique.columns, &rows, nulls_equal).await?;
        if pairs.is_empty() && refused.is_empty() {
            return running.book_unsent();
        }
        let mut dropped = plan::resolve(unique.policy.unwrap_or(duplicates), &positions, pairs)?;
        let duplicates = (0..dropped.len()).filter(|&row| dropped[row]).filter_map(|row| positions.get(row));
        running.books.book(&duplicates.collect::<Vec<_>>().into(), Outcome::Duplicate);
        refused.iter().for_each(|(row, _)| dropped[*row] = true);
        running.chunks.leave_out(&dropped);
        let refused = refused.iter().filter_map(|(row, error)| Some(Reject::new(positions.get(*row)?, error)));
        running.books.unsent(&refused.collect::<Vec<_>>())?;
        running.book_unsent()
    }

    /// Has rows that share a unique key with one before them wait until all others are through, so that it does
    /// not depend on the order of the chunks which of them is stored. Where a key is an expression, all rows wait.
    pub(super) async fn put_later_ones_last(
        &mut self,
        unique: Option<&Unique>,
        running: &mut Running<'_>,
    ) -> Result<()> {
        let keys = self.target.given_keys();
        let others: Vec<&Vec<usize>> = keys.iter().filter(|key| unique.is_none_or(|u| u.columns != **key)).collect();
        let one_by_one = self.target.has_expression_keys();
        if others.is_empty() && !one_by_one {
            return Ok(());
        }
        let rows = match running.chunks.collected() {
            Some(rows) => rows,
            None => running.chunks.collect(self.workers).await?.0,
        };
        let mut later = vec![one_by_one; rows.len()];
        for key in others {
            let nulls_equal = self.target.takes_null(key);
            for (row, first) in self.equal(key, &rows, nulls_equal).await? {
                later[row] |= row != first;
            }
        }
        running.chunks.put_last(&later);
        Ok(())
    }

    /// Whether these columns' values are equal where their bytes are.
    fn equal_bytes(&self, key: &[usize]) -> bool {
        let Known { model, table, .. } = self.target.known;
        key.iter().filter_map(|&c| table.column(model.columns[c].name)).all(TableColumn::equal_bytes)
    }

    /// Where these columns are among the encoded fields.
    fn fields(&self, key: &[usize]) -> Vec<usize> {
        key.iter().map(|&column| self.target.field(column)).collect()
    }

    /// The rows whose key columns are equal: by their bytes where those decide, else the server is asked.
    async fn equal(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        if self.equal_bytes(key) {
            return Ok(plan::same_bytes(rows, &self.fields(key), nulls_equal));
        }
        match self.ask_until_answered(key, rows, nulls_equal).await {
            Err(error) if error.is_a_rows_fault() => {
                let good = self.with_good_keys(key, rows, nulls_equal).await?;
                let pairs = self.ask_until_answered(key, &rows.subset(&good), nulls_equal).await?;
                Ok(pairs.into_iter().map(|(row, first)| (good[row], good[first])).collect())
            }
            answer => answer,
        }
    }

    /// The rows whose keys the server takes. The others equal none; they are refused when they are sent.
    async fn with_good_keys(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Vec<usize>> {
        let mut good = Vec::new();
        let mut parts = std::iter::once(0..rows.len()).collect::<Vec<_>>();
        while let Some(part) = parts.pop() {
            match self.ask_until_answered(key, &rows.slice(part.clone()), nulls_equal).await {
                Ok(_) => good.extend(part),
                Err(error) if error.is_a_rows_fault() => {
                    let half = part.start + part.len() / 2;
                    parts.extend([half..part.end, part.start..half].into_iter().filter(|half| half.len() < part.len()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(good)
    }

    async fn ask_until_answered(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        if rows.is_empty() {
            return Ok(Pairs::new());
        }
        let mut retries = Retries::new(self.policy);
        loop {
            match self.policy.within_deadline(pin!(self.ask(key, rows, nulls_equal))).await {
                Ok(pairs) => return Ok(pairs),
                Err(error) => retries.pause_after(error).await?,
            }
        }
    }

    /// Asks the server which rows have equal keys.
    async fn ask(&mut self, key: &[usize], rows: &EncodedRows, nulls_equal: bool) -> Result<Pairs> {
        let carrier = self.target.columns_carrier(key);
        let sql = sql::duplicates(&self.target.known.sql, Source::Columns, key, nulls_equal);
        let within = self.within.as_mut().map(Within::lend);
        let session = Session::open(&self.engine.pool, within).await?.counted(&self.policy.round_trips);
        session.begin(&self.policy.opening, false).await?;
        let answer = carrier.send(&session, (&*sql).into(), rows).await;
        session.rollback().await;
        let (answer, _) = answer?;
        let ordinal = |field: Option<Option<&[u8]>>| {
            let bytes = field.flatten()?.try_into().ok()?;
            usize::try_from(i64::from_be_bytes(bytes) - 1).ok()
        };
        let pairs = (0..answer.len()).map(|row| {
            let mut fields = answer.row(row);
            let pair = ordinal(fields.next()).zip(ordinal(fields.next()));
            pair.ok_or_else(|| Error::new(ErrorKind::Accounting, "the answer has another form"))
        });
        pairs.collect()
    }
}
