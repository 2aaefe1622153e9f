//! `<cluster-stage>`, the cluster to play with: it says what the real programs say.

mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Instant;

use browser_tests::*;
use real::{a_second, end, lines, real};
use serde_json::json;
use support::{Pid, Signal, is_dead};

const STEPS: [&str; 5] = ["00_fork", "01_crash", "02_exit_log", "03_respawn", "04_errors"];
const WORKERS: usize = 3;

/// One thing a reader does to the element, and a person to the real program.
#[derive(Clone, Copy, Debug)]
enum Act {
    Request,
    /// A request for that path, in a stage that tells paths apart.
    Ask(&'static str),
    /// `kill -SIGNAL` for the box of that number: 0 is the primary.
    Kill(&'static str, usize),
    Interrupt,
    /// A second goes by: every clock that runs, runs out.
    Second,
    /// Half of one. The real program has its own time: it is only ever waited for.
    Half,
}
use Act::*;

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn for_the_same_actions_its_console_is_the_one_of_step_00() {
    let browser = Browser::start();
    same_console(
        &browser,
        0,
        &[Request, Request, Request, Request, Second, Kill("KILL", 2), Request],
    );
    same_console(&browser, 0, &[Kill("TERM", 1), Kill("HUP", 3), Request, Kill("INT", 2), Request]);
    same_console(&browser, 0, &[Request, Kill("KILL", 0), Request]);
    same_console(&browser, 0, &[Interrupt, Request]);
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn for_the_same_actions_its_console_is_the_one_of_step_01() {
    let browser = Browser::start();
    same_console(&browser, 1, &[Request, Second, Request, Request, Second, Request]);
    same_console(&browser, 1, &[Request, Request, Request, Request, Second, Request]);
    same_console(&browser, 1, &[Kill("QUIT", 2), Request, Second, Kill("TERM", 3), Request]);
    same_console(&browser, 1, &[Request, Kill("TERM", 0), Request]);
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn for_the_same_actions_its_console_is_the_one_of_step_02() {
    let browser = Browser::start();
    same_console(&browser, 2, &[Request, Second, Request, Second, Request, Second, Request]);
    same_console(&browser, 2, &[Request, Request, Second, Kill("KILL", 3), Request]);
    // Only the first answer of a worker starts its clock.
    same_console(&browser, 2, &[Request, Request, Request, Half, Request, Half, Request]);
    same_console(&browser, 2, &[Kill("TERM", 2), Kill("INT", 1), Request, Kill("HUP", 3)]);
    same_console(&browser, 2, &[Kill("QUIT", 1), Request, Kill("HUP", 0), Request]);
    same_console(&browser, 2, &[Request, Interrupt]);
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn for_the_same_actions_its_console_is_the_one_of_step_03() {
    let browser = Browser::start();
    same_console(
        &browser,
        3,
        &[Request, Second, Request, Second, Request, Second, Request, Second],
    );
    same_console(&browser, 3, &[Request, Request, Request, Request, Second, Request, Second]);
    // A worker that is killed while its clock runs dies once.
    let known = [Kill("KILL", 1), Kill("TERM", 2), Kill("INT", 3)];
    same_console(
        &browser,
        3,
        &[&known[..], &[Request, Kill("HUP", 1), Second, Request, Second]].concat(),
    );
    same_console(&browser, 3, &[Kill("QUIT", 2), Kill("QUIT", 0), Request]);
    same_console(&browser, 3, &[Kill("KILL", 1), Interrupt, Request]);
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn for_the_same_actions_its_console_is_the_one_of_step_04() {
    let browser = Browser::start();
    same_console(&browser, 4, &[Request, Second, Ask("/one"), Ask("/"), Ask("/one"), Second]);
    same_console(&browser, 4, &[Ask("/3"), Request, Ask("/3"), Ask("/3"), Ask("/3"), Ask("/one")]);
    same_console(&browser, 4, &[Kill("KILL", 2), Ask("/3"), Kill("TERM", 1), Ask("/one")]);
    same_console(&browser, 4, &[Ask("/3"), Kill("HUP", 0), Request]);
    same_console(&browser, 4, &[Ask("/3"), Interrupt, Ask("/3")]);
}

/// Does the same to the element and to the real program, until they have had the same time for it.
#[track_caller]
fn same_console(browser: &Browser, stage: usize, acts: &[Act]) {
    const ATTEMPTS: usize = 5;
    let mut late = String::new();
    for _ in 0..ATTEMPTS {
        match compare(browser, stage, acts) {
            Ok(()) => return,
            Err(Difference { late: false, what }) => panic!("{what}"),
            Err(Difference { late: true, what }) => late = what,
        }
    }
    panic!(
        "{ATTEMPTS} times a real clock ran out before the next action: too busy a machine. {late}"
    );
}

struct Difference {
    what: String,
    /// The element's clocks wait for the test, those of the program do not: it was not done in time.
    late: bool,
}

/// Does the same to both, and compares after each action what they printed since, who lives, and
/// how it ended. Process ids are compared up to renaming.
fn compare(browser: &Browser, stage: usize, acts: &[Act]) -> Result<(), Difference> {
    let mut shown = Shown::start(browser, stage);
    let mut real = real(STEPS[stage], WORKERS);
    // Every way in which the element's ids can stand for the real ones, given all that was seen.
    let mut names: Vec<BTreeMap<i64, i64>> = vec![BTreeMap::new()];
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let mut story = String::from("start");
    let mut acts = acts.iter();
    // Since when a clock of the real program may be running.
    let mut clock: Option<Instant> = None;
    let mut late = false;
    loop {
        let new = shown.new_lines();
        let printed = lines(&mut real, new.len());
        left.extend(new.clone());
        right.extend(printed.clone());
        names = names.iter().flat_map(|names| unify(names, &new, &printed)).collect();
        let same = |state: &State, names: &BTreeMap<i64, i64>| {
            state.alive.iter().map(|pid| names[pid]).collect::<BTreeSet<_>>()
        };
        let state = shown.state();
        let fail = |late: bool, what: &str| {
            let what = format!(
                "{}, after {story}: {what}\n--- the element\n{}\n--- the real program\n{}\n",
                STEPS[stage],
                left.join("\n"),
                right.join("\n")
            );
            Err(Difference { what, late })
        };
        if names.is_empty() {
            return fail(late, "the consoles differ");
        }
        match state.status {
            Some(status) => {
                let (rest, real_status) = end(&mut real);
                if !rest.is_empty() {
                    return fail(late, &format!("the real program says more: {rest:?}"));
                }
                if status != real_status {
                    return fail(
                        late,
                        &format!("the element ends with {status}, the program with {real_status}"),
                    );
                }
            }
            // While a clock runs, somebody may die at any moment.
            None if state.clocks > 0 => {}
            // A death that nobody logs still takes a moment.
            None => {
                let deadline = Instant::now() + PATIENCE;
                let everybody: Vec<i64> =
                    names.iter().flat_map(|names| names.values().copied()).collect();
                let kept = loop {
                    let alive = alive(&everybody);
                    let kept: Vec<_> = names
                        .iter()
                        .filter(|names| same(&state, names) == alive)
                        .cloned()
                        .collect();
                    if !kept.is_empty() {
                        break kept;
                    }
                    if Instant::now() > deadline {
                        let alive = format!("{} should live, but {alive:?} do", state.alive.len());
                        return fail(late, &alive);
                    }
                };
                names = kept;
            }
        }
        let Some(act) = acts.next() else { break };
        if state.clocks == 0 {
            clock = matches!(act, Request).then(Instant::now);
        }
        let answered = shown.act(act);
        match act {
            Request | Ask(_) => {
                let path = if let Ask(path) = act { path } else { "/" };
                let status = real.get(path).ok().map(|page| page.status);
                if status != answered {
                    return fail(
                        ran_out(clock),
                        &format!(
                            "{act:?} gets {answered:?} from the element, {status:?} from the program"
                        ),
                    );
                }
            }
            Kill(signal, at) => {
                let pid = names[0][&state.pids[*at]];
                names.retain(|names| names[&state.pids[*at]] == pid);
                let signal: Signal = format!("SIG{signal}").parse().expect("a signal");
                real.send(signal, Pid::from_raw(pid as i32));
            }
            Interrupt => real.interrupt(),
            // Whose clock runs, ends by itself; else another program's clock tells the time.
            Second if state.clocks == 0 => a_second(),
            Second | Half => {}
        }
        story += &format!(", {act:?}");
        late = !matches!(act, Second | Half) && ran_out(clock);
    }
    if shown.state().status.is_none() {
        let rest = real.end().lines;
        if !rest.is_empty() {
            let what = format!("{}, after {story}, went on: {rest:?}", STEPS[stage]);
            return Err(Difference { what, late: ran_out(clock) });
        }
    }
    Ok(())
}

/// Whether a clock that was started then may have run out by now.
fn ran_out(started: Option<Instant>) -> bool {
    started.is_some_and(|started| started.elapsed().as_millis() > 900)
}

/// What the lines `shown` say, the lines `real` say too, in one way or more of naming processes.
/// A process starts while others go on, so the lines that tell of starts may stand anywhere.
fn unify(names: &BTreeMap<i64, i64>, shown: &[String], real: &[String]) -> Vec<BTreeMap<i64, i64>> {
    let is_start = |line: &&String| line.ends_with("번 워커 실행");
    let (new, told): (Vec<&String>, Vec<&String>) = shown.iter().partition(is_start);
    let (real_new, real_told): (Vec<&String>, Vec<&String>) = real.iter().partition(is_start);
    if new.len() != real_new.len() || told.len() != real_told.len() {
        return Vec::new();
    }
    let mut ways = vec![names.clone()];
    for line in &new {
        let known = |way: &BTreeMap<i64, i64>, pid| way.values().any(|known| *known == pid);
        ways = ways
            .iter()
            .flat_map(|way| {
                real_new.iter().map(|real| number(real)).filter(|pid| !known(way, *pid)).map(
                    |pid| {
                        let mut way = way.clone();
                        way.insert(number(line), pid);
                        way
                    },
                )
            })
            .collect();
    }
    for (line, real) in told.iter().zip(&real_told) {
        let named = |way: &mut BTreeMap<i64, i64>| {
            if line.starts_with("code ") {
                return line == real;
            }
            let (pid, real_pid) = (number(line), number(real));
            line.replace(&pid.to_string(), "") == real.replace(&real_pid.to_string(), "")
                && *way.entry(pid).or_insert(real_pid) == real_pid
        };
        ways.retain_mut(named);
    }
    ways
}

fn number(line: &str) -> i64 {
    let digits: String = line.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no process id: {line}"))
}

/// The element in a page, with a clock that stands still until it is told to go on.
struct Shown<'a> {
    browser: &'a Browser,
    seen: usize,
}

struct State {
    pids: Vec<i64>,
    alive: Vec<i64>,
    status: Option<i64>,
    clocks: usize,
}

impl Shown<'_> {
    fn start(browser: &Browser, stage: usize) -> Shown<'_> {
        browser.open(&View::wide("en/introduction.html"));
        browser.js(ELEMENT, json!([format!("0{stage}")]));
        Shown { browser, seen: 0 }
    }

    fn new_lines(&mut self) -> Vec<String> {
        let console = self.browser.text("el.shadowRoot.querySelector('pre').textContent");
        let lines: Vec<String> = console.lines().skip(self.seen).map(str::to_owned).collect();
        self.seen += lines.len();
        lines
    }

    fn state(&self) -> State {
        let value = self.browser.js(
            "const boxes = [...el.shadowRoot.querySelectorAll('.primary, .worker')].map(box => ({
               pid: +box.querySelector('button').value,
               gone: box.matches('.gone'),
               text: box.querySelector('b').textContent,
             }));
             return {
               pids: boxes.map(box => box.pid),
               alive: boxes.filter(box => !box.gone).map(box => box.pid),
               status: boxes[0].gone ? +boxes[0].text.replace('$? ', '') : null,
               clocks: boxes.filter(box => box.text.endsWith(' s')).length,
             }",
            json!([]),
        );
        let pids = |name: &str| {
            value[name].as_array().unwrap().iter().map(|pid| pid.as_i64().unwrap()).collect()
        };
        State {
            pids: pids("pids"),
            alive: pids("alive"),
            status: value["status"].as_i64(),
            clocks: value["clocks"].as_u64().unwrap() as usize,
        }
    }

