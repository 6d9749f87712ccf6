//! What a table does by itself beyond what its model says: declared, with closures over typed entities.

use std::marker::PhantomData;
use std::sync::Arc;

use batchkit::backend::{ErrorBuilder, FieldValue, RawRow, decode, encode_value};
use batchkit::model::{Field, FieldNames, Fields, Model};
use batchkit::wire::ColumnType;
use batchkit::{BatchModel, ErrorKind, ReadRow, Result};
use bytes::Bytes;
use postgres_types::Type;

use super::Memory;
use super::defaults::placeholder;
use super::state::{Mapped, OnDelete, Reference, State, config};
use super::table::{Fill, OnUpdate, Rule, field};

/// A declaration that takes place once the table is there.
type Declaration = Box<dyn FnOnce(&mut State, &Arc<Mapped>) -> Result<()> + Send>;

/// Declares what the table of `E` does by itself: see [`Memory::table`].
///
/// Closures are called with one row, while the database is locked: they must not use a repository.
///
/// ```
/// use batchkit::BatchModel;
/// use batchkit_repo::{Memory, OnDelete};
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "categories")]
/// struct Category {
///     #[batch(key)]
///     id: i64,
///     name: String,
/// }
///
/// #[derive(Debug, Clone, BatchModel)]
/// #[batch(table = "products", new = "NewProduct")]
/// struct Product {
///     #[batch(key, auto)]
///     id: i64,
///     price: i64,
///     category_id: i64,
///     #[batch(auto)]
///     stock: i64,
///     #[batch(computed)]
///     double_price: Option<i64>,
///     #[batch(auto, on_update = "version + 1")]
///     version: i64,
/// }
///
/// # fn main() -> batchkit::Result<()> {
/// let memory = Memory::new();
/// let f = Product::FIELDS;
/// memory
///     .table::<Product>()
///     .sequence(f.id, 1_000)
///     .default(f.stock, 0)
///     .default(f.version, 1)
///     .on_update(f.version, |old| old.version + 1)
///     .computed(f.double_price, |product| Some(product.price * 2))
///     .check("products_price_check", |product| product.price >= 0)
///     .foreign_key::<Category>("products_category_id_fkey", f.category_id, OnDelete::Cascade)
///     .declare()?;
/// # Ok(()) }
/// ```
#[must_use = "call declare()"]
pub struct TableBuilder<E> {
    memory: Memory,
    types: Vec<(usize, Type)>,
    declarations: Vec<Declaration>,
    of: PhantomData<fn() -> E>,
}

impl<E> std::fmt::Debug for TableBuilder<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableBuilder").field("declarations", &self.declarations.len()).finish_non_exhaustive()
    }
}

