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
    for page in addresses() {
        // 1280 pixels show the sidebar, if they are there when mdBook loads the page.
        for (loaded, width) in [(true, 320), (false, 390), (true, 1280)] {
            let phone = View::phone(&page);
            if loaded {
                browser.open(&View { width, ..phone });
            } else {
                browser.resize(width, phone.height);
            }
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
    for page in addresses().filter(|page| page.starts_with("ko/")) {
        let phone = View::phone(&page);
        browser.open(&phone);
        for width in [320, 390, 1280] {
            browser.resize(width, phone.height);
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

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn no_table_is_wider_than_its_box_but_on_a_phone() {
    let browser = Browser::start();
    let (mut tables, mut wide) = (0.0, Vec::new());
    for page in addresses() {
        // The sidebar takes room from 1080 pixels on, if they are there when mdBook loads the page.
        for (loaded, width) in [(true, 1024), (true, 1080), (false, 1366), (false, 1920)] {
            let view = View::wide(&page);
            if loaded {
                browser.open(&View { width, ..view });
            } else {
                browser.resize(width, view.height);
            }
            browser
                .js("document.querySelectorAll('details').forEach(d => d.open = true)", json!([]));
            tables += browser.number("document.querySelectorAll('.table-wrapper').length");
            let cut = browser.text(
                "[...document.querySelectorAll('.table-wrapper')].filter(box => box.scrollWidth > box.clientWidth)
                    .map(box => `${box.scrollWidth} in ${box.clientWidth}: ${box.textContent.trim().slice(0, 40)}`).join(' | ')",
            );
            if !cut.is_empty() {
                wide.push(format!("{page} at {width} px: {cut}"));
            }
        }
    }
    assert!(tables > 0.0, "no table anywhere");
    assert!(wide.is_empty(), "tables that are wider than their box:\n{}", wide.join("\n"));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_phone_shows_all_columns_but_of_the_widest_tables_and_breaks_no_short_name_in_a_cell() {
    let browser = Browser::start();
    let (mut wide, mut broken) = (Vec::new(), Vec::new());
    for page in addresses() {
        browser.open(&View::phone(&page));
        let found = browser.js(
            "document.querySelectorAll('details').forEach(details => { details.open = true; });
             const lines = code => new Set([...code.getClientRects()].map(line => Math.round(line.top))).size;
             return [document.querySelectorAll('main .table-wrapper'), document.querySelectorAll('main td > code')].map((all, at) => [...all]
               .filter(it => at ? /^[\\w.:()]{1,17}$/.test(it.textContent) && lines(it) > 1 : it.scrollWidth > it.clientWidth + 1)
               .map(it => it.textContent.trim().slice(0, 20)).join(' | '))",
            json!([]),
        );
        for (all, here) in [&mut wide, &mut broken].into_iter().zip(found.as_array().unwrap()) {
            if here != "" {
                all.push(format!("{page}: {here}"));
            }
        }
    }
    assert_eq!(broken, [""; 0], "names that break in a cell");
    // Where each number has its spread beside it, and the seven rungs in words.
    let widest = ["ko/speed", "en/speed", "ko/internet", "en/internet"];
    wide.retain(|all| all.contains(" | ") || !widest.iter().any(|page| all.starts_with(page)));
    assert_eq!(wide, [""; 0], "tables that a phone cuts off");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_scrolls_shows_at_its_edge_that_there_is_more() {
    let browser = Browser::start();
    let mut boxes = 0.0;
    for page in addresses() {
        browser.open(&View::phone(&page));
        // What is folded is measured when it is unfolded, and a scroll is heard, a frame later.
        let wrong = browser.js(
            "const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
             return (async () => {
               document.querySelectorAll('details').forEach(details => { details.open = true; });
               await frame();
               const boxes = [...document.querySelectorAll('main pre > code, main .table-wrapper')].filter(box => box.offsetHeight);
               // Of a letter, a pixel is nothing.
               const wide = boxes.filter(box => box.scrollWidth > box.clientWidth + 1);
               const faded = box => getComputedStyle(box).maskImage !== 'none';
               const arrows = box => getComputedStyle(box, '::before').content !== 'none';
               const wrong = boxes.filter(box => faded(box) !== wide.includes(box)
                 || arrows(box) !== (wide.includes(box) && box.matches('.table-wrapper')));
               for (const box of wide) box.scrollLeft = box.scrollWidth;
               await frame();
               wrong.push(...wide.filter(faded));
               return [wide.length, wrong.map(box => box.textContent.trim().slice(0, 40)).join(' | ')];
             })()",
            json!([]),
        );
        boxes += wrong[0].as_f64().unwrap();
        assert_eq!(wrong[1], "", "{page}: these boxes do not show whether there is more");
    }
    assert!(boxes > 0.0, "nothing scrolls on a phone");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn an_underline_leaves_underscores_to_be_seen() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    // A letter that is nothing but an underscore: its line, paper, and the underline below.
    browser.js(
        "document.querySelector('main').innerHTML = '<p><a href=\"#\" style=\"line-height: 40px\">____</a></p>'; return null",
        json!([]),
    );
    let clip = browser.js(
        "const { x, y, width, height } = document.querySelector('main a').getBoundingClientRect();
         return { x, y: y - 4, width, height: height + 12, scale: 1 }",
        json!([]),
    );
    let picture = browser.cdp("Page.captureScreenshot", json!({ "clip": clip }));
    let lines = browser.js(
        "return (async () => {
           const image = new Image();
           image.src = 'data:image/png;base64,' + arguments[0];
           await image.decode();
           const paper = new OffscreenCanvas(image.width, image.height).getContext('2d');
           paper.drawImage(image, 0, 0);
           const { data } = paper.getImageData(image.width / 2, 0, 1, image.height);
           const dark = [...Array(image.height).keys()].map(row => data[row * 4] < 160 ? '#' : ' ').join('');
           return dark.trim();
         })()",
        json!([picture["data"]]),
    );
    let lines = lines.as_str().unwrap();
    assert!(lines.contains(' '), "underscore and underline are one line of {lines:?} pixels");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn text_tables_and_figures_begin_at_one_line() {
    let browser = Browser::start();
    for page in addresses() {
        browser.open(&View { width: 1500, ..View::wide(&page) });
        let edges = browser.text(
            "(() => {
               const left = document.querySelector('main').getBoundingClientRect().left;
               return [...document.querySelectorAll('main > :is(h1, h2, h3, p, details, pre), main table, main > figure svg, main > figure figcaption')]
                 .filter(it => it.checkVisibility() && !it.closest('details > *:not(summary), li') && Math.abs(it.getBoundingClientRect().left - left) > 1)
                 .map(it => it.outerHTML.slice(0, 80)).join('\\n');
             })()",
        );
        assert_eq!(edges, "", "{page}: these begin elsewhere");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_name_in_the_text_has_no_room_of_its_own_around_it() {
    let browser = Browser::start();
    for page in ["ko/00_fork.html", "en/00_fork.html", "en/speed.html"] {
        browser.open(&View::wide(page));
        let wide = browser.text(
            "[...document.querySelectorAll('main :not(pre) > code')]
                .filter(code => getComputedStyle(code).paddingLeft !== '0px').map(code => code.textContent).join(' | ')",
        );
        assert_eq!(wide, "", "{page}: `fork`, `accept` would seem to have blanks before the comma");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn each_folded_question_is_one_paragraph_beside_its_mark() {
    let browser = Browser::start();
    for language in LANGUAGES {
        browser.open(&View::phone(&format!("{language}/00_fork.html")));
        let found = browser.js(
            "const folds = [...document.querySelectorAll('#predict ~ details')].slice(0, 3);
             const gaps = folds.slice(1).map((fold, at) =>
               fold.getBoundingClientRect().top - folds[at].getBoundingClientRect().bottom);
             const lines = folds.map(fold => {
               const range = new Range();
               range.selectNodeContents(fold.firstElementChild);
               return [...range.getClientRects()];
             });
             const top = lines => Math.min(...lines.map(line => line.bottom));
             const left = lines => Math.min(...lines.map(line => line.left));
             return [Math.min(...gaps), lines.map(lines => {
               const rest = lines.filter(line => line.top > top(lines));
               return rest.length ? left(rest) - left(lines) : 0;
             }), folds.map(fold => left([fold.getBoundingClientRect()]))]",
            json!([]),
        );
        assert!(found[0].as_f64() >= Some(8.0), "{language}: {} px between questions", found[0]);
        let folds = found[2].as_array().unwrap();
        for (hang, _) in found[1].as_array().unwrap().iter().zip(folds) {
            let hang = hang.as_f64().unwrap();
            assert!(hang.abs() < 6.0, "{language}: the second line stands {hang} px off the first");
        }
    }
}
