//! axe-core finds nothing on any page in any theme.
//!
//! `npm install axe-core` puts it below node_modules; AXE_JS names another place.

use browser_tests::serde_json::json;
use browser_tests::*;
use std::path::PathBuf;

/// What is mdBook's own and cannot be mended from outside: (rule, selector, why).
const MDBOOKS_OWN: [(&str, &str, &str); 0] = [];

fn axe() -> String {
    let file = std::env::var_os("AXE_JS")
        .map(PathBuf::from)
        .unwrap_or_else(|| project().join("node_modules/axe-core/axe.min.js"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}\n`npm install axe-core`, or name axe.min.js in AXE_JS", file.display())
    })
}

/// What axe finds on the page that is open, one line a finding.
fn findings(browser: &Browser, axe: &str) -> Vec<String> {
    browser.js(&format!("{axe}; window.axe = axe"), json!([]));
    let found = browser.js(
        "return axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) =>
             violations.flatMap(({ id, nodes }) => nodes.map(({ target, html, any }) =>
                 [id, target.join(' '), `${html.slice(0, 100)} ${any[0]?.message ?? ''}`])))",
        json!([]),
    );
    let found = found.as_array().unwrap().iter().map(|finding| {
        let part = |index: usize| finding[index].as_str().unwrap_or_default().to_owned();
        (part(0), part(1), part(2))
    });
    found
        .filter(|(rule, target, _)| {
            !MDBOOKS_OWN.iter().any(|(known, selector, _)| rule == known && target == selector)
        })
        .map(|(rule, target, html)| format!("{rule}: {target}\n      {html}"))
        .collect()
}

fn all_pages_in(theme: &str) {
    let (axe, browser) = (axe(), Browser::start());
    let mut found = Vec::new();
    for page in book().pages.iter().map(String::as_str).chain(["404.html"]) {
        let page = page.replace("index.html", "index.html#choose");
        browser.open(&View { theme, ..View::wide(&page) });
        browser.js("document.querySelectorAll('details').forEach(d => d.open = true)", json!([]));
        found.extend(findings(&browser, &axe).into_iter().map(|line| format!("{page} {line}")));
    }
    // A phone, where the menu bar and the tables are others.
    browser.open(&View { theme, ..View::phone("ko/02_exit_log.html") });
    found.extend(findings(&browser, &axe).into_iter().map(|line| format!("phone: {line}")));
    // Results, and the marks on the page they lead to.
    browser.open(&View { theme, ..View::wide("ko/00_fork.html?search=%EC%9B%8C%EC%BB%A4") });
    browser.until("the search is answered", "document.querySelector('#mdbook-searchresults a')");
    found.extend(findings(&browser, &axe).into_iter().map(|line| format!("search: {line}")));
    browser.open(&View { theme, ..View::wide("ko/00_fork.html?highlight=%EC%9B%8C%EC%BB%A4#why") });
    found.extend(findings(&browser, &axe).into_iter().map(|line| format!("marks: {line}")));
    // The theme menu.
    browser.open(&View { theme, ..View::wide("en/00_fork.html") });
    browser.click("#mdbook-theme-toggle");
    found.extend(findings(&browser, &axe).into_iter().map(|line| format!("menu: {line}")));
    let count = found.len();
    assert!(found.is_empty(), "axe finds {count} in the theme {theme}:\n{}", found.join("\n"));
}

#[test]
#[ignore = "needs mdbook, chromium, chromedriver and axe-core"]
fn axe_finds_nothing_in_the_theme_light() {
    all_pages_in("light");
}

#[test]
#[ignore = "needs mdbook, chromium, chromedriver and axe-core"]
fn axe_finds_nothing_in_the_theme_rust() {
    all_pages_in("rust");
}

#[test]
#[ignore = "needs mdbook, chromium, chromedriver and axe-core"]
fn axe_finds_nothing_in_the_theme_coal() {
    all_pages_in("coal");
}

#[test]
#[ignore = "needs mdbook, chromium, chromedriver and axe-core"]
fn axe_finds_nothing_in_the_theme_navy() {
    all_pages_in("navy");
}

#[test]
#[ignore = "needs mdbook, chromium, chromedriver and axe-core"]
fn axe_finds_nothing_in_the_theme_ayu() {
    all_pages_in("ayu");
}
