//! One chunk: its rows are sent, and every one of them is accounted for before anything is committed.

use std::pin::pin;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::along::Along;
use super::answer::{Answered, Answers, Told, copied, read_counts, read_kept, read_outcomes, unaccounted};
use super::client::Session;
use super::fate::Identity;
use super::graph::{ChildWork, Graph, send_below};
use super::isolate::{Suspects, isolate};
use super::opening::Opening;
use super::read::{Parameters, Read};
use super::stored::RowAnswers;
use super::transport::Carrier;
use super::way::{Way, Ways};
use crate::error::{Error, Result};
use crate::reject::Reject;
use crate::report::{Counts, Outcome};
use crate::retry::{Stage, within};
use crate::settings::Plans;
use crate::source::ranges;
use crate::sql::Form;
use crate::wire::{ColumnType, EncodedRows, Start};

/// What is done with each chunk of a call. Owned and not generic: chunks run in tasks of their own.
#[derive(Debug)]
pub(crate) struct Work {
    /// The ways of its rows.
    pub(crate) ways: Arc<Ways>,
    /// What the statement answers.
    pub(crate) form: Form,
    /// How the counting form's answer is read.
    pub(crate) reading: Reading,
    /// What became of a row that the accounting form does not answer, if that may be.
    pub(crate) unanswered: Option<Outcome>,
    /// Whether bad rows are turned away; else the chunk fails with them.
    pub(crate) turns_away: bool,
    /// Whether the statement writes.
    pub(crate) writes: bool,
    /// Whether it writes on other servers, too. These commit one after the other, before this one does: after an error
    /// at COMMIT, some may have.
    pub(crate) writes_elsewhere: bool,
    /// The constraints that rows may break; asked only where bad rows are turned away.
    pub(crate) suspects: Suspects,
    /// What is done with the rows below, by their kind.
    pub(crate) below: Vec<ChildWork>,
    /// How stored rows that are read are decoded as they come: to what, and the types of their fields.
    pub(crate) decode: Option<(Start, Arc<[ColumnType]>)>,
    /// What is asked about the keys of rows that are read, with these.
    pub(crate) along: Arc<[Along]>,
}

/// How the answer of a statement's counting form is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reading {
    /// The command's tag counts rows of the first outcome; the others have the second.
    Tag(Outcome, Outcome),
    /// One row answers how many rows had each of these outcomes; or each row that had one of the first two answers
    /// whether it was the first. The others have the last.
    Cells(&'static [Outcome], Outcome),
}

/// What became of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkAnswer {
    /// How many rows had each outcome.
    pub(crate) counts: Counts,
    /// What became of each row of the chunk; empty where only counts were asked for.
    pub(crate) rows: RowAnswers,
    /// The rows that were turned away, by their position in the chunk.
    pub(crate) rejects: Vec<Reject>,
    /// What became of the rows below.
    pub(crate) graph: Graph,
    /// The answers to what was asked along, statement by statement.
    pub(crate) along: Vec<Vec<EncodedRows>>,
}

impl ChunkAnswer {
    /// Sends what is below the rows of a statement, of which those from `first` on were answered; in the chunk they
    /// begin behind so many.
    async fn send_below(
        &mut self,
        session: &Session<'_>,
        works: &[ChildWork],
        sent: &EncodedRows,
        first: usize,
        behind: usize,
    ) -> Result<()> {
        if !works.is_empty() {
            let answered = self.rows.each().get(first..).unwrap_or_default();
            let below = send_below(session, works, sent, answered).await;
            self.graph.merge(below.map_err(|error| error.behind(behind))?);
        }
        Ok(())
    }

    /// Takes what became of the next rows; the positions of the stale ones among all.
    fn take(&mut self, answers: Answers) -> Vec<usize> {
        let mut stale = Vec::new();
        let answered = match answers {
            Answers::Each(answered) => answered,
            Answers::InStep(outcome, block) => {
                self.counts.add(outcome, u64::try_from(block.len()).unwrap_or(u64::MAX));
                self.rows.append(RowAnswers::InStep(outcome, block));
                return stale;
            }
        };
        let rows = self.rows.each();
        rows.reserve(answered.len());
        for (told, stored) in answered {
            let outcome = match told {
                Told::Is(outcome) => outcome,
                Told::Stale => {
                    stale.push(rows.len());
                    Outcome::Rejected
                }
                // A trigger did not let it: no rival can have changed it twice.
                Told::Unseen => Outcome::Skipped,
            };
            self.counts.add(outcome, 1);
            rows.push((outcome, stored));
        }
        stale
    }
}

/// Why a chunk did not get through, and what is needed to find out what became of it.
#[derive(Debug)]
pub(crate) struct Broken {
    /// What happened.
    pub(crate) error: Error,
    /// How far it came.
    pub(crate) stage: Stage,
    /// What its transaction can be found by, if it was opened.
    pub(crate) identity: Option<Identity>,
    /// What is true of the chunk should it turn out to be in: known when `COMMIT` was sent.
    pub(crate) answer: Option<ChunkAnswer>,
}

