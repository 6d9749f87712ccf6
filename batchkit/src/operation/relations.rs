//! `load_relations`: what rows are related to, one query per relation and level, all of a level in one flush.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use deadpool_postgres::Object;
use postgres_types::Type;
use tokio_postgres::IsolationLevel;

use super::call::{Aligned, Answer, Call, Returning};
use super::engine::Engine;
use super::get::Get;
use super::known::Known;
use super::route::Route;
use crate::config::BatchConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Association, Model, ReadRow, RelationPaths, Relations};
use crate::observe::ErrorObserver;
use crate::relation::{Answers, Block, KeyNumbers, Owner, Question, Relate, Tree, decodings, key_numbers, load};
use crate::retry::{CallWatch, Policy, Retries};
use crate::session::{Along, Encoded, JOINED, Parameters, Read, Session, Shape, Within};
use crate::settings::Plans;
use crate::wire::{ColumnType, EncodedRows, Start};

/// A read whose rows come with what they are related to: see [`Call::load_relations`].
#[must_use = "a call does nothing until it is awaited"]
pub struct WithRelations<'a, M, A = Returning> {
    call: Call<'a, M, Get, Aligned>,
    paths: RelationPaths<M>,
    of: PhantomData<fn() -> A>,
}

impl<M, A> std::fmt::Debug for WithRelations<'_, M, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithRelations").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl<'a, M> Call<'a, M, Get, Returning> {
    /// Loads what the rows are related to, too: typed names (`(r.category, r.reviews.then(Review::RELATIONS.author))`,
    /// with `let r = Product::RELATIONS;`) or texts with dots (`["category", "reviews.author"]`). A path loads all
    /// that lies on it.
    ///
    /// Each relation of each level is one query, whatever the number of rows, and all queries of a level leave in one
    /// flush: one round trip for the rows, one for each level. (What is found by the very keys that the rows are read by,
    /// as the reviews of products that are read by id, leaves with the rows themselves.) Each key is asked about once, and rows that are
    /// related to the same row share it. A reference that points nowhere is loaded, and none.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownRelation`], with the known ones, before anything is asked; besides those of the read.
    pub fn load_relations(self, relations: impl Relations<M>) -> WithRelations<'a, M> {
        WithRelations { call: self.answering(), paths: relations.paths(), of: PhantomData }
    }
}

impl<'a, M> Call<'a, M, Get, Aligned> {
    /// [`load_relations`](Call::load_relations), with one slot per key.
    pub fn load_relations(self, relations: impl Relations<M>) -> WithRelations<'a, M, Aligned> {
        WithRelations { call: self, paths: relations.paths(), of: PhantomData }
    }
}

impl<'a, M, A> WithRelations<'a, M, A> {
    /// Reads the rows and all levels in one transaction that sees one state of the data. (Inside of a caller's
    /// transaction, that one's own isolation level decides.)
    pub fn snapshot(mut self) -> Self {
        self.paths = self.paths.snapshot();
        self
    }

    /// Loads these relations too.
    pub fn load_relations(mut self, relations: impl Relations<M>) -> Self {
        self.paths = self.paths.and(relations);
        self
    }
}

impl<'a, M> WithRelations<'a, M, Returning> {
    /// Answers one slot per key: `None` where no row is stored.
    pub fn aligned(self) -> WithRelations<'a, M, Aligned> {
        WithRelations { call: self.call, paths: self.paths, of: PhantomData }
    }
}

impl<'a, M: ReadRow + 'a, A> WithRelations<'a, M, A> {
    async fn run(self) -> Result<Vec<Option<M>>> {
        let WithRelations { mut call, paths, of: _ } = self;
        let tree = Tree::of(M::MODEL, &paths)?;
        let engine = Engine { config: call.config.clone(), ..call.engine.clone() };
        let mut caller = call.within.take();
        let mut client;
        let mut own = None;
        if paths.is_snapshot() && caller.is_none() {
            client = engine.pool.get().await?;
            own = Some(begin_snapshot(&mut client).await?);
        }
        let mut within = match (&mut own, &mut caller) {
            (Some(own), _) => Some(Within::from(own)),
            (None, caller) => caller.as_mut().map(Within::lend),
        };
        // On the heap: the futures around it would each have room for it.
        let slots = Box::pin(read_related(&engine, call, within.as_mut().map(Within::lend), tree)).await?;
        if let Some(own) = own {
            own.commit().await?;
        }
        Ok(slots)
    }
}

