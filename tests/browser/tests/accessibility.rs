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

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_first_tab_leads_past_the_sidebar() {
    let browser = Browser::start();
    for (page, name) in
        [("ko/00_fork.html", "본문으로 건너뛰기"), ("en/00_fork.html", "Skip to the text")]
    {
        for view in [View::wide(page), View::phone(page)] {
            browser.open(&view);
            let seen = "(({ width, height, top }) => width > 50 && height > 20 && top >= 0)(document.querySelector('#skip').getBoundingClientRect())";
            assert!(!browser.holds(seen), "{page}: the link is not seen before it is reached");
            browser.keys(Key::Tab);
            assert_eq!(browser.text("document.activeElement.textContent"), name);
            assert!(browser.holds(seen), "{page}: the link is seen when it has the focus");
            browser.assert_legible("#skip", view.theme);
            browser.keys(Key::Enter);
            browser.keys(Key::Tab);
            assert!(
                browser.holds("document.activeElement.closest('main')"),
                "{page}: the next Tab is at {}",
                browser.text("document.activeElement.outerHTML.slice(0, 80)")
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn with_forced_colours_what_is_chosen_can_be_seen_and_figures_can_be_read() {
    let browser = Browser::start();
    let forced = || {
        browser.cdp(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "forced-colors", "value": "active" }] }),
        );
    };
    browser.open(&View::wide("en/03_respawn.html"));
    forced();
    browser.js("document.querySelectorAll('details').forEach(d => d.open = true)", json!([]));
    browser.click(".twins button[data-s=fork]");
    browser.hover(".menu-title");
    for css in [".row.lit", ".bar [aria-pressed=true]", "#mdbook-sidebar .chapter a.active"] {
        let outline = browser.text(&format!(
            "(({{ outlineStyle, outlineWidth }}) => `${{outlineStyle}} ${{outlineWidth}}`)(getComputedStyle(document.querySelector('{css}')))"
        ));
        assert_eq!(outline, "solid 2px", "`{css}` is told by its background alone");
    }
    for (theme, page) in ["light", "navy"].into_iter().flat_map(|theme| {
        [(theme, "en/00_fork.html"), (theme, "ko/06_handoff.html"), (theme, "en/speed.html")]
    }) {
        browser.open(&View { theme, ..View::wide(page) });
        forced();
        let boxes = browser.text(
            "(() => {
               const probe = document.body.appendChild(document.createElement('p'));
               probe.style = 'forced-color-adjust: none; color: Canvas';
               const canvas = getComputedStyle(probe).color;
               probe.style.color = 'LinkText';
               const allowed = ['none', canvas, getComputedStyle(probe).color, getComputedStyle(document.body).color];
               return [...document.querySelectorAll('main figure :is(rect, circle)')].map(it => getComputedStyle(it).fill)
                 .filter(fill => !allowed.includes(fill)).join(' ');
             })()",
        );
        assert_eq!(boxes, "", "{page} in {theme}: boxes of figures keep the theme's colours");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_was_copied_is_said_and_each_copy_button_is_called_by_what_it_copies() {
    let browser = Browser::start();
    for (language, word, said) in [("ko", "복사", "복사했습니다"), ("en", "Copy", "Copied!")]
    {
        let page = format!("{language}/00_fork.html");
        browser.open(&View::wide(&page));
        browser.js("document.querySelectorAll('details').forEach(d => d.open = true)", json!([]));
        let wrong = browser.js(
            "return [...document.querySelectorAll('.clip-button')].filter(button => {
               const command = button.closest('.terminal') ? button.nextElementSibling.nextElementSibling : button.closest('pre').querySelector('code');
               const name = `${arguments[0]}: ${command.textContent.trim().split('\\n')[0]}`;
               return button.title !== name || button.ariaLabel !== name;
             }).map(button => button.outerHTML.slice(0, 100))",
            json!([word]),
        );
        assert_eq!(wrong, json!([]), "{page}: copy buttons without a name of their own");
        for (css, source) in [
            (".terminal .clip-button", "WORKERS=2 cargo run --bin 00_fork"),
            ("#run ~ pre .clip-button", "WORKERS=2 cargo run --bin 00_fork"),
        ] {
            browser.js("document.querySelector('[role=status]').textContent = ''", json!([]));
            browser.hover(css);
            browser.click(css);
            browser.until(
                &format!("{page}: a screen reader is told that `{source}` was copied"),
                &format!(
                    "document.querySelector('[role=status]').textContent.trim() === '{said} {source}'"
                ),
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn tab_reaches_the_copy_buttons_of_code_and_shows_them() {
    let browser = Browser::start();
    browser.open(&View::wide("en/00_fork.html"));
    let button = "document.querySelector('main pre > .buttons .clip-button')";
    browser.js(&format!("{button}.focus(); return null"), json!([]));
    assert!(browser.holds(&format!("document.activeElement === {button}")), "it takes the focus");
    browser
        .until("it is seen", &format!("getComputedStyle({button}.parentElement).opacity === '1'"));
}
