//! The turns: the tables are put in their state, the clock runs, and what was done is checked.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use batchkit_testbed::server::{Database, Server};
use rustix::time::{ClockId, clock_gettime};
use tokio_postgres::Client;

use crate::Failure;
use crate::apart::Apart;
use crate::contestants::{Contestant, Name, Place, write_file};
use crate::data::{FILL_REVIEWS, Product, REVIEWS, TABLES, changed, price, product, qty, sku};
use crate::delay::Delayed;
use crate::results::{Entry, Steady, Table, Time};
use crate::task::{Answer, Task, Verb};

/// The calls in a turn with few rows.
pub const CALLS: usize = 30;
/// The rows that are there for them.
const STATE: usize = 10_000;
/// The calls on one connection whose first and last are compared: a statement that is prepared is planned anew for
/// its first five.
pub const STEADY: usize = 12;

/// How long something took: by the clock, and of the client's processor.
pub(crate) type Sample = (Duration, Duration);
type Samples<K> = BTreeMap<K, Vec<Sample>>;

/// The server's side of the benchmark.
pub struct Bench {
    pub(crate) place: Place,
    pub(crate) client: Client,
    pub(crate) repetitions: usize,
}

impl Bench {
    /// Makes the tables, and on the server the rows that they are filled with: so many at the most.
    pub async fn new(
        server: Server,
        most: usize,
        repetitions: usize,
        batch_size: Option<usize>,
    ) -> Result<Self, Failure> {
        let database = server.create_database("bench").await?;
        let client = database.connect().await?;
        client.batch_execute(TABLES).await?;
        let most = i64::try_from(most.max(STATE))?;
        for (table, row) in [("template", product as fn(i64) -> Product), ("changed", changed)] {
            let operations = batchkit::BatchOperations::<Product>::new(database.pool(1)?);
            operations.batch_insert((1..=most).map(row)).await?;
            client.batch_execute(&format!("INSERT INTO {table} SELECT * FROM product ORDER BY id")).await?;
            client.batch_execute("TRUNCATE product").await?;
        }
        client.execute(FILL_REVIEWS, &[&(most / i64::try_from(REVIEWS)?)]).await?;
        client.batch_execute("VACUUM ANALYZE template, changed, review").await?;
        Ok(Bench { place: Place { server, database, batch_size }, client, repetitions })
    }

    /// The server's own name for its version.
    pub async fn version(&self) -> Result<String, Failure> {
        Ok(self.client.query_one("SHOW server_version", &[]).await?.get(0))
    }

    /// Each contestant in its turn, in each repetition; the first one is not counted.
    pub async fn large(&self, rows: usize, verbs: &[Verb], names: &[Name]) -> Result<Table, Failure> {
        write_file(&self.client, &self.place.server, rows).await?;
        let mut contestants = self.connect(names, rows, &self.place.database).await?;
        let mut samples = Samples::new();
        for repetition in 0..=self.repetitions {
            for &verb in verbs {
                for (name, contestant) in &mut contestants {
                    self.put_in_state(verb, rows).await?;
                    let mut task = Task::new(verb, 1, rows, false);
                    let Some((sample, answer)) = timed(contestant.as_mut(), verb, &mut task).await? else { continue };
                    self.check_answer(verb, *name, 1, rows, &answer).await?;
                    self.check_table(verb, *name, rows, rows).await?;
                    if repetition > 0 {
                        samples.entry((verb, *name)).or_default().push(sample);
                    }
                }
            }
            eprintln!("{rows} rows: {repetition} of {}", self.repetitions);
        }
        Ok(table(rows, &samples))
    }

    /// The same with few rows: in each turn many calls, each in a transaction.
    pub async fn small(&self, rows: usize, verbs: &[Verb], names: &[Name]) -> Result<Table, Failure> {
        let table = self.small_in(&self.place.database, rows, verbs, names).await?;
        eprintln!("{rows} rows in a transaction");
        Ok(table)
    }

    /// The same with the client and the server on processors of their own, if that can be done.
    pub async fn apart(&self, rows: usize, verbs: &[Verb], names: &[Name]) -> Result<Option<Table>, Failure> {
        let Some(_apart) = Apart::new(&self.place.server) else { return Ok(None) };
        let table = self.small_in(&self.place.database, rows, verbs, names).await?;
        eprintln!("{rows} rows in a transaction, on processors of their own");
        Ok(Some(table))
    }

    /// The same to a server to which everything is so long on its way; how long a round trip takes, in seconds.
    pub async fn far(
        &self,
        delay: Duration,
        rows: usize,
        verbs: &[Verb],
        names: &[Name],
    ) -> Result<(f64, Table), Failure> {
        let delayed = Delayed::before(&self.place.database, delay)?;
        let client = delayed.database.connect().await?;
        let mut samples = Vec::new();
        for _ in 0..CALLS {
            let start = Instant::now();
            client.batch_execute("SELECT 1").await?;
            samples.push((start.elapsed(), Duration::ZERO));
        }
        let table = self.small_in(&delayed.database, rows, verbs, names).await?;
        eprintln!("{rows} rows in a transaction, far away");
        Ok((medians(&samples).wall, table))
    }

