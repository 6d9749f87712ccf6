//! What a contestant is asked to do, and what it answers.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::{NewProduct, Product, REVIEWS, Repricing, Review, changed, new_product, product, repricing};

/// What is done with the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Insert,
    Update,
    Upsert,
    Delete,
    Get,
    InsertReturning,
    Relations,
}

impl Verb {
    pub const ALL: [Verb; 7] =
        [Verb::Insert, Verb::Update, Verb::Upsert, Verb::Delete, Verb::Get, Verb::InsertReturning, Verb::Relations];

    pub fn name(self) -> &'static str {
        match self {
            Verb::Insert => "insert",
            Verb::Update => "update",
            Verb::Upsert => "upsert",
            Verb::Delete => "delete",
            Verb::Get => "get",
            Verb::InsertReturning => "insert returning",
            Verb::Relations => "relations",
        }
    }

    /// The numbers of the products that `rows` rows from `first` on are about: of relations, most rows are reviews.
    pub fn numbers(self, first: i64, rows: usize) -> Range<i64> {
        let products = if self == Verb::Relations { rows / REVIEWS } else { rows };
        first..first + i64::try_from(products).unwrap_or(i64::MAX)
    }
}

/// The rows of one call, in memory as a service would have them. Who can use up the rows that it is given may take
/// them; what is left is dropped when the clock has stopped.
#[derive(Debug, Default)]
pub struct Task {
    /// Whole rows: of an insert or upsert, and those of an update as they are to become.
    pub products: Vec<Product>,
    pub new: Vec<NewProduct>,
    pub repricings: Vec<Repricing>,
    pub ids: Vec<i64>,
    /// Whether the work is to be in a transaction of the contestant's own, even where it is one statement.
    pub in_transaction: bool,
}

impl Task {
    /// The rows from number `first` on.
    pub fn new(verb: Verb, first: i64, rows: usize, in_transaction: bool) -> Task {
        let numbers = verb.numbers(first, rows);
        let mut task = Task { in_transaction, ..Task::default() };
        match verb {
            Verb::Insert => task.products = numbers.map(product).collect(),
            Verb::Update => {
                task.repricings = numbers.clone().map(repricing).collect();
                task.products = numbers.map(changed).collect();
            }
            Verb::Upsert => task.products = numbers.map(changed).collect(),
            Verb::Delete | Verb::Get | Verb::Relations => task.ids = numbers.collect(),
            Verb::InsertReturning => task.new = numbers.map(new_product).collect(),
        }
        task
    }
}

/// What a contestant answers.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// How many rows it was; of relations, how many products.
    pub rows: usize,
    /// The sum of the prices of rows that were read.
    pub prices: f64,
    /// The ids of inserted rows, in the order of the input.
    pub ids: Vec<i64>,
    /// How many related rows were read.
    pub related: usize,
    /// The sum of product times stars of all related rows: it tells if a review is with another's product.
    pub stars: i64,
}

impl Answer {
    pub fn rows(rows: u64) -> Answer {
        Answer { rows: usize::try_from(rows).unwrap_or(usize::MAX), ..Answer::default() }
    }

    /// The prices of rows that were read.
    pub fn read(prices: impl ExactSizeIterator<Item = f64>) -> Answer {
        Answer { rows: prices.len(), prices: prices.sum(), ..Answer::default() }
    }

    pub fn ids(ids: Vec<i64>) -> Answer {
        Answer { rows: ids.len(), ids, ..Answer::default() }
    }

    /// Each product that was read, by id and price, with the stars of the reviews that were attached to it.
    pub fn related<R: IntoIterator<Item = i32>>(products: impl Iterator<Item = (i64, f64, R)>) -> Answer {
        let mut answer = Answer::default();
        for (id, price, stars) in products {
            answer.rows += 1;
            answer.prices += price;
            for stars in stars {
                answer.related += 1;
                answer.stars += id * i64::from(stars);
            }
        }
        answer
    }

    /// The same for whole rows.
    pub fn attached(products: &[(Product, Vec<Review>)]) -> Answer {
        Answer::related(
            products
                .iter()
                .map(|(product, reviews)| (product.id, product.price, reviews.iter().map(|review| review.stars))),
        )
    }
}
