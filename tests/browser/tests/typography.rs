//! Both scripts read well, and nothing is cut off on the narrowest phone.

use browser_tests::serde_json::json;
use browser_tests::*;

/// Every page, but the bare root, which leads away.
fn addresses() -> impl Iterator<Item = String> {
    book().pages.iter().map(|page| page.replace("index.html", "index.html#choose"))
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn no_page_scrolls_sideways_and_nothing_is_cut_off() {
    let browser = Browser::start();
    for width in [320, 390, 1280] {
        for page in addresses() {
            browser.open(&View { width, ..View::phone(&page) });
            browser
                .js("document.querySelectorAll('details').forEach(d => d.open = true)", json!([]));
            let scrolled = browser.number("document.scrollingElement.scrollWidth");
            assert!(scrolled <= f64::from(width), "{page} is {scrolled} px wide on {width} px");
            // mdBook clips what is too wide, so that it does not scroll: look at each element.
            // What stands in a box that scrolls, or is hidden by itself, is reached.
            let cut = browser.text(
                "[...document.querySelectorAll('.page *')].filter(element => {
                    const { right, width, left } = element.getBoundingClientRect();
                    if (!width || (right <= innerWidth + 0.5 && left >= -0.5)) return false;
                    for (let box = element; box && !box.matches('.content'); box = box.parentElement) {
                        const { overflowX, visibility, position } = getComputedStyle(box);
                        if (/auto|scroll/.test(overflowX) || visibility === 'hidden') return false;
                        if (position === 'fixed') return false;
                    }
                    return true;
                }).slice(0, 3).map(element => element.outerHTML.slice(0, 120)).join('\\n')",
            );
            assert_eq!(cut, "", "cut off on {page} at {width} px");
            let content = browser.number(
                "document.querySelector('.content').scrollWidth - document.querySelector('.content').clientWidth",
            );
            assert!(
                content <= 0.0,
                "{page} scrolls by {content} px inside its frame at {width} px"
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_menu_bar_fits_a_narrow_phone() {
    let browser = Browser::start();
    for language in LANGUAGES {
        browser.open(&View { width: 320, ..View::phone(&format!("{language}/00_fork.html")) });
        assert_eq!(browser.number("document.querySelector('#mdbook-menu-bar').clientHeight"), 50.0);
        for part in ["#mdbook-sidebar-toggle", "#mdbook-search-toggle", "#language-switch"] {
            let edges = browser.text(&format!(
                "(({{ left, right }}) => `${{left >= 0}} ${{right <= innerWidth}}`)(
                    document.querySelector('{part}').getBoundingClientRect())"
            ));
            assert_eq!(edges, "true true", "{part} is within 320 px");
        }
        browser.click("#language-switch");
        let other = if language == "ko" { "en" } else { "ko" };
        browser.until_address("the switch can be tapped", &format!("{other}/00_fork.html"));
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn korean_breaks_between_words() {
    let browser = Browser::start();
    for width in [320, 390, 1280] {
        for page in addresses().filter(|page| page.starts_with("ko/")) {
            browser.open(&View { width, ..View::phone(&page) });
            // A word of Hangul alone, in a paragraph or a list: never on two lines.
            let broken = browser.text(
                "(() => {
                    const broken = [];
                    for (const box of document.querySelectorAll('main > :is(p, ul, ol), main > h2')) {
                        const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
                        while (texts.nextNode()) {
                            const text = texts.currentNode;
                            for (const { 0: word, index } of text.data.matchAll(/(?<!\\S)[가-힣]{2,9}(?!\\S)/g)) {
                                const range = new Range();
                                range.setStart(text, index);
                                range.setEnd(text, index + word.length);
                                const lines = new Set([...range.getClientRects()].map(line => Math.round(line.top)));
                                if (lines.size > 1) broken.push(word);
                            }
                        }
                    }
                    return broken.join(' ');
                })()",
            );
            assert_eq!(broken, "", "words broken on {page} at {width} px");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn emphasis_in_korean_is_not_slanted() {
    let browser = Browser::start();
    for page in addresses().filter(|page| page.starts_with("ko/")) {
        browser.open(&View::wide(&page));
        let slanted = browser.text(
            "[...document.querySelectorAll('main *')].filter(element => element.checkVisibility() && /[가-힣]/.test(element.textContent)
                && !element.closest('svg, code') && getComputedStyle(element).fontStyle !== 'normal')
                .map(element => element.textContent).join(' | ')",
        );
        assert_eq!(slanted, "", "slanted Korean on {page}");
    }
    browser.js("document.querySelector('main p').innerHTML = '<em>강조</em>'", json!([]));
    let style = browser.text(
        "(({ fontStyle, fontWeight }) => `${fontStyle} ${fontWeight}`)(getComputedStyle(document.querySelector('main em')))",
    );
    assert_eq!(style, "normal 600");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn lines_are_neither_long_nor_tight() {
    let browser = Browser::start();
    for page in addresses() {
        browser.open(&View::wide(&page));
        let measures = browser.js(
            "return [...document.querySelectorAll('main > p')].map(p => {
                const { lineHeight, fontSize, width } = getComputedStyle(p);
                return [parseFloat(lineHeight) / parseFloat(fontSize), parseFloat(width) / parseFloat(fontSize)];
            })",
            json!([]),
        );
        for measure in measures.as_array().unwrap() {
            let (height, length) = (measure[0].as_f64().unwrap(), measure[1].as_f64().unwrap());
            assert!((1.6..1.9).contains(&height), "lines of {page} are {height} em high");
            assert!(length <= 45.0, "lines of {page} are {length} em long");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn wide_tables_and_code_scroll_inside_themselves_also_by_keyboard() {
    let browser = Browser::start();
    let (mut boxes, mut stuck) = (0.0, Vec::new());
    for page in addresses() {
        browser.open(&View { width: 320, ..View::phone(&page) });
        // What is folded is measured when it is unfolded, a frame later.
        browser.js(
            "document.querySelectorAll('details').forEach(details => { details.open = true; });
             return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))",
            json!([]),
        );
        let wide = "[...document.querySelectorAll('main pre > code, main .table-wrapper')]
            .filter(box => box.offsetHeight && box.scrollWidth > box.clientWidth)";
        boxes += browser.number(&format!("{wide}.length"));
        let here = browser.text(&format!(
            "{wide}.filter(box => box.tabIndex !== 0 || !/auto|scroll/.test(getComputedStyle(box).overflowX))
                .map(box => box.textContent.trim().slice(0, 40)).join(' | ')"
        ));
        if !here.is_empty() {
            stuck.push(format!("{page}: {here}"));
        }
    }
    println!("{boxes} boxes scroll on 320 px");
    assert_eq!(stuck, [""; 0], "wide boxes that do not scroll by keyboard");
}