impl<E: ReadRow + 'static> TableBuilder<E> {
    pub(super) fn new(memory: Memory) -> Self {
        TableBuilder { memory, types: Vec::new(), declarations: Vec::new(), of: PhantomData }
    }

    fn then(mut self, declaration: impl FnOnce(&mut State, &Arc<Mapped>) -> Result<()> + Send + 'static) -> Self {
        self.declarations.push(Box::new(declaration));
        self
    }

    fn fill<T>(
        self,
        field: Field<E, T>,
        fill: impl FnOnce(&Mapped, &ColumnType) -> Result<Fill> + Send + 'static,
    ) -> Self {
        let position = field.position();
        self.then(move |state, mapped| {
            let fill = fill(mapped, &mapped.types[position])?;
            state.tables[mapped.table].columns[mapped.columns[position]].fill = fill;
            Ok(())
        })
    }

    /// The type of a column that no type of PostgreSQL's own fits: an enum, a composite.
    pub fn column_type<T>(mut self, field: Field<E, T>, ty: Type) -> Self {
        self.types.push((field.position(), ty));
        self
    }

    /// A new row that does not give the field has this value.
    pub fn default<F>(self, field: Field<E, F>, value: F::Value) -> Self
    where
        F: FieldValue<Value: Send + 'static> + 'static,
    {
        self.fill(field, move |mapped, ty| {
            let value = encoded::<F>(mapped.model, field.position(), &value, ty)?;
            Ok(Fill::Default(Arc::new(move || Ok(value.clone()))))
        })
    }

    /// A new row that does not give the field has the value that the closure makes.
    pub fn default_with<F>(self, field: Field<E, F>, make: impl Fn() -> F::Value + Send + Sync + 'static) -> Self
    where
        F: FieldValue + 'static,
    {
        self.fill(field, move |mapped, ty| {
            let (model, ty) = (mapped.model, ty.clone());
            Ok(Fill::Default(Arc::new(move || encoded::<F>(model, field.position(), &make(), &ty))))
        })
    }

    /// A new row that does not give the field has the next number of a sequence, beginning with `first`. Integer
    /// keys that the server sets have one from 1 without being told.
    pub fn sequence<T>(self, field: Field<E, T>, first: i64) -> Self {
        let position = field.position();
        self.fill(field, move |mapped, ty| match *ty.ty() {
            Type::INT2 | Type::INT4 | Type::INT8 => Ok(Fill::Sequence(first)),
            _ => {
                let name = mapped.model.columns[position].name;
                Err(config(mapped.model, "a sequence fills integers only", Some(name)))
            }
        })
    }

    /// A field with `#[batch(computed)]`: worked out of each row that is written. The closure sees the row without
    /// its computed fields.
    pub fn computed<F>(self, field: Field<E, F>, work_out: impl Fn(&E) -> F::Value + Send + Sync + 'static) -> Self
    where
        F: FieldValue + 'static,
    {
        self.fill(field, move |mapped, ty| {
            Ok(Fill::Computed(value_rule::<E, F>(mapped, field.position(), ty, work_out)))
        })
    }

    /// A field with `#[batch(on_update = "…")]`: what it is set to at each update that does not name it. The closure
    /// sees the row as it was. `now()` and its like are known without being told.
    pub fn on_update<F>(self, field: Field<E, F>, work_out: impl Fn(&E) -> F::Value + Send + Sync + 'static) -> Self
    where
        F: FieldValue + 'static,
    {
        let position = field.position();
        self.then(move |state, mapped| {
            let rule = value_rule::<E, F>(mapped, position, &mapped.types[position], work_out);
            state.tables[mapped.table].columns[mapped.columns[position]].on_update = Some(OnUpdate::Rule(rule));
            Ok(())
        })
    }

    /// A check constraint of this name: rows for which the closure answers `false` are refused with
    /// [`ErrorKind::CheckViolation`].
    pub fn check(self, name: impl Into<String>, holds: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        let name = name.into();
        self.then(move |state, mapped| {
            let entity = entity::<E>(mapped);
            let rule: Rule<bool> = Arc::new(move |row| Ok(holds(&entity(row)?)));
            let checks = &mut state.tables[mapped.table].checks;
            checks.retain(|(known, _)| *known != name);
            checks.push((name, rule));
            Ok(())
        })
    }

    /// The name of the constraint of a unique key that the model declares, where it is not PostgreSQL's own choice;
    /// or a unique key that the model does not declare.
    pub fn unique(self, name: impl Into<String>, fields: impl Fields<E>) -> Self {
        let (name, fields) = (name.into(), fields.names());
        self.then(move |state, mapped| {
            let columns = columns(mapped, &fields)?;
            let table = &mut state.tables[mapped.table];
            match table.key(&columns) {
                Some(key) => table.keys[key].name = name,
                None => table.add_key(name, columns),
            }
            Ok(())
        })
    }

    /// The fields refer to the primary key of `P`'s table, by a constraint of PostgreSQL's own name for it. Rows that
    /// refer to none are refused with [`ErrorKind::ForeignKeyViolation`], and so is a delete of what is referred to.
    pub fn references<P: BatchModel + 'static>(self, fields: impl Fields<E>) -> Self {
        self.refer::<P>(None, fields.names(), OnDelete::Refuse)
    }

    /// The same by a constraint of this name, and with what becomes of the rows when what they refer to is deleted.
    pub fn foreign_key<P: BatchModel + 'static>(
        self,
        name: impl Into<String>,
        fields: impl Fields<E>,
        on_delete: OnDelete,
    ) -> Self {
        self.refer::<P>(Some(name.into()), fields.names(), on_delete)
    }

    fn refer<P: BatchModel + 'static>(
        self,
        name: Option<String>,
        fields: Vec<FieldNames>,
        on_delete: OnDelete,
    ) -> Self {
        self.then(move |state, mapped| {
            let parent = state.mapped(P::MODEL, &[])?;
            let columns = columns(mapped, &fields)?;
            let key = P::MODEL.key.map_or(&[][..], |key| key.columns);
            let key: Vec<usize> = key.iter().map(|&column| parent.columns[column]).collect();
            let table = &state.tables[parent.table];
            let Some(number) = table.key(&key).filter(|_| key.len() == columns.len()) else {
                let what = format!("the fields do not fit the primary key of `{}`", P::MODEL.name);
                return Err(config(mapped.model, &what, None));
            };
            // In the order of the parent's key, as the table has it.
            let in_order = table.keys[number].columns.iter().filter_map(|wanted| {
                let part = key.iter().position(|column| column == wanted)?;
                columns.get(part).copied()
            });
            let columns: Vec<usize> = in_order.collect();
            let child = &state.tables[mapped.table];
            let name = name.unwrap_or_else(|| {
                let columns: Vec<&str> = columns.iter().map(|&column| child.columns[column].name.as_str()).collect();
                format!("{}_{}_fkey", mapped.model.table, columns.join("_"))
            });
            state.references.retain(|known| known.child != mapped.table || known.name != name);
            let (child, parent) = (mapped.table, parent.table);
            state.references.push(Reference { name, child, columns, parent, key: number, on_delete });
            Ok(())
        })
    }

    /// Makes the declarations hold from now on; rows that are stored already are not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for declarations that do not fit the model, [`ErrorKind::Schema`] for a model that does
    /// not fit what is known of the table, [`ErrorKind::UnknownField`] for names of no field.
    pub fn declare(self) -> Result<()> {
        let TableBuilder { memory, types, declarations, of: _ } = self;
        let mut state = memory.lock();
        let mapped = state.mapped(E::MODEL, &types)?;
        declarations.into_iter().try_for_each(|declaration| declaration(&mut state, &mapped))
    }
}