    async fn small_in(
        &self,
        database: &Database,
        rows: usize,
        verbs: &[Verb],
        names: &[Name],
    ) -> Result<Table, Failure> {
        let mut contestants = self.connect(names, rows, database).await?;
        let mut samples = Samples::new();
        for repetition in 0..=self.repetitions {
            for &verb in verbs.iter().filter(|verb| !verb.numbers(1, rows).is_empty()) {
                for (name, contestant) in &mut contestants {
                    self.put_in_state(verb, STATE).await?;
                    let mut first = 1;
                    let mut answers = Vec::with_capacity(CALLS);
                    for _ in 0..CALLS {
                        let mut task = Task::new(verb, first, rows, true);
                        let Some((sample, answer)) = timed(contestant.as_mut(), verb, &mut task).await? else { break };
                        answers.push((first, answer));
                        first = verb.numbers(first, rows).end;
                        if repetition > 0 {
                            samples.entry((verb, *name)).or_default().push(sample);
                        }
                    }
                    // Not between the calls: what another connection asks moves all that takes part to other processors.
                    for (first, answer) in &answers {
                        self.check_answer(verb, *name, *first, rows, answer).await?;
                    }
                    if first > 1 && verb != Verb::Relations {
                        self.check_table(verb, *name, STATE, CALLS * rows).await?;
                    }
                }
            }
        }
        Ok(table(rows, &samples))
    }

    /// The first and the last of twelve calls on a connection.
    pub async fn steady(&self, rows: usize, verbs: &[Verb], names: &[Name]) -> Result<Vec<Steady>, Failure> {
        let mut samples: BTreeMap<(Verb, Name), [Vec<Sample>; 2]> = BTreeMap::new();
        for repetition in 0..self.repetitions {
            for &verb in verbs {
                for &name in names {
                    let mut contestant = name.connect(&self.place, &self.place.database).await?;
                    for call in 1..=STEADY {
                        self.put_in_state(verb, rows).await?;
                        let mut task = Task::new(verb, 1, rows, false);
                        let Some((sample, answer)) = timed(contestant.as_mut(), verb, &mut task).await? else { break };
                        self.check_answer(verb, name, 1, rows, &answer).await?;
                        self.check_table(verb, name, rows, rows).await?;
                        let kept = samples.entry((verb, name)).or_default();
                        match call {
                            1 => kept[0].push(sample),
                            STEADY => kept[1].push(sample),
                            _ => {}
                        }
                    }
                }
            }
            eprintln!("{STEADY} calls: {} of {}", repetition + 1, self.repetitions);
        }
        let steady = |(&(verb, name), [first, last]): (&(Verb, Name), &[Vec<Sample>; 2])| Steady {
            verb,
            name,
            first: medians(first),
            last: medians(last),
        };
        Ok(samples.iter().map(steady).collect())
    }

    async fn connect(
        &self,
        names: &[Name],
        rows: usize,
        database: &Database,
    ) -> Result<Vec<(Name, Box<dyn Contestant>)>, Failure> {
        let mut contestants = Vec::new();
        for &name in names.iter().filter(|name| name.takes_part(rows)) {
            contestants.push((name, name.connect(&self.place, database).await?));
        }
        Ok(contestants)
    }

    /// The same start for each turn: fresh tables, their statistics, and no dirty pages of the turn before.
    pub(crate) async fn put_in_state(&self, verb: Verb, rows: usize) -> Result<(), Failure> {
        let present = match verb {
            Verb::Insert | Verb::InsertReturning => "false".to_owned(),
            Verb::Upsert => format!("id <= {rows} AND id % 2 = 0"),
            Verb::Update | Verb::Delete | Verb::Get => format!("id <= {rows}"),
            Verb::Relations => format!("id <= {}", rows / REVIEWS),
        };
        let fill = format!("INSERT INTO product SELECT * FROM template WHERE {present} ORDER BY id");
        self.client.batch_execute(&format!("TRUNCATE product RESTART IDENTITY; {fill}")).await?;
        self.client.batch_execute("VACUUM ANALYZE product").await?;
        Ok(self.client.batch_execute("CHECKPOINT").await?)
    }

