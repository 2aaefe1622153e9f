//! `<cluster-live>` in the pages of part two: how it is worked, and how it looks.

use browser_tests::serde_json::json;
use browser_tests::*;

/// The element of the page that is open, as `el`, with a clock of its own: `fakeNow`.
const ELEMENT: &str = "
    window.el = document.querySelector('cluster-live');
    window.fakeNow = 0;
    el.now = () => fakeNow;
    el.last = undefined;
    el.due = 0;
    window.find = css => el.shadowRoot.querySelector(css);
    window.press = (name, value) => {
      const all = [...el.shadowRoot.querySelectorAll(`[name='${name}']`)];
      all.find(it => value === undefined || it.value === String(value)).click();
    };
    window.choose = (name, value) => {
      find(`[name=${name}]`).value = value;
      find(`[name=${name}]`).dispatchEvent(new Event('change', { bubbles: true }));
    };
    // Long enough for all that is played.
    window.playOn = () => {
      for (let at = 0; at < 4000 && (el.at < el.script.length || el.model.quiet() < 11_000); at++) {
        fakeNow += 100;
        el.tick();
      }
      fakeNow += 1000;
      el.tick();
    };
    window.said = () => find('[role=status]').textContent;
    return null";

fn open(browser: &Browser, view: &View) {
    browser.open(view);
    browser.until(
        "the page has a cluster to play with",
        "document.querySelector('cluster-live')?.model",
    );
    browser.js(ELEMENT, json!([]));
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn every_chapter_of_part_two_has_its_step_and_a_figure_with_javascript_and_without() {
    let browser = Browser::start();
    for language in LANGUAGES {
        for step in PART_TWO {
            let page = format!("{language}/{step}.html");
            open(&browser, &View::wide(&page));
            let count = browser.number("document.querySelectorAll('main cluster-live').length");
            assert_eq!(count, 1.0, "{page} has no <cluster-live>, or more than one");
            let shown = browser.text("find('[name=step]').selectedOptions[0].textContent");
            assert_eq!(shown, step, "{page} has the cluster of another step");
            let figure = "document.querySelector('cluster-live > figure')?.getBoundingClientRect().height > 100";
            assert!(browser.holds(figure), "{page} shows no figure below the cluster");
            assert_eq!(browser.errors(), Vec::<String>::new(), "{page}");
            browser.open(&View { javascript: false, ..View::wide(&page) });
            assert!(browser.holds(figure), "{page} shows no figure without JavaScript");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_page_loads_the_cluster_that_it_has_and_no_other() {
    let browser = Browser::start();
    for page in &book().pages {
        let page = page.replace("index.html", "index.html#choose");
        browser.open(&View::wide(&page));
        for (element, scripts) in [
            ("cluster-stage", &["cluster.js"][..]),
            ("cluster-live", &["live-model.js", "live.js"]),
        ] {
            let has = browser.holds(&format!("document.querySelector('{element}')"));
            for script in scripts {
                let loads =
                    browser.holds(&format!("document.querySelector('script[src$=\"/{script}\"]')"));
                assert_eq!(loads, has, "{page}: {script}");
            }
        }
    }
}

#[test]
fn what_a_page_with_a_cluster_loads_for_it_is_small_and_needs_no_other() {
    for scripts in [&["cluster.js"][..], &["live-model.js", "live.js"]] {
        let source: String = scripts
            .iter()
            .map(|name| std::fs::read_to_string(project().join("book/assets").join(name)).unwrap())
            .collect();
        assert!(source.len() < 60_000, "{scripts:?} have {} bytes", source.len());
        for word in ["import ", "import(", "require(", "fetch(", "http:", "https:", "eval("] {
            assert!(!source.contains(word), "{scripts:?} should stand alone: `{word}`");
        }
    }
}

/// What each "show me" comes to: of the clients, and of the program.
#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_a_chapter_shows_is_what_it_says() {
    let browser = Browser::start();
    let shows: [(&str, &[&str]); 10] = [
        ("05_loop", &["4 answered, 4 open", "9 open"]),
        ("06_handoff", &["9 open", "9 open", "4 answered"]),
        ("07_patience", &["no end", "$? 1"]),
        ("08_finish", &["1 lost, $? 143", "1 answered, 1 refused, $? 0"]),
        ("09_keepalive", &["1 closed, 1 refused, $? 0", "1 closed, $? 0"]),
        ("10_backlog", &["2 answered, 4 lost, $? 0", "6 answered, $? 0"]),
        ("11_scale", &["2 open", "3 answered"]),
        ("12_reload", &["$? 1", "2 answered", "1 closed"]),
        ("13_session", &["4 answered: 1 1 2 2", "1 answered, 1 closed: 3 1"]),
        (
            "14_redis",
            &["4 answered: 1 1 2 2", "5 answered: 1 2 3 4 5", "5 answered: 1 2 503 503 1"],
        ),
    ];
    for (step, ends) in shows {
        open(&browser, &View::wide(&format!("en/{step}.html")));
        let count = browser.number("el.shadowRoot.querySelectorAll('[name=show]').length");
        assert_eq!(count as usize, ends.len(), "{step}: one end for each");
        for (at, end) in ends.iter().enumerate() {
            let came = browser.js(
                "press('show', arguments[0]);
                 for (let at = 0; at < 1000 && el.at < el.script.length; at++) { fakeNow += 100; el.tick(); }
                 const { clients, status, workers } = el.model.state;
                 if (workers.length > 6) return 'no end';
                 playOn();
                 const list = ['answered', 'closed', 'lost', 'refused', ''].map(result =>
                   [clients.filter(it => it.result === result).length, result || 'open']);
                 const ends = list.filter(([count]) => count).map(([count, result]) => `${count} ${result}`);
                 if (status >= 0) ends.push(`$? ${status}`);
                 const last = clients.map(({ answers }) => answers.at(-1)).filter(Boolean);
                 const visits = last.some(it => it.count) ? ': ' + last.map(it => it.count ?? it.status).join(' ') : '';
                 return ends.join(', ') + visits;",
                json!([at]),
            );
            assert_eq!(came, json!(*end), "{step}, number {at}");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn it_can_be_stopped_taken_one_event_at_a_time_and_back() {
    let browser = Browser::start();
    open(&browser, &View::wide("en/06_handoff.html"));
    let places = || {
        browser.text("el.model.state.clients.map(it => it.where + (it.copy ? '+' : '')).join(' ')")
    };
    browser
        .js("press('pause'); press('once'); fakeNow += 60000; el.tick(); return null", json!([]));
    assert_eq!(places(), "backlog", "while it is stopped, nothing goes on");
    let mut seen = vec![places()];
    for _ in 0..5 {
        browser.js("press('one'); return null", json!([]));
        seen.push(places());
    }
    let path = ["backlog", "queue", "way+", "worker+", "worker", "client"];
    assert_eq!(seen, path, "one thing at a time: accepted, sent, taken, confirmed, answered");
    for place in path.iter().rev().skip(1) {
        browser.js("press('back'); return null", json!([]));
        assert_eq!(places(), *place, "back again");
    }
    browser.js("press('back'); return null", json!([]));
    assert_eq!(places(), "", "also what the reader did is taken back");
    assert!(browser.holds("find('[name=back]').ariaDisabled === 'true'"), "there is no more");
    browser.js("press('once'); press('pause'); playOn(); return null", json!([]));
    assert_eq!(places(), "client", "and then it goes on");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_keyboard_alone_works_it_and_what_happens_is_said() {
    let browser = Browser::start();
    open(&browser, &View::wide("en/09_keepalive.html"));
    let focus = "el.shadowRoot.activeElement";
    let tab_to = |name: &str| {
        for _ in 0..20 {
            browser.keys(Key::Tab);
            if browser.text(&format!("{focus}?.name ?? ''")) == name {
                return;
            }
        }
        panic!("the Tab key does not reach `{name}`");
    };
    let page = browser.address();
    browser.js("el.tabIndex = -1; el.focus(); return null", json!([]));
    tab_to("show");
    browser.keys(Key::Enter);
    assert!(browser.holds("el.script.length > 0"), "a key plays what the chapter shows");
    browser.js("playOn(); return null", json!([]));
    assert!(browser.text("said()").contains("refused"), "{}", browser.text("said()"));
    tab_to("again");
    browser.keys(" ");
    tab_to("step");
    browser.keys(Key::Left);
    browser.keys(Key::Right);
    assert_eq!(browser.address(), page, "an arrow key chooses a step, and does not turn the page");
    browser.js("choose('step', 9); return null", json!([]));
    tab_to("keep");
    browser.keys(Key::Enter);
    browser.js("playOn(); return null", json!([]));
    assert!(
        browser.text("said()").contains("Worker 33095 has answered connection 1: 200."),
        "{}",
        browser.text("said()")
    );
    browser.js("el.focus(); return null", json!([]));
    tab_to("dot");
    let name = browser.text(&format!("{focus}.ariaLabel"));
    assert!(name.starts_with("connection 1") && name.ends_with("ask again"), "{name}");
    browser.keys(Key::Enter);
    browser.js("playOn(); return null", json!([]));
    assert_eq!(browser.text(&format!("{focus}?.name")), "dot", "the focus stays where it was");
    let answers = browser.number("el.model.state.clients[0].answers.length");
    assert_eq!(answers, 2.0, "it has asked again");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_signal_goes_to_the_process_whose_button_is_pressed() {
    let browser = Browser::start();
    open(&browser, &View::wide("ko/11_scale.html"));
    browser.js("choose('signal', 'TTIN'); press('kill', 33094); playOn(); return null", json!([]));
    assert_eq!(browser.number("el.shadowRoot.querySelectorAll('.lane').length"), 3.0);
    assert_eq!(browser.text("find('.primary button').ariaLabel"), "kill -TTIN 33094");
    browser.js("choose('signal', 'STOP'); press('kill', 33096); return null", json!([]));
    assert!(browser.holds("find('.box.stopped span').textContent === '33096'"), "it is stopped");
    browser.js("press('Ctrl-C'); playOn(); return null", json!([]));
    // The stopped one cannot finish: it is killed with the primary.
    assert_eq!(browser.text("find('.primary b').textContent"), "$? 0");
    let off = browser.text(
        "[...el.shadowRoot.querySelectorAll('[name=kill], [name=Ctrl-C]')].every(it => it.ariaDisabled === 'true')",
    );
    assert_eq!(off, "true", "at the end nothing is left to kill");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_worker_grows_old_while_the_reader_does_nothing() {
    let browser = Browser::start();
    for (ms, failures) in [(0, 1.0), (5_000, 0.0)] {
        open(&browser, &View::wide("en/07_patience.html"));
        browser.js(
            "el.tick(); fakeNow += arguments[0]; press('kill', 33095); playOn(); return null",
            json!([ms]),
        );
        let counted = browser.number("el.model.state.places[0].failures");
        assert_eq!(counted, failures, "killed after {ms} ms");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_connection_travels_unless_the_reader_wants_no_motion() {
    let browser = Browser::start();
    for reduced_motion in [false, true] {
        open(&browser, &View { reduced_motion, ..View::wide("en/06_handoff.html") });
        // In one call: a moment later it may have arrived.
        let moving = browser.js(
            "press('once'); for (let at = 0; at < 8; at++) { fakeNow += 100; el.tick(); }
             return find('.dot').getAnimations().length > 0",
            json!([]),
        );
        assert_eq!(moving, json!(!reduced_motion), "reduced motion: {reduced_motion}");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn no_timer_runs_where_nothing_is_to_come_nor_without_the_element() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    browser.collect_timers();
    browser.js(
        "for (const name of ['live-model', 'live']) {
           const script = document.createElement('script');
           Object.assign(script, { src: `../assets/${name}.js`, async: false });
           document.head.append(script);
         }
         document.querySelector('main').insertAdjacentHTML('afterbegin', '<cluster-live step=\"07\"></cluster-live>');
         return null",
        json!([]),
    );
    browser.until("it is there", "document.querySelector('cluster-live').model");
    browser.js(ELEMENT, json!([]));
    assert!(browser.holds("pending.size === 0"), "before anything is done");
    browser.js("press('once'); return null", json!([]));
    assert!(browser.holds("pending.size === 1"), "a request is on its way");
    browser.js("playOn(); return null", json!([]));
    assert!(browser.holds("pending.size === 0"), "it has been answered");
    browser.js("press('once'); el.remove(); return null", json!([]));
    assert!(browser.holds("pending.size === 0"), "the element is gone");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_phone_of_320_pixels_shows_all_of_it_and_every_theme_can_be_read() {
    let browser = Browser::start();
    for (theme, step) in
        THEMES.into_iter().zip(["05_loop", "10_backlog", "12_reload", "13_session", "14_redis"])
    {
        for language in LANGUAGES {
            let page = format!("{language}/{step}.html");
            open(&browser, &View { theme, width: 320, ..View::phone(&page) });
            browser.js(
                "for (const kind of ['keep', 'half', 'once']) { press(kind); press(kind); }
                 playOn();
                 choose('signal', 'STOP');
                 press('kill', 33095);
                 press('once');
                 press('once');
                 playOn();
                 return null",
                json!([]),
            );
            let out = browser.text(
                "[...el.shadowRoot.querySelectorAll('button, select, b, span, small, .box')]
                  .filter(part => part.checkVisibility() && part.getBoundingClientRect().right > el.getBoundingClientRect().right)
                  .map(part => part.outerHTML).join()",
            );
            assert_eq!(out, "", "{page}: these stick out");
            let small = browser.text(
                "[...el.shadowRoot.querySelectorAll('button')]
                  .filter(it => it.checkVisibility() && (it.offsetWidth < 24 || it.offsetHeight < 24))
                  .map(part => part.outerHTML).join()",
            );
            assert_eq!(small, "", "{page}: too small for a finger");
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn who_keeps_asking_sees_what_a_reload_and_what_a_kill_cost() {
    let browser = Browser::start();
    let tally = || browser.text("find('.net small').textContent");
    // Ten seconds of the reader's time.
    let ten_seconds =
        || browser.js("for (let at = 0; at < 250; at++) { fakeNow += 40; el.tick(); }", json!([]));
    open(&browser, &View::wide("en/12_reload.html"));
    assert_eq!(tally(), "clients ✓ 0 ✗ 0");
    browser.js("press('flow')", json!([]));
    ten_seconds();
    browser.js("choose('signal', 'HUP'); press('kill', 33094)", json!([]));
    ten_seconds();
    ten_seconds();
    let old = "el.model.state.workers.slice(0, 2).every(worker => worker.is === 'gone')";
    assert!(browser.holds(old), "both workers should have been replaced");
    let answered = tally();
    let (pages, none) = answered.strip_prefix("clients ✓ ").unwrap().split_once(" ✗ ").unwrap();
    assert!(pages.parse::<usize>().unwrap() > 10, "somebody should ask all the time: {answered}");
    assert_eq!(none, "0", "and nobody be lost in a reload: {answered}");

    browser.js("press('flow')", json!([]));
    ten_seconds();
    let after = tally();
    ten_seconds();
    assert_eq!(tally(), after, "pressed once more, nobody asks any more");

    // A worker that is killed takes along what it has, if it had anything.
    open(&browser, &View::wide("en/06_handoff.html"));
    browser.js(
        "press('flow');
         for (let at = 0; at < 250; at++) {
           fakeNow += 40;
           el.tick();
           const worker = el.model.state.workers.findLast(worker => worker.is === 'running');
           if (at % 25 === 24 && worker) press('kill', worker.pid);
         }",
        json!([]),
    );
    let killed = tally();
    assert!(!killed.ends_with("✗ 0"), "ten kills should meet somebody: {killed}");

    // The primary ends: who asks then is refused.
    browser.js("press('flow'); press('again')", json!([]));
    assert_eq!(tally(), "clients ✓ 0 ✗ 0");
    browser.js("choose('signal', 'KILL'); press('kill', 33094); press('flow')", json!([]));
    ten_seconds();
    let refused = tally();
    assert!(!refused.ends_with("✗ 0"), "and who is refused is counted: {refused}");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn what_a_reader_chooses_by_hand_is_so() {
    let browser = Browser::start();
    open(&browser, &View::wide("en/12_reload.html"));
    browser.js("choose('program', 'exit'); choose('signal', 'HUP'); press('kill', 33094); playOn(); return null", json!([]));
    let console = browser.text("find('pre').textContent");
    assert!(
        console.contains("reload called off"),
        "the program on the disk ends at once: {console}"
    );
    assert_eq!(browser.text("find('[name=program]').value"), "exit");

    open(&browser, &View::wide("en/14_redis.html"));
    browser.js("choose('redis', 'gone'); press('once'); playOn(); return null", json!([]));
    assert_eq!(browser.text("find('.net small').textContent"), "clients ✓ 0 ✗ 1", "Redis is gone");
    assert_eq!(browser.text("find('.net .dot').textContent"), "A✗503");
    browser.js(
        "choose('visitor', 'B'); choose('redis', 'up'); press('once'); playOn(); return null",
        json!([]),
    );
    assert_eq!(browser.text("find('.net small').textContent"), "clients ✓ 1 ✗ 1", "Redis is back");

    open(&browser, &View::wide("en/06_handoff.html"));
    browser.js("choose('step', '5'); return null", json!([]));
    assert_eq!(browser.number("el.model.state.step"), 5.0);
    browser.js("choose('signal', 'STOP'); return null", json!([]));
    assert_eq!(browser.text("find('.primary button').textContent"), "STOP", "what a button sends");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_cluster_that_plays_does_not_push_the_page_below_it() {
    let browser = Browser::start();
    for language in LANGUAGES {
        for (step, plays) in [
            ("03_respawn", "curl"),
            ("05_loop", "show"),
            ("10_backlog", "show"),
            ("10_backlog", "flow"),
        ] {
            for width in [390, 1280] {
                let page = format!("{language}/{step}.html");
                browser.open(&View { width, ..View::phone(&page) });
                let heights = browser.js(
                    "const cluster = document.querySelector('cluster-stage, cluster-live'), heights = new Set();
                     let now = performance.now();
                     cluster.now = () => now;
                     const press = name => cluster.shadowRoot.querySelector(`[name=${name}]`).click();
                     for (let tenths = 0; tenths < 300; tenths++) {
                       if (arguments[0] === 'curl' ? tenths % 5 === 0 && tenths < 280 : tenths === 0) press(arguments[0]);
                       if (arguments[0] === 'curl' && tenths === 290) press('Ctrl-C');
                       now += 100;
                       cluster.tick();
                       heights.add(cluster.offsetHeight);
                     }
                     return [...heights].join(' ')",
                    json!([plays]),
                );
                let heights = heights.as_str().unwrap();
                assert!(!heights.contains(' '), "{page} at {width} px, {plays}: {heights} px high");
            }
        }
    }
}
