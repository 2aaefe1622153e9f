//! Two languages: one switch, remembered; nothing that leads from one into the other unasked.

use browser_tests::serde_json::json;
use browser_tests::*;

const NAMES: [(&str, &str, &str); 2] = [("ko", "en", "English"), ("en", "ko", "한국어")];

fn pages_of(language: &str) -> Vec<&'static str> {
    let pages = book().pages.iter().map(String::as_str);
    pages.filter(|page| page.starts_with(&format!("{language}/"))).collect()
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn every_page_has_a_switch_to_itself_in_the_other_language() {
    let browser = Browser::start();
    for (language, other, name) in NAMES {
        for page in pages_of(language) {
            browser.open(&View::wide(page));
            assert!(
                browser.holds("document.querySelector('#mdbook-menu-bar #language-switch')"),
                "{page} has no switch in its menu bar"
            );
            assert_eq!(browser.text("document.querySelector('#language-switch').innerText"), name);
            assert_eq!(browser.text("document.querySelector('#language-switch').lang"), other);
            browser.click("#language-switch");
            let twin = page.replacen(language, other, 1);
            browser.until_address(&format!("the switch of {page} leads to its twin"), &twin);
            assert!(
                book().folder.join(&twin).is_file(),
                "{page} has no twin {twin}: the two languages have the same pages"
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_switch_is_reached_and_used_by_keyboard() {
    let browser = Browser::start();
    browser.open(&View::phone("ko/00_fork.html"));
    for _ in 0..8 {
        browser.keys(Key::Tab);
        if browser.holds("document.activeElement.id === 'language-switch'") {
            break;
        }
    }
    assert!(
        browser.holds("document.activeElement.matches('#language-switch:focus-visible')"),
        "eight presses of Tab do not reach the language switch, but {}",
        browser.text("document.activeElement.outerHTML")
    );
    browser.keys(Key::Enter);
    browser.until_address("Enter on the switch follows it", "en/00_fork.html");
}

/// Scrolls up a little; on a phone mdBook hides the bar while one scrolls down.
fn bring_the_menu_bar_out(browser: &Browser) {
    // A frame later mdBook has seen it; sooner this would scroll too far.
    browser.js(
        "const bar = document.querySelector('#mdbook-menu-bar');
         const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
         return (async () => {
           while (bar.getBoundingClientRect().top < 0) {
             scrollBy(0, -20);
             await frame();
           }
         })()",
        json!([]),
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_switch_keeps_the_heading_that_is_read() {
    let browser = Browser::start();
    for (language, other, _) in NAMES {
        for view in [View::wide(""), View::phone("")] {
            let page = format!("{language}/02_exit_log.html");
            let linked = format!("{page}#why");
            browser.open(&View { page: &linked, ..view.clone() });
            bring_the_menu_bar_out(&browser);
            browser.click("#language-switch");
            let twin = format!("{other}/02_exit_log.html#why");
            browser.until_address("the switch keeps the fragment of the address", &twin);
            assert!(
                browser.number("document.getElementById('why').getBoundingClientRect().top")
                    < 120.0,
                "the heading that was read is the one to go on with"
            );

            browser.open(&View { page: &page, ..view });
            browser.js("document.getElementById('diff').scrollIntoView()", json!([]));
            bring_the_menu_bar_out(&browser);
            browser.click("#language-switch");
            let twin = format!("{other}/02_exit_log.html#diff");
            browser.until_address("the switch leads to the heading being read", &twin);
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_bare_root_opens_the_remembered_language_else_the_browsers_else_english() {
    let browser = Browser::start();
    for (reads, opens) in
        [("ko-KR", "ko"), ("en-GB", "en"), ("fr-FR,ko", "ko"), ("kok,fr", "en"), ("de", "en")]
    {
        browser.open(&View { reads, ..View::wide("") });
        let promise = format!("a browser that reads {reads} opens {opens}");
        browser.until_address(&promise, &format!("{opens}/introduction.html"));
    }

    let korean = View { reads: "ko", ..View::wide("ko/01_crash.html") };
    browser.open(&korean);
    browser.click("#language-switch");
    browser.until_address("the switch leads to English", "en/01_crash.html");
    browser.goto("");
    browser.until_address("what the switch chose is remembered", "en/introduction.html");
    browser.click("#language-switch");
    browser.until_address("the switch leads back", "ko/introduction.html");
    browser.goto("");
    browser.until_address("the last choice counts", "ko/introduction.html");

    browser.open(&View { stored: &[("book-language", "xx")], ..korean });
    browser.goto("");
    browser.until_address("a choice we do not know is none", "ko/introduction.html");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_chooser_can_still_be_seen_and_its_choice_is_remembered() {
    let browser = Browser::start();
    browser.open(&View { reads: "ko", ..View::wide("ko/introduction.html") });
    browser.click("#mdbook-sidebar .chapter a");
    browser
        .until_address("the book's name in the sidebar leads to the chooser", "index.html#choose");
    for language in LANGUAGES {
        let link =
            format!("document.querySelector('main a[href=\"{language}/introduction.html\"]')");
        assert!(browser.holds(&format!("{link}?.offsetHeight")), "the chooser offers {language}");
        let listed = format!("document.querySelector('#mdbook-sidebar a[href^=\"{language}/\"]')");
        assert!(browser.holds(&format!("{listed}?.offsetHeight")), "its sidebar lists {language}");
    }
    browser.click("main a[href='en/introduction.html']");
    browser.until_address("the chooser leads to English", "en/introduction.html");
    browser.goto("");
    browser.until_address("the chooser's choice is remembered", "en/introduction.html");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_language_of_a_page_is_known_before_its_first_paint() {
    let browser = Browser::start();
    browser.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "
            new MutationObserver((_, observer) => {
                if (!document.body) return;
                window.languageAtFirst = document.documentElement.lang;
                observer.disconnect();
            }).observe(document, { childList: true, subtree: true })" }),
    );
    for language in LANGUAGES {
        for page in pages_of(language) {
            browser.open(&View { reads: "fr", ..View::wide(page) });
            assert_eq!(browser.text("languageAtFirst"), language, "<html lang> of {page}");
            assert_eq!(browser.text("document.documentElement.lang"), language, "of {page}");
        }
    }
}

/// By the DevTools: chromedriver repeats keys when the page goes away while it presses them.
fn arrow(browser: &Browser, key: &str) {
    browser.until("the page is loaded", "document.readyState === 'complete'");
    for kind in ["rawKeyDown", "keyUp"] {
        browser.cdp("Input.dispatchKeyEvent", json!({ "type": kind, "key": key, "code": key }));
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn previous_and_next_stay_in_the_language() {
    let browser = Browser::start();
    for language in LANGUAGES {
        let pages = pages_of(language);
        browser.open(&View::wide(pages[0]));
        for page in pages.iter().skip(1) {
            arrow(&browser, "ArrowRight");
            browser.until_address("the right arrow leads to the next page", page);
        }
        for page in pages.iter().rev().skip(1) {
            arrow(&browser, "ArrowLeft");
            browser.until_address("the left arrow leads to the page before", page);
        }
        for (page, way) in [(pages[0], "prev"), (pages[pages.len() - 1], "next")] {
            browser.open(&View::phone(page));
            let strays = browser.text(&format!(
                "[...document.querySelectorAll('a[rel~={way}]')].map(a => a.href).join()"
            ));
            assert_eq!(strays, "", "{page} is the end of its language, but links {way}");
        }
        // The buttons: the phone's and the ones beside a wide page without its sidebar.
        browser.open(&View::phone(pages[1]));
        browser
            .js("document.querySelector('.mobile-nav-chapters.next').scrollIntoView()", json!([]));
        browser.click(".mobile-nav-chapters.next");
        browser.until_address("the phone's button leads to the next page", pages[2]);
        let hidden = [("mdbook-sidebar", "hidden")];
        browser.open(&View { stored: &hidden, ..View::wide(pages[1]) });
        browser.click(".nav-chapters.previous");
        browser.until_address("the wide page's button leads to the page before", pages[0]);
    }
}

/// What SUMMARY.md lists of a language, the titles of its parts among it; of both where there is none.
fn listed(language: &str) -> Vec<String> {
    let summary = std::fs::read_to_string(project().join("book/SUMMARY.md")).unwrap();
    let (mut listed, mut part) = (Vec::new(), None);
    for line in summary.lines().skip(1) {
        if let Some(title) = line.strip_prefix("# ") {
            part = Some(title.to_owned());
        } else if let Some((page, _)) =
            line.split_once("](").and_then(|(_, rest)| rest.split_once(".md"))
            && (page == "index" || page.starts_with(language))
        {
            listed.extend(part.take());
            listed.push(match page {
                "index" => "index.html#choose".to_owned(),
                _ => format!("{page}.html"),
            });
        }
    }
    listed
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_sidebar_lists_the_language_being_read_part_by_part() {
    let browser = Browser::start();
    let both = ("", vec!["index.html#choose", "404.html"]);
    let one = LANGUAGES.map(|language| {
        let pages = pages_of(language);
        (language, vec![pages[0], pages[3], pages[pages.len() - 1]])
    });
    for (language, pages) in one.into_iter().chain([both]) {
        let expected = listed(language);
        assert!(expected.len() > 15, "the summary has parts and chapters: {expected:?}");
        for (page, wide) in pages.iter().flat_map(|page| [(page, true), (page, false)]) {
            browser.open(&if wide { View::wide(page) } else { View::phone(page) });
            if !wide {
                browser.click("#mdbook-sidebar-toggle");
            }
            let shown = browser.js(
                "return [...document.querySelectorAll('#mdbook-sidebar .chapter > li')]
                     .filter(li => li.checkVisibility())
                     .map(li => li.querySelector('a')?.href.replace(arguments[0], '') ?? li.textContent)",
                json!([book().root]),
            );
            assert_eq!(shown, json!(expected), "the sidebar of {page}");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_choosers_title_is_the_books_name_once() {
    let browser = Browser::start();
    browser.open(&View::wide("index.html#choose"));
    assert_eq!(browser.text("document.title"), "cluster, in Rust");
    browser.open(&View::wide("en/00_fork.html"));
    let title = browser.text("document.title");
    assert!(title.ends_with(" - cluster, in Rust"), "a chapter's title keeps both: {title}");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn mdbooks_own_words_are_korean_on_korean_pages() {
    let browser = Browser::start();
    browser.open(&View::wide("ko/02_exit_log.html"));
    // Whatever mdBook names for a pointer or a screen reader, wherever it stands.
    let english = browser.text(
        "['title', 'aria-label', 'placeholder'].flatMap(name =>
            [...document.querySelectorAll(`[${name}]`)]
                .filter(element => !element.closest('#language-switch, svg') && !element.matches('link'))
                .map(element => element.getAttribute(name))
                .filter(text => /[a-z]/i.test(text) && !/[가-힣]/.test(text))).join(' | ')",
    );
    assert_eq!(english, "", "words of mdBook that language.js does not translate");
    let english = browser.text(
        "[...document.querySelectorAll('#mdbook-theme-list button, .mdbook-help-title, #mdbook-help-popup p')]
            .map(element => element.textContent).filter(text => !/[가-힣]/.test(text)).join(' | ')",
    );
    assert_eq!(english, "", "words of mdBook that language.js does not translate");
    let help = browser.text("document.querySelector('#mdbook-help-popup').textContent");
    assert!(!help.contains("Press") && !help.contains(" to "), "the help is half Korean: {help}");

    let titles = "[...document.querySelectorAll('.blockquote-tag-title')].map(title => title.textContent.trim())";
    let mut seen = 0;
    for page in pages_of("ko") {
        browser.open(&View::wide(page));
        seen += browser.number(&format!("{titles}.length")) as usize;
        let english = browser.text(&format!("{titles}.filter(text => /[a-z]/i.test(text)).join()"));
        assert_eq!(english, "", "the titles of the notes and warnings of {page}");
    }
    println!("{seen} notes and warnings on the Korean pages");

    browser.open(&View::wide("en/02_exit_log.html"));
    assert_eq!(
        browser.text("document.querySelector('#mdbook-theme-toggle').title"),
        "Change theme"
    );
    let korean = browser.text(
        "[...document.querySelectorAll('[title], [aria-label]')]
            .filter(element => !element.closest('#language-switch, main'))
            .map(element => element.title + element.ariaLabel).filter(text => /[가-힣]/.test(text)).join(' | ')",
    );
    assert_eq!(korean, "", "Korean names on an English page");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_copied_listing_says_so_in_korean() {
    let browser = Browser::start();
    browser.open(&View::wide("ko/00_fork.html"));
    // It is taken away when the pointer leaves the button, as it does when the page shifts.
    browser.js(
        "window.said = [];
         new MutationObserver(changes => changes.forEach(({ target }) => said.push(target.textContent)))
             .observe(document.querySelector('main'), { childList: true, characterData: true, subtree: true })",
        json!([]),
    );
    browser.hover("main pre:has(> .buttons .clip-button)");
    browser.click("main pre > .buttons .clip-button");
    browser.until(
        "\"Copied!\", or that it could not, is said in Korean",
        "said.some(text => text.startsWith('복사'))",
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_sidebar_opens_by_keyboard() {
    let browser = Browser::start();
    browser.open(&View::phone("en/00_fork.html"));
    let expanded = "document.querySelector('#mdbook-sidebar-toggle').ariaExpanded";
    assert_eq!(browser.text(expanded), "false");
    // Past the link that skips the sidebar.
    browser.keys(Key::Tab);
    browser.keys(Key::Tab);
    browser.keys(Key::Enter);
    browser.until("Enter on the first button opens the sidebar", &format!("{expanded} === 'true'"));
    browser.until(
        "the sidebar is seen",
        "document.querySelector('#mdbook-sidebar').getBoundingClientRect().left >= 0",
    );
    browser.keys(" ");
    browser.until("Space closes it", &format!("{expanded} === 'false'"));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn without_javascript_every_page_of_both_languages_is_reached_and_read() {
    let browser = Browser::start();
    browser.open(&View { javascript: false, reads: "ko", ..View::wide("") });
    for language in LANGUAGES {
        let link =
            format!("document.querySelector('main a[href=\"{language}/introduction.html\"]')");
        assert!(browser.holds(&format!("{link}?.offsetHeight")), "the bare root offers {language}");
    }
    let toc = browser.text(
        "document.querySelector('noscript').textContent + document.querySelector('iframe')?.src",
    );
    assert!(toc.contains("toc.html"), "without JavaScript the sidebar is mdBook's frame: {toc}");
    browser.goto("toc.html");
    for page in &book().pages {
        let listed = format!("document.querySelector('a[href=\"{page}\"]')?.offsetHeight");
        assert!(browser.holds(&listed), "without JavaScript the sidebar lacks {page}");
    }
    for page in &book().pages {
        browser.goto(page);
        assert!(
            browser.number("document.querySelector('main').innerText.length") > 50.0,
            "{page} can be read without JavaScript"
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn mdbook_writes_the_markup_that_our_scripts_rely_on() {
    let browser = Browser::start();
    // Without our scripts' work: that is what mdBook writes.
    browser.open(&View { javascript: false, ..View::wide("en/02_exit_log.html") });
    for css in [
        "label#mdbook-sidebar-toggle[for][aria-label]",
        "#mdbook-menu-bar .right-buttons",
        "#mdbook-theme-list button.theme#mdbook-theme-light",
        "#mdbook-search-wrapper input#mdbook-searchbar",
        "#mdbook-searchresults-outer #mdbook-searchresults-header",
        "ul#mdbook-searchresults",
        ".nav-chapters.next[href^='../en/']",
        ".mobile-nav-chapters.next[href^='../en/']",
        "#mdbook-help-popup kbd",
        ".table-wrapper > table",
    ] {
        assert!(
            browser.holds(&format!("document.querySelector({})", json!(css))),
            "mdBook no longer writes `{css}`: look for it in book/assets and in this test"
        );
    }
    browser.open(&View::wide("en/02_exit_log.html"));
    for expression in [
        "typeof path_to_root === 'string'",
        "elasticlunr.Index.prototype.search",
        "elasticlunr.stemmer('forks') === 'fork'",
        "document.querySelector('#mdbook-sidebar .chapter > li > span > a[href^=\"../en/\"]')",
        "document.querySelector('main pre .clip-button > .tooltiptext')",
    ] {
        assert!(
            browser.holds(expression),
            "no longer true of mdBook's scripts: `{expression}`. Our scripts in book/assets rely on it"
        );
    }
    assert_eq!(browser.errors(), [""; 0], "errors in the console");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn whatever_mdbook_no_longer_names_the_rest_is_still_done() {
    let browser = Browser::start();
    browser.open(&View::wide("ko/02_exit_log.html"));
    let script = browser.text("document.querySelector('script[src*=\"assets/language\"]').src");
    browser.cdp("Network.enable", json!({}));
    browser.cdp("Network.setBlockedURLs", json!({ "urls": ["*assets/language*"] }));
    for missing in [
        "#mdbook-sidebar-toggle",
        "#mdbook-menu-bar",
        "#mdbook-search-wrapper",
        "#mdbook-searchresults-header",
        "#mdbook-searchbar",
        ".right-buttons",
        "#mdbook-sidebar",
        "#mdbook-help-popup",
    ] {
        browser.goto("ko/02_exit_log.html");
        browser.until("the page is loaded", "document.readyState === 'complete'");
        assert!(
            !browser.holds("document.querySelector('#language-switch')"),
            "the script is blocked"
        );
        browser.js(
            "document.querySelector(arguments[0]).remove();
             window.thrown = [];
             addEventListener('error', ({ message }) => thrown.push(message));
             return null",
            json!([missing]),
        );
        browser.cdp("Network.setBlockedURLs", json!({ "urls": [] }));
        browser.js(
            "const script = document.createElement('script');
             script.src = arguments[0];
             script.onload = () => { window.ready = true; };
             document.body.append(script);
             return null",
            json!([script]),
        );
        browser.until("the script runs", "window.ready");
        browser.cdp("Network.setBlockedURLs", json!({ "urls": ["*assets/language*"] }));
        assert_eq!(browser.text("thrown.join()"), "", "without {missing} it fails");
        let undone = browser.text(
            "Object.entries({
               '#mdbook-theme-toggle': element => element.title === '테마 바꾸기',
               '#mdbook-theme-light': element => element.textContent === '밝게',
               '#mdbook-sidebar-toggle': element => element.matches('button'),
               '#mdbook-searchresults-header': element => element.role === 'status',
               '#mdbook-menu-bar': element => element.role === 'banner',
               '#language-switch': element => element.href.endsWith('/en/02_exit_log.html'),
             }).filter(([css, done]) => document.querySelector(css) && !done(document.querySelector(css)))
               .map(([css]) => css).join()",
        );
        assert_eq!(undone, "", "without {missing} this is not done");
        let words = browser.text("document.querySelector('main .clip-button')?.title ?? ''");
        assert!(words.contains("복사"), "without {missing} the Korean words do not come: {words}");
    }
}

#[test]
fn no_script_needs_what_safari_before_16_4_cannot_read() {
    let assets = project().join("book/assets");
    let files = std::fs::read_dir(assets).unwrap().map(|file| file.unwrap().path());
    let scripts = files.filter(|file| file.extension().is_some_and(|kind| kind != "png"));
    let head = project().join("book/theme/head.hbs");
    let scripts: Vec<_> = scripts.chain([head]).collect();
    assert!(scripts.len() > 5, "book/assets lies elsewhere");
    for file in &scripts {
        let source = std::fs::read_to_string(file).unwrap();
        for lookbehind in ["(?<=", "(?<!"] {
            assert!(
                !source.contains(lookbehind),
                "{}: `{lookbehind}` stops the whole script there",
                file.display()
            );
        }
    }
    // A page with a cluster to play with loads that besides.
    let clusters = ["cluster.js", "live.js", "live-model.js"];
    let scripts = scripts.iter().filter(|file| !clusters.iter().any(|name| file.ends_with(name)));
    let bytes: u64 = scripts.map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < 27_900, "a page loads {bytes} bytes of our own");
}
