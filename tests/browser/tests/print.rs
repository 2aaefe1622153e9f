//! A chapter on paper: all of it, on white, and nothing that only a screen can do.

use browser_tests::serde_json::json;
use browser_tests::*;

/// The width of A4 between Chromium's own margins, and the height, in CSS pixels.
const SHEET: (u32, u32) = (718, 1047);

/// The page as it goes to the printer.
fn lay_out_for_paper(browser: &Browser) {
    browser.cdp("Emulation.setEmulatedMedia", json!({ "media": "print" }));
}

/// What is wrong with the sheet, one line each.
const WRONG: &str = "
    const wrong = [], [width, height] = arguments;
    const name = element => element.outerHTML.slice(0, 100);
    const seen = element => element.checkVisibility() && element.getClientRects().length > 0;
    for (const css of ['#mdbook-sidebar', '#mdbook-menu-bar', '#mdbook-search-wrapper', '.nav-chapters',
        '.mobile-nav-chapters', '.buttons', '.clip-button', '.bar', '#mdbook-help-container']) {
      for (const element of document.querySelectorAll(css)) if (seen(element)) wrong.push('no use on paper: ' + name(element));
    }
    for (const element of [document.documentElement, document.querySelector('.page-wrapper')]) {
      const { backgroundColor } = getComputedStyle(element);
      if (backgroundColor !== 'rgb(255, 255, 255)') wrong.push(`paper is white, not ${backgroundColor}`);
    }
    for (const element of document.querySelectorAll('main details > *:not(.bar)')) if (!seen(element)) wrong.push('folded: ' + name(element));
    for (const element of document.querySelectorAll('main *')) {
      if (element.closest('svg, title') || !seen(element)) continue;
      const box = element.getBoundingClientRect();
      if (box.left < -0.5 || box.right > width + 0.5) wrong.push(`over the edge by ${box.right - width}: ` + name(element));
      const style = getComputedStyle(element);
      if (element.scrollWidth > element.clientWidth + 1 && style.overflowX !== 'visible') wrong.push('cut off: ' + name(element));
      const whole = style.breakInside === 'avoid' || style.display.startsWith('inline-');
      if (whole && box.height > height) wrong.push(`cannot be divided, and is ${box.height} pixels high: ` + name(element));
    }
    for (const row of document.querySelectorAll(':is(ins, del).row')) {
      if (seen(row) && row.offsetWidth < row.closest('.rows').offsetWidth) wrong.push('coloured behind its text only: ' + name(row));
    }
    for (const stage of document.querySelectorAll('cluster-stage, cluster-live')) {
      for (const part of stage.shadowRoot?.querySelectorAll('div, p, pre') ?? []) if (seen(part)) wrong.push('alive on paper: ' + name(part));
      if (!(stage.querySelector('figure svg')?.getBoundingClientRect().height > 100)) wrong.push('no figure in place of the live cluster');
    }
    return wrong.slice(0, 5).join('\\n')";

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_printed_page_shows_all_of_it_on_white_and_nothing_is_cut_off() {
    let browser = Browser::start();
    let (width, height) = SHEET;
    for page in &book().pages {
        let page = page.replace("index.html", "index.html#choose");
        browser.open(&View { stored: &[("split", "true")], ..View::wide(&page) });
        browser.resize(width, height);
        lay_out_for_paper(&browser);
        for theme in ["light", "coal", "navy", "ayu"] {
            browser.choose_theme(theme);
            let wrong = browser.js(WRONG, json!([width, height]));
            assert_eq!(wrong, "", "{page} on paper, from the theme {theme}");
            browser.assert_legible("main", theme);
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn without_javascript_a_printed_page_shows_all_of_it_too() {
    let browser = Browser::start();
    let (width, height) = SHEET;
    for page in &book().pages {
        browser.open(&View { width, height, javascript: false, ..View::wide(page) });
        lay_out_for_paper(&browser);
        assert_eq!(browser.js(WRONG, json!([width, height])), "", "{page} on paper");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_is_folded_reaches_the_printer() {
    let browser = Browser::start();
    browser.open(&View::wide("ko/03_respawn.html"));
    // The real way to it: how many sheets there are.
    let sheets = || {
        let pdf = browser.cdp("Page.printToPDF", json!({}));
        let count = "return atob(arguments[0]).match(/\\/Type\\s*\\/Page\\b/g).length";
        browser.js(count, json!([pdf["data"]])).as_u64().unwrap()
    };
    let all = sheets();
    browser.js(
        "document.querySelectorAll('details > :not(summary)').forEach(part => part.remove())",
        json!([]),
    );
    // The program and its twin alone fill more than one.
    let rest = sheets();
    assert!(all > rest + 1, "{all} sheets, and {rest} without what is folded");
}
