//! The book as it is published: below a path of its own, with a page for what is not there.

use browser_tests::serde_json::json;
use browser_tests::*;

/// Whatever the page has loaded that failed, or lies outside the book's path.
const STRAYS: &str = "performance.getEntriesByType('resource')
    .filter(({ name, responseStatus }) => !name.startsWith(root) || responseStatus !== 200)
    .map(({ name, responseStatus }) => `${responseStatus} ${name}`).join()";

fn strays(browser: &Browser) -> String {
    browser.text(&STRAYS.replace("root", &json!(published().root).to_string()))
}

#[track_caller]
fn until_at(browser: &Browser, promise: &str, page: &str) {
    let url = json!(format!("{}{page}", published().root));
    browser
        .until(promise, &format!("location.href === {url} && document.readyState === 'complete'"));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn an_address_without_a_page_gets_one_with_style_scripts_and_a_way_on() {
    let browser = Browser::start();
    let root = &published().root;
    for (reads, language, other) in [("ko", "ko", "en"), ("en", "en", "ko")] {
        browser.open(&View { reads, ..View::wide("404.html") });
        browser.visit(&format!("{root}toc.html"));
        browser.js("localStorage.clear(); return null", json!([]));
        for lost in ["nope/none.html", "ko/a/b/c", "nothing"] {
            browser.visit(&format!("{root}{lost}"));
            browser.until("the page is loaded", "document.readyState === 'complete'");
            assert_eq!(strays(&browser), "", "{lost}: what it loads is not all there");
            assert!(
                browser.holds("getComputedStyle(document.querySelector('#mdbook-menu-bar')).display === 'flex'"),
                "{lost} has no style"
            );
            assert_eq!(browser.text("document.documentElement.lang"), language);
            for words in ["이 주소에는 페이지가 없습니다", "There is no page at this address"]
            {
                assert!(
                    browser.text("document.querySelector('main').innerText").contains(words),
                    "{lost} does not say `{words}`"
                );
            }
            assert!(
                browser.number("document.querySelectorAll('#mdbook-sidebar .chapter a').length")
                    > 10.0,
                "{lost} has no table of contents"
            );
        }
        browser.click(&format!("main a[href='{other}/introduction.html']"));
        until_at(&browser, "its link leads into the book", &format!("{other}/introduction.html"));
        browser.visit(&format!("{root}nope/none.html"));
        browser.click("#language-switch");
        let switched = browser.text("document.documentElement.lang");
        until_at(
            &browser,
            "its switch leads into the book",
            &format!("{switched}/introduction.html"),
        );
        // The reader finds what they came for.
        browser.visit(&format!("{root}nope/none.html"));
        browser.keys("/");
        browser.until("the search opens", "window.search.hasFocus()");
        browser.until("the search index is loaded", "window.search.doc_urls?.length > 0");
        browser.cdp("Input.insertText", json!({ "text": "fork" }));
        browser.until("the search finds", "document.querySelector('#mdbook-searchresults a')");
        browser.keys(Key::Enter);
        let found = "location.href.startsWith(root) && location.search.includes('highlight')";
        browser.until(
            "Enter leads to a page of the book",
            &found.replace("root", &json!(root).to_string()),
        );
        assert_eq!(strays(&browser), "", "the page that was found is not whole");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn below_a_path_of_its_own_every_page_is_whole_and_every_way_stays_below_it() {
    let browser = Browser::start();
    let root = &published().root;
    browser.open(&View { reads: "ko", ..View::wide("404.html") });
    browser.visit(root);
    until_at(&browser, "the bare path opens the reader's language", "ko/introduction.html");
    for page in &published().pages {
        browser.visit(&format!("{root}{}", page.replace("index.html", "index.html#choose")));
        browser.until("the page is loaded", "document.readyState === 'complete'");
        assert_eq!(strays(&browser), "", "{page}: what it loads is not all there");
        let leaving = browser.text(&format!(
            "[...document.links].map(a => a.href).filter(url => url.startsWith(location.origin) && !url.startsWith({})).join()",
            json!(root)
        ));
        assert_eq!(leaving, "", "{page}: links that leave the book's path");
    }
}