impl Broken {
    /// Broken before anything was sent.
    pub(crate) fn at_connecting(error: Error) -> Self {
        Broken { error, stage: Stage::Connect, identity: None, answer: None }
    }
}

/// What becomes of a chunk that has bad rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// It fails as a whole.
    Whole,
    /// They are turned away. The error that the whole chunk met, if it was tried before.
    Isolate(Option<&'a Error>),
    /// They are looked for and told, and nothing is written. The error that the whole chunk met.
    Blame(&'a Error),
}

/// Does the work with one chunk in a transaction (or a savepoint of the caller's): all of it or nothing.
pub(crate) async fn run_chunk(
    session: Session<'_>,
    work: &Work,
    rows: &EncodedRows,
    opening: &Opening,
    deadline: Option<Instant>,
    mode: Mode<'_>,
) -> Result<ChunkAnswer, Box<Broken>> {
    let broken = |error, stage, identity, answer| Err(Box::new(Broken { error, stage, identity, answer }));
    let way = work.ways.of(rows.len());
    if !work.writes && matches!(mode, Mode::Whole) && way.carrier.is_parameters() {
        let read = within(deadline, Box::pin(read_all(&session, work, way, rows, opening)).as_mut()).await;
        return match read {
            Ok(answer) => {
                session.end_read().await;
                Ok(answer)
            }
            Err(error) => broken(error, Stage::Work, None, None),
        };
    }
    // On the heap: the futures around it would each have room for it.
    let work_in_it = Box::pin(async {
        match mode {
            Mode::Whole => send_all(&session, work, rows).await,
            Mode::Isolate(first) => isolate(&session, work, rows, first).await,
            Mode::Blame(first) => isolate(&session, work, rows, Some(first)).await,
        }
    });
    let identity = OnceLock::new();
    let sent = async {
        let sent = session.begin_with(opening, work.writes, way.plans(rows.len()), &identity, work_in_it).await;
        Ok(sent)
    };
    // The deadline's error has no stage of its own.
    let sent = within(deadline, pin!(sent)).await.unwrap_or_else(|error| Err((Stage::Work, error)));
    let identity = identity.into_inner();
    match sent {
        Ok(answer) if matches!(mode, Mode::Blame(_)) => {
            roll_back(session, deadline).await;
            Ok(answer)
        }
        Ok(answer) => match within(deadline, pin!(session.commit())).await {
            Ok(()) => Ok(answer),
            Err(error) => broken(error, Stage::Commit, identity, Some(answer)),
        },
        Err((stage, error)) => {
            give_up(session, &error, deadline).await;
            broken(error, stage, identity, None)
        }
    }
}

/// Rolls back. A connection that is lost is discarded: whoever looks up its transaction's fate ends its backend,
/// which must not be another borrower's by then. So is one that has not answered when the deadline passes.
pub(super) async fn give_up(session: Session<'_>, error: &Error, deadline: Option<Instant>) {
    if error.is_lost() && matches!(session, Session::Pooled(_)) {
        return;
    }
    roll_back(session, deadline).await;
}

pub(super) async fn roll_back(session: Session<'_>, deadline: Option<Instant>) {
    // What is still to be said is said by whoever looks up the transaction's fate.
    let rolled_back = async {
        session.rollback().await;
        Ok(())
    };
    let _ = within(deadline, pin!(rolled_back)).await;
}

/// Reads what belongs to a chunk's rows, all statements in one flush.
async fn read_all(
    session: &Session<'_>,
    work: &Work,
    way: &Way,
    rows: &EncodedRows,
    opening: &Opening,
) -> Result<ChunkAnswer> {
    if let Some(answer) = read_by(session, work, way, rows, opening, false).await? {
        return Ok(answer);
    }
    let again = read_by(session, work, way, rows, opening, true).await?;
    again.ok_or_else(|| unaccounted("a stored row belongs to two rows of input"))
}

/// The same, where stored rows are decoded as they come unless all of their bytes are kept. `None` where one belongs to
/// several keys: it is decoded only once.
async fn read_by(
    session: &Session<'_>,
    work: &Work,
    way: &Way,
    rows: &EncodedRows,
    opening: &Opening,
    keeps_all: bool,
) -> Result<Option<ChunkAnswer>> {
    let parts: Vec<EncodedRows> = way.statements(rows).into_iter().map(|part| rows.slice(part)).collect();
    let decode = work.decode.as_ref().filter(|_| !keeps_all);
    let decoder = decode.map(|(start, types)| way.matching.decoder(*start, Arc::clone(types)));
    let read = |part| {
        let parameters = Parameters::Encoded(way.carrier.parameters(part)?);
        Ok(Read { sql: Arc::clone(&way.sql), parameters, shape: way.shape.clone(), decoder: decoder.clone() })
    };
    let lock = way.carrier.lock().map(Read::plain);
    let first = usize::from(lock.is_some());
    let along = work.along.iter().flat_map(|along| parts.iter().map(|part| along.read(part)));
    let reads = lock.into_iter().map(Ok).chain(parts.iter().map(read)).chain(along).collect::<Result<Vec<_>>>()?;
    let matching = if decoder.is_some() { way.matching.of_kept() } else { way.matching };
    let mut whole = ChunkAnswer::default();
    // Nothing is known of how what leaves with it finds its rows.
    let plans = if work.along.is_empty() { way.plans(rows.len()) } else { Plans::of(rows.len(), Plans::FEW) };
    let answers = session.read(opening, plans, &reads).await?;
    let mut answers = answers.into_iter().skip(first);
    for (part, answer) in parts.iter().zip(answers.by_ref()) {
        if work.form == Form::Count {
            whole.counts.merge(&read_counts(work.reading, part.len(), &answer, 0)?);
        } else {
            // What only reads meets no version.
            let Some(answered) = read_outcomes(work, matching, part, answer)? else { return Ok(None) };
            whole.take(answered);
        }
    }
    whole.along = work.along.iter().map(|_| answers.by_ref().take(parts.len()).collect()).collect();
    Ok(Some(whole))
}

/// Sends a chunk's rows, statement by statement.
pub(super) async fn send_all(session: &Session<'_>, work: &Work, rows: &EncodedRows) -> Result<ChunkAnswer> {
    send_rows(session, work, &work.below, rows).await
}

/// Sends rows, statement by statement, and behind each what is below its rows.
pub(super) async fn send_rows(
    session: &Session<'_>,
    work: &Work,
    below: &[ChildWork],
    rows: &EncodedRows,
) -> Result<ChunkAnswer> {
    let way = work.ways.of(rows.len());
    let sent = send_by(way, session, work, below, rows).await?;
    match (sent, work.ways.instead()) {
        (Some(answer), _) => Ok(answer),
        (None, Some(other)) => {
            let sent = Box::pin(send_by(other, session, work, below, rows)).await?;
            sent.ok_or_else(|| unaccounted("the table changes with every statement"))
        }
        (None, None) => Err(unaccounted(
            "the table does not take COPY any longer, or not in this transaction, and there is no other way",
        )),
    }
}

/// The same by one way; `None`, and nothing is sent, where it turns out not to lead there.
async fn send_by(
    way: &Way,
    session: &Session<'_>,
    work: &Work,
    below: &[ChildWork],
    rows: &EncodedRows,
) -> Result<Option<ChunkAnswer>> {
    let mut whole = ChunkAnswer::default();
    let mut stale = Vec::new();
    for statement in way.statements(rows) {
        if let Carrier::CopyInto(probe) = &way.carrier
            && !session.takes_copy(probe).await?
        {
            return Ok(None);
        }
        let start = statement.start;
        let part = rows.slice(statement);
        let part = match &way.draw {
            Some(draw) => match draw.fill(session, &part).await? {
                Some(filled) => filled,
                None => return Ok(None),
            },
            None => part,
        };
        let (answer, tag) = way.carrier.send(session, way.text(), &part).await?;
        if work.form == Form::Count {
            let counts = read_counts(work.reading, part.len(), &answer, tag)?;
            if !below.is_empty() && counts.of(Outcome::Inserted) != counts.total() {
                return Err(unaccounted("a row was left out, and it is not told which: what is below it has no place"));
            }
            whole.counts.merge(&counts);
            whole.send_below(session, below, &part, 0, start).await?;
            continue;
        }
        let answered = match way.carrier {
            Carrier::CopyInto(_) => copied(&part, tag, way.foretold.as_ref())?,
            _ => match read_kept(work, way.matching, &part, answer)? {
                Answers::Each(each) => Answers::Each(settle(way, session, work, &part, each).await?),
                in_step @ Answers::InStep(..) => in_step,
            },
        };
        let first = whole.rows.len();
        stale.extend(whole.take(answered));
        whole.send_below(session, below, &part, first, start).await?;
    }
    if !stale.is_empty() && !work.turns_away {
        return Err(Error::stale().of_rows(ranges(&stale)));
    }
    whole.rejects = stale.into_iter().map(|row| Reject::new(row, &Error::stale())).collect();
    Ok(Some(whole))
}

/// Sends the statement again for the rows of which it could not see what became: it sees that now, and what it met
/// there it has locked.
async fn settle(
    way: &Way,
    session: &Session<'_>,
    work: &Work,
    rows: &EncodedRows,
    mut answered: Vec<Answered>,
) -> Result<Vec<Answered>> {
    let unseen: Vec<usize> = (0..answered.len()).filter(|&row| answered[row].0 == Told::Unseen).collect();
    if !unseen.is_empty() {
        let again = rows.subset(&unseen);
        let (answer, _) = way.carrier.send(session, way.text(), &again).await?;
        for (row, again) in unseen.iter().zip(read_kept(work, way.matching, &again, answer)?.into_each()) {
            answered[*row] = again;
        }
    }
    Ok(answered)
}