/// The table's columns of these names.
fn columns(mapped: &Mapped, names: &[FieldNames]) -> Result<Vec<usize>> {
    let position = |name: &FieldNames| match name {
        FieldNames::Position(position) => Ok(*position),
        FieldNames::Name(name) => mapped.model.column_named(name).ok_or_else(|| {
            let what = format!("`{}` has no field {name:?}", mapped.model.name);
            ErrorBuilder::new(ErrorKind::UnknownField, what).table(mapped.model.display_name()).build()
        }),
    };
    names.iter().map(|name| position(name).map(|position| mapped.columns[position])).collect()
}

/// Reads a row of the table as an entity. What is worked out of the row may not be there yet.
fn entity<E: ReadRow>(mapped: &Mapped) -> impl Fn(&[Option<Bytes>]) -> Result<E> + Send + Sync + use<E> {
    let (columns, types) = (mapped.columns.clone(), mapped.types.clone());
    let worked_out: Vec<bool> = mapped.model.columns.iter().map(|column| column.writes.is_none()).collect();
    move |row| {
        let one = |(position, ty): (usize, &ColumnType)| {
            let stored = field(row, columns[position]).cloned();
            let missing = worked_out[position] && ty.not_null();
            stored.or_else(|| missing.then(|| placeholder(ty.ty())))
        };
        let fields: RawRow = types.iter().enumerate().map(one).collect();
        decode(&fields, &types)
    }
}

/// What a closure makes of an entity, as a column's value.
fn value_rule<E: ReadRow + 'static, F: FieldValue + 'static>(
    mapped: &Mapped,
    position: usize,
    ty: &ColumnType,
    work_out: impl Fn(&E) -> F::Value + Send + Sync + 'static,
) -> Rule<Option<Bytes>> {
    let (entity, model, ty) = (entity::<E>(mapped), mapped.model, ty.clone());
    Arc::new(move |row| encoded::<F>(model, position, &work_out(&entity(row)?), &ty))
}

fn encoded<F: FieldValue>(
    model: &'static Model,
    position: usize,
    value: &F::Value,
    ty: &ColumnType,
) -> Result<Option<Bytes>> {
    encode_value::<F>(value, ty).map_err(|fault| config(model, &fault.to_string(), Some(model.columns[position].name)))
}