    /// Whether the contestant answers what it was asked.
    pub(crate) async fn check_answer(
        &self,
        verb: Verb,
        name: Name,
        first: i64,
        rows: usize,
        answer: &Answer,
    ) -> Result<(), Failure> {
        let numbers = verb.numbers(first, rows);
        let asked = usize::try_from(numbers.end - numbers.start)?;
        expect(answer.rows == asked, name, verb, "the number of rows")?;
        if name == Name::Floor {
            return Ok(());
        }
        match verb {
            Verb::Get | Verb::Relations => {
                let prices: f64 = numbers.clone().map(price).sum();
                expect((answer.prices - prices).abs() < 0.1, name, verb, "the prices")?;
            }
            Verb::InsertReturning => {
                let skus: Vec<String> = numbers.clone().map(sku).collect();
                let find = "SELECT sku, id FROM product WHERE sku = ANY($1)";
                let stored = self.client.query(find, &[&skus]).await?;
                let stored: HashMap<&str, i64> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
                let right = skus.iter().zip(&answer.ids).all(|(sku, id)| stored.get(sku.as_str()) == Some(id));
                expect(right && answer.ids.len() == rows, name, verb, "the ids")?;
            }
            _ => {}
        }
        if verb == Verb::Relations {
            expect(answer.related == asked * REVIEWS, name, verb, "the number of reviews")?;
            let reviews = "SELECT sum(product_id * stars)::int8 FROM review WHERE product_id >= $1 AND product_id < $2";
            let stars: i64 = self.client.query_one(reviews, &[&numbers.start, &numbers.end]).await?.get(0);
            expect(answer.stars == stars, name, verb, "the reviews of each product")?;
        }
        Ok(())
    }

    /// Whether the table is as it should be, after the first `done` of its `state` rows were worked on.
    pub(crate) async fn check_table(&self, verb: Verb, name: Name, state: usize, done: usize) -> Result<(), Failure> {
        let found = "SELECT count(*), coalesce(sum(qty), 0)::int8, coalesce(sum(price), 0) FROM product";
        let found = self.client.query_one(found, &[]).await?;
        let (state, done) = (i64::try_from(state)?, i64::try_from(done)?);
        let (mut count, mut quantity, mut prices) = (0_i64, 0_i64, 0.0);
        let mut add = |n: i64, more: i32| {
            count += 1;
            quantity += i64::from(qty(n) + more);
            prices += price(n) + f64::from(more);
        };
        match verb {
            Verb::Insert | Verb::InsertReturning => (1..=done).for_each(|n| add(n, 0)),
            Verb::Update => (1..=state).for_each(|n| add(n, i32::from(n <= done))),
            Verb::Upsert => {
                (1..=state).filter(|n| *n <= done || n % 2 == 0).for_each(|n| add(n, i32::from(n <= done)));
            }
            Verb::Delete => (done + 1..=state).for_each(|n| add(n, 0)),
            Verb::Get => (1..=state).for_each(|n| add(n, 0)),
            Verb::Relations => (1..=state / i64::try_from(REVIEWS)?).for_each(|n| add(n, 0)),
        }
        expect(found.get::<_, i64>(0) == count, name, verb, "how many rows the table has")?;
        expect(found.get::<_, i64>(1) == quantity, name, verb, "the quantities")?;
        expect((found.get::<_, f64>(2) - prices).abs() < 0.1, name, verb, "the prices in the table")
    }
}

pub(crate) async fn timed(
    contestant: &mut dyn Contestant,
    verb: Verb,
    task: &mut Task,
) -> Result<Option<(Sample, Answer)>, Failure> {
    let (wall, cpu) = (Instant::now(), processor_time());
    let answer = contestant.run(verb, task).await?;
    let sample = (wall.elapsed(), processor_time().saturating_sub(cpu));
    Ok(answer.map(|answer| (sample, answer)))
}

/// What all of this process's threads have used of the processor, in user and in system mode.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn expect(holds: bool, name: Name, verb: Verb, what: &str) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(format!("{} has not done its work at {}: {what}", name.title(), verb.name()).into())
    }
}

fn table(rows: usize, samples: &Samples<(Verb, Name)>) -> Table {
    let entry = |(&(verb, name), samples): (&(Verb, Name), &Vec<Sample>)| Entry { verb, name, time: medians(samples) };
    Table { rows, entries: samples.iter().map(entry).collect() }
}

/// The median of each of the two by itself.
pub(crate) fn medians(samples: &[Sample]) -> Time {
    let sorted = |of: fn(&Sample) -> Duration| {
        let mut times: Vec<f64> = samples.iter().map(|sample| of(sample).as_secs_f64()).collect();
        times.sort_unstable_by(f64::total_cmp);
        times
    };
    let middle = |times: &[f64]| times.get(times.len() / 2).copied().unwrap_or_default();
    let walls = sorted(|sample| sample.0);
    Time {
        wall: middle(&walls),
        least: walls.first().copied().unwrap_or_default(),
        cpu: middle(&sorted(|sample| sample.1)),
    }
}
