//! Reads a file as tokens and finds every path that it names.

use std::iter::Peekable;
use std::str::FromStr;

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path in full: `super` is resolved and the branches of a `use` are separated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// `flow/email/write.rs` is `flow::email::write`, and `flow/email/mod.rs` is `flow::email`.
pub(super) fn module_of(path: &str) -> Vec<String> {
    let names = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    names.filter(|name| name != "mod").collect()
}

/// Every path with more than one segment that the file of this module names, and every path in a
/// `use`.
pub(super) fn mentions(module: &[String], source: &str) -> Vec<Mention> {
    let tokens = TokenStream::from_str(source).expect("the compiler took it too");
    let mut found = Vec::new();
    walk(tokens, &mut found);
    found.iter().map(|mention| in_full(module, mention)).collect()
}

fn in_full(module: &[String], mention: &Mention) -> Mention {
    let mut base: Option<Vec<String>> = None;
    let mut rest = mention.path.as_slice();
    while let [first, tail @ ..] = rest {
        match (first.as_str(), &mut base) {
            ("super", Some(base)) => drop(base.pop()),
            ("super", None) => base = Some(module[..module.len() - 1].to_vec()),
            ("self", None) => base = Some(module.to_vec()),
            _ => break,
        }
        rest = tail;
    }
    let path = match base {
        Some(base) => {
            ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
        }
        None => mention.path.clone(),
    };
    Mention { path, line: mention.line }
}

type Tokens = Peekable<IntoIter>;

fn walk(tokens: TokenStream, found: &mut Vec<Mention>) {
    let mut tokens: Tokens = tokens.into_iter().peekable();
    let mut under_test = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                let attribute = tokens.peek().map(ToString::to_string).unwrap_or_default();
                under_test |= attribute.replace(' ', "") == "[cfg(test)]";
            }
            TokenTree::Group(group) => {
                let is_item = group.delimiter() == Delimiter::Brace;
                if !(is_item && std::mem::take(&mut under_test)) {
                    walk(group.stream(), found);
                }
            }
            TokenTree::Ident(ident) if ident == "use" => branch(&mut tokens, &[], found),
            TokenTree::Ident(ident) => {
                let mut path = vec![ident.to_string()];
                let line = ident.span().start().line;
                while step(&mut tokens) {
                    match tokens.next() {
                        Some(TokenTree::Ident(next)) => path.push(next.to_string()),
                        // A turbofish ends the path; what is inside is looked at as it comes.
                        Some(TokenTree::Group(group)) => walk(group.stream(), found),
                        _ => break,
                    }
                }
                if path.len() > 1 {
                    found.push(Mention { path, line });
                }
            }
            TokenTree::Punct(punct) => under_test &= punct.as_char() != ';',
            TokenTree::Literal(_) => {}
        }
    }
}

/// Takes `::`, if it comes next.
fn step(tokens: &mut Tokens) -> bool {
    let mut ahead = tokens.clone();
    let mut colon =
        || matches!(ahead.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    let both = colon() && colon();
    if both {
        *tokens = ahead;
    }
    both
}

/// One branch of a `use`, up to its `,` or `;`.
fn branch(tokens: &mut Tokens, prefix: &[String], found: &mut Vec<Mention>) {
    let mut path = prefix.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "as" => {
                tokens.next();
            }
            TokenTree::Ident(ident) => {
                line = ident.span().start().line;
                // `a::{self}` is `a`; a leading `self` is this module.
                if ident != "self" || path.is_empty() {
                    path.push(ident.to_string());
                }
            }
            TokenTree::Group(group) => {
                let mut inner = group.stream().into_iter().peekable();
                while inner.peek().is_some() {
                    branch(&mut inner, &path, found);
                }
                line = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' || punct.as_char() == ';' => break,
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    if line > 0 {
        found.push(Mention { path, line });
    }
}

/// Every string literal outside of attributes (doc comments are attributes) and of `#[cfg(test)]`
/// items, with the line on which it begins.
pub(super) fn literals(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    collect(TokenStream::from_str(source).expect("the compiler took it too"), &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    let mut tokens: Tokens = tokens.into_iter().peekable();
    let mut under_test = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                tokens.next_if(
                    |next| matches!(next, TokenTree::Punct(inner) if inner.as_char() == '!'),
                );
                let attribute = tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
                let attribute = attribute.map(|group| group.to_string()).unwrap_or_default();
                under_test |= attribute.replace(' ', "") == "[cfg(test)]";
            }
            TokenTree::Group(group) => {
                let is_item = group.delimiter() == Delimiter::Brace;
                if !(is_item && std::mem::take(&mut under_test)) {
                    collect(group.stream(), found);
                }
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.contains('"') {
                    found.push((literal.span().start().line, text));
                }
            }
            TokenTree::Punct(punct) => under_test &= punct.as_char() != ';',
            TokenTree::Ident(_) => {}
        }
    }
}
