//! What is wrong, told all at once and in words that say how to mend it.

use crate::page::{Block, Page};

#[derive(Default)]
pub struct Problems(pub Vec<String>);

impl Problems {
    pub fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    pub fn at(&mut self, file: &str, line: usize, problem: String) {
        self.add(format!("{file}:{line}: {problem}"));
    }

    /// Adds the first place where blocks of two pages go apart, if they do.
    pub fn compare<'a>(&mut self, pages: [&Page; 2], blocks: [impl Iterator<Item = &'a Block>; 2]) {
        let blocks = blocks.map(|blocks| blocks.map(|block| (block.line, &*block.kind)).collect());
        self.compare_lines(pages, blocks, "the languages differ");
    }

    /// Adds the first place where two lists go apart, if they do: each item with its line, Korean
    /// first; `what` says what that means.
    pub fn compare_lines(&mut self, pages: [&Page; 2], lists: [Vec<(usize, &str)>; 2], what: &str) {
        let [korean, english] = &lists;
        let at = korean.iter().zip(english).take_while(|(left, right)| left.1 == right.1).count();
        let told = |list: &[(usize, &str)]| match (list.get(at), list.last()) {
            (Some((line, item)), _) => format!("{line}: {item}"),
            (None, Some((line, item))) => format!("{line}: nothing after {item}"),
            (None, None) => "1: nothing".to_owned(),
        };
        if at < korean.len().max(english.len()) {
            let [here, there] = pages.map(|page| &page.path);
            let (korean, english) = (told(korean), told(english));
            self.add(format!("{what}:\n    {here}:{korean}\n    {there}:{english}"));
        }
    }

    /// Fails where there are any, and tells them all.
    #[track_caller]
    pub fn report(self) {
        assert!(self.0.is_empty(), "\n\n- {}\n", self.0.join("\n- "));
    }
}
