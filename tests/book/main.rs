//! Claim: the book in `docs/book` is true. Code that it quotes is the code of the sources, worked examples have the
//! numbers that the library computes, measured tables can be measured again, bugs that it names are planted, links
//! lead somewhere, and every chapter has the same shape.
//!
//! `UPDATE_BOOK=1 cargo test --test book` writes the quoted code anew. Numbers are never written: whoever changes a
//! number changes it by hand, and knows why.

mod beit;
mod boxes;
mod example;
mod layers;
mod mae;
mod maps;
mod measured;
mod moco;
mod optim;
mod page;
mod quotes;
mod shape;
