//! The names of a call, resolved as the verbs do it.

use crate::error::Result;
use crate::model::{FieldNames, Model};
use crate::operation;

/// Which columns a call is about, by their positions in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The columns that are sent, ascending: those of the key, and those to set or to insert.
    pub given: Vec<usize>,
    /// The columns of the key by which a stored row is found.
    pub key: Vec<usize>,
    /// The columns that a stored row's are set to. Those with `on_update` that are not among them are set by
    /// their expression.
    pub set: Vec<usize>,
    /// The `version`, where it is given: only a stored row that has it is updated.
    pub version: Option<usize>,
}

/// Resolves an update of rows that give `given`: of these fields, or of all that count as changeable.
///
/// # Errors
/// Those of a [`batch_update`](crate::BatchOperations::batch_update) before it asks the server: a model without a
/// key, unknown fields, fields that the rows do not give or that cannot be set.
pub fn resolve_update(
    model: &'static Model,
    given: &'static [usize],
    fields: Option<Vec<FieldNames>>,
) -> Result<Resolved> {
    let ([given, key, set], version) = operation::resolve_update(model, given, fields)?;
    Ok(Resolved { given, key, set, version })
}

/// Resolves an upsert of rows that give `given`: by the key of the fields `on`, setting `fields` in known rows.
///
/// # Errors
/// Those of a [`batch_upsert`](crate::BatchOperations::batch_upsert) before it asks the server: no declared key to
/// know the rows by, unknown fields, fields that the rows do not give or that cannot be set.
pub fn resolve_upsert(
    model: &'static Model,
    given: &'static [usize],
    on: Option<Vec<FieldNames>>,
    fields: Option<Vec<FieldNames>>,
) -> Result<Resolved> {
    let ([given, key, set], version) = operation::resolve_upsert(model, given, on, fields)?;
    Ok(Resolved { given, key, set, version })
}
