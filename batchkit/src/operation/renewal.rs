//! Work that is worked out anew, for a table that has changed under its call.

use std::sync::Arc;

use async_trait::async_trait;
use postgres_types::Type;

use super::engine::Engine;
use super::graph::{Graph, Keys};
use super::target::Target;
use super::verb::Verb;
use crate::config::Transport;
use crate::error::{Error, Result};
use crate::model::{Child, Model};
use crate::retry::Renew;
use crate::session::Work;
use crate::source::Layout;
use crate::sql::Form;
use crate::wire::{ColumnType, Start};

/// Works out anew what is done with rows that are encoded already.
pub(super) struct Renewal {
    pub(super) engine: Engine,
    pub(super) model: &'static Model,
    pub(super) layout: Arc<Layout>,
    pub(super) verb: Arc<dyn Verb>,
    pub(super) transport: Transport,
    pub(super) form: Form,
    pub(super) rejects: bool,
    pub(super) children: &'static [Child],
    pub(super) below_form: Form,
    pub(super) decode: Option<(Start, Arc<[ColumnType]>)>,
    /// By which what is stored is decoded.
    pub(super) types: Arc<[ColumnType]>,
}

#[async_trait]
impl Renew for Renewal {
    async fn renew(&self) -> Result<Work> {
        self.engine.forget();
        let known = self.engine.known(self.model, None).await?;
        self.verb.refuse(self.model, &known.table)?;
        let columns = &*self.layout.columns;
        let target = Target { known: &known, columns, writes: self.verb.writes() };
        let layout = target.layout(&*self.verb, Vec::new());
        let is_encoded = layout.types.iter().map(bytes_of).eq(self.layout.types.iter().map(bytes_of));
        let is_decoded = known.answered_types(self.form).iter().map(bytes_of).eq(self.types.iter().map(bytes_of));
        if !is_encoded || (self.form.has_rows() && !is_decoded) {
            let what =
                "the types of the table's columns have changed since it was asked about; the next call asks again";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let mut graph = Graph::default();
        if !self.children.is_empty() {
            graph = Graph::of(&self.engine, None, &known, self.children).await?;
            if !graph.is_encoded_as(&self.layout.below) {
                let what = "the types of the tables' columns have changed since the rows were encoded";
                return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
            }
        }
        let keys = Keys::of(&graph, &known, columns, self.form);
        if keys.form != self.form {
            let what = "the keys of the table are made in another way than when the call began";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let ways = target.graph_ways(&self.verb, self.transport, &keys)?;
        let below = graph.works(self.transport, self.below_form, &keys)?;
        let work = target.work(&*self.verb, ways, keys.form, self.rejects, below);
        Ok(Work { decode: self.decode.clone(), ..work })
    }
}

/// What tells types apart whose values differ in their bytes. (An enum that was made anew has another number, and the same
/// name and labels.)
fn bytes_of(ty: &ColumnType) -> String {
    match *ty.ty() {
        Type::VARCHAR | Type::BPCHAR => Type::TEXT.name().to_owned(),
        ref other => other.name().to_owned(),
    }
}
