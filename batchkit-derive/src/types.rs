//! What is done with the tokens of a type: its text, its lifetimes, and `Self` in it.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Lifetime, Type};

/// The type as a person writes it, for messages: without the spaces that the tokens' own `Display` puts
/// between all of them.
pub(crate) fn text(ty: &Type) -> String {
    let spaced = ty.to_token_stream().to_string();
    let mut text = String::with_capacity(spaced.len());
    let mut letters = spaced.chars().peekable();
    while let Some(letter) = letters.next() {
        let kept = match (text.chars().next_back(), letters.peek()) {
            (Some(before), Some(&after)) => {
                matches!(before, ',' | ';' | '+')
                    || after == '+'
                    || (is_word(before) && (is_word(after) || matches!(after, '\'' | '&' | '[')))
            }
            _ => false,
        };
        if letter != ' ' || kept {
            text.push(letter);
        }
    }
    text
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Whether the type is a reference, as far as its tokens tell.
pub(crate) fn is_reference(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) => true,
        // What a macro was given as `$ty:ty` comes in a group.
        Type::Group(group) => is_reference(&group.elem),
        Type::Paren(paren) => is_reference(&paren.elem),
        _ => false,
    }
}

/// Whether the type is written as an `Option`.
pub(crate) fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
        Type::Group(group) => is_option(&group.elem),
        Type::Paren(paren) => is_option(&paren.elem),
        _ => false,
    }
}

/// The type with `this` in place of `Self`: it is used in other structs than the one that it is written in.
pub(crate) fn without_self(ty: &Type, this: &TokenStream) -> Type {
    let replaced = replace(ty.to_token_stream(), &mut |token| match token {
        TokenTree::Ident(ident) if ident == "Self" => this.clone(),
        other => other.into(),
    });
    syn::parse2(replaced).unwrap_or_else(|_| ty.clone())
}

/// The named lifetimes in these tokens, without `'static` and `'_`.
pub(crate) fn named_lifetimes(tokens: &impl ToTokens) -> Vec<Lifetime> {
    let mut found = Vec::new();
    replace_lifetimes(tokens, &mut |lifetime| {
        if lifetime.ident != "static" && lifetime.ident != "_" {
            found.push(lifetime.clone());
        }
        lifetime
    });
    found
}

/// The type with `'_` in place of these lifetimes: as a constant can name it.
pub(crate) fn erased(ty: &Type, lifetimes: &[&Lifetime]) -> TokenStream {
    replace_lifetimes(ty, &mut |lifetime| {
        if lifetimes.contains(&&lifetime) { Lifetime::new("'_", lifetime.span()) } else { lifetime }
    })
}

fn replace_lifetimes(tokens: &impl ToTokens, with: &mut impl FnMut(Lifetime) -> Lifetime) -> TokenStream {
    // A lifetime is an apostrophe and an identifier.
    let mut apostrophe = None;
    replace(tokens.to_token_stream(), &mut |token| match (apostrophe.take(), token) {
        (None, TokenTree::Punct(punct)) if punct.as_char() == '\'' => {
            apostrophe = Some(punct.span());
            TokenStream::new()
        }
        (Some(apostrophe), TokenTree::Ident(ident)) => with(Lifetime { apostrophe, ident }).into_token_stream(),
        (_, other) => other.into(),
    })
}

/// Puts what `with` says in place of each token, inside of groups too.
fn replace(tokens: TokenStream, with: &mut impl FnMut(TokenTree) -> TokenStream) -> TokenStream {
    let mut replaced = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), replace(group.stream(), with));
                inner.set_span(group.span());
                replaced.extend([TokenTree::Group(inner)]);
            }
            other => replaced.extend(with(other)),
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::{Lifetime, Type, parse_quote};

    use super::{erased, is_reference, named_lifetimes, text, without_self};

    #[test]
    fn types_read_as_they_are_written() {
        for written in [
            "i64",
            "Option<Vec<String>>",
            "::std::collections::HashMap<String, Option<String>>",
            "&'a str",
            "&'a mut [u8]",
            "Cow<'a, str>",
            "[u8; 16]",
            "(i32, String)",
            "Box<dyn Any + Send>",
        ] {
            let ty = syn::parse_str(written).unwrap();
            assert_eq!(text(&ty), written);
        }
    }

    #[test]
    fn lifetimes_are_found_and_erased() {
        let ty: Type = parse_quote!(Cow<'a, (&'b str, &'static [&'_ u8])>);
        let lifetimes = named_lifetimes(&ty);
        assert_eq!(lifetimes.iter().map(Lifetime::to_string).collect::<Vec<_>>(), ["'a", "'b"]);
        let expected = quote!(Cow<'_, (&'b str, &'static [&'_ u8])>);
        assert_eq!(erased(&ty, &[&lifetimes[0]]).to_string(), expected.to_string());
    }

    #[test]
    fn self_is_the_struct() {
        let ty: Type = parse_quote!(Option<Box<(Self, [Self; 2])>>);
        assert_eq!(text(&without_self(&ty, &quote!(Row<'a>))), "Option<Box<(Row<'a>, [Row<'a>; 2])>>");
    }

    #[test]
    fn references_are_seen_through_parentheses() {
        assert!(is_reference(&parse_quote!((&'static str))));
        assert!(!is_reference(&parse_quote!(Vec<&'static str>)));
    }
}
