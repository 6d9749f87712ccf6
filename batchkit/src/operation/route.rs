//! How the rows of a relation are asked for: worked out once for the tables as they are.

use std::sync::Arc;

use super::known::Known;
use super::target::Target;
use crate::error::Result;
use crate::model::{Association, Model, RelationOrder, Relationship};
use crate::relation::{Owner, has_ordinal};
use crate::session::Carrier;
use crate::sql;

/// How the rows of a relation are asked for.
#[derive(Debug)]
pub(super) struct Route {
    association: &'static Association,
    /// Whether rows that are marked as deleted are left out.
    only_live: bool,
    /// The statement.
    pub(super) sql: Arc<str>,
    /// How the keys travel.
    pub(super) carrier: Arc<Carrier>,
    /// How the answered rows find their keys.
    pub(super) owner: Owner,
    /// The columns by which the rows of one key are put in order here.
    pub(super) sort: &'static [usize],
}

impl Route {
    /// Whether it is that of this relation.
    pub(super) fn is_of(&self, association: &'static Association, only_live: bool) -> bool {
        std::ptr::eq(self.association, association) && self.only_live == only_live
    }

    /// Works it out; `table` knows the tables.
    pub(super) fn new<'k>(
        own: &Known,
        association: &'static Association,
        only_live: bool,
        table: impl Fn(&'static Model) -> Result<&'k Known>,
    ) -> Result<Self> {
        let target = table((association.target)())?;
        let link = match &association.through {
            Some(through) => Some((&table((through.model)())?.sql, (through.columns)(), through.target_columns)),
            None => None,
        };
        // Rows of one key come in one order, also where none is declared. A server without an index for it would sort
        // them all; here they mostly have it already.
        let is_many = matches!(association.relationship, Relationship::HasMany | Relationship::ManyToMany);
        let by_key = target.model.key.filter(|_| association.order.is_empty() && is_many);
        let by_key = by_key.map_or(&[][..], |key| key.columns);
        let sort = by_key.iter().all(|&column| target.types.get(column).is_some_and(has_ordinal)).then_some(by_key);
        let order: Vec<RelationOrder> =
            by_key.iter().map(|&column| RelationOrder { column, descending: false }).collect();
        let columns = association.columns;
        let mut related = sql::Related {
            own: &own.sql,
            columns,
            through: link,
            target: &target.sql,
            target_columns: (association.target_columns)(),
            order: if association.order.is_empty() { &order } else { association.order },
            only_live,
        };
        let owner = related.owner();
        let sort = sort.filter(|sort| !sort.is_empty() && owner != Owner::Position);
        if sort.is_some() {
            related.order = &[];
        }
        let sql = sql::related(&related).into();
        let carrier = Arc::new(Target { known: own, columns, writes: false }.columns_carrier(columns));
        Ok(Route { association, only_live, sql, carrier, owner, sort: sort.unwrap_or_default() })
    }
}
