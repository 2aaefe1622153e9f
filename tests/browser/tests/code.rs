//! Diffs, twins, transcripts and figures, as a reader sees them.

use std::fs;

use browser_tests::*;
use serde_json::json;

const STEPS: [&str; 4] = ["00_fork", "01_crash", "02_exit_log", "03_respawn"];
const DIFFS: [&str; 3] = ["01_crash", "02_exit_log", "03_respawn"];

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A step as a chapter shows it: without its anchors.
fn program(path: &str) -> String {
    read(path)
        .lines()
        .filter(|line| !line.contains("// ANCHOR"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The lowest contrast of any text in `arguments[0]`, with the text, as [ratio, text]. Colours that
/// are not opaque are laid over what is below them.
const CONTRAST: &str = "
    const paper = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = colour => {
      paper.clearRect(0, 0, 1, 1);
      paper.fillStyle = colour;
      paper.fillRect(0, 0, 1, 1);
      return [...paper.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], [R, G, B]) =>
      [[r, R], [g, G], [b, B]].map(([top, below]) => (top * a + below * (255 - a)) / 255);
    const below = element => {
      const under = element.parentElement ? below(element.parentElement) : [255, 255, 255];
      return over(rgba(getComputedStyle(element).backgroundColor), under);
    };
    const light = colour => {
      const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let worst = [99, ''];
    for (const root of document.querySelectorAll(arguments[0])) {
      const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode, element = text.parentElement;
        if (!text.data.trim() || !element.checkVisibility()) continue;
        const ground = below(element);
        const [a, b] = [light(over(rgba(getComputedStyle(element).color), ground)), light(ground)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, element.className + ' ' + text.data];
      }
    }
    return worst;";

#[track_caller]
fn assert_legible(browser: &Browser, css: &str, theme: &str) {
    let worst = browser.js(CONTRAST, json!([css]));
    let ratio = worst[0].as_f64().unwrap();
    assert!(ratio < 99.0, "{}: no text in `{css}`", browser.address());
    assert!(
        ratio >= 4.5,
        "{} in the theme {theme}: {ratio:.2} is too little contrast in `{css}`: {}",
        browser.address(),
        worst[1]
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_diff_is_rust_inside_added_and_removed_lines_and_keeps_its_signs() {
    let browser = Browser::start();
    for language in LANGUAGES {
        for step in DIFFS {
            browser.open(&View::wide(&format!("{language}/{step}.html")));
            let diff = read(&format!("book/diffs/{step}.diff"));
            let diff = diff.trim_end_matches('\n');
            let code = "document.querySelector('.language-diff')";
            assert_eq!(
                browser.text(&format!("{code}.textContent")).trim_end_matches('\n'),
                diff,
                "{language}/{step} shows another diff"
            );
            let lines = |sign: &str, head: &str| -> Vec<String> {
                let lines =
                    diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(head));
                lines.map(str::to_owned).collect()
            };
            for (tag, expected) in [("ins", lines("+", "+++ ")), ("del", lines("-", "--- "))] {
                let shown = browser.js(
                    "return [...document.querySelectorAll(`.language-diff ${arguments[0]}`)].map(line => line.textContent)",
                    json!([tag]),
                );
                assert_eq!(shown, json!(expected), "{language}/{step}: the lines in <{tag}>");
            }
            assert!(
                browser.holds(&format!(
                    "{code}.querySelector('ins .hljs-keyword, ins .hljs-comment')"
                )),
                "{language}/{step}: added lines are not coloured as Rust"
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn code_is_legible_in_all_themes() {
    let browser = Browser::start();
    for theme in THEMES {
        for split in ["true", "false"] {
            for step in DIFFS {
                let page = format!("en/{step}.html");
                browser.open(&View { theme, stored: &[("split", split)], ..View::wide(&page) });
                assert_legible(&browser, ".language-diff", theme);
                assert_legible(&browser, ".bar, .terminal", theme);
            }
        }
        browser.open(&View { theme, ..View::wide("en/introduction.html") });
        for step in STEPS {
            show_twins(&browser, step);
            let stages = browser.number("document.querySelectorAll('.bar button').length") as usize;
            for stage in 1..=stages {
                browser.js("document.querySelector(arguments[0]).focus()", json!([chip(stage)]));
                assert_legible(&browser, ".twins", theme);
            }
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_diff_stands_side_by_side_where_wide_and_the_choice_is_remembered() {
    let browser = Browser::start();
    // The first line that was removed and the first that was added are beside each other.
    let beside = "(() => {
        const [del, ins] = ['del', 'ins'].map(tag =>
          document.querySelector(`.language-diff ${tag}`).getBoundingClientRect());
        return del.top === ins.top && del.right <= ins.left;
      })()";
    browser.open(&View::wide("ko/01_crash.html"));
    assert!(!browser.holds(beside), "a diff is unified until the reader wants it otherwise");
    browser.click("button.split");
    assert!(browser.holds(beside), "the button puts old and new beside each other");
    let pressed = "document.querySelector('button.split').ariaPressed === 'true'";
    assert!(browser.holds(pressed), "the button says that it is on");
    let text = browser.text("playground_text(document.querySelector('pre:has(> .language-diff)'))");
    assert_eq!(
        text.trim_end(),
        read("book/diffs/01_crash.diff").trim_end(),
        "the copy is the diff"
    );
    browser.goto("en/02_exit_log.html");
    assert!(browser.holds(beside), "the choice holds on another page, in the other language");
    assert!(browser.holds(pressed));
    browser.click("button.split");
    assert!(!browser.holds(beside), "the button puts them one above the other again");

    browser.open(&View { stored: &[("split", "true")], ..View::phone("ko/01_crash.html") });
    assert!(!browser.holds(beside), "there is no room for it on a phone");
    assert!(!browser.holds("document.querySelector('button.split').checkVisibility()"));
    assert_eq!(browser.errors(), Vec::<String>::new());
}

/// Puts the whole programs of a step on the page, as a chapter has them, and runs code.js on them.
fn show_twins(browser: &Browser, step: &str) {
    browser.js(
        "const main = document.querySelector('main');
         main.innerHTML = '<div class=twins></div>';
         const colours = code => {
           const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), letters = [];
           while (texts.nextNode()) {
             const colour = texts.currentNode.parentElement.closest('[class^=hljs-]')?.className;
             for (const letter of texts.currentNode.data) if (letter.trim()) letters.push(letter + colour);
           }
           return letters.join();
         };
         window.colours = () => [...document.querySelectorAll('.twins code')].map(colours);
         for (const [language, text] of [['rust', arguments[0]], ['js', arguments[1]]]) {
           const code = document.createElement('code');
           code.className = 'language-' + language;
           code.textContent = text;
           main.firstChild.append(document.createElement('pre'));
           main.firstChild.lastChild.append(code);
           hljs.highlightBlock(code);
         }
         window.whole = window.colours();
         window.ready = false;
         const script = document.createElement('script');
         script.src = document.querySelector('script[src*=\"assets/code\"]').src;
         script.onload = () => ready = true;
         document.body.append(script)",
        json!([program(&format!("steps/{step}.rs")), program(&format!("steps/node/{step}.mjs"))]),
    );
    browser.until("code.js runs", "ready === true");
}

/// The button of a stage.
fn chip(number: usize) -> String {
    format!(".twins .bar button:nth-child({number})")
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn every_stage_of_every_chapter_lights_its_lines_in_rust_and_in_node() {
    let browser = Browser::start();
    browser.open(&View { height: 2400, ..View::wide("en/introduction.html") });
    // What the first line and the last line that is lit say, in Rust and in Node.
    let ends = |name: &str| match name {
        "bind" => ["TcpListener::bind", ".map_err", "server.listen", "server.listen"],
        "fork" => ["마스터 프로세스", "}", "마스터 프로세스", "}"],
        "serve" => ["let server", "}", "const server", "});"],
        "wait" => ["loop {", "}", "cluster.on('exit'", "});"],
        "respawn" => ["if unsafe { fork() }", "}", "cluster.fork();", "cluster.fork();"],
        _ => panic!("no such stage: {name}"),
    };
    for step in STEPS {
        show_twins(&browser, step);
        let names = browser.text(
            "[...document.querySelectorAll('.bar button')].map(b => b.textContent).join(' ')",
        );
        let expected = match step {
            "00_fork" | "01_crash" => "bind fork serve",
            "02_exit_log" => "bind fork wait serve",
            _ => "bind fork wait respawn serve",
        };
        assert_eq!(names, expected, "the stages of {step} that both programs have");
        assert_eq!(
            browser.js("return window.colours()", json!([])),
            browser.js("return window.whole", json!([])),
            "{step}: a token spans lines, and code.js colours line by line"
        );
        for (at, name) in names.split(' ').enumerate() {
            let lit = || {
                browser.js(
                    "return [...document.querySelectorAll('.twins code')].flatMap(code => {
                       const rows = [...code.querySelectorAll('.row.lit')].map(row => row.textContent.trim());
                       return [rows[0], rows.at(-1)];
                     })",
                    json!([]),
                )
            };
            let check = |how: &str| {
                let (lit, ends) = (lit(), ends(name));
                for (line, end) in lit.as_array().unwrap().iter().zip(ends) {
                    let line = line.as_str().unwrap_or("nothing");
                    assert!(
                        line.starts_with(end) || line.contains(end) && end.len() > 3,
                        "{step}: {how} `{name}` should light from and to {ends:?}, but lights {lit}"
                    );
                }
            };
            browser.hover(".menu-title");
            browser.js("document.querySelector(arguments[0]).focus()", json!([chip(at + 1)]));
            check("the focus on");
            browser.js("document.activeElement.blur()", json!([]));
            browser.hover(".twins code.language-js .row:first-child");
            browser.hover(&chip(at + 1));
            check("the pointer over");
        }
        browser.hover(".twins code.language-js .row[data-s~=fork]");
        assert!(
            browser.holds("document.querySelector('.language-rust .row.lit[data-s~=fork]')"),
            "{step}: the pointer over a line of Node should light those of Rust"
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn twins_stand_side_by_side_where_wide_and_one_above_the_other_on_a_phone() {
    let browser = Browser::start();
    for page in
        book().pages.iter().filter(|page| page.starts_with("ko/") || page.starts_with("en/"))
    {
        for (width, beside) in [(1280, true), (1800, true), (390, false), (320, false)] {
            browser.open(&View { width, ..View::wide(page) });
            let wrong = browser.text(&format!(
                "[...document.querySelectorAll('.twins')].filter(twins => twins.checkVisibility()).filter(twins => {{
                   const [rust, node] = [...twins.querySelectorAll('pre')].map(pre => pre.getBoundingClientRect());
                   return {beside} ? !(rust.right <= node.left && rust.top === node.top)
                     : !(rust.bottom <= node.top && rust.left === node.left);
                 }}).map(twins => twins.textContent.slice(0, 80)).join()"
            ));
            assert_eq!(wrong, "", "{page} at {width} pixels has twins that stand wrong");
            let sideways = browser.number("document.querySelector('.content').scrollWidth - document.querySelector('.content').clientWidth");
            assert!(sideways <= 0.0, "{page} at {width} pixels scrolls sideways by {sideways}");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_transcript_is_two_terminals_and_copying_a_command_copies_the_command_alone() {
    let browser = Browser::start();
    for (language, word) in [("ko", "터미널"), ("en", "Terminal")] {
        for step in STEPS {
            let page = format!("{language}/{step}.html");
            browser.open(&View::wide(&page));
            assert!(
                !browser.holds("document.querySelector('main .language-console')"),
                "{page}: a console fence does not begin with `──── 1 ────`"
            );
            let shown = browser.js(
                "return [...document.querySelectorAll('.terminal')].map(box => ({
                   name: box.firstChild.textContent,
                   text: box.querySelector('code').textContent.trimEnd(),
                   commands: [...box.querySelectorAll('b')].map(b => b.textContent),
                 }))",
                json!([]),
            );
            let source = read(&format!("book/{language}/{step}.md"));
            let scenes = source.split("{{#include ../console/").skip(1);
            let scenes: String = scenes
                .map(|rest| read(&format!("book/console/{}", rest.split("}}").next().unwrap())))
                .collect();
            let parts =
                scenes.split("──── ").skip(1).map(|part| part.split_once(" ────\n").unwrap());
            let expected: Vec<_> = parts
                .map(|(number, text)| {
                    let commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
                    json!({
                        "name": format!("{word} {number}"),
                        "text": text.trim_end(),
                        "commands": commands.collect::<Vec<_>>(),
                    })
                })
                .collect();
            assert_eq!(shown, json!(expected), "{page}");
            // What goes to the clipboard: mdBook's ClipboardJS selects it in a field of its own.
            let buttons = browser.number(
                "(() => {
                   window.copied = [];
                   addEventListener('copy', () => copied.push(document.activeElement.value), true);
                   const buttons = document.querySelectorAll('.terminal .clip-button');
                   buttons.forEach((button, at) => {
                     button.id = `copy-${at}`;
                     if (button.closest('details')) button.closest('details').open = true;
                   });
                   return buttons.length;
                 })()",
            );
            for at in 0..buttons as usize {
                browser.click(&format!("#copy-{at}"));
            }
            let copied = browser.js("return copied", json!([]));
            let commands: Vec<_> =
                scenes.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
            assert_eq!(copied, json!(commands), "{page}: what the buttons copy");
            let label = browser.text("document.querySelector('.terminal .clip-button').title");
            assert!(!label.is_empty(), "{page}: the button has no name");
        }
    }
    // Another block still copies itself.
    browser.open(&View::wide("en/00_fork.html"));
    let block = "document.querySelector('pre:has(> .language-rust)')";
    assert_eq!(
        browser.text(&format!("playground_text({block})")),
        browser.text(&format!("{block}.querySelector('code').textContent"))
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn code_that_scrolls_can_be_scrolled_by_keys_without_turning_the_page() {
    let browser = Browser::start();
    browser.open(&View::phone("en/00_fork.html"));
    let page = browser.address();
    let wide = "[...document.querySelectorAll('pre code')].find(code => code.scrollWidth > code.clientWidth)";
    browser.until("code that scrolls takes the focus", &format!("{wide}.tabIndex === 0"));
    browser.js(&format!("{wide}.focus()"), json!([]));
    browser.keys(Key::Right);
    browser.until("the arrow scrolls the code", &format!("{wide}.scrollLeft > 0"));
    assert_eq!(browser.address(), page, "and does not turn the page");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn without_javascript_every_fence_is_there_to_read() {
    let browser = Browser::start();
    for step in DIFFS {
        browser.open(&View { javascript: false, ..View::wide(&format!("ko/{step}.html")) });
        for (language, text) in [
            ("diff", read(&format!("book/diffs/{step}.diff"))),
            ("console", read(&format!("book/console/{step}.console"))),
        ] {
            let blocks = browser.js(
                "return [...document.querySelectorAll(`pre > code.language-${arguments[0]}`)].map(code => code.innerText)",
                json!([language]),
            );
            let found = blocks
                .as_array()
                .unwrap()
                .iter()
                .any(|block| block.as_str().unwrap().trim() == text.trim());
            assert!(found, "ko/{step}: the {language} is not there");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn figures_say_what_they_show_follow_the_theme_and_can_be_read_on_a_phone() {
    let browser = Browser::start();
    let mut figures = 0.0;
    for page in &book().pages {
        browser.open(&View { width: 360, ..View::phone(page) });
        figures += browser.number("document.querySelectorAll('figure svg').length");
        let wrong = browser.text(
            "[...document.querySelectorAll('figure svg')].flatMap(svg => {
               const wrong = [], ids = (svg.getAttribute('aria-labelledby') ?? '').split(' ');
               const say = why => wrong.push(`${svg.closest('figure').id}: ${why}`);
               if (svg.getAttribute('role') !== 'img') say('no role');
               for (const name of ['title', 'desc']) {
                 const words = svg.querySelector(name);
                 if (!words?.textContent.trim()) say('no ' + name);
                 else if (!ids.includes(words.id)) say(name + ' is not in aria-labelledby');
               }
               for (const element of svg.querySelectorAll('*')) for (const name of ['fill', 'stroke', 'color']) {
                 const paint = element.getAttribute(name) ?? element.style[name];
                 if (paint && !/^(none|currentColor|var\\(--[a-z-]+\\)|context-(fill|stroke))$/i.test(paint)) say(`${name} ${paint}`);
               }
               if (svg.checkVisibility()) for (const text of svg.querySelectorAll('text')) {
                 const size = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
                 if (size < 9.9) say(`${size.toFixed(1)} pixels: ${text.textContent}`);
                 const { left, right } = text.getBoundingClientRect(), box = svg.getBoundingClientRect();
                 if (left < box.left - 1 || right > box.right + 1) say(`cut off: ${text.textContent}`);
               }
               return wrong;
             }).join('\\n')",
        );
        assert_eq!(wrong, "", "{page}");
    }
    assert!(figures > 0.0, "no figure anywhere");
}
