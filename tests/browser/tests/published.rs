//! The book as it is published: below a path of its own, with a page for what is not there.

use std::collections::BTreeSet;

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
#[ignore = "needs mdbook, Node, chromium and chromedriver"]
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
#[ignore = "needs mdbook, Node, chromium and chromedriver"]
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

#[test]
#[ignore = "needs mdbook, Node, chromium and chromedriver"]
fn robots_and_link_previews_read_language_description_and_image_in_the_file_itself() {
    let browser = Browser::start();
    let Book { root, folder, pages } = published();
    browser.open(&View::wide("404.html"));
    browser.visit(root);
    let (mut titles, mut descriptions) = (BTreeSet::new(), BTreeSet::new());
    for page in pages {
        // No script runs in it: this is what stands in the file.
        let read = browser.js(
            "return fetch(arguments[0]).then(answer => answer.text()).then(text => {
               const page = new DOMParser().parseFromString(text, 'text/html');
               const read = (css, name) => [...page.querySelectorAll(css)].map(it => it.getAttribute(name)).join(' ');
               const og = name => read(`meta[property='og:${name}']`, 'content');
               return {
                 lang: page.documentElement.lang, title: page.title, description: read('meta[name=description]', 'content'),
                 canonical: read('link[rel=canonical]', 'href'), twins: ['ko', 'en'].map(it => read(`link[hreflang=${it}]`, 'href')),
                 og: ['title', 'description', 'url', 'image', 'locale', 'site_name'].map(og),
               };
             })",
            json!([format!("{root}{page}")]),
        );
        let text = |name: &str| read[name].as_str().unwrap().to_owned();
        let (title, description) = (text("title"), text("description"));
        let (language, name) = page.split_once('/').unwrap_or(("", ""));
        let (url, twins) = match language {
            "" => (root.clone(), ["", ""].map(str::to_owned)),
            _ => (format!("{root}{page}"), LANGUAGES.map(|it| format!("{root}{it}/{name}"))),
        };
        assert_eq!(text("canonical"), url, "{page}");
        assert_eq!(read["twins"], json!(twins), "{page}: the same page in Korean and in English");
        let locale = match language {
            "ko" => "ko_KR",
            "en" => "en_US",
            _ => "",
        };
        let short = title.strip_suffix(" - cluster, in Rust").unwrap_or(&title);
        let image = format!("{root}assets/card.png");
        let expected = [short, &description, &url, &image, locale, "cluster, in Rust"];
        assert_eq!(read["og"], json!(expected), "{page}: what a link preview shows");
        if !language.is_empty() {
            assert_eq!(text("lang"), language, "{page}");
            for (what, text) in [("title", short), ("description", &description)] {
                let korean = text.contains(|letter| ('가'..='힣').contains(&letter));
                assert_eq!(korean, language == "ko", "the {what} of {page}: {text}");
            }
        }
        let length = description.chars().count();
        assert!(
            (20..=320).contains(&length),
            "{page}: {length} letters describe it: {description}"
        );
        assert!(titles.insert(title.clone()), "{page} has another page's title: {short}");
        assert!(descriptions.insert(description), "{page} has another page's description");
    }
    assert!(titles.contains("cluster, in Rust"), "the chooser says its name once: {titles:?}");
    let image = std::fs::read(folder.join("assets/card.png")).expect("the preview's image");
    assert!(image.starts_with(b"\x89PNG") && image.len() < 100_000);
}
