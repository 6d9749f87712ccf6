//! batchkit with its defaults, or with its parallel strategy.

use async_trait::async_trait;
use batchkit::{BatchConfig, BatchModel, BatchOperations, ExecutionStrategy, Related};
use batchkit_testbed::server::Database;

use super::{Contestant, Place};
use crate::Failure;
use crate::data::{Product, Review};
use crate::task::{Answer, Task, Verb};

pub struct Batchkit {
    products: BatchOperations<Product>,
    with_reviews: BatchOperations<Reviewed>,
}

/// A product with its reviews.
#[derive(Debug, Clone, BatchModel)]
#[batch(table = "product")]
struct Reviewed {
    #[batch(key, auto)]
    id: i64,
    sku: String,
    name: String,
    price: f64,
    qty: i32,
    active: bool,
    cat: i64,
    upd: chrono::DateTime<chrono::Utc>,
    #[batch(has_many(key = "product_id"))]
    reviews: Related<Vec<Review>>,
}

impl Batchkit {
    pub fn connect(place: &Place, database: &Database, workers: usize) -> Result<Self, Failure> {
        let mut config = BatchConfig::default();
        if workers > 1 {
            config.execution_strategy = ExecutionStrategy::Parallel;
            config.max_workers = workers;
        }
        Batchkit::with(place, database, config)
    }

    /// With other settings than its defaults; chunks of the size that is tried, if one is.
    pub fn with(place: &Place, database: &Database, mut config: BatchConfig) -> Result<Self, Failure> {
        if let Some(rows) = place.batch_size {
            config.batch_size = rows.into();
        }
        let pool = database.pool(config.max_workers)?;
        Ok(Batchkit {
            products: BatchOperations::builder(pool.clone()).config(config.clone()).build()?,
            with_reviews: BatchOperations::builder(pool).config(config).build()?,
        })
    }
}

#[async_trait]
impl Contestant for Batchkit {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        let products = &self.products;
        Ok(Some(match verb {
            Verb::Insert => Answer::rows(products.batch_insert(&task.products).await?),
            Verb::Update => Answer::rows(products.batch_update(&task.repricings).await?),
            Verb::Upsert => {
                let upserted = products.batch_upsert(&task.products).await?;
                Answer::rows(upserted.inserted + upserted.updated)
            }
            Verb::Delete => Answer::rows(products.batch_delete(&task.ids).await?),
            Verb::Get => Answer::read(products.batch_get(&task.ids).await?.iter().map(|product| product.price)),
            Verb::InsertReturning => Answer::ids(products.batch_insert(&task.new).returning_keys().await?),
            Verb::Relations => {
                let found = self.with_reviews.batch_get(&task.ids).load_relations(Reviewed::RELATIONS.reviews).await?;
                let mut attached = Vec::with_capacity(found.len());
                for product in &found {
                    let stars = product.reviews.get()?.iter().map(|review| review.stars);
                    attached.push((product.id, product.price, stars));
                }
                Answer::related(attached.into_iter())
            }
        }))
    }
}