/// Reads rows and what they are related to. What is asked about by the very keys that the rows are read by leaves with
/// them.
async fn read_related<'w, 'a: 'w, M: ReadRow>(
    engine: &Engine,
    call: Call<'a, M, Get, Aligned>,
    within: Option<Within<'w>>,
    tree: Tree,
) -> Result<Vec<Option<M>>> {
    if tree.depth() == 0 {
        return call.lent(within).await;
    }
    let mut server = Server::new(engine, within, M::MODEL, &tree);
    // Where that fails, the read of the rows has its retries, and the tables are asked about behind it.
    let is_known = server.ask_about_tables().await.is_ok();
    let asked = if !is_known { Vec::new() } else { server.asked_along(call.verb.columns(), decodings::<M>(&tree))? };
    let (routes, along): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    let within = server.within.as_mut().map(Within::lend);
    let mut answered = call.lent(within).request(None, along.into()).run().await?;
    if let Some(answers) = answered.along.take() {
        server.known = routes
            .into_iter()
            .enumerate()
            .map(|(number, route)| {
                let blocks = answers.iter().filter_map(|of_chunk| of_chunk.get(number)).flatten().cloned().collect();
                (route, blocks)
            })
            .collect();
    }
    let slots = <Aligned as Answer<M, Get>>::answer(answered)?;
    if !is_known {
        server.ask_about_tables().await?;
    }
    relate_slots(slots, tree, &mut server).await
}

/// Opens a transaction that sees one state of the data.
pub(super) async fn begin_snapshot(client: &mut Object) -> Result<deadpool_postgres::Transaction<'_>> {
    let opening = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(opening.start().await?)
}

/// Loads the relations of the rows in these slots from the server.
pub(super) async fn related<M: ReadRow>(
    engine: &Engine,
    within: Option<Within<'_>>,
    tree: Tree,
    slots: Vec<Option<M>>,
) -> Result<Vec<Option<M>>> {
    if tree.depth() == 0 {
        return Ok(slots);
    }
    let mut server = Server::new(engine, within, M::MODEL, &tree);
    server.ask_about_tables().await?;
    relate_slots(slots, tree, &mut server).await
}

/// Loads the relations of the rows in these slots.
pub(crate) async fn relate_slots<M: ReadRow>(
    slots: Vec<Option<M>>,
    tree: Tree,
    relate: &mut dyn Relate,
) -> Result<Vec<Option<M>>> {
    let full: Vec<bool> = slots.iter().map(Option::is_some).collect();
    let mut rows = load(slots.into_iter().flatten().collect(), tree, relate).await?.into_iter();
    Ok(full.into_iter().map(|full| if full { rows.next() } else { None }).collect())
}

/// PostgreSQL, which answers the questions.
struct Server<'e, 'w> {
    engine: &'e Engine,
    within: Option<Within<'w>>,
    models: Vec<&'static Model>,
    /// Those of the models.
    tables: Vec<Arc<Known>>,
    policy: Arc<Policy>,
    /// What was asked along with the rows that ask first, and the answers.
    known: Vec<(Arc<Route>, Vec<EncodedRows>)>,
}

/// The statements of a question, and how their rows find its keys.
struct Asked<'q> {
    question: &'q Question,
    reads: Vec<Read<'static>>,
    /// Whether the first statement is a lock.
    is_locked: bool,
    /// How many statements have rows.
    parts: usize,
    owner: Owner,
    /// By how many fields the rows of a key are ordered here.
    sort: usize,
}

impl Asked<'_> {
    /// The answers, out of those of all statements that were not taken yet.
    fn answers(&self, all: &mut impl Iterator<Item = EncodedRows>) -> Result<Answers> {
        let positions =
            if self.owner == Owner::Position { KeyNumbers::default() } else { key_numbers(&self.question.keys) };
        let block = |rows| Block::answered(rows, self.owner, &positions, self.sort);
        all.skip(usize::from(self.is_locked)).take(self.parts).map(block).collect()
    }
}

