//! Links lead somewhere, and the summary leads to every page.

use crate::page::{LANGUAGES, Link, PAGES, PAPERS, Page, SUMMARY, resolve, root};
use crate::problems::Problems;

#[test]
fn every_link_leads_somewhere_in_its_own_language() {
    let mut problems = Problems::default();
    for page in PAGES.iter() {
        for Link { line, to, .. } in &page.links {
            if let Some(problem) = problem_with_link(page, to) {
                problems.at(&page.path, *line, format!("the link `{to}` {problem}"));
            }
        }
    }
    for paper in PAPERS.iter() {
        for Link { line, to, .. } in &paper.links {
            let file = to.split('#').next().unwrap();
            if !to.starts_with("https://") && !file.is_empty() && !root().join(file).exists() {
                problems.at(&paper.path, *line, format!("the link `{to}` leads nowhere"));
            }
        }
    }
    for language in LANGUAGES {
        let first = format!("{language}/introduction.md");
        if !PAGES[0].links.iter().any(|link| link.to == first) {
            problems.add(format!("book/index.md does not link to `{first}`"));
        }
    }
    problems.report();
}

#[test]
fn the_summary_lists_every_page_of_both_languages_in_the_same_order() {
    let Page { path: summary, links, .. } = &*SUMMARY;
    let mut problems = Problems::default();
    for Link { line, to, .. } in links {
        if !PAGES.iter().any(|page| page.path == resolve(summary, to)) {
            problems.at(summary, *line, format!("`{to}` is no page of the book"));
        }
    }
    for page in PAGES.iter() {
        let count = links.iter().filter(|link| resolve(summary, &link.to) == page.path).count();
        if count != 1 {
            problems.add(format!("{summary} lists {} {count} times: list it once", page.path));
        }
    }
    problems.report();
    let [korean, english] = LANGUAGES.map(|language| {
        links.iter().filter_map(|link| link.to.strip_prefix(language)).collect::<Vec<_>>()
    });
    assert_eq!(korean, english, "{summary} must list both languages in the same order");
}

#[test]
fn the_summary_calls_every_page_by_its_title() {
    let mut problems = Problems::default();
    for Link { line, to, text } in &SUMMARY.links {
        let path = resolve(&SUMMARY.path, to);
        // A page that is not there is the business of the test above.
        let Some(page) = PAGES.iter().find(|page| page.path == path) else { continue };
        let title = page.headings.first().map_or("", |heading| &heading.text);
        if text != title {
            let told = format!("`{text}` is the page that calls itself `{title}`: write the same");
            problems.at(&SUMMARY.path, *line, told);
        }
    }
    problems.report();
}

/// What is wrong with a link on `page`, if anything.
fn problem_with_link(page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (file, id) = link.split_once('#').unwrap_or((link, ""));
    let path = if file.is_empty() { page.path.clone() } else { resolve(&page.path, file) };
    let Some(target) = PAGES.iter().find(|page| page.path == path) else {
        // mdBook copies whatever lies below book/, Markdown apart.
        let copied = path.starts_with("book/") && !path.ends_with(".md");
        return match root().join(&path).exists() {
            true if copied && id.is_empty() => None,
            true => Some(format!("means {path}, which the built book does not hold")),
            false => Some("leads nowhere (links are relative, or begin with https://)".to_owned()),
        };
    };
    if page.language().zip(target.language()).is_some_and(|(here, there)| here != there) {
        return Some("leaves its language".to_owned());
    }
    let known = !link.contains('#') || target.ids.iter().any(|(_, known)| known == id);
    (!known).then(|| format!("asks for an id that {path} does not have"))
}
