//! Search finds Korean, and English no worse than mdBook does by itself.

use std::time::Duration;

use browser_tests::serde_json::json;
use browser_tests::*;
use support::within;

const RESULTS: &str = "[...document.querySelectorAll('#mdbook-searchresults li > a')]";
const SHOWN: &str =
    "!document.querySelector('#mdbook-searchresults-outer').classList.contains('hidden')";

/// The page with its search box open and the index loaded.
fn open(browser: &Browser, page: &str) {
    browser.open(&View::wide(page));
    browser.keys("/");
    browser.until("the key / opens the search", "window.search.hasFocus()");
    browser.until("the search index is loaded", "window.search.doc_urls?.length > 0");
    type_anew(browser, "a");
    browser.until("a letter brings results", SHOWN);
}

fn type_anew(browser: &Browser, query: &str) {
    browser.js(
        "const bar = document.querySelector('#mdbook-searchbar');
         bar.focus(); bar.value = ''; bar.dispatchEvent(new Event('input')); return null",
        json!([]),
    );
    // As a paste or an input method puts it in, so that any text can be typed.
    browser.cdp("Input.insertText", json!({ "text": query }));
}

/// The sections that a query finds, as `ko/00_fork.html#run`, best first.
fn find(browser: &Browser, query: &str) -> Vec<String> {
    type_anew(browser, query);
    let found = browser.js(
        &format!(
            "return {RESULTS}.map(a => a.href.replace(/\\?[^#]*/, '').replace(arguments[0], ''))"
        ),
        json!([book().root]),
    );
    found.as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect()
}

