//! The book holds together: two languages of one shape, code and consoles by include only, links
//! and names that lead somewhere, diffs that are fresh. mdBook itself is needed by one test alone.
//!
//! `UPDATE_EXPECT=1 cargo test --test book` writes the diffs under `book/diffs/` anew, the Korean
//! figures, and from its data file what else is in `book/measured/`.

mod page;
mod problems;

mod capacity;
mod figures;
mod glossary;
mod includes;
mod languages;
mod links;
mod measured;
mod names;
mod project;
mod steps;
mod words;