    /// Works the element as a reader does; the status that a request was answered with, if any.
    fn act(&self, act: &Act) -> Option<u16> {
        let (name, choice, at) = match act {
            Request => ("curl", "/", 0),
            Ask(path) => ("curl", *path, 0),
            Kill(signal, at) => ("kill", *signal, *at),
            Interrupt => ("Ctrl-C", "", 0),
            Second => ("", "", 1000),
            Half => ("", "", 500),
        };
        let said = self.browser.js(
            "const [name, choice, at] = arguments, root = el.shadowRoot;
             if (choice) root.querySelector(name === 'kill' ? '[name=signal]' : '[name=path]').value = choice;
             if (name) root.querySelectorAll(`[name='${name}']`)[at].click();
             else { fakeNow += at; el.tick(); }
             return root.querySelector('[role=status]').textContent",
            json!([name, choice, at]),
        );
        let (_, status) = said.as_str()?.split_once("has answered: ")?;
        Some(status.get(..3)?.parse().expect("a status"))
    }
}

/// Puts an element of the stage `arguments[0]` on the page: `el`, whose time is `fakeNow`.
const ELEMENT: &str = "
    window.fakeNow = 0;
    window.el = document.createElement('cluster-stage');
    el.setAttribute('stage', arguments[0]);
    el.now = () => fakeNow;
    document.querySelector('main').prepend(el);";

