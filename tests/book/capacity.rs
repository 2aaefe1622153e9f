//! What the page "To the internet and back" reckons with: the simulation says what the formulas say,
//! where there are any, and what was not measured is missing in its tables.

use serde_json::{Value, json};

use crate::measured::report::internet;
use crate::measured::report::internet::queues::{
    Choice, Pages, Plan, Waits, away, has_to_wait, mean_wait, simulate, wait_of,
};
use crate::page::PAGES;
use crate::problems::Problems;

const COUNT: usize = 100_000;

fn one_queue(workers: usize, pages: Pages, load: f64) -> Waits {
    let plan = Plan { queues: 1, workers, choice: Choice::InTurn, pages, page: 1.0, load };
    simulate(&plan, COUNT)
}

/// Within a part of what it should be, or of a page's time where it should be next to nothing.
fn is_near(seen: f64, wanted: f64, part: f64) -> bool {
    (seen - wanted).abs() <= part * wanted.max(0.1)
}

#[test]
fn the_simulated_waits_are_those_of_the_formulas() {
    let mut problems = Problems::default();
    for (workers, load) in [(1, 0.5), (1, 0.8), (1, 0.9), (2, 0.8), (8, 0.8), (8, 0.9)] {
        let Waits { mean, median, p99 } = one_queue(workers, Pages::Spread, load);
        let seen = [mean, median, p99];
        let wanted =
            [mean_wait(workers, load), wait_of(0.5, workers, load), wait_of(0.99, workers, load)];
        for ((what, seen), wanted) in ["mean", "median", "p99"].iter().zip(seen).zip(wanted) {
            if !is_near(seen, wanted, 0.1) {
                problems.add(format!(
                    "{workers} workers at {load}: the {what} is {seen:.3}, not {wanted:.3}"
                ));
            }
        }
    }
    problems.report();
}

#[test]
fn the_formulas_are_the_well_known_ones() {
    for load in [0.5, 0.8, 0.9, 0.99] {
        assert!(is_near(has_to_wait(1, load), load, 1e-9), "one worker is busy {load} of the time");
        assert!(is_near(mean_wait(1, load), load / (1.0 - load), 1e-9), "one worker at {load}");
    }
    // Two workers that have one page's work between them: one in three waits.
    assert!(is_near(has_to_wait(2, 0.5), 1.0 / 3.0, 1e-9));
}

#[test]
fn where_all_pages_take_the_same_time_the_mean_wait_is_half() {
    for load in [0.5, 0.8, 0.9] {
        let mean = one_queue(1, Pages::Equal, load).mean;
        let wanted = mean_wait(1, load) / 2.0;
        assert!(is_near(mean, wanted, 0.1), "at {load} it is {mean:.3}, not {wanted:.3}");
    }
}

#[test]
fn queues_that_visitors_choose_at_random_are_so_many_queues_of_their_own() {
    let choice = Choice::AtRandom;
    let plan = Plan { queues: 4, workers: 1, choice, pages: Pages::Spread, page: 1.0, load: 0.8 };
    let Waits { mean, .. } = simulate(&plan, COUNT);
    let wanted = mean_wait(1, 0.8);
    assert!(is_near(mean, wanted, 0.1), "it is {mean:.3}, not {wanted:.3}");
}

/// A single worker that is handed one visitor at a time is a queue like any other.
#[test]
fn one_worker_that_is_handed_its_visitors_makes_them_wait_no_longer() {
    let choice = Choice::HandedOver;
    let plan = Plan { queues: 1, workers: 1, choice, pages: Pages::Spread, page: 1.0, load: 0.8 };
    let handed = simulate(&plan, COUNT);
    let queue = one_queue(1, Pages::Spread, 0.8);
    assert_eq!((handed.median, handed.p99), (queue.median, queue.p99));
}

#[test]
fn one_host_of_two_that_is_away_at_80_percent_takes_half_as_long_again_to_make_up_for() {
    let away = away(2, 8, 0.005, 0.8, 10.0);
    // Each second 1.6 of a host's work comes and one is done; afterwards 0.4 more is done than comes.
    assert!(is_near(away.longest, 10.0 * 0.6 / 1.6, 0.15), "the longest wait is {}", away.longest);
    assert!(is_near(away.drained, 15.0, 0.15), "it is made up for after {}", away.drained);
}

#[test]
fn the_page_reckons_as_the_formulas_do() {
    let wanted = [
        format!("0.9 ÷ 0.1 × 5 ms = {:.0} ms", 5.0 * mean_wait(1, 0.9)),
        format!(
            "{:.2} ÷ (8 × 0.1) × 5 ms = {:.1} ms",
            has_to_wait(8, 0.9),
            5.0 * mean_wait(8, 0.9)
        ),
        format!("÷ (8 × 0.1) × 5 ms = {:.1} ms", 5.0 * wait_of(0.99, 8, 0.9)),
        format!("0.9 ÷ 0.1 × 20 ms = {:.0} ms", 20.0 * mean_wait(1, 0.9)),
        format!("{:.0} ms", 20.0 * mean_wait(1, 0.9 * 1.06)),
    ];
    let mut problems = Problems::default();
    for page in PAGES.iter().filter(|page| page.name() == "internet.md") {
        // Korean has no blank before a unit.
        let source = page.source.replace(' ', "");
        for wanted in &wanted {
            if !source.contains(&wanted.replace(' ', "")) {
                problems.at(&page.path, 1, format!("it should say `{wanted}`"));
            }
        }
    }
    problems.report();
}

#[test]
fn what_was_not_measured_is_said_to_be_missing_and_what_was_is_reckoned_with() {
    let tables = |data: &Value| -> String {
        internet::files(data, "en").into_iter().map(|(_, text)| text).collect()
    };
    let nothing = tables(&json!({}));
    assert!(nothing.contains("| one HAProxy: requests | not measured | – | – |"), "{nothing}");
    assert!(nothing.contains("| one Redis: visits | not measured | – | – |"), "{nothing}");
    let one =
        |name: &str, what: &str, value: u32| json!({ "subjects": { name: { what: [value] } } });
    let kept = "keep-alive a second";
    let all = tables(&json!({ "parts": {
        "load": one("14_redis", kept, 50_000),
        "hosts": one("16_hosts behind HAProxy", kept, 20_000),
    } }));
    assert!(all.contains("| one HAProxy: requests | 20,000 | measured, at least |"), "{all}");
    // 50,000 ÷ 20,000, rounded up, and one more.
    assert!(all.contains(" hosts, 4 HAProxies"), "{all}");
}
