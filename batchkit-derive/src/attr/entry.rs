//! Reading `#[batch(…)]` entry by entry. One that cannot be read is reported and passed over, so that it
//! does not hide the mistakes behind it.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Error, Ident, LitStr, Meta, Result, Token, parenthesized, token};

use super::names::{Place, form, misplaced};
use crate::errors::Errors;

/// One entry: `key`, `table = "products"` or `new_derive(Debug, Clone)`.
pub(super) struct Entry {
    pub(super) name: Ident,
    pub(super) value: Value,
}

pub(super) enum Value {
    None,
    Assigned(TokenStream),
    List(TokenStream),
}

/// The entries of all `#[batch(…)]` that `place` knows, and whether all of them were legible.
pub(super) fn entries(attributes: &[Attribute], place: Place, errors: &mut Errors) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let mut legible = true;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("batch")) {
        let Meta::List(list) = &attribute.meta else {
            errors.at(&attribute.meta, "write `#[batch(…)]`, with the attributes in parentheses");
            legible = false;
            continue;
        };
        legible &= each(&list.tokens, errors, |entry, errors| {
            let name = entry.name.to_string();
            if place.knows(&name) {
                entries.push(entry);
                return true;
            }
            errors.at(&entry.name, misplaced(&name, place));
            false
        });
    }
    (entries, legible)
}

/// The entries inside of an entry's parentheses.
pub(super) fn nested(tokens: &TokenStream, errors: &mut Errors) -> Vec<Entry> {
    let mut entries = Vec::new();
    each(tokens, errors, |entry, _| {
        entries.push(entry);
        true
    });
    entries
}

/// Hands each entry over; whether all of them were legible and taken.
fn each(tokens: &TokenStream, errors: &mut Errors, mut take: impl FnMut(Entry, &mut Errors) -> bool) -> bool {
    let mut legible = true;
    let read = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match input.parse::<Entry>() {
                Ok(entry) => legible &= take(entry, errors),
                Err(error) => {
                    errors.push(error);
                    legible = false;
                    until_comma(input)?;
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    };
    if let Err(error) = read.parse2(tokens.clone()) {
        errors.push(error);
        return false;
    }
    legible
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name =
            input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), "expected an attribute's name"))?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Assigned(until_comma(input)?)
        } else if input.peek(token::Paren) {
            let content;
            parenthesized!(content in input);
            Value::List(content.parse()?)
        } else {
            Value::None
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("expected a comma"));
        }
        Ok(Entry { name, value })
    }
}

fn until_comma(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    Ok(tokens)
}

impl Entry {
    /// Reads the entry into its slot; a second one for the same slot is a mistake.
    pub(super) fn once<T>(&self, slot: &mut Option<T>, read: impl FnOnce(&Self) -> Result<T>, errors: &mut Errors) {
        match read(self) {
            Err(error) => errors.push(error),
            Ok(_) if slot.is_some() => self.twice(errors),
            Ok(value) => *slot = Some(value),
        }
    }

    pub(super) fn twice(&self, errors: &mut Errors) {
        errors.at(&self.name, format!("`{}` is given twice: keep one", self.name));
    }

    /// `key`: the name alone.
    pub(super) fn flag(&self) -> Result<Ident> {
        match &self.value {
            Value::None => Ok(self.name.clone()),
            Value::Assigned(_) | Value::List(_) => {
                Err(Error::new(self.name.span(), format!("`{}` stands alone: it takes no value", self.name)))
            }
        }
    }

    /// `table = "products"`: a text in quotes.
    pub(super) fn text(&self) -> Result<LitStr> {
        match &self.value {
            Value::Assigned(tokens) => syn::parse2(tokens.clone()).map_err(|_| self.malformed(tokens)),
            Value::List(tokens) => Err(self.malformed(tokens)),
            Value::None => Err(self.malformed(&self.name)),
        }
    }

    /// `model = "Product"`: Rust syntax in quotes.
    pub(super) fn quoted<T: Parse>(&self) -> Result<T> {
        let text = self.text()?;
        text.parse().map_err(|_| self.malformed(&text))
    }

    /// `new_derive(Debug, Clone)`: a list in parentheses.
    pub(super) fn list<T>(&self, item: fn(ParseStream<'_>) -> Result<T>) -> Result<Vec<T>> {
        match &self.value {
            Value::List(tokens) => {
                let items = |input: ParseStream<'_>| Punctuated::<T, Token![,]>::parse_terminated_with(input, item);
                items
                    .parse2(tokens.clone())
                    .map(|items| items.into_iter().collect())
                    .map_err(|_| self.malformed(tokens))
            }
            Value::Assigned(tokens) => Err(self.malformed(tokens)),
            Value::None => Err(self.malformed(&self.name)),
        }
    }

    /// `unique`, `unique = "group"` or `unique("group", "other")`: any number of texts.
    pub(super) fn texts(&self) -> Result<Vec<LitStr>> {
        match &self.value {
            Value::None => Ok(Vec::new()),
            Value::Assigned(_) => Ok(vec![self.text()?]),
            Value::List(tokens) => match self.list(<LitStr as Parse>::parse)? {
                texts if texts.is_empty() => Err(self.malformed(tokens)),
                texts => Ok(texts),
            },
        }
    }

    /// `key = "column"` or `key("column", "other")`: at least one text.
    pub(super) fn named_texts(&self) -> Result<Vec<LitStr>> {
        let texts = self.texts().unwrap_or_default();
        if texts.is_empty() {
            let name = &self.name;
            let message = format!("name columns, as in `{name} = \"a\"` or `{name}(\"a\", \"b\")`");
            return Err(Error::new(name.span(), message));
        }
        Ok(texts)
    }

    fn malformed(&self, at: &impl ToTokens) -> Error {
        let message = format!("write it as in `{}`", form(&self.name.to_string()));
        // An empty value has no place of its own.
        if at.to_token_stream().is_empty() {
            Error::new(self.name.span(), message)
        } else {
            Error::new_spanned(at, message)
        }
    }
}