impl<'e, 'w> Server<'e, 'w> {
    fn new(engine: &'e Engine, within: Option<Within<'w>>, model: &'static Model, tree: &Tree) -> Self {
        // Inside of a caller's transaction its own settings hold.
        let timeout = engine.config.timeout.filter(|_| within.is_none());
        let config = BatchConfig { timeout, ..engine.config.clone() };
        let opening = engine.openings.of(&config.database);
        let policy = Arc::new(Policy::new(&config, opening, CallWatch::default(), ErrorObserver::default()));
        Server { engine, within, models: tree.models(model), tables: Vec::new(), policy, known: Vec::new() }
    }
}

impl Server<'_, '_> {
    /// What can be asked along with rows of the first model that are read by these columns: the routes of relations
    /// that they are the key of, where rows tell by its bytes to which one they belong.
    fn asked_along(
        &self,
        columns: &[usize],
        relations: Vec<(&'static Association, Start)>,
    ) -> Result<Vec<(Arc<Route>, Along)>> {
        let mut asked = Vec::new();
        for (association, decode) in relations {
            let route = self.route(self.models[0], association)?;
            if association.columns != columns || route.owner == Owner::Position || route.carrier.lock().is_some() {
                continue;
            }
            let types = Arc::clone(&self.table((association.target)())?.types);
            let decoder = route.owner.decoder(decode, Arc::clone(&types), route.sort);
            let shape = Shape { first: decoder.first, types };
            let along = Along { sql: Arc::clone(&route.sql), carrier: Arc::clone(&route.carrier), shape, decoder };
            asked.push((route, along));
        }
        Ok(asked)
    }

    /// How the rows of a relation of this model are asked for.
    fn route(&self, model: &'static Model, association: &'static Association) -> Result<Arc<Route>> {
        self.table(model)?.route(association, !self.engine.with_deleted, |model| self.table(model))
    }

    /// The answers to a question that was asked along.
    fn known_answers(&mut self, question: &Question) -> Option<Answers> {
        let at =
            self.known.iter().position(|(route, _)| route.is_of(question.association, !self.engine.with_deleted))?;
        let (route, blocks) = self.known.swap_remove(at);
        let positions = key_numbers(&question.keys);
        let mut firsts = vec![None; question.keys.len()];
        let block = |(number, rows)| Block::asked_along(rows, &positions, route.sort.len(), number, &mut firsts);
        Some(blocks.into_iter().enumerate().map(block).collect())
    }

    /// Has the tables as they are known now.
    async fn ask_about_tables(&mut self) -> Result<()> {
        self.tables.clear();
        let policy = Arc::clone(&self.policy);
        for &model in &self.models {
            let known = self.engine.known(model, self.within.as_mut().map(Within::lend));
            self.tables.push(policy.within_deadline(pin!(known)).await?);
        }
        Ok(())
    }

    fn table(&self, model: &'static Model) -> Result<&Known> {
        let known = self.tables.iter().find(|known| known.model.is(model));
        let unknown = || Error::new(ErrorKind::UnknownRelation, format!("`{}` was not asked about", model.name));
        known.map(|known| &**known).ok_or_else(unknown)
    }

    /// The types that the keys of these questions are encoded in.
    fn key_types(&self, questions: &[Question]) -> Result<Vec<Type>> {
        let mut types = Vec::new();
        for question in questions {
            let known = self.table(question.model)?;
            let columns = question.association.columns.iter().filter_map(|&column| known.types.get(column));
            types.extend(columns.map(|column| column.ty().clone()));
        }
        Ok(types)
    }

    /// The statements of a question.
    fn asked<'q>(&self, question: &'q Question) -> Result<Asked<'q>> {
        let route = self.route(question.model, question.association)?;
        let Route { sql, carrier, owner, sort, .. } = &*route;
        let types = Arc::clone(&self.table((question.association.target)())?.types);
        let lock = carrier.lock().map(Read::plain);
        let is_locked = lock.is_some();
        let decoder = owner.decoder(question.decode, Arc::clone(&types), sort);
        let shape = Shape { first: decoder.first, types };
        let statement = |part: std::ops::Range<usize>| {
            let first = i64::try_from(part.start).unwrap_or(i64::MAX);
            let mut parameters = carrier.parameters(&question.keys.slice(part))?;
            if *owner == Owner::Position {
                parameters.push(Encoded::Value(Bytes::copy_from_slice(&first.to_be_bytes())));
            }
            let (parameters, decoder) = (Parameters::Encoded(parameters), Some(decoder.clone()));
            Ok(Read { sql: Arc::clone(sql), parameters, shape: Some(shape.clone()), decoder })
        };
        let statements = carrier.statements(&question.keys, JOINED);
        let parts = statements.len();
        let reads = lock.into_iter().map(Ok).chain(statements.into_iter().map(statement)).collect::<Result<_>>()?;
        Ok(Asked { question, reads, is_locked, parts, owner: *owner, sort: sort.len() })
    }

    async fn ask(&mut self, plans: Plans, reads: &[Read<'_>]) -> Result<Vec<EncodedRows>> {
        let session = Session::open(&self.engine.pool, self.within.as_mut().map(Within::lend)).await?;
        let answers = session.read(&self.policy.opening, plans, reads).await;
        session.end_read().await;
        answers
    }
}

