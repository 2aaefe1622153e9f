//! Diffs, twins, transcripts and figures, as a reader sees them.

use std::collections::BTreeMap;
use std::fs;

use browser_tests::*;
use serde_json::json;

const STEPS: [&str; 6] =
    ["00_fork", "01_crash", "02_exit_log", "03_respawn", "04_errors", "threads"];

/// The steps with a chapter that shows their difference from another.
fn diffs() -> Vec<String> {
    let files = fs::read_dir(project().join("book/diffs")).expect("book/diffs").flatten();
    let mut steps: Vec<String> = files
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".diff")?.to_owned()))
        .filter(|step| book().pages.contains(&format!("en/{step}.html")))
        .collect();
    steps.sort();
    assert!(steps.len() >= 3, "book/diffs lacks some: {steps:?}");
    steps
}

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

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_diff_is_code_inside_added_and_removed_lines_and_keeps_its_signs() {
    let browser = Browser::start();
    for language in LANGUAGES {
        for step in diffs() {
            browser.open(&View::wide(&format!("{language}/{step}.html")));
            let of_node = format!("book/diffs/{step}.mjs.diff");
            let of_node = project().join(&of_node).exists().then_some(of_node);
            let files = [Some(format!("book/diffs/{step}.diff")), of_node];
            for (at, file) in files.into_iter().flatten().enumerate() {
                is_shown(&browser, at, &file);
            }
        }
    }
    browser.goto("en/07_patience.html");
    let colours = browser.js(
        "return [...document.querySelectorAll('main .language-diff')].map(code =>
           [...code.querySelectorAll('.hljs-string')].some(text => /^`.*`$/.test(text.textContent)))",
        json!([]),
    );
    let says = "a text between backquotes is a string to Node, and in a comment of Rust is none";
    assert_eq!(colours, json!([false, true]), "{says}");
}

/// The diff `at` this place on the page is that of the file, and coloured.
fn is_shown(browser: &Browser, at: usize, file: &str) {
    let diff = read(file);
    let diff = diff.trim_end_matches('\n');
    let code = format!("document.querySelectorAll('main .language-diff')[{at}]");
    assert_eq!(
        browser.text(&format!("{code}.textContent")).trim_end_matches('\n'),
        diff,
        "the page shows another diff than {file}"
    );
    let lines = |sign: &str, head: &str| -> Vec<String> {
        let lines = diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(head));
        lines.map(str::to_owned).collect()
    };
    for (tag, expected) in [("ins", lines("+", "+++ ")), ("del", lines("-", "--- "))] {
        let shown = browser.js(
            &format!("return [...{code}.querySelectorAll('{tag}')].map(line => line.textContent)"),
            json!([]),
        );
        assert_eq!(shown, json!(expected), "{file}: the lines in <{tag}>");
    }
    let coloured = format!("{code}.querySelector(':is(ins, del) [class^=hljs-]')");
    assert!(browser.holds(&coloured), "{file}: the lines that change are not coloured as code");
}