fn alive(pids: &[i64]) -> BTreeSet<i64> {
    pids.iter().copied().filter(|pid| !is_dead(Pid::from_raw(*pid as i32))).collect()
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn every_chapter_has_the_cluster_of_its_stage_and_a_figure_where_there_is_no_javascript() {
    let browser = Browser::start();
    for language in LANGUAGES {
        for (stage, step) in STEPS.iter().enumerate() {
            let page = format!("{language}/{step}.html");
            if !book().pages.contains(&page) {
                continue;
            }
            browser.open(&View { reduced_motion: true, ..View::wide(&page) });
            assert!(
                browser.holds("document.querySelectorAll('main cluster-stage').length === 1"),
                "{page} has no <cluster-stage>, or more than one"
            );
            let shown = browser.number(
                "document.querySelector('cluster-stage').shadowRoot.querySelector('[name=stage]').selectedIndex",
            );
            assert_eq!(shown, stage as f64, "{page} has the cluster of another stage");
            let figure = "document.querySelector('cluster-stage > figure')?.getBoundingClientRect().height > 100";
            assert!(!browser.holds(figure), "{page} shows the figure as well as the cluster");
            browser.open(&View { javascript: false, ..View::wide(&page) });
            assert!(
                browser.holds(figure),
                "{page} shows no figure without JavaScript. (<cluster-stage …> has to stand alone on \
                 its line, or the browser closes it before the figure.)"
            );
        }
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn its_clock_is_the_readers_and_runs_out_before_their_eyes() {
    let browser = Browser::start();
    for reduced_motion in [false, true] {
        browser.open(&View { reduced_motion, ..View::wide("en/introduction.html") });
        browser.js(
            "window.el = document.createElement('cluster-stage');
             el.setAttribute('stage', '02');
             document.querySelector('main').prepend(el);
             const state = el.shadowRoot.querySelector('.worker b');
             window.seen = [];
             new MutationObserver(() => seen.push(state.textContent)).observe(state, { childList: true });
             window.started = performance.now();
             el.shadowRoot.querySelector('[name=curl]').click()",
            json!([]),
        );
        browser.until("the worker ends once its second is over", "seen.at(-1) === 'code 1'");
        let took = browser.number("performance.now() - started");
        assert!(took >= 1000.0, "a worker lives on for a second, not {took} ms");
        let times = browser.number("seen.filter(text => /^[01]\\.\\d s$/.test(text)).length");
        if reduced_motion {
            assert!(times <= 5.0, "with reduced motion the clock still changes {times} times");
        } else {
            assert!(
                times >= 4.0,
                "the clock should be seen running out, but it changed {times} times"
            );
        }
        assert!(
            browser.holds("el.shadowRoot.getAnimations().length === 0"),
            "nothing is animated but the clock"
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_keyboard_alone_works_it_and_a_screen_reader_hears_what_happened() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    browser.js(ELEMENT, json!(["03"]));
    let status = "el.shadowRoot.querySelector('[role=status]').textContent.trim()";
    let focus = "el.shadowRoot.activeElement";
    let tab_to = |name: &str| {
        for _ in 0..12 {
            browser.keys(Key::Tab);
            if browser.text(&format!("{focus}?.name ?? ''")) == name {
                return;
            }
        }
        panic!("the Tab key does not reach `{name}`");
    };
    browser.js("el.tabIndex = -1; el.focus()", json!([]));
    tab_to("stage");
    let page = browser.address();
    browser.keys(Key::Left);
    browser.keys(Key::Up);
    browser.until(
        "an arrow key chooses a stage, and does not turn the page",
        "el.shadowRoot.querySelector('[name=stage]').value < '03_respawn'",
    );
    assert_eq!(browser.address(), page);
    browser.js("el.shadowRoot.querySelector('[name=stage]').selectedIndex = 3", json!([]));
    tab_to("again");
    browser.keys(Key::Enter);
    assert!(
        browser.text(status).starts_with("Process "),
        "a restart is told: {}",
        browser.text(status)
    );
    tab_to("kill");
    tab_to("kill");
    let name = browser.text(&format!("{focus}.ariaLabel"));
    let pid = browser.text(&format!("{focus}.value"));
    assert_eq!(name, format!("kill -KILL {pid}"), "a button says what it does");
    browser.keys(Key::Enter);
    assert!(
        browser.text(status).starts_with(&format!("Worker {pid} has ended: SIGKILL")),
        "a death is told: {}",
        browser.text(status)
    );
    assert_eq!(browser.text(&format!("{focus}?.name")), "kill", "the focus stays where it was");
    assert_ne!(
        browser.text(&format!("{focus}.value")),
        pid,
        "on the worker that came in its place"
    );
    tab_to("curl");
    browser.keys(" ");
    assert!(browser.text(status).contains("has answered"), "an answer is told");
}

/// Like [`ELEMENT`], with the timers that the page waits for in `pending`.
fn show_with_timers(browser: &Browser, stage: &str) {
    browser.open(&View::wide("en/introduction.html"));
    browser.collect_timers();
    browser.js(ELEMENT, json!([stage]));
}

/// What the boxes of the primary and of the workers say, and how wide the bar of each one's clock is.
const BOXES: &str = "return [...el.shadowRoot.querySelectorAll('.tree > div')].slice(0, 4)
    .map(box => `${box.querySelector('b').textContent} ${box.querySelector('i').style.width}`)";

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn the_worker_that_answers_lights_up_unless_the_reader_wants_no_motion() {
    let browser = Browser::start();
    for reduced_motion in [false, true] {
        browser.open(&View { reduced_motion, ..View::wide("en/00_fork.html") });
        // In one call: a moment later it is over.
        let lit = browser.js(
            "const { shadowRoot } = document.querySelector('cluster-stage');
             shadowRoot.querySelector('[name=curl]').click();
             return shadowRoot.getAnimations().map(({ effect }) => effect.target.textContent)",
            json!([]),
        );
        let expected = if reduced_motion { json!([]) } else { json!(["worker 33095KILL✓ 1"]) };
        assert_eq!(lit, expected, "reduced motion: {reduced_motion}");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_clock_stops_with_its_worker_with_the_cluster_and_with_the_element() {
    let browser = Browser::start();
    let click = |name: &str, at: usize| {
        browser.js(
            "el.shadowRoot.querySelectorAll(`[name='${arguments[0]}']`)[arguments[1]].click(); return null",
            json!([name, at]),
        );
    };
    for stage in ["01", "02", "03"] {
        show_with_timers(&browser, stage);
        assert!(browser.holds("pending.size === 0"), "{stage}: a timer before any request");
        click("curl", 0);
        assert_eq!(
            browser.js(BOXES, json!([]))[1],
            "1.0 s 100%",
            "{stage}: a request starts a clock"
        );
        assert!(browser.holds("pending.size === 1"), "{stage}: one timer shows all clocks");
        click("kill", 1);
        let ended = if stage == "03" { " 0%" } else { "SIGKILL 0%" };
        assert_eq!(browser.js(BOXES, json!([]))[1], ended, "{stage}: it stops with its worker");
        assert!(browser.holds("pending.size === 0"), "{stage}: a timer runs on for nobody");
        click("curl", 0);
        click("Ctrl-C", 0);
        assert_eq!(
            browser.js(BOXES, json!([]))[2],
            "SIGINT 0%",
            "{stage}: it stops with the cluster"
        );
        assert!(browser.holds("pending.size === 0"), "{stage}: a timer runs on after the end");
        click("again", 0);
        click("curl", 0);
        assert!(browser.holds("pending.size === 1"), "{stage}: a clock runs again");
        browser.js("el.remove(); return null", json!([]));
        assert!(
            browser.holds("pending.size === 0"),
            "{stage}: a timer runs on without the element"
        );
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_button_that_does_nothing_any_more_says_so() {
    let browser = Browser::start();
    let disabled = || {
        browser.text(
            "[...el.shadowRoot.querySelectorAll('button')].map((button, at) => button.ariaDisabled === 'true' ? at + button.name : '')
               .filter(Boolean).join(' ')",
        )
    };
    browser.open(&View::wide("en/introduction.html"));
    browser.js(ELEMENT, json!(["00"]));
    let kill = |at: usize| {
        browser.js(
            "el.shadowRoot.querySelectorAll('[name=kill]')[arguments[0]].click(); return null",
            json!([at]),
        );
    };
    assert_eq!(disabled(), "", "while all live, each button does something");
    kill(2);
    assert_eq!(disabled(), "3kill", "nobody can kill a worker that has ended");
    kill(0);
    assert_eq!(disabled(), "1kill 2kill 3kill 4kill 6Ctrl-C", "at the end nothing is left to kill");
    browser.js("el.shadowRoot.querySelector('[name=again]').click(); return null", json!([]));
    assert_eq!(disabled(), "", "a restart brings all of them back");
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn keys_that_it_uses_do_nothing_to_the_page() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    browser.js(ELEMENT, json!(["04"]));
    browser.js(
        "window.heard = [];
         document.addEventListener('keydown', event => heard.push(event.key));
         return null",
        json!([]),
    );
    for name in ["stage", "path", "signal", "kill"] {
        browser.js(
            "el.shadowRoot.querySelector(`[name=${arguments[0]}]`).focus(); return null",
            json!([name]),
        );
        for key in [Key::Down, Key::Right, Key::Left, Key::Up] {
            browser.keys(key);
        }
        // An option is also chosen by its first letter; mdBook searches at a slash or an s.
        browser.keys("/s");
        let heard = browser.text("heard.join(' ')");
        assert_eq!(heard, "", "keys for `{name}` that the page heard");
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_path_can_be_chosen_where_the_stage_tells_paths_apart() {
    let browser = Browser::start();
    browser.open(&View::wide("en/introduction.html"));
    browser.js(ELEMENT, json!(["03"]));
    let path = "el.shadowRoot.querySelector('[name=path]')";
    assert!(!browser.holds(&format!("{path}.checkVisibility()")), "03 answers every path alike");
    let choose = |stage: usize| {
        browser.js(
            "const stage = el.shadowRoot.querySelector('[name=stage]');
             stage.selectedIndex = arguments[0];
             stage.dispatchEvent(new Event('change'));
             return null",
            json!([stage]),
        );
    };
    choose(4);
    assert!(browser.holds(&format!("{path}.checkVisibility()")), "04 does not");
    assert_eq!(
        browser.text(&format!("[...{path}.options].map(o => o.value).join(' ')")),
        "/ /one /3"
    );
    browser.js(&format!("{path}.value = '/3'; return null"), json!([]));
    choose(3);
    browser.js("el.shadowRoot.querySelector('[name=curl]').click(); return null", json!([]));
    let said = browser.text("el.shadowRoot.querySelector('[role=status]').textContent");
    assert!(said.contains("has answered: 200"), "what was chosen in 04 stays there: {said}");
    choose(4);
    browser.js(
        &format!(
            "{path}.value = '/3'; el.shadowRoot.querySelector('[name=curl]').click(); return null"
        ),
        json!([]),
    );
    let said = browser.text("el.shadowRoot.querySelector('[role=status]').textContent");
    assert!(
        said.starts_with("Worker ")
            && said.contains("did not answer")
            && said.contains("has ended: code 101"),
        "what became of the request is told: {said}"
    );
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn its_words_are_the_pages_and_its_console_is_the_notes() {
    let browser = Browser::start();
    for (language, word) in [("ko", "요청 보내기"), ("en", "Send a request")] {
        browser.open(&View::wide(&format!("{language}/introduction.html")));
        browser.js(ELEMENT, json!(["00"]));
        assert_eq!(browser.text("el.shadowRoot.querySelector('[name=curl]').textContent"), word);
        let console = browser.text("el.shadowRoot.querySelector('pre').textContent");
        assert!(console.starts_with("마스터 프로세스 아이디: "), "{language}: {console}");
        assert_eq!(browser.text("el.shadowRoot.querySelector('pre').lang"), "ko");
        assert_eq!(browser.errors(), Vec::<String>::new());
    }
}

#[test]
#[ignore = "needs mdbook, chromium and chromedriver"]
fn a_phone_of_320_pixels_shows_all_of_it() {
    let browser = Browser::start();
    for language in LANGUAGES {
        browser.open(&View { width: 320, ..View::phone(&format!("{language}/introduction.html")) });
        browser.js(ELEMENT, json!(["02"]));
        let out = browser.text(
            "[...el.shadowRoot.querySelectorAll('button, select, b, span, .tree div')]
              .filter(part => part.getBoundingClientRect().right > el.getBoundingClientRect().right)
              .map(part => part.outerHTML).join()",
        );
        assert_eq!(out, "", "{language}: these stick out");
    }
}

#[test]
fn it_is_one_small_file_that_needs_no_other() {
    let source = fs::read_to_string(project().join("book/assets/cluster.js")).unwrap();
    assert!(source.len() < 9_200, "cluster.js has {} bytes", source.len());
    for word in ["import ", "import(", "require(", "fetch(", "http:", "https:", "eval("] {
        assert!(!source.contains(word), "cluster.js should stand alone, but has `{word}`");
    }
}
