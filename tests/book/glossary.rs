//! The glossary: the same terms in both languages, each of them used, and each link to a term in
//! that term's own words.

use std::collections::BTreeSet;

use crate::page::{Heading, LANGUAGES, PAGES, Page, resolve};
use crate::problems::Problems;

/// Words for a term that its title does not begin with: other verbs, other forms of a Korean one.
const FORMS: [(&str, &[&str]); 2] = [
    ("wait", &["거두", "거둔", "거둘", "거둡"]),
    ("keep-alive", &["keeps its connection", "연결을 유지"]),
];

#[test]
fn the_glossary_has_the_same_terms_in_both_languages() {
    let [korean, english] = LANGUAGES.map(|language| {
        glossary(language).ids.iter().map(|(_, id)| &**id).collect::<BTreeSet<_>>()
    });
    let alone = korean.symmetric_difference(&english);
    let told = alone.map(|id| format!("only one language's glossary.md has `{id}`"));
    Problems(told.collect()).report();
}

#[test]
fn every_term_of_the_glossary_is_linked_from_a_page_of_its_language() {
    let mut problems = Problems::default();
    for language in LANGUAGES {
        let glossary = glossary(language);
        let pages = PAGES.iter().filter(|page| page.language() == Some(language));
        let links = pages.filter(|page| page.path != glossary.path).flat_map(|page| {
            page.links.iter().filter_map(|link| term_id(page, &link.to, glossary))
        });
        let linked: BTreeSet<&str> = links.collect();
        for Term { heading, id, .. } in terms(glossary) {
            if !linked.contains(id) {
                let mend = "link its first use on a page, or take the term out";
                let told = format!("no page in book/{language} links to `#{id}`: {mend}");
                problems.at(&glossary.path, heading.line, told);
            }
        }
    }
    problems.report();
}

#[test]
fn a_link_to_a_term_is_in_the_words_of_that_term() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        let Some(glossary) = page.language().map(glossary) else { continue };
        let terms = terms(glossary);
        for link in &page.links {
            let Some(id) = term_id(page, &link.to, glossary) else { continue };
            let Some(term) = terms.iter().find(|term| term.id == id) else { continue };
            if !term.fits(&link.text, &terms) {
                let title = &term.heading.text;
                let told = format!(
                    "`[{}]({})` leads to the term “{title}”, and these are not its words: link \
                     the term that is meant, or use a word of its title (a form of it that the \
                     title does not begin with goes to FORMS in tests/book/glossary.rs)",
                    link.text, link.to
                );
                problems.at(&page.path, link.line, told);
            }
        }
    }
    problems.report();
}

/// One entry. Its names are those of its title, `exit code (종료 코드)`, in both languages and in
/// small letters, and its `FORMS`.
struct Term<'a> {
    heading: &'a Heading,
    id: &'a str,
    names: Vec<String>,
}

impl Term<'_> {
    /// Whether `text` can mean this term: it holds one of its names, or a word of one, and no longer
    /// name of another term there. `[process id](#process)` does not fit, nor does
    /// `[process](#process-group)`.
    fn fits(&self, text: &str, terms: &[Term]) -> bool {
        let text = text.to_lowercase();
        let others = terms.iter().filter(|other| other.id != self.id);
        let others: Vec<&String> = others
            .flat_map(|other| &other.names)
            .filter(|name| begins_a_word(&text, name))
            .collect();
        let by_name = self.names.iter().any(|name| {
            let longer = |other: &&String| other.contains(name) && *other != name;
            begins_a_word(&text, name) && !others.iter().any(longer)
        });
        let words = self.names.iter().flat_map(|name| name.split([' ', '-']));
        let mut words = words.filter(|word| word.chars().count() > 2 || !word.is_ascii());
        by_name
            || words.any(|word| {
                begins_a_word(&text, word) && !others.iter().any(|other| other.contains(word))
            })
    }
}

/// Whether a word of `text` begins with `name`; what follows may be an ending or a particle.
pub fn begins_a_word(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric))
}

fn glossary(language: &str) -> &'static Page {
    let path = format!("book/{language}/glossary.md");
    PAGES.iter().find(|page| page.path == path).expect(&path)
}

fn terms(glossary: &Page) -> Vec<Term<'_>> {
    let entries = glossary.headings.iter().filter(|heading| heading.level > 1);
    let terms = entries.filter_map(|heading| {
        let id = heading.id.as_deref()?;
        let title = heading.text.to_lowercase().replace(" and ", ",").replace("와 ", ",");
        let names = title.split([',', '(', ')']).map(|name| name.trim().to_owned());
        let forms = FORMS.iter().filter(|(of, _)| *of == id).flat_map(|(_, forms)| *forms);
        let names = names.chain(forms.map(|form| (*form).to_owned()));
        Some(Term { heading, id, names: names.filter(|name| !name.is_empty()).collect() })
    });
    terms.collect()
}

/// The id in a link to the glossary.
fn term_id<'a>(page: &Page, link: &'a str, glossary: &Page) -> Option<&'a str> {
    let (file, id) = link.split_once('#')?;
    let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
    (path == glossary.path).then_some(id)
}
