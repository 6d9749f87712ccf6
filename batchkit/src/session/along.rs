//! What is asked about the keys of a chunk together with its rows, in the same flush.

use std::sync::Arc;

use super::read::{Parameters, Read};
use super::shape::Shape;
use super::transport::Carrier;
use crate::error::Result;
use crate::wire::{Decoder, EncodedRows};

/// A question about the keys that a chunk's rows are read by.
#[derive(Debug)]
pub(crate) struct Along {
    /// The statement.
    pub(crate) sql: Arc<str>,
    /// How the keys travel.
    pub(crate) carrier: Arc<Carrier>,
    /// The stored rows that it answers.
    pub(crate) shape: Shape,
    /// How these are decoded as they come.
    pub(crate) decoder: Decoder,
}

impl Along {
    /// The question about these keys.
    pub(super) fn read(&self, keys: &EncodedRows) -> Result<Read<'static>> {
        Ok(Read {
            sql: Arc::clone(&self.sql),
            parameters: Parameters::Encoded(self.carrier.parameters(keys)?),
            shape: Some(self.shape.clone()),
            decoder: Some(self.decoder.clone()),
        })
    }
}