#[async_trait]
impl Relate for Server<'_, '_> {
    fn types(&self, model: &'static Model) -> Result<Arc<[ColumnType]>> {
        Ok(Arc::clone(&self.table(model)?.types))
    }

    async fn answer(&mut self, questions: Vec<Question>) -> Result<Vec<Answers>> {
        let most = questions.iter().map(|question| question.keys.len()).max().unwrap_or_default();
        let mut known: Vec<Option<Answers>> = questions.iter().map(|question| self.known_answers(question)).collect();
        // It was asked along with the rows of the first level, and with no others.
        self.known.clear();
        let policy = Arc::clone(&self.policy);
        let mut retries = Retries::new(&policy);
        let mut has_forgotten = false;
        loop {
            let mut asked = Vec::with_capacity(questions.len());
            for (question, known) in questions.iter().zip(&known) {
                let is_answered = question.keys.is_empty() || known.is_some();
                asked.push(if is_answered { None } else { Some(self.asked(question)?) });
            }
            let reads: Vec<Read<'_>> =
                asked.iter_mut().flatten().flat_map(|asked| std::mem::take(&mut asked.reads)).collect();
            if reads.is_empty() {
                return Ok(known.into_iter().map(Option::unwrap_or_default).collect());
            }
            let plans = Plans::of(most, Plans::FEW);
            let error = match policy.within_deadline(Box::pin(self.ask(plans, &reads)).as_mut()).await {
                Ok(answers) => {
                    let mut answers = answers.into_iter();
                    let blocks = |(asked, known): (&Option<Asked<'_>>, &mut Option<Answers>)| match asked {
                        None => Ok(known.take().unwrap_or_default()),
                        Some(asked) => asked.answers(&mut answers),
                    };
                    return asked.iter().zip(&mut known).map(blocks).collect();
                }
                Err(error) => error,
            };
            let is_changed = error.tells_of_a_changed_table();
            if is_changed {
                self.engine.forget();
            }
            // A caller's transaction is the caller's to repeat.
            if self.within.is_some() {
                return Err(error);
            }
            if is_changed && !std::mem::replace(&mut has_forgotten, true) {
                let encoded = self.key_types(&questions)?;
                self.ask_about_tables().await?;
                if self.key_types(&questions)? != encoded {
                    return Err(error);
                }
            } else {
                retries.pause_after(error).await?;
            }
        }
    }
}

impl<'a, M: ReadRow + 'a> IntoFuture for WithRelations<'a, M, Returning> {
    type Output = Result<Vec<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.run().await?.into_iter().flatten().collect()) })
    }
}

impl<'a, M: ReadRow + 'a> IntoFuture for WithRelations<'a, M, Aligned> {
    type Output = Result<Vec<Option<M>>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