/// Opens all that is folded away on this page, as a reader may who has no JavaScript either.
fn unfold(browser: &Browser) {
    browser.js("document.querySelectorAll('details').forEach(fold => fold.open = true)", json!([]));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn code_is_legible_in_all_themes() {
    let browser = Browser::start();
    for step in diffs() {
        browser.open(&View::wide(&format!("en/{step}.html")));
        unfold(&browser);
        for theme in THEMES {
            browser.choose_theme(theme);
            // Side by side, and one above the other again.
            for split in [true, false] {
                browser.js("document.querySelector('button.split').click()", json!([]));
                let is = browser.holds("document.documentElement.matches('.split')");
                assert_eq!(is, split, "{step}: whether the diff stands side by side");
                browser.assert_legible(".language-diff", theme);
                browser.assert_legible(".bar, .terminal", theme);
            }
        }
    }
    for theme in THEMES {
        browser.open(&View { theme, ..View::wide("en/introduction.html") });
        for step in STEPS {
            show_twins(&browser, step);
            let stages = browser.number("document.querySelectorAll('.bar button').length") as usize;
            for stage in 1..=stages {
                browser.js("document.querySelector(arguments[0]).click()", json!([chip(stage)]));
                browser.assert_legible(".twins", theme);
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
         window.whole = window.colours()",
        json!([program(&format!("steps/{step}.rs")), program(&format!("steps/node/{step}.mjs"))]),
    );
    run_code_js(browser);
}

/// Runs code.js once more, on what is on the page now.
fn run_code_js(browser: &Browser) {
    browser.js(
        "window.ready = false;
         const script = document.createElement('script');
         script.src = document.querySelector('script[src*=\"assets/code\"]').src;
         script.onload = () => ready = true;
         document.body.append(script)",
        json!([]),
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
        "fork" | "spawn" => ["마스터 프로세스", "}", "마스터 프로세스", "}"],
        "serve" => ["let server", "}", "const server", "});"],
        "wait" => ["loop {", "}", "cluster.on('exit'", "});"],
        "respawn" => ["let forked", "}", "cluster.fork();", "cluster.fork();"],
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
            "threads" => "bind spawn serve",
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
            browser.hover(".twins code.language-js .row:first-child");
            browser.hover(&chip(at + 1));
            check("the pointer over");
            browser.click(&chip(at + 1));
            browser.hover(".menu-title");
            check("a click on");
            browser.click(&chip(at + 1));
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
fn a_stage_button_works_by_tap_and_by_key_and_says_that_it_is_on() {
    let browser = Browser::start();
    browser.open(&View::phone("en/introduction.html"));
    show_twins(&browser, "03_respawn");
    let on = || {
        let shown = browser.js(
            "return [[...document.querySelectorAll('.bar [aria-pressed=true]')].map(button => button.textContent).join(),
               [...document.querySelectorAll('.row.lit')].map(row => row.textContent.trim()).at(0) ?? '']",
            json!([]),
        );
        let part = |index: usize| shown[index].as_str().unwrap().to_owned();
        (part(0), part(1))
    };
    let none = (String::new(), String::new());
    assert_eq!(on(), none, "nothing is on at first");
    browser.cdp("Emulation.setTouchEmulationEnabled", json!({ "enabled": true }));
    let tap = |css: &str| {
        let at = browser.js(
            "const box = document.querySelector(arguments[0]).getBoundingClientRect();
             return { x: box.x + box.width / 2, y: box.y + box.height / 2 }",
            json!([css]),
        );
        browser
            .cdp("Input.dispatchTouchEvent", json!({ "type": "touchStart", "touchPoints": [at] }));
        browser.cdp("Input.dispatchTouchEvent", json!({ "type": "touchEnd", "touchPoints": [] }));
    };
    tap(&chip(1));
    browser.until("a tap is heard", "document.querySelector('.bar [aria-pressed=true]')");
    assert_eq!(on().0, "bind", "a tap turns a stage on");
    assert!(on().1.starts_with("let listener"), "and lights its lines, not {:?}", on().1);
    tap(&chip(2));
    browser.until(
        "a tap is heard",
        "!document.querySelector('.bar button').matches('[aria-pressed=true]')",
    );
    assert_eq!(on().0, "fork", "another tap turns on another one, and only that");
    assert!(on().1.starts_with("println!"), "and lights its lines, not {:?}", on().1);
    tap(&chip(2));
    browser.until("a tap is heard", "!document.querySelector('.bar [aria-pressed=true]')");
    assert_eq!(on(), none, "a second tap turns it off");

    browser.js("document.querySelector('.bar button').focus()", json!([]));
    browser.keys(Key::Enter);
    assert_eq!(on().0, "bind", "Enter turns a stage on");
    assert!(on().1.starts_with("let listener"), "and lights its lines");
    browser.keys(" ");
    assert_eq!(on(), none, "Space turns it off");
}

/// For each pair of twins and each code block of a page, unfolded, what is wrong with it.
const CUT: &str = "
    document.querySelectorAll('details').forEach(details => { details.open = true; });
    const wrong = [], cut = code => code.scrollWidth > code.clientWidth;
    const say = (why, code) => wrong.push(`${why}: ${code.textContent.trim().slice(0, 60)}…`);
    // A code block that stands alone, as wide as its longest line.
    const width = pre => {
      const copy = pre.cloneNode(true);
      copy.style = 'position: absolute; width: max-content; max-width: none';
      pre.parentElement.append(copy);
      const { width } = copy.getBoundingClientRect();
      copy.remove();
      return width;
    };
    let pairs = 0;
    const arrows = [...document.querySelectorAll('.nav-chapters')].filter(a => a.checkVisibility());
    const room = document.querySelector('.content').clientWidth - 10 - (arrows.length ? 100 : 0);
    for (const twins of document.querySelectorAll('.twins')) {
      const [rust, node] = twins.querySelectorAll('pre');
      const [left, right] = [rust, node].map(pre => pre.getBoundingClientRect());
      const codes = [rust, node].map(pre => pre.querySelector('code'));
      if (left.top === right.top) {
        pairs++;
        if (left.right > right.left) say('twins lie over each other', twins);
        if (codes.some(cut)) say('side by side, and cut off', codes.find(cut));
      } else {
        if (left.bottom > right.top || left.left !== right.left) say('twins stand neither side by side nor one above the other', twins);
        if (width(rust) + width(node) + 5 <= room) say('one above the other, but there is room', twins);
      }
      for (const arrow of arrows.map(arrow => arrow.getBoundingClientRect())) {
        if (arrow.left < right.right && left.left < arrow.right) say('under an arrow', twins);
      }
    }
    if (arguments[0]) for (const code of document.querySelectorAll('pre code')) if (cut(code)) say('cut off', code);
    const content = document.querySelector('.content');
    if (content.scrollWidth > content.clientWidth) wrong.push('the page scrolls sideways');
    return [pairs, wrong.join('\\n')]";

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn no_line_of_code_is_cut_off_on_a_wide_screen_and_twins_stand_side_by_side_where_they_fit() {
    let browser = Browser::start();
    let mut pairs: BTreeMap<u32, u64> = BTreeMap::new();
    for page in &book().pages {
        let page = page.replace("index.html", "index.html#choose");
        // One load with the sidebar, and one without it: mdBook shows it as it loads a wide page.
        // Nothing else is measured then; what scripts make of a size is there after `resize`.
        for widths in
            [[(1300, true), (1500, true), (1920, true)], [(1024, true), (390, false), (320, false)]]
        {
            let wide = View::wide(&page);
            browser.open(&View { width: widths[0].0, ..wide.clone() });
            for (width, whole) in widths {
                browser.resize(width, wide.height);
                let found = browser.js(CUT, json!([whole]));
                assert_eq!(found[1], "", "{page} at {width} pixels");
                *pairs.entry(width).or_default() += found[0].as_u64().unwrap();
            }
        }
    }
    for (width, pairs) in pairs {
        match width {
            1500 | 1920 => assert!(pairs > 0, "at {width} pixels no twins stand side by side"),
            ..1024 => assert_eq!(pairs, 0, "a phone has no room for twins side by side"),
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_passage_stands_without_the_indent_that_all_its_lines_share() {
    let browser = Browser::start();
    let mut passages = 0.0;
    for page in &book().pages {
        browser.open(&View::wide(page));
        let code = "[...document.querySelectorAll('pre > :is(.language-rust, .language-js)')]";
        passages += browser.number(&format!("{code}.length"));
        let indented = browser.text(&format!(
            "{code}.map(code => code.textContent).filter(text => text.trim() && !/^\\S/m.test(text)).join('\\n')"
        ));
        assert_eq!(indented, "", "{page}: passages that do not begin at the left");
    }
    assert!(passages > 0.0, "no code anywhere");
    // The lines keep their places to each other.
    browser.open(&View::wide("en/introduction.html"));
    browser.js(
        "document.querySelector('main').innerHTML = '<pre><code class=language-rust></code></pre>'; return null",
        json!([]),
    );
    let text = "    fn a() {\n        // b\n\n        c(\"d\n            e\")\n    }\n";
    browser.js(
        "const code = document.querySelector('main code');
         code.textContent = arguments[0];
         hljs.highlightBlock(code);
         return null",
        json!([text]),
    );
    run_code_js(&browser);
    assert_eq!(
        browser.text("document.querySelector('main code').textContent"),
        "fn a() {\n    // b\n\n    c(\"d\n        e\")\n}\n"
    );
    assert!(browser.holds("document.querySelector('main code .hljs-keyword')"), "and the colours");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_transcript_is_two_terminals_and_copying_a_command_copies_the_command_alone() {
    let browser = Browser::start();
    let mut terminals = 0.0;
    for (language, word) in [("ko", "터미널"), ("en", "Terminal")] {
        for page in book().pages.iter().filter(|page| page.starts_with(language)) {
            browser.open(&View::wide(page));
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
            let source = read(&format!("book/{}", page.replace(".html", ".md")));
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
            let unnamed = "[...document.querySelectorAll('.terminal .clip-button')].filter(button => !button.title)";
            assert!(!browser.holds(&format!("{unnamed}.length")), "{page}: a button has no name");
            terminals += buttons;
        }
    }
    assert!(terminals > 0.0, "no transcript anywhere");
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
    let wide = "[...document.querySelectorAll('pre code')].find(code => code.checkVisibility() && code.scrollWidth > code.clientWidth)";
    browser.until("code that scrolls takes the focus", &format!("{wide}.tabIndex === 0"));
    browser.js(&format!("{wide}.focus()"), json!([]));
    browser.keys(Key::Right);
    browser.until("the arrow scrolls the code", &format!("{wide}.scrollLeft > 0"));
    assert_eq!(browser.address(), page, "and does not turn the page");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn code_is_coloured_also_by_a_newer_highlight_js() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    let old = browser.text("hljs.versionString");
    // As it is from 10.7 on.
    browser.js(
        "const old = hljs.highlight;
         hljs.highlightElement = hljs.highlightBlock;
         hljs.highlight = (code, { language, ignoreIllegals }) => old(language, code, ignoreIllegals);
         return null",
        json!([]),
    );
    show_twins(&browser, "00_fork");
    assert_eq!(
        browser.js("return window.colours()", json!([])),
        browser.js("return window.whole", json!([])),
        "what the signature of today makes (mdBook has {old})"
    );
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn without_mdbooks_copying_the_transcripts_and_diffs_are_there() {
    let browser = Browser::start();
    browser.open(&View::wide(""));
    browser.cdp("Network.enable", json!({}));
    // playground_text is in book.js. The icon is not, but may go as well.
    browser.cdp("Network.setBlockedURLs", json!({ "urls": ["*/book-*.js"] }));
    browser.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "new MutationObserver(() => document.getElementById('fa-copy')?.remove())
            .observe(document, { childList: true, subtree: true })" }),
    );
    browser.goto("en/01_crash.html");
    browser.until("the page is loaded", "document.readyState === 'complete'");
    assert!(browser.holds("!window.playground_text && !document.getElementById('fa-copy')"));
    for made in [".terminal .clip-button", ".language-diff ins.row", "button.split[aria-pressed]"] {
        assert!(
            browser.holds(&format!("document.querySelector('{made}')")),
            "without book.js code.js does not come as far as `{made}`"
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn where_storage_is_blocked_everything_works_for_the_page() {
    let browser = Browser::start();
    browser.open(&View::wide("ko/01_crash.html"));
    browser.errors();
    browser.cdp(
        "Page.addScriptToEvaluateOnNewDocument",
        json!({ "source": "
            for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(window, name, {
              get() {
                throw new Error('Access to storage is denied');
              }
            });
            window.thrown = [];
            // mdBook's own toc.js does not expect it.
            addEventListener('error', ({ error: { stack } }) => /toc-/.test(stack) || thrown.push(stack))" }),
    );
    browser.goto("ko/01_crash.html");
    assert!(
        browser.holds("(() => { try { return !localStorage } catch { return true } })()"),
        "storage is blocked"
    );
    browser.click("button.split");
    assert!(browser.holds("document.querySelector('html.split button.split[aria-pressed=true]')"));
    let thrown = browser.text("thrown.join()");
    assert_eq!(thrown, "", "our scripts threw");
    // Once without leaving, to see what it throws.
    browser.js(
        "const link = document.querySelector('#language-switch');
         link.addEventListener('click', event => event.preventDefault(), { once: true });
         link.click();
         return null",
        json!([]),
    );
    assert_eq!(browser.text("thrown.join()"), "", "our scripts threw");
    browser.click("#language-switch");
    browser.until("the switch leads to English", "location.pathname === '/en/01_crash.html'");
    browser.goto("index.html");
    browser.until_address("the bare root opens the browser's language", "en/introduction.html");
    assert_eq!(browser.text("thrown.join()"), "", "our scripts threw");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn without_javascript_every_fence_is_there_to_read() {
    let browser = Browser::start();
    for step in diffs() {
        browser.open(&View { javascript: false, ..View::wide(&format!("ko/{step}.html")) });
        unfold(&browser);
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
fn figures_say_what_they_show_follow_the_theme_and_are_as_large_as_their_text_needs() {
    let browser = Browser::start();
    let mut figures = 0.0;
    for page in &book().pages {
        let wide = View::wide(page);
        // As it is loaded on a phone, without the sidebar.
        browser.open(&View { width: 360, ..wide.clone() });
        for width in [360, 1500] {
            browser.resize(width, wide.height);
            figures += browser.number("document.querySelectorAll('figure svg').length");
            let body = browser.number("parseFloat(getComputedStyle(document.body).fontSize)");
            let wrong = browser.js(
                "return [...document.querySelectorAll('figure svg')].flatMap(svg => {
                   const wrong = [], ids = (svg.getAttribute('aria-labelledby') ?? '').split(' '), { lang } = document.documentElement;
                   const say = why => wrong.push(`${svg.closest('figure').id}: ${why}`);
                   if (svg.getAttribute('role') !== 'img') say('no role');
                   for (const name of ['title', 'desc']) {
                     const words = svg.querySelector(name);
                     if (!words?.textContent.trim()) say('no ' + name);
                     else if (!ids.includes(words.id)) say(name + ' is not in aria-labelledby');
                     else if (/[가-힣]/.test(words.textContent) !== (lang === 'ko')) say(`its ${name} is in another language than the page: ${words.textContent}`);
                   }
                   for (const element of svg.querySelectorAll('*')) for (const name of ['fill', 'stroke', 'color']) {
                     const paint = element.getAttribute(name) ?? element.style[name];
                     if (paint && !/^(none|currentColor|var\\(--[a-z-]+\\)|url\\(#[a-z-]+\\)|context-(fill|stroke))$/i.test(paint)) say(`${name} ${paint}`);
                   }
                   if (svg.getAttribute('lang') !== lang) say('no lang, or another than that of the page');
                   const caption = svg.closest('figure').querySelector('figcaption');
                   if (!caption?.textContent.trim()) say('no caption');
                   else if (/[가-힣]/.test(caption.textContent) !== (lang === 'ko')) say('its caption is in another language than the page');
                   if (svg.checkVisibility()) for (const text of svg.querySelectorAll('text')) {
                     const size = parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a;
                     if (size < 9.9 || size > arguments[0]) say(`${size.toFixed(1)} pixels: ${text.textContent}`);
                     const { left, right } = text.getBoundingClientRect(), box = svg.getBoundingClientRect();
                     if (left < box.left - 1 || right > box.right + 1) say(`cut off: ${text.textContent}`);
                   }
                   return wrong;
                 }).join('\\n')",
                json!([body + 0.1]),
            );
            assert_eq!(wrong, "", "{page} at {width} pixels");
        }
    }
    assert!(figures > 0.0, "no figure anywhere");
}

/// Wraps every word, as the page translation of Chromium and others does.
fn translate(browser: &Browser) {
    browser.js(
        "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
         while (texts.nextNode()) found.push(texts.currentNode);
         for (const text of found) {
           if (!text.data.trim() || text.parentElement.closest('[translate=no], script, style')) continue;
           const words = document.createElement('font');
           words.innerHTML = '<font>übersetzt</font>';
           text.replaceWith(words);
         }
         return null",
        json!([]),
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn in_a_translated_page_buttons_work_and_code_is_what_it_was() {
    let browser = Browser::start();
    browser.open(&View::wide("en/03_respawn.html"));
    unfold(&browser);
    let texts = "[...document.querySelectorAll('main pre > code, main :not(pre) > code, main figure svg')].map(code => code.textContent)";
    let before = browser.js(&format!("return {texts}"), json!([]));
    translate(&browser);
    assert!(browser.holds("document.querySelector('main p font font')"), "the text is translated");
    assert_eq!(browser.js(&format!("return {texts}"), json!([])), before, "code is not");
    // The pointer on the words, and the words themselves, as a voice control may click them.
    let pressed = |css: &str| {
        browser.holds(&format!("document.querySelector('{css}').ariaPressed === 'true'"))
    };
    for css in [".twins button[data-s=fork]", "button.split"] {
        browser.click(css);
        assert!(pressed(css), "`{css}` does not hear a click");
        browser
            .js(&format!("document.querySelector('{css} font').click(); return null"), json!([]));
        assert!(!pressed(css), "`{css}` does not hear a click on its words");
    }
    browser.click("#mdbook-theme-toggle");
    browser.click("#mdbook-theme-navy");
    assert!(browser.holds("document.documentElement.matches('.navy')"), "the theme can be chosen");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_is_copied_is_the_source_whatever_became_of_the_page() {
    let browser = Browser::start();
    browser.open(&View::wide("en/01_crash.html"));
    unfold(&browser);
    browser.js(
        "window.copied = [];
         addEventListener('copy', () => copied.push(document.activeElement.value), true);
         document.querySelectorAll('main code').forEach(code => {
           const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
           while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replace(/\\S/g, '글');
         });
         document.querySelector('button.split').click();
         return null",
        json!([]),
    );
    for block in [".terminal pre", "pre:has(> .language-diff)"] {
        browser.hover(block);
        browser.click(&format!("{block} .clip-button"));
    }
    let console = read("book/console/01_crash.console");
    let command = console.lines().find_map(|line| line.strip_prefix("$ ")).unwrap();
    let copied = browser.js("return copied.map(text => text.trimEnd())", json!([]));
    assert_eq!(copied, json!([command, read("book/diffs/01_crash.diff").trim_end()]));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn on_a_phone_each_command_is_whole_and_its_button_can_be_hit() {
    let browser = Browser::start();
    let mut buttons = 0.0;
    for page in &book().pages {
        let phone = View::phone(page);
        browser.open(&phone);
        unfold(&browser);
        for width in [390, 320] {
            browser.resize(width, phone.height);
            let wrong = browser.js(
                "const buttons = [...document.querySelectorAll('.terminal .clip-button')], wrong = [];
                 const box = it => it.getBoundingClientRect();
                 buttons.forEach((button, at) => {
                   const { left, right, top, bottom, width, height } = box(button), around = box(button.closest('.terminal'));
                   const command = button.nextElementSibling.nextElementSibling;
                   const say = why => wrong.push(`${why}: ${command.textContent}`);
                   if (width < 24 || height < 24) say(`${width} × ${height} px`);
                   if (left < around.left || right > around.right) say('its button is out of reach');
                   if (box(command).right > around.right) say('cut off');
                   if (at && top < box(buttons[at - 1]).bottom && bottom > box(buttons[at - 1]).top) say('two buttons meet');
                 });
                 return [buttons.length, wrong.slice(0, 3).join('\\n')]",
                json!([]),
            );
            buttons += wrong[0].as_f64().unwrap();
            assert_eq!(wrong[1], "", "{page} at {width} px");
        }
    }
    assert!(buttons > 0.0, "no command anywhere");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn twins_are_called_rust_and_node() {
    let browser = Browser::start();
    let mut blocks = 0.0;
    for page in book().pages.iter() {
        browser.open(&View::wide(page));
        unfold(&browser);
        let code = "[...document.querySelectorAll('.twins > pre > code')]";
        blocks += browser.number(&format!("{code}.length"));
        let unnamed = browser.text(&format!(
            "{code}.filter(code => {{
                const name = code.previousElementSibling;
                return name?.innerText !== (code.matches('.language-rust') ? 'Rust' : 'Node') || !name.checkVisibility();
            }}).map(code => code.textContent.slice(0, 40)).join(' | ')"
        ));
        assert_eq!(unnamed, "", "{page}: these do not say what they are written in");
    }
    assert!(blocks > 0.0, "no twins anywhere");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_command_is_in_one_colour_whatever_a_shell_has_of_its_own() {
    let browser = Browser::start();
    let mut words = 0.0;
    for (theme, page) in [("light", "en/00_fork.html"), ("ayu", "ko/16_hosts.html")] {
        browser.open(&View { theme, ..View::wide(page) });
        unfold(&browser);
        let found = browser.js(
            "const colour = element => getComputedStyle(element).color;
             const words = [...document.querySelectorAll('pre > code.language-sh *')];
             return [words.length, words.filter(word => colour(word) !== colour(word.closest('code')))
               .map(word => word.textContent).join(' ')]",
            json!([]),
        );
        words += found[0].as_f64().unwrap();
        assert_eq!(found[1], "", "{page}: these are coloured in the theme {theme}");
    }
    assert!(words > 0.0, "highlight.js finds no word of a shell any more: the rule can go");
}
