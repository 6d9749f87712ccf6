//! Work that is worked out anew, for a table that has changed under its call.

use std::sync::Arc;

use async_trait::async_trait;

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
}

#[async_trait]
impl Renew for Renewal {
    async fn renew(&self) -> Result<Work> {
        self.engine.forget();
        let table = self.engine.table(self.model, None).await?;
        self.verb.refuse(self.model, &table)?;
        let (columns, rejects, writes) = (&*self.layout.columns, self.rejects, self.verb.writes());
        let target = Target { model: self.model, table: &table, columns, rejects, writes };
        let layout = target.layout(&*self.verb, Vec::new());
        // An enum that was made anew has another number and the same labels.
        let name = |ty: &ColumnType| ty.ty().name().to_owned();
        if !layout.types.iter().map(name).eq(self.layout.types.iter().map(name)) {
            let what = "the types of the table's columns have changed since the rows were encoded";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let mut graph = Graph::default();
        if !self.children.is_empty() {
            graph = Graph::of(&self.engine, None, self.model, &table, self.children).await?;
            if !graph.is_encoded_as(&self.layout.below) {
                let what = "the types of the tables' columns have changed since the rows were encoded";
                return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
            }
        }
        let keys = Keys::of(&graph, self.model, &table, columns, self.form);
        if keys.form != self.form {
            let what = "the keys of the table are made in another way than when the call began";
            return Err(Error::schema(&self.model.display_name(), vec![what.to_owned()]));
        }
        let (work, _) = target.graph_work(&*self.verb, self.transport, self.below_form, &graph, &keys)?;
        Ok(Work { decode: self.decode.clone(), ..work })
    }
}
