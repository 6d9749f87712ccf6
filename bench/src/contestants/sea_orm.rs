//! sea-orm: `insert_many` in batches below the limit of parameters, `eq_any` for keys, its loader for relations.

use std::mem::take;

use ::sea_orm::sea_query::OnConflict;
use ::sea_orm::{
    ActiveValue, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, LoaderTrait, QueryFilter, Set,
    SqlxPostgresConnector, TransactionTrait,
};
use async_trait::async_trait;
use batchkit_testbed::server::Database;
use sqlx::postgres::PgPoolOptions;

use super::{Contestant, PARAMETERS};
use crate::Failure;
use crate::task::{Answer, Task, Verb};

use product::Column;

mod product {
    //! The table of products as sea-orm knows it.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "product")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub sku: String,
        pub name: String,
        #[sea_orm(column_type = "Double")]
        pub price: f64,
        pub qty: i32,
        pub active: bool,
        pub cat: i64,
        pub upd: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(has_many = "super::review::Entity")]
        Review,
    }

    impl Related<super::review::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Review.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod review {
    //! The table of reviews as sea-orm knows it.

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "review")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub product_id: i64,
        pub stars: i32,
        pub body: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(belongs_to = "super::product::Entity", from = "Column::ProductId", to = "super::product::Column::Id")]
        Product,
    }

    impl Related<super::product::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Product.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

pub struct SeaOrm(DatabaseConnection);

impl SeaOrm {
    pub async fn connect(database: &Database) -> Result<Self, Failure> {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(super::sqlx::options(database)?).await?;
        Ok(SeaOrm(SqlxPostgresConnector::from_sqlx_postgres_pool(pool)))
    }
}

#[async_trait]
impl Contestant for SeaOrm {
    async fn run(&mut self, verb: Verb, task: &mut Task) -> Result<Option<Answer>, Failure> {
        if !task.in_transaction {
            return Ok(Some(run(&self.0, verb, task).await?));
        }
        let transaction = self.0.begin().await?;
        let answer = run(&transaction, verb, task).await?;
        transaction.commit().await?;
        Ok(Some(answer))
    }
}

async fn run(connection: &impl ConnectionTrait, verb: Verb, task: &mut Task) -> Result<Answer, DbErr> {
    let mut answer = Answer::default();
    match verb {
        Verb::Insert | Verb::Update | Verb::Upsert => {
            let mut models = take(&mut task.products).into_iter().map(whole);
            loop {
                let batch: Vec<product::ActiveModel> = models.by_ref().take(PARAMETERS / 8).collect();
                if batch.is_empty() {
                    break;
                }
                let insert = product::Entity::insert_many(batch);
                let rows = match verb {
                    Verb::Insert => insert.exec_without_returning(connection),
                    Verb::Update => {
                        insert.on_conflict(setting([Column::Price, Column::Qty])).exec_without_returning(connection)
                    }
                    _ => insert.on_conflict(setting(ALL)).exec_without_returning(connection),
                };
                answer = Answer::rows(rows.await? + u64::try_from(answer.rows).unwrap_or(u64::MAX));
            }
        }
        Verb::Delete => {
            let delete = product::Entity::delete_many().filter(Column::Id.eq_any(take(&mut task.ids)));
            answer = Answer::rows(delete.exec(connection).await?.rows_affected);
        }
        Verb::Get => {
            let products = get(connection, take(&mut task.ids)).await?;
            answer = Answer::read(products.iter().map(|product| product.price));
        }
        Verb::InsertReturning => {
            let mut models = take(&mut task.new).into_iter().map(new);
            loop {
                let batch: Vec<product::ActiveModel> = models.by_ref().take(PARAMETERS / 7).collect();
                if batch.is_empty() {
                    break;
                }
                answer.ids.extend(product::Entity::insert_many(batch).exec_with_returning_keys(connection).await?);
            }
            answer.rows = answer.ids.len();
        }
        Verb::Relations => {
            let products = get(connection, take(&mut task.ids)).await?;
            let reviews = products.load_many(review::Entity, connection).await?;
            answer = Answer::related(
                products
                    .iter()
                    .zip(&reviews)
                    .map(|(product, reviews)| (product.id, product.price, reviews.iter().map(|review| review.stars))),
            );
        }
    }
    Ok(answer)
}

const ALL: [Column; 7] =
    [Column::Sku, Column::Name, Column::Price, Column::Qty, Column::Active, Column::Cat, Column::Upd];

/// Sets these columns of rows that exist.
fn setting<const N: usize>(columns: [Column; N]) -> OnConflict {
    OnConflict::column(Column::Id).update_columns(columns).to_owned()
}

async fn get(connection: &impl ConnectionTrait, ids: Vec<i64>) -> Result<Vec<product::Model>, DbErr> {
    product::Entity::find().filter(Column::Id.eq_any(ids)).all(connection).await
}

fn whole(product: crate::data::Product) -> product::ActiveModel {
    let crate::data::Product { id, sku, name, price, qty, active, cat, upd } = product;
    product::ActiveModel {
        id: Set(id),
        sku: Set(sku),
        name: Set(name),
        price: Set(price),
        qty: Set(qty),
        active: Set(active),
        cat: Set(cat),
        upd: Set(upd),
    }
}

fn new(product: crate::data::NewProduct) -> product::ActiveModel {
    let crate::data::NewProduct { sku, name, price, qty, active, cat, upd } = product;
    product::ActiveModel {
        id: ActiveValue::NotSet,
        sku: Set(sku),
        name: Set(name),
        price: Set(price),
        qty: Set(qty),
        active: Set(active),
        cat: Set(cat),
        upd: Set(upd),
    }
}