/// The sections in which a text stands, read from the index itself. In Korean no matter how it is spaced.
fn standing(browser: &Browser, language: &str, text: &str) -> Vec<String> {
    let found = browser.js(
        "const korean = /[가-힣]/.test(arguments[1]);
         const plain = text => text.normalize('NFC').toLowerCase().replace(korean ? /\\s/g : /$^/, '');
         return Object.entries(window.search.index.documentStore.docs)
             .filter(([, { title, body }]) => plain(`${title} / ${body}`).includes(plain(arguments[1])))
             .map(([ref]) => window.search.doc_urls[ref])
             .filter(url => url.startsWith(arguments[0]))",
        json!([language, text]),
    );
    found.as_array().unwrap().iter().map(|url| url.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn finds_all(query: &str, found: &[String], standing: &[String]) {
    let missed: Vec<_> = standing.iter().filter(|section| !found.contains(section)).collect();
    assert!(
        missed.is_empty(),
        "`{query}` stands in these sections, but does not find them: {missed:#?}"
    );
    assert!(!found.is_empty(), "`{query}` finds nothing, and stands nowhere in the book");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn korean_words_find_every_section_where_they_stand() {
    let browser = Browser::start();
    open(&browser, "ko/00_fork.html");
    for (word, particles) in [
        ("워커", ["가", "는", "를", "에서는"]),
        ("마스터", ["가", "와", "의", "로"]),
        ("프로세스", ["는", "가", "에게", "마다"]),
        ("종료", ["를", "와", "도", "는"]),
        ("신호", ["를", "가", "로", "의"]),
        ("포트", ["에", "를", "가", "에서"]),
        ("마스터 프로세스", ["가", "는", "를", "에서"]),
    ] {
        let expected = standing(&browser, "ko/", word);
        let found = find(&browser, word);
        finds_all(word, &found, &expected);
        for particle in particles {
            let query = format!("{word}{particle}");
            finds_all(&query, &find(&browser, &query), &expected);
        }
        // What a Mac's file names and some keyboards send: the letters apart.
        let apart = browser.js("return arguments[0].normalize('NFD')", json!([word]));
        let apart = apart.as_str().unwrap();
        assert_ne!(apart, word);
        assert_eq!(
            find(&browser, apart),
            found,
            "`{word}` decomposed finds the same, in the same order"
        );
    }
    let joined = find(&browser, "마스터프로세스");
    finds_all("마스터프로세스", &joined, &standing(&browser, "ko/", "마스터 프로세스"));
    assert!(find(&browser, "없는낱말입니다").is_empty());
    let said = browser.text("document.querySelector('#mdbook-searchresults-header').textContent");
    assert!(said.contains("없습니다"), "that nothing is found is said in Korean: {said}");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn while_a_syllable_is_composed_the_search_goes_along() {
    let browser = Browser::start();
    open(&browser, "ko/00_fork.html");
    let whole = find(&browser, "프로세스");
    type_anew(&browser, "");
    let address = browser.text("location.pathname");
    let mut done = String::new();
    for steps in ["ㅍ 프", "ㄹ 로", "ㅅ 세", "ㅅ 스"] {
        let mut syllable = "";
        for step in steps.split(' ') {
            syllable = step;
            browser.cdp(
                "Input.imeSetComposition",
                json!({ "text": step, "selectionStart": 1, "selectionEnd": 1 }),
            );
            let typed = format!("{done}{step}");
            assert_eq!(browser.text("document.querySelector('#mdbook-searchbar').value"), typed);
            assert!(
                typed == "ㅍ" || browser.number(&format!("{RESULTS}.length")) > 0.0,
                "at `{typed}`, on the way to a word of the book, the results are gone"
            );
        }
        // Enter while composing ends the syllable and does nothing else.
        browser.js(
            "document.querySelector('#mdbook-searchbar').dispatchEvent(new KeyboardEvent('keydown',
                { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })); return null",
            json!([]),
        );
        browser.cdp("Input.insertText", json!({ "text": syllable }));
        done.push_str(syllable);
    }
    assert_eq!(browser.text("location.pathname"), address, "Enter left the page while composing");
    assert_eq!(browser.text("document.querySelector('#mdbook-searchbar').value"), "프로세스");
    let found = browser.number(&format!("{RESULTS}.length")) as usize;
    assert_eq!(found, whole.len(), "a word composed finds what the word pasted finds");
    // 프롯 and 프로세ㅅ are on the way, too, on keyboards that put the consonant below first.
    for on_the_way in ["웤", "프롯", "프로세ㅅ", "마슽"] {
        assert!(!find(&browser, on_the_way).is_empty(), "at `{on_the_way}` the results are gone");
    }
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn english_finds_at_least_what_mdbook_finds() {
    let browser = Browser::start();
    open(&browser, "en/00_fork.html");
    type_anew(&browser, "");
    // mdBook's own search, from a second copy of the library, for every word of the English pages.
    let worse = browser.js(
        "const request = new XMLHttpRequest();
         request.open('GET', document.querySelector('script[src*=elasticlunr]').src, false);
         request.send();
         const module = { exports: {} };
         new Function('module', 'exports', request.responseText)(module, module.exports);
         const stock = module.exports.Index.load(JSON.parse(JSON.stringify(window.search.index)));
         const { doc_urls, search_options } = window.search;
         const english = ref => doc_urls[ref].startsWith('en/');
         const ours = elasticlunr.Index.prototype.search;
         const store = stock.documentStore;
         const words = new Set(['the worker', 'how to fork', 'exit, signal', 'copies', 'retries a copy', '\"zombie\"']);
         for (const [ref, { title, body }] of Object.entries(store.docs)) {
             if (english(ref)) `${title} ${body}`.split(/[^\\w'-]+/).forEach(word => words.add(word));
         }
         const worse = [];
         for (const word of words) {
             // It takes the unit of `30s` for the end of a plural, and finds each 30.
             if (!/[a-z]/i.test(word) || /^\\d+[a-z]$/.test(word)) continue;
             const found = new Set(ours.call({ documentStore: store }, word).map(({ ref }) => ref));
             // A name of code has no stem: what mdBook finds by one is another name.
             const holds = ref => !/_/.test(word) || JSON.stringify(store.docs[ref]).includes(word);
             const missed = stock.search(word, search_options)
                 .filter(({ ref }) => english(ref) && !found.has(ref) && holds(ref));
             // mdBook lists what holds any word of several; we do where nothing holds them all.
             if (/\\W/.test(word) ? !found.size && missed.length : missed.length) {
                 worse.push(`${word}: ${missed.map(({ ref }) => doc_urls[ref])}`);
             }
         }
         return [words.size, worse]",
        json!([]),
    );
    println!("{} English words and phrases tried", worse[0]);
    assert!(worse[0].as_u64() > Some(500), "the English pages have words");
    assert_eq!(worse[1], json!([]), "these find less than mdBook's own search does");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn code_is_found_in_every_section_where_it_stands() {
    let browser = Browser::start();
    for language in LANGUAGES {
        open(&browser, &format!("{language}/00_fork.html"));
        for code in [
            "exit",
            "WaitStatus",
            "process::exit",
            "03_respawn",
            "respawn",
            "primary_end",
            "fork()",
        ] {
            finds_all(
                code,
                &find(&browser, code),
                &standing(&browser, &format!("{language}/"), code),
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn results_stay_in_the_language_being_read() {
    let browser = Browser::start();
    for language in LANGUAGES {
        open(&browser, &format!("{language}/00_fork.html"));
        for query in ["fork", "워커", "a", "1"] {
            for section in find(&browser, query) {
                assert!(
                    section.starts_with(language),
                    "`{query}` on a {language} page finds {section}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_title_comes_before_a_body_and_a_body_before_a_transcript() {
    let browser = Browser::start();
    for (language, words) in [
        ("ko", ["워커", "포트", "신호", "종료", "마스터 프로세스"]),
        ("en", ["worker", "port", "signal", "exit", "primary"]),
    ] {
        open(&browser, &format!("{language}/00_fork.html"));
        for word in words {
            find(&browser, word);
            let order = browser.js(
                &format!(
                    "const word = arguments[0].toLowerCase();
                     const titles = {RESULTS}.map(a => a.textContent.split(' » ').pop().toLowerCase());
                     const named = titles.map(title => title.includes(word));
                     return [named.indexOf(false), named.lastIndexOf(true), titles[0]]"
                ),
                json!([word]),
            );
            let (body, title) = (order[0].as_i64().unwrap(), order[1].as_i64().unwrap());
            assert!(
                body > title || body < 0,
                "`{word}`: a body (result {body}) before a title ({title})"
            );
        }
    }
    open(&browser, "ko/00_fork.html");
    find(&browser, "워커");
    let best = browser.text(&format!("{RESULTS}[0].textContent.split(' » ').pop()"));
    assert!(
        best == "워커" || best.starts_with("워커 ("),
        "a section that is called so is the best, not {best}"
    );
    // A page of our own making, so that the three differ in nothing else.
    let order = browser.js(
        "const section = (title, body) => ({ title, body, breadcrumbs: 'x' });
         const docs = [
             section('a', '──── 1 ────\\n$ cargo run\\n마스터 프로세스 아이디: 1\\n2번 워커 실행\\n'),
             section('b', '마스터 프로세스가 하는 일입니다.'), section('마스터 프로세스', 'c')];
         const store = {};
         docs.forEach((doc, i) => { store[i] = { id: String(i), ...doc }; });
         window.search.doc_urls = ['ko/0', 'ko/1', 'ko/2'];
         // A second copy of the script knows no sections yet.
         const request = new XMLHttpRequest();
         request.open('GET', document.querySelector('script[src*=\"assets/search\"]').src, false);
         request.send();
         document.querySelector('#mdbook-searchbar').value = '';
         (0, eval)(request.responseText);
         return elasticlunr.Index.prototype.search.call({ documentStore: { docs: store } }, '마스터')
             .map(({ ref }) => ref).join()",
        json!([]),
    );
    assert_eq!(order, json!("2,1,0"), "a title, a body, a transcript");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn teasers_show_the_place_and_marks_show_it_on_the_page() {
    let browser = Browser::start();
    for (page, query, marked) in [
        ("ko/00_fork.html", "워커", "워커"),
        ("ko/00_fork.html", "마스터프로세스", "마스터"),
        ("ko/00_fork.html", "process::exit", "process::exit"),
        ("en/00_fork.html", "exit", "exit"),
    ] {
        open(&browser, page);
        find(&browser, query);
        // Wherever the words stand in the body, the teaser shows and marks them.
        let bare = browser.text(&format!(
            "{RESULTS}.filter(a => {{
                const text = a.nextElementSibling.textContent.toLowerCase();
                return text.includes('{marked}') && !a.nextElementSibling.querySelector('em');
            }}).map(a => a.textContent).join(' | ')"
        ));
        assert_eq!(bare, "", "teasers of `{query}` without emphasis");
        let teasers = browser.number(&format!(
            "{RESULTS}.filter(a => a.nextElementSibling.querySelector('em')).length / {RESULTS}.length"
        ));
        assert!(teasers > 0.8, "only {teasers} of the teasers of `{query}` show the place");

        // The second one is no title's alone.
        let target = browser
            .text(&format!("{RESULTS}.find(a => a.nextElementSibling.querySelector('em')).href"));
        browser.goto(target.trim_start_matches(&book().root));
        browser.until(
            &format!("the page that `{query}` leads to marks it"),
            &format!(
                "[...document.querySelectorAll('main mark')].some(mark => '{marked}'.includes(mark.textContent.toLowerCase()))"
            ),
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_results_link_leads_to_its_section_and_every_place_there_is_marked() {
    let browser = Browser::start();
    for (page, query, words) in [
        ("ko/00_fork.html", "워커", ["워커"].as_slice()),
        ("ko/00_fork.html", "워커에서는", &["워커"]),
        ("ko/00_fork.html", "마스터프로세스", &["마스터", "프로세스"]),
        ("en/00_fork.html", "primary workers", &["primary", "worker"]),
        ("en/00_fork.html", "forks", &["fork"]),
        ("en/00_fork.html", "WaitStatus", &["waitstatus"]),
    ] {
        open(&browser, page);
        let sections = find(&browser, query);
        let section = sections
            .iter()
            .find(|section| section.contains('#'))
            .unwrap_or_else(|| panic!("`{query}` finds no section: {sections:?}"));
        let link = browser.text(&format!(
            "{RESULTS}.find(a => a.href.replace(/\\?[^#]*/, '').endsWith({})).href",
            json!(section)
        ));
        browser.goto(link.trim_start_matches(&book().root));
        browser.until("the link's page is loaded", "document.readyState === 'complete'");
        assert!(
            browser.text("location.href").ends_with(section.split_once('#').unwrap().1),
            "`{query}`: the link leads to its section, not to {link}"
        );
        // mdBook marks nothing in a figure.
        let plain = browser.js(
            "const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
             const plain = [];
             while (texts.nextNode()) {
               const { data, parentElement } = texts.currentNode;
               if (parentElement.closest('mark, svg')) continue;
               for (const word of arguments[0]) if (data.toLowerCase().includes(word)) plain.push(data);
             }
             return [document.querySelectorAll('main mark').length, plain.slice(0, 3)]",
            json!([words]),
        );
        assert!(plain[0].as_u64() > Some(0), "`{query}`: nothing is marked on {link}");
        assert_eq!(plain[1], json!([]), "`{query}`: these places are not marked on {link}");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_link_with_a_search_in_it_works() {
    let browser = Browser::start();
    for _ in 0..3 {
        browser.open(&View::wide("ko/01_crash.html?search=%EB%A7%88%EC%8A%A4%ED%84%B0%20%ED%94%84%EB%A1%9C%EC%84%B8%EC%8A%A4"));
        browser.until("the link's search is answered", &format!("{RESULTS}.length > 3"));
        let value = browser.text("document.querySelector('#mdbook-searchbar').value");
        assert_eq!(value, "마스터 프로세스");
        browser.until("Escape closes the search", "window.search.hasFocus()");
        browser.goto("en/01_crash.html?search=exit");
        browser.until("the link's search is answered", &format!("{RESULTS}.length > 3"));
    }
    browser.keys(Key::Enter);
    browser.until("Enter follows the first result", "location.search.includes('highlight')");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_pasted_query_is_answered_and_a_cleared_one_forgotten() {
    let browser = Browser::start();
    open(&browser, "ko/00_fork.html");
    assert!(!find(&browser, "포트").is_empty());
    type_anew(&browser, "");
    assert!(!browser.holds(SHOWN), "nothing typed, nothing listed");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn an_answer_takes_less_than_50_ms() {
    const LIMIT: Duration = Duration::from_millis(50);
    let browser = Browser::alone();
    for (language, queries) in [
        (
            "ko",
            [
                "워커",
                "마스터",
                "프로세스",
                "종료",
                "신호",
                "포트",
                "마스터 프로세스",
                "마스터프로세스",
                "워커가",
                "프로세스는",
                "이",
                "exit",
                "process::exit",
            ]
            .as_slice(),
        ),
        (
            "en",
            [
                "worker",
                "exit",
                "WaitStatus",
                "process::exit",
                "03_respawn",
                "e",
                "the primary waits",
            ]
            .as_slice(),
        ),
    ] {
        open(&browser, &format!("{language}/00_fork.html"));
        for query in queries {
            // From the key to the finished list: searcher.js, search.js, and the list's layout.
            // The third fastest of twelve, so that other processes' turns do not count.
            let script = format!(
                "const bar = document.querySelector('#mdbook-searchbar');
                 const press = text => {{ bar.value = text; bar.dispatchEvent(new Event('keyup')); }};
                 const times = [];
                 const run = async () => {{
                     for (let i = 0; i < 12; i++) {{
                         press('zzzz'); await null; document.body.offsetHeight;
                         const start = performance.now();
                         press(arguments[0]); await null; document.body.offsetHeight;
                         times.push(performance.now() - start);
                     }}
                     return [{RESULTS}.length, times.sort((a, b) => a - b)[2], times[11]];
                 }};
                 return run()"
            );
            within(LIMIT, &format!("the results of `{query}` should be laid out"), || {
                let figures = browser.js(&script, json!([query]));
                let [hits, time, worst] = [0, 1, 2].map(|at| figures[at].as_f64().unwrap());
                println!("{language} {query}: {hits} hits, {time:.1} ms (slowest {worst:.1})");
                // A letter that stands everywhere finds more than anybody reads.
                Duration::from_secs_f64(time / 1000.0 / (hits / 300.0).max(1.0))
            });
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn quotes_and_questions_find_what_the_bare_words_find() {
    let browser = Browser::start();
    for (language, pairs) in [
        (
            "ko",
            [
                ("“종료 코드”", "종료 코드"),
                ("‘워커’", "워커"),
                ("`fork`", "fork"),
                ("리로드란?", "리로드"),
                ("워커란", "워커"),
                ("SIGTERM이란", "SIGTERM"),
                ("세션이란?", "세션"),
            ]
            .as_slice(),
        ),
        (
            "en",
            &[
                ("don’t", "don't"),
                ("“exit code”", "exit code"),
                ("`fork`", "fork"),
                ("worker?", "worker"),
            ],
        ),
    ] {
        open(&browser, &format!("{language}/00_fork.html"));
        for (asked, bare) in pairs {
            let expected = find(&browser, bare);
            assert!(!expected.is_empty(), "`{bare}` stands nowhere in the book");
            assert_eq!(find(&browser, asked), expected, "`{asked}` finds what `{bare}` finds");
        }
    }
    // A whole sentence leads to the glossary's own entry.
    open(&browser, "ko/00_fork.html");
    let found = find(&browser, "리로드란 무엇인가요?");
    let place = found.iter().position(|section| section == "ko/glossary.html#reload");
    assert!(place.is_some_and(|place| place < 5), "the entry is at {place:?}");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn as_many_results_are_listed_as_are_counted_and_that_is_all() {
    let browser = Browser::start();
    for (language, words) in [("ko", ["워커", "웤", "이"]), ("en", ["worker", "e", "the"])] {
        open(&browser, &format!("{language}/00_fork.html"));
        for word in words {
            let found = find(&browser, word);
            let header =
                browser.text("document.querySelector('#mdbook-searchresults-header').textContent");
            let counted: Vec<&str> = header
                .split(|letter: char| !letter.is_ascii_digit())
                .filter(|number| !number.is_empty())
                .collect();
            assert_eq!(counted, [found.len().to_string()], "`{word}` says: {header}");
            if !["웤", "e", "the"].contains(&word) {
                finds_all(word, &found, &standing(&browser, &format!("{language}/"), word));
            }
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_result_that_is_folded_away_is_unfolded() {
    let browser = Browser::start();
    let mut tried = 0;
    for page in book().pages.iter().filter(|page| *page != "index.html") {
        browser.open(&View::wide(page));
        // Words that stand in a fold, and nowhere else in its section.
        let folded = browser.js(
            "const found = [];
             for (const fold of document.querySelectorAll('main > details')) {
               const section = [];
               let first = fold;
               while (!first.matches('h1, h2, h3')) first = first.previousElementSibling;
               for (let part = first; part && (part === first || !part.matches('h1, h2, h3')); part = part.nextElementSibling) section.push(part);
               const seen = section.map(part => part.matches('details') ? part.querySelector('summary').textContent : part.textContent).join(' ').toLowerCase();
               // No mark reaches from a piece of code into the word that goes on behind it.
               const texts = [...fold.querySelectorAll(':scope > p')].flatMap(p => [...p.childNodes]).filter(node => node.nodeType === Node.TEXT_NODE);
               const answer = texts.map(text => text.data).join(' ').toLowerCase();
               const word = answer.match(/[가-힣a-z]{4,}/g)?.find(word => !seen.includes(word));
               if (word) found.push([word, first.id]);
             }
             return found.slice(0, 3)",
            json!([]),
        );
        for pair in folded.as_array().unwrap() {
            let (word, id) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            browser.open(&View::wide(&format!("{page}?highlight={word}#{id}")));
            browser.until(
                &format!("{page}#{id}: of `{word}`, which is folded away, a mark is seen"),
                "[...document.querySelectorAll('main details mark')].some(mark => mark.checkVisibility({ contentVisibilityAuto: true }) && mark.offsetHeight)",
            );
            assert!(
                browser.holds("![...document.querySelectorAll('main > details[open]')].some(fold => !fold.querySelector('mark'))"),
                "{page}#{id}: a fold without a mark stays folded"
            );
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} words are folded away");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_key_s_opens_the_search_with_a_korean_input_method_too() {
    let browser = Browser::start();
    for page in ["ko/00_fork.html", "en/00_fork.html"] {
        for (key, modifiers, opens) in
            [("ㄴ", 0, true), ("Process", 0, true), ("ㄴ", 2, false), ("o", 0, false)]
        {
            browser.open(&View::wide(page));
            browser.until("the page is loaded", "document.readyState === 'complete'");
            browser.cdp(
                "Input.dispatchKeyEvent",
                json!({ "type": "keyDown", "key": key, "code": "KeyS", "text": if opens { "ㄴ" } else { "" }, "modifiers": modifiers }),
            );
            browser.cdp(
                "Input.dispatchKeyEvent",
                json!({ "type": "keyUp", "key": key, "code": "KeyS", "modifiers": modifiers }),
            );
            let focused = browser.holds("document.activeElement.id === 'mdbook-searchbar'");
            assert_eq!(focused, opens, "{page}: the key {key} with the modifiers {modifiers}");
            let typed = browser.text("document.querySelector('#mdbook-searchbar').value");
            assert_eq!(typed, "", "{page}: the letter is not typed into the field");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_field_to_type_into_is_no_smaller_than_an_iphone_wants() {
    let browser = Browser::start();
    for page in ["index.html#choose", "ko/00_fork.html", "en/00_fork.html", "en/14_redis.html"] {
        browser.open(&View::phone(page));
        // Below 16 pixels it zooms in, and never out again.
        let small = browser.text(
            "[document, ...[...document.querySelectorAll('cluster-stage, cluster-live')].map(stage => stage.shadowRoot)]
                .flatMap(root => [...root.querySelectorAll('select, textarea, input:not([type=checkbox])')])
                .filter(field => parseFloat(getComputedStyle(field).fontSize) < 16).map(field => field.id + field.name).join()",
        );
        assert_eq!(small, "", "{page}: fields that are too small");
    }
}
