//! batchkit's own transports beside each other, by the number of rows: what its choice among them is set by.

use std::collections::BTreeMap;

use batchkit::{BatchConfig, ErrorKind, Transport};

use crate::Failure;
use crate::contestants::{Batchkit, Contestant, Name};
use crate::measure::{Bench, Sample, medians, timed};
use crate::results::Crossover;
use crate::task::{Task, Verb};

/// The transports, in their order in the tables.
pub const TRANSPORTS: [Transport; 5] =
    [Transport::Auto, Transport::Copy, Transport::UnnestRows, Transport::UnnestColumns, Transport::Single];

/// The numbers of rows.
const ROWS: [usize; 9] = [10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000];
/// More single statements than that nobody would wait for.
const MOST_SINGLE: usize = 100;
/// The most calls of one turn.
const CALLS: usize = 20;

impl Bench {
    /// Each transport in its turn, with up to so many rows, in one chunk.
    pub async fn crossover(&self, most: usize, verbs: &[Verb]) -> Result<Vec<Crossover>, Failure> {
        let mut all = Vec::new();
        for &verb in verbs.iter().filter(|verb| **verb != Verb::Relations) {
            for rows in ROWS.into_iter().filter(|rows| *rows <= most) {
                let samples = self.turns(verb, rows).await?;
                let entry = |(position, samples): (usize, Vec<Sample>)| Crossover {
                    verb,
                    rows,
                    transport: TRANSPORTS[position],
                    time: medians(&samples),
                };
                all.extend(samples.into_iter().map(entry));
            }
            eprintln!("{}: transports", verb.name());
        }
        Ok(all)
    }

    /// What each transport took, by its position.
    async fn turns(&self, verb: Verb, rows: usize) -> Result<BTreeMap<usize, Vec<Sample>>, Failure> {
        let mut contestants = Vec::new();
        for (position, transport) in TRANSPORTS.into_iter().enumerate() {
            if transport != Transport::Single || rows <= MOST_SINGLE {
                let config =
                    BatchConfig { transport, batch_size: rows.into(), max_workers: 1, ..BatchConfig::default() };
                contestants.push((position, Batchkit::with(&self.place, &self.place.database, config)?));
            }
        }
        let calls = (3_000 / rows).clamp(1, CALLS);
        let state = (calls * rows).max(10_000);
        let mut samples: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
        for repetition in 0..=self.repetitions {
            for (position, contestant) in &mut contestants {
                self.put_in_state(verb, state).await?;
                let mut first = 1;
                for _ in 0..calls {
                    let mut task = Task::new(verb, first, rows, true);
                    let contestant: &mut dyn Contestant = contestant;
                    let (sample, answer) = match timed(contestant, verb, &mut task).await {
                        Ok(Some(done)) => done,
                        Ok(None) => break,
                        // A transport that is not for this.
                        Err(error) if is_refused(&*error) => break,
                        Err(error) => return Err(error),
                    };
                    self.check_answer(verb, Name::Batchkit, first, rows, &answer).await?;
                    first = verb.numbers(first, rows).end;
                    if repetition > 0 {
                        samples.entry(*position).or_default().push(sample);
                    }
                }
            }
        }
        Ok(samples)
    }
}

fn is_refused(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<batchkit::Error>().is_some_and(|error| error.kind() == ErrorKind::Config)
}
