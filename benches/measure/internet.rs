//! The tables and plots of the page "To the internet and back": what was measured, and what is
//! assumed below, carried on to a large site.

#[path = "queues.rs"]
pub mod queues;

use std::sync::LazyLock;

use serde_json::Value;

use super::plot::{self, Frame, Scales};
use super::{Sample, number, say, whole};
use queues::{Away, Choice, Pages, Plan, Waits, away, mean_wait, simulate, wait_of};

// What is assumed. Put in what you know of your own site, and make the tables anew:
//
//     UPDATE_EXPECT=1 cargo test --test book measured

/// What a visitor does.
const REQUESTS_A_MINUTE: f64 = 6.0;
const VISIT_MINUTES: f64 = 5.0;
const CONNECTIONS_A_VISIT: f64 = 6.0;
/// The busiest minute against the mean of the day.
const PEAK: f64 = 3.0;
const ANSWER_KILOBYTES: f64 = 20.0;
/// How long a page of your own keeps a processor busy.
const PAGE_SECONDS: f64 = 0.005;

/// What a host has, and how much of it is to be used in the busiest minute.
const PROCESSORS: usize = 8;
const FULL: f64 = 0.6;
const LINK_MEGABITS: f64 = 1000.0;

/// What a session of step 14 takes in Redis (`used_memory` of Redis 7.0 grew by 13.4 MB for 100,000
/// of them), and for how long after the last visit.
const SESSION_BYTES: f64 = 134.0;
const SESSION_MINUTES: f64 = 30.0;

/// The share of time in which a machine works.
const WORKS: f64 = 0.995;
const FAILURES_A_YEAR: f64 = 12.0;
const REPAIR_MINUTES: f64 = 30.0;
const FAILOVER_SECONDS: f64 = 2.0;

/// How long a host is away in a rolling update: as long as step 08 lets its workers finish.
const AWAY_SECONDS: f64 = 10.0;
const UPDATE_LOAD: f64 = 0.8;
const UPDATE_WORKERS: usize = 4;

/// How far light goes in a fibre in a second, and to a visitor on another continent.
const FIBRE_KILOMETRES: f64 = 200_000.0;
const WAY_KILOMETRES: f64 = 9_000.0;

/// What the tables read of the measured parts.
const HOST: (&str, &str, &str) = ("load", "14_redis", "keep-alive a second");
const PRIMARY: (&str, &str, &str) = ("load", "06_handoff", "each a second");
const KERNEL: (&str, &str, &str) = ("load", "05_loop", "each a second");
const BALANCER: (&str, &str, &str) = ("hosts", "16_hosts behind HAProxy", "keep-alive a second");

/// The files of the page in a language, by name.
pub fn files(data: &Value, language: &str) -> Vec<(String, String)> {
    let site = Site { data, language };
    let tables = [
        ("assumed", site.assumed()),
        ("formulas", site.formulas()),
        ("carries", site.carries()),
        ("sizes", site.sizes()),
        ("wait", site.wait()),
        ("shares", site.shares()),
        ("update", site.update()),
        ("available", site.available()),
        ("ladder", site.ladder()),
    ];
    let tables = tables.map(|(name, text)| (format!("internet-{name}.{language}.md"), text));
    let plots = [("wait", site.wait_plot()), ("update", site.update_plot())];
    let plots = plots.map(|(name, text)| (format!("internet-{name}.{language}.svg"), text));
    tables.into_iter().chain(plots).collect()
}

struct Site<'a> {
    data: &'a Value,
    language: &'a str,
}

/// A table, with those of its columns at the right that hold numbers.
fn table<const N: usize>(head: [String; N], right: &[usize], rows: &[[String; N]]) -> String {
    let rule: [String; N] =
        std::array::from_fn(|at| if right.contains(&at) { "--:" } else { "---" }.to_owned());
    let lines = [&head, &rule].into_iter().chain(rows);
    lines.map(|cells| format!("| {} |\n", cells.join(" | "))).collect()
}

/// As many as are needed.
fn up(count: f64) -> f64 {
    // A hair above a whole number is that number.
    (count - 1e-9).ceil().max(1.0)
}

fn per_cent(share: f64) -> String {
    format!("{}%", (share * 1e6).round() / 1e4)
}

fn round(number: f64) -> String {
    whole(number.round() as u64)
}

/// A number as short as it can be: `0.005`, `6`, `1,000`.
fn plain(number: f64) -> String {
    if number.fract() == 0.0 { whole(number as u64) } else { number.to_string() }
}

/// With one digit behind the point where that says something.
fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    match milliseconds {
        ..0.05 => "0".to_owned(),
        ..100.0 => format!("{milliseconds:.1}"),
        _ => round(milliseconds),
    }
}

/// How busy hosts are when one of them is away.
fn without_one(hosts: usize, load: f64) -> f64 {
    load * hosts as f64 / (hosts - 1) as f64
}

/// How likely at least `needed` of `all` machines work.
fn works(needed: u64, all: u64) -> f64 {
    let ways =
        |count: u64| (1..=count).fold(1.0, |ways, at| ways * (all - count + at) as f64 / at as f64);
    let just = |count: u64| {
        ways(count) * WORKS.powi(count as i32) * (1.0 - WORKS).powi((all - count) as i32)
    };
    (needed..=all).map(just).sum()
}

/// What the page shows of simulations, which take a second: made once.
static SHARES: LazyLock<Vec<(Shared, [Waits; 2])>> = LazyLock::new(|| {
    let wait = |(queues, workers, choice)| {
        let waits = |load| {
            let (pages, page) = (Pages::Spread, PAGE_SECONDS);
            simulate(&Plan { queues, workers, choice, pages, page, load }, 200_000)
        };
        SHARE_LOADS.map(waits)
    };
    SHARES_OF.iter().map(|shared| (*shared, wait(shared.plan))).collect()
});

static AWAY: LazyLock<[(usize, Away); 4]> = LazyLock::new(|| {
    [2, 3, 4, 10]
        .map(|hosts| (hosts, away(hosts, UPDATE_WORKERS, PAGE_SECONDS, UPDATE_LOAD, AWAY_SECONDS)))
});

const SHARE_LOADS: [f64; 2] = [0.8, 0.9];

#[derive(Clone, Copy)]
struct Shared {
    korean: &'static str,
    english: &'static str,
    plan: (usize, usize, Choice),
}

const fn shared(
    korean: &'static str,
    english: &'static str,
    plan: (usize, usize, Choice),
) -> Shared {
    Shared { korean, english, plan }
}

const SHARES_OF: [Shared; 9] = [
    shared("워커 4개, 대기열 하나", "4 workers, one queue", (1, 4, Choice::InTurn)),
    shared(
        "워커 4개, 마스터 프로세스가 넘김(06)",
        "4 workers, handed over by the primary (06)",
        (4, 1, Choice::HandedOver),
    ),
    shared(
        "워커 4개, 요청이 가장 적은 워커에게",
        "4 workers, to the one with the fewest",
        (4, 1, Choice::Fewest),
    ),
    shared("워커 4개, 차례대로", "4 workers, in turn", (4, 1, Choice::InTurn)),
    shared("워커 4개, 무작위로", "4 workers, at random", (4, 1, Choice::AtRandom)),
    shared("호스트 2개 × 워커 4개, 대기열 하나", "2 hosts of 4, one queue", (1, 8, Choice::InTurn)),
    shared(
        "호스트 2개 × 워커 4개, 요청이 가장 적은 호스트에게",
        "2 hosts of 4, to the one with the fewest",
        (2, 4, Choice::Fewest),
    ),
    shared("호스트 2개 × 워커 4개, 차례대로", "2 hosts of 4, in turn", (2, 4, Choice::InTurn)),
    shared("호스트 2개 × 워커 4개, 무작위로", "2 hosts of 4, at random", (2, 4, Choice::AtRandom)),
];

/// Requests a second that a host can answer at most, with pages of your own.
fn host() -> f64 {
    PROCESSORS as f64 / PAGE_SECONDS
}

fn visitors(requests: f64) -> f64 {
    requests * 60.0 / REQUESTS_A_MINUTE
}

fn a_day(visitors: f64) -> f64 {
    visitors / VISIT_MINUTES * 1440.0 / PEAK
}

fn megabits(requests: f64) -> f64 {
    requests * ANSWER_KILOBYTES * 8.0 / 1e3
}

fn sessions(visitors: f64) -> f64 {
    visitors * (VISIT_MINUTES + SESSION_MINUTES) / VISIT_MINUTES
}

/// One of the hosts may be away.
fn hosts(requests: f64, host: f64) -> f64 {
    up(requests / (host * FULL)) + 1.0
}

impl Site<'_> {
    fn say(&self, korean: &str, english: &str) -> String {
        say(self.language, korean, english)
    }

    fn heads<const N: usize>(&self, heads: [(&str, &str); N]) -> [String; N] {
        heads.map(|(korean, english)| self.say(korean, english))
    }

    /// The median of what was measured.
    fn measured(&self, (part, name, what): (&str, &str, &str)) -> Option<f64> {
        Sample::of(&self.data["parts"][part], name, what).map(|sample| sample.median())
    }

    fn missing(&self) -> String {
        self.say("측정하지 않음", "not measured")
    }

    /// A length of time in the unit that fits.
    fn time(&self, seconds: f64) -> String {
        let units = [
            (86_400.0, 2.0 * 86_400.0, "일", "days"),
            (3600.0, 2.0 * 3600.0, "시간", "hours"),
            (60.0, 2.0 * 60.0, "분", "minutes"),
            (1.0, 0.0, "초", "seconds"),
        ];
        let fits = units.iter().find(|(_, least, ..)| seconds >= *least);
        let (unit, _, korean, english) = fits.expect("the last fits all");
        let count = seconds / unit;
        let count = if count < 10.0 { format!("{count:.1}") } else { round(count) };
        self.say(&format!("{count}{korean}"), &format!("{count} {english}"))
    }

    fn assumed(&self) -> String {
        let rows = [
            (
                "방문자 한 명의 요청",
                "requests of a visitor",
                format!("1분에 {}번", plain(REQUESTS_A_MINUTE)),
                format!("{} a minute", plain(REQUESTS_A_MINUTE)),
            ),
            (
                "방문 한 번의 길이",
                "length of a visit",
                format!("{}분", plain(VISIT_MINUTES)),
                format!("{} minutes", plain(VISIT_MINUTES)),
            ),
            (
                "방문 한 번에 여는 연결",
                "connections of a visit",
                format!("{}개", plain(CONNECTIONS_A_VISIT)),
                plain(CONNECTIONS_A_VISIT),
            ),
            (
                "가장 바쁜 1분과 하루 평균",
                "the busiest minute against the mean of the day",
                format!("{}배", plain(PEAK)),
                format!("{} times", plain(PEAK)),
            ),
            (
                "응답의 크기",
                "size of an answer",
                format!("{}kB", plain(ANSWER_KILOBYTES)),
                format!("{} kB", plain(ANSWER_KILOBYTES)),
            ),
            (
                "내 페이지 하나가 코어를 쓰는 시간",
                "time that a page of your own takes of a processor",
                format!("{}ms", plain(PAGE_SECONDS * 1e3)),
                format!("{} ms", plain(PAGE_SECONDS * 1e3)),
            ),
            (
                "호스트 하나의 코어",
                "processors of a host",
                format!("{PROCESSORS}개"),
                PROCESSORS.to_string(),
            ),
            (
                "호스트 하나의 네트워크",
                "network of a host",
                format!("{}Mbit/s", plain(LINK_MEGABITS)),
                format!("{} Mbit/s", plain(LINK_MEGABITS)),
            ),
            (
                "가장 바쁜 1분의 사용률",
                "utilisation in the busiest minute",
                format!("{}까지", per_cent(FULL)),
                format!("up to {}", per_cent(FULL)),
            ),
            (
                "먼 방문자까지의 거리",
                "distance of a far visitor",
                format!("{}km", plain(WAY_KILOMETRES)),
                format!("{} km", plain(WAY_KILOMETRES)),
            ),
            (
                "레디스에 둔 14단계의 세션 하나",
                "a session of step 14 in Redis",
                format!(
                    "{}바이트, 마지막 방문 뒤 {}분",
                    plain(SESSION_BYTES),
                    plain(SESSION_MINUTES)
                ),
                format!(
                    "{} bytes, for {} minutes after the last visit",
                    plain(SESSION_BYTES),
                    plain(SESSION_MINUTES)
                ),
            ),
        ];
        let rows = rows.map(|(korean, english, value_ko, value_en)| {
            [self.say(korean, english), self.say(&value_ko, &value_en)]
        });
        table(self.heads([("가정", "assumed"), ("값", "value")]), &[], &rows)
    }

    fn formulas(&self) -> String {
        let here = 10_000.0;
        let requests = here * REQUESTS_A_MINUTE / 60.0;
        let (day, sessions) = (a_day(here), sessions(here));
        let bytes = self.say("바이트", " bytes");
        let minutes = [VISIT_MINUTES, SESSION_MINUTES].map(plain);
        let rows = [
            [
                self.say("가장 바쁜 때의 초당 요청", "requests a second at the peak"),
                self.say(
                    "동시 방문자 × 분당 요청 ÷ 60",
                    "visitors at once × requests a minute ÷ 60",
                ),
                format!(
                    "{} × {} ÷ 60 = {}",
                    round(here),
                    plain(REQUESTS_A_MINUTE),
                    round(requests)
                ),
            ],
            [
                self.say("하루 방문자", "visitors a day"),
                self.say(
                    "동시 방문자 ÷ 방문 시간(분) × 1,440 ÷ 평균 대비 배수",
                    "visitors at once ÷ minutes of a visit × 1,440 ÷ peak against mean",
                ),
                format!(
                    "{} ÷ {} × 1,440 ÷ {} = {}",
                    round(here),
                    minutes[0],
                    plain(PEAK),
                    round(day)
                ),
            ],
            [
                self.say("네트워크, Mbit/s", "network, Mbit/s"),
                self.say("초당 요청 × 응답 kB × 8 ÷ 1,000", "requests a second × kB × 8 ÷ 1,000"),
                format!(
                    "{} × {} × 8 ÷ 1,000 = {}",
                    round(requests),
                    plain(ANSWER_KILOBYTES),
                    round(megabits(requests))
                ),
            ],
            [
                self.say("레디스에 있는 세션", "sessions in Redis"),
                self.say(
                    "동시 방문자 ÷ 방문 시간 × (방문 시간 + 보관 시간)",
                    "visitors at once ÷ length of a visit × (length + time it is kept)",
                ),
                format!(
                    "{} ÷ {} × ({} + {}) = {}",
                    round(here),
                    minutes[0],
                    minutes[0],
                    minutes[1],
                    round(sessions)
                ),
            ],
            [
                self.say("세션의 메모리", "memory of the sessions"),
                self.say("세션 × 세션의 바이트", "sessions × bytes of one"),
                format!(
                    "{} × {}{bytes} = {} MB",
                    round(sessions),
                    plain(SESSION_BYTES),
                    number(sessions * SESSION_BYTES / 1e6)
                ),
            ],
            [
                self.say("호스트 하나의 초당 요청", "requests a second of a host"),
                self.say("코어 ÷ 페이지의 시간(초)", "processors ÷ seconds of a page"),
                format!("{PROCESSORS} ÷ {} = {}", plain(PAGE_SECONDS), round(host())),
            ],
            [
                self.say("필요한 호스트", "hosts"),
                self.say(
                    "초당 요청 ÷ (호스트의 초당 요청 × 사용률)을 올림, 그리고 하나 더",
                    "requests a second ÷ (those of a host × utilisation), rounded up, and one more",
                ),
                format!(
                    "{} ÷ ({} × {}) → {}, + 1 = {}",
                    round(requests),
                    round(host()),
                    plain(FULL),
                    round(hosts(requests, host()) - 1.0),
                    round(hosts(requests, host()))
                ),
            ],
        ];
        let head = self.heads([
            ("구할 것", "what"),
            ("공식", "formula"),
            ("동시 방문자가 10,000명일 때", "with 10,000 visitors at once"),
        ]);
        table(head, &[], &rows)
    }

    fn carries(&self) -> String {
        let link = LINK_MEGABITS * 1e3 / 8.0 / ANSWER_KILOBYTES;
        let computed = |formula: String, value: f64| (formula, Some(value));
        let measured = |what| match self.measured(what) {
            None => ("–".to_owned(), None),
            value => (self.say("측정값, 적어도", "measured, at least"), value),
        };
        let cells = |(from, value): (String, Option<f64>), visitors: &dyn Fn(f64) -> f64| {
            let visitors = value.map_or_else(|| "–".to_owned(), |value| round(visitors(value)));
            [value.map_or_else(|| self.missing(), round), from, visitors]
        };
        let requests = |what| cells(what, &|value| visitors(value * FULL));
        let visits = |value: f64| value * FULL / CONNECTIONS_A_VISIT;
        let connections = |what| cells(what, &|value| visits(value) * VISIT_MINUTES * 60.0);
        let way = WAY_KILOMETRES * 2.0 / FIBRE_KILOMETRES;
        let rows = [
            (
                self.say("워커 하나, 내 페이지: 요청", "one worker, a page of your own: requests"),
                requests(computed(format!("1 ÷ {}", plain(PAGE_SECONDS)), 1.0 / PAGE_SECONDS)),
                self.say("코어마다 워커 하나", "a worker for each processor"),
            ),
            (
                self.say("호스트 하나, 내 페이지: 요청", "one host, a page of your own: requests"),
                requests(computed(format!("{PROCESSORS} ÷ {}", plain(PAGE_SECONDS)), host())),
                self.say("호스트를 늘림(16)", "more hosts (16)"),
            ),
            (
                self.say(
                    "호스트 하나, 이 책의 페이지: 요청",
                    "one host, this book's page: requests",
                ),
                requests(measured(HOST)),
                self.say("호스트를 늘림(16)", "more hosts (16)"),
            ),
            (
                self.say("마스터 프로세스 하나(06): 새 연결", "one primary (06): new connections"),
                connections(measured(PRIMARY)),
                self.say(
                    "커널이 분배(05, `SO_REUSEPORT`), 또는 연결을 유지하는 로드 밸런서",
                    "the kernel distributes (05, `SO_REUSEPORT`), or a balancer keeps connections",
                ),
            ),
            (
                self.say(
                    "커널의 분배(05): 새 연결",
                    "the kernel's distribution (05): new connections",
                ),
                connections(measured(KERNEL)),
                self.say("호스트를 늘림", "more hosts"),
            ),
            (
                self.say("호스트의 네트워크: 응답", "the network of a host: answers"),
                requests(computed(
                    format!("{} ÷ 8 × 1,000 ÷ {}", plain(LINK_MEGABITS), plain(ANSWER_KILOBYTES)),
                    link,
                )),
                self.say(
                    "정적 파일은 CDN으로, 더 빠른 네트워크",
                    "files to a CDN, a faster network",
                ),
            ),
            (
                self.say("레디스 하나: 방문", "one Redis: visits"),
                requests(measured(HOST)),
                "Redis Cluster".to_owned(),
            ),
            (
                self.say("HAProxy 하나: 요청", "one HAProxy: requests"),
                requests(measured(BALANCER)),
                self.say("여러 로드 밸런서, DNS나 애니캐스트로", "several, by DNS or anycast"),
            ),
            (
                self.say("데이터 센터 하나: 왕복 시간", "one data centre: there and back"),
                [
                    self.say(
                        &format!("{}ms", round(way * 1e3)),
                        &format!("{} ms", round(way * 1e3)),
                    ),
                    format!("2 × {} ÷ {}", round(WAY_KILOMETRES), round(FIBRE_KILOMETRES)),
                    "–".to_owned(),
                ],
                self.say("방문자 가까이에 데이터 센터, CDN", "a site near the visitors, a CDN"),
            ),
        ];
        let rows =
            rows.map(|(what, [value, from, visitors], next)| [what, value, from, visitors, next]);
        let head = self.heads([
            ("무엇", "what"),
            ("초당", "a second"),
            ("출처", "from"),
            ("동시 방문자", "visitors at once"),
            ("그다음", "what follows"),
        ]);
        table(head, &[1, 3], &rows)
    }

    fn sizes(&self) -> String {
        let measured = self.measured(HOST);
        let rows = [100.0, 1e3, 1e4, 1e5, 1e6].map(|count| {
            let requests = count * REQUESTS_A_MINUTE / 60.0;
            [
                round(count),
                round(requests),
                round(a_day(count)),
                plain(megabits(requests)),
                number(sessions(count) * SESSION_BYTES / 1e6),
                round(hosts(requests, host())),
                measured.map_or_else(|| self.missing(), |host| round(hosts(requests, host))),
            ]
        });
        let head = self.heads([
            ("동시 방문자", "visitors at once"),
            ("초당 요청", "requests a second"),
            ("하루 방문자", "visitors a day"),
            ("Mbit/s", "Mbit/s"),
            ("세션, MB", "sessions, MB"),
            ("호스트, 내 페이지", "hosts, your page"),
            ("호스트, 이 책의 페이지", "hosts, this book's page"),
        ]);
        table(head, &[0, 1, 2, 3, 4, 5, 6], &rows)
    }

    fn wait(&self) -> String {
        let times = |workers, page: f64, load| {
            [0.5, 0.99].map(|share| milliseconds(wait_of(share, workers, load) * page))
        };
        let rows = LOADS.map(|load| {
            let mean = mean_wait(1, load) * PAGE_SECONDS;
            let [one, one_late] = times(1, PAGE_SECONDS, load);
            let [many, many_late] = times(PROCESSORS, PAGE_SECONDS, load);
            let [_, fast_late] = times(1, PAGE_SECONDS / PROCESSORS as f64, load);
            [per_cent(load), milliseconds(mean), one, one_late, many, many_late, fast_late]
        });
        let (ko, en) = (format!("워커 {PROCESSORS}개"), format!("{PROCESSORS} workers"));
        let (fast_ko, fast_en) =
            (format!("{PROCESSORS}배 빠른 워커 하나"), format!("one, {PROCESSORS} times as fast"));
        let told = |name_ko: &str, name_en: &str, what_ko: &str, what_en: &str| {
            self.say(&format!("{name_ko}: {what_ko}"), &format!("{name_en}: {what_en}"))
        };
        let head = [
            self.say("사용률", "utilisation"),
            told("워커 하나", "one worker", "평균", "mean"),
            told("워커 하나", "one worker", "중앙값", "median"),
            told("워커 하나", "one worker", "p99", "99th"),
            told(&ko, &en, "중앙값", "median"),
            told(&ko, &en, "p99", "99th"),
            told(&fast_ko, &fast_en, "p99", "99th"),
        ];
        table(head, &[0, 1, 2, 3, 4, 5, 6], &rows)
    }

    fn wait_plot(&self) -> String {
        let line = |workers: usize, page: f64| {
            let points = (50..=99).map(|load| {
                let load = f64::from(load) / 100.0;
                (load * 100.0, wait_of(0.99, workers, load) * page * 1e3)
            });
            points.collect::<Vec<_>>()
        };
        let many = self.say(&format!("워커 {PROCESSORS}개"), &format!("{PROCESSORS} workers"));
        let fast = self.say(&format!("{PROCESSORS}배 빠름"), &format!("{PROCESSORS} × faster"));
        let lines = [
            (self.say("워커 1개", "1 worker"), line(1, PAGE_SECONDS)),
            (many, line(PROCESSORS, PAGE_SECONDS)),
            (fast, line(1, PAGE_SECONDS / PROCESSORS as f64)),
        ];
        let frame = Frame {
            id: "internet-wait",
            title: &self.say("사용률에 따른 대기 시간의 p99", "The 99th percentile of the wait"),
            unit: "ms",
            language: self.language,
        };
        let ticks = [50.0, 60.0, 70.0, 80.0, 90.0, 99.0];
        let across = self.say("사용률(%)", "utilisation in %");
        let highest = PAGE_SECONDS * 1e3 * 100.0;
        let scales = Scales { across: &across, first: 50.0, last: 99.0, ticks: &ticks, highest };
        plot::curves(&frame, &scales, &lines)
    }

    fn shares(&self) -> String {
        let rows = SHARES.iter().map(|(shared, [some, much])| {
            let name = self.say(shared.korean, shared.english);
            let times = [some.median, some.p99, much.median, much.p99].map(milliseconds);
            let [some, some_late, much, much_late] = times;
            [name, some, some_late, much, much_late]
        });
        let rows: Vec<_> = rows.collect();
        let at = |load: f64, korean: &str, english: &str| {
            let load = per_cent(load);
            self.say(&format!("{load}: {korean}"), &format!("{load}: {english}"))
        };
        let head = [
            self.say("분배 방식", "who gets the next request"),
            at(SHARE_LOADS[0], "중앙값", "median"),
            at(SHARE_LOADS[0], "p99", "99th"),
            at(SHARE_LOADS[1], "중앙값", "median"),
            at(SHARE_LOADS[1], "p99", "99th"),
        ];
        table(head, &[1, 2, 3, 4], &rows)
    }

    fn update(&self) -> String {
        let rows = AWAY.each_ref().map(|(hosts, away)| {
            let load = without_one(*hosts, UPDATE_LOAD);
            let rest = (hosts - 1) as f64;
            // In times of what a host does in a second.
            let comes = UPDATE_LOAD * *hosts as f64;
            let left_over = (comes - rest).max(0.0) * AWAY_SECONDS;
            // Who comes when the queue is as long as the rest of the time for which one is away.
            let longest = left_over / comes;
            let drained = left_over / (*hosts as f64 - comes);
            let most = 0.9 * rest / *hosts as f64;
            [
                hosts.to_string(),
                per_cent((load * 1e3).round() / 1e3),
                self.seconds(longest),
                self.seconds(away.longest),
                self.seconds(drained),
                self.seconds(away.drained),
                per_cent((most * 1e3).round() / 1e3),
            ]
        });
        let head = self.heads([
            ("호스트", "hosts"),
            ("하나가 빠지면", "without one"),
            ("가장 긴 대기, 공식", "longest wait, by formula"),
            ("시뮬레이션", "simulated"),
            ("밀린 요청이 없어질 때까지, 공식", "until made up for, by formula"),
            ("시뮬레이션", "simulated"),
            ("하나가 빠져도 90%이려면", "to stay at 90% without one"),
        ]);
        table(head, &[0, 1, 2, 3, 4, 5, 6], &rows)
    }

    fn seconds(&self, seconds: f64) -> String {
        let count = if seconds < 0.05 && seconds > 0.0 { 2 } else { 1 };
        let seconds = if seconds == 0.0 { "0".to_owned() } else { format!("{seconds:.count$}") };
        self.say(&format!("{seconds}초"), &format!("{seconds} s"))
    }

    fn update_plot(&self) -> String {
        const LAST: f64 = 30.0;
        let lines = AWAY.each_ref().map(|(hosts, away)| {
            let name = self.say(&format!("호스트 {hosts}개"), &format!("{hosts} hosts"));
            // The longest wait of each half second.
            let points = (-2..(LAST * 2.0) as i32).filter_map(|half| {
                let from = f64::from(half) / 2.0;
                let here = away.waits.iter().filter(|(at, _)| (from..from + 0.5).contains(at));
                let most = here.map(|(_, wait)| *wait).reduce(f64::max)?;
                Some((from.max(0.0) + if half < 0 { 0.0 } else { 0.5 }, most))
            });
            (name, points.collect::<Vec<_>>())
        });
        let frame = Frame {
            id: "internet-update",
            title: &self.say(
                "호스트 하나가 빠졌을 때 방문자가 기다리는 시간",
                "How long visitors wait while one host is away",
            ),
            unit: &self.say("초", "seconds"),
            language: self.language,
        };
        let across = self.say("빠진 뒤 지난 시간(초)", "seconds since it went");
        let longest = AWAY.iter().map(|(_, away)| away.longest).fold(0.0, f64::max);
        let highest = (longest / 4.0).ceil() * 4.0;
        let ticks = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0];
        let scales = Scales { across: &across, first: 0.0, last: LAST, ticks: &ticks, highest };
        plot::curves(&frame, &scales, &lines)
    }

    fn available(&self) -> String {
        let one = plain(WORKS);
        let pair = works(1, 2);
        let year = 365.0 * 86_400.0;
        let repaired = FAILURES_A_YEAR * REPAIR_MINUTES * 60.0;
        let failover = FAILURES_A_YEAR * FAILOVER_SECONDS;
        let minutes = plain(REPAIR_MINUTES);
        let count = plain(FAILURES_A_YEAR);
        let rows = [
            (self.say("호스트 하나", "one host"), one.clone(), WORKS),
            (
                self.say("호스트 둘, 하나면 충분", "two hosts, one is enough"),
                format!("1 − (1 − {one})²"),
                pair,
            ),
            (
                self.say("호스트 셋, 둘이 필요", "three hosts, two are needed"),
                format!("{one}³ + 3 × {one}² × (1 − {one})"),
                works(2, 3),
            ),
            (
                self.say("호스트 셋, 하나면 충분", "three hosts, one is enough"),
                format!("1 − (1 − {one})³"),
                works(1, 3),
            ),
            (
                self.say(
                    "호스트 둘 앞에 HAProxy 하나, 뒤에 레디스 하나",
                    "two hosts, one HAProxy before them, one Redis behind",
                ),
                format!("(1 − (1 − {one})²) × {one} × {one}"),
                pair * WORKS * WORKS,
            ),
            (
                self.say("호스트, HAProxy, 레디스를 둘씩", "two of each"),
                format!("(1 − (1 − {one})²)³"),
                pair.powi(3),
            ),
            (
                self.say(
                    &format!("1년에 {count}번 고장, 사람이 {minutes}분 안에 복구"),
                    &format!("{count} failures a year, somebody mends each in {minutes} minutes"),
                ),
                self.say(
                    &format!("1 − {count} × {minutes}분 ÷ 1년"),
                    &format!("1 − {count} × {minutes} minutes ÷ a year"),
                ),
                1.0 - repaired / year,
            ),
            (
                self.say(
                    &format!(
                        "1년에 {count}번 고장, {}초 만에 다른 것이 대신함",
                        plain(FAILOVER_SECONDS)
                    ),
                    &format!(
                        "{count} failures a year, another takes over in {} seconds",
                        plain(FAILOVER_SECONDS)
                    ),
                ),
                self.say(
                    &format!("1 − {count} × {}초 ÷ 1년", plain(FAILOVER_SECONDS)),
                    &format!("1 − {count} × {} seconds ÷ a year", plain(FAILOVER_SECONDS)),
                ),
                1.0 - failover / year,
            ),
        ];
        let rows = rows.map(|(what, formula, share)| {
            // To the last digit that is not a 9.
            let digits = (-(1.0 - share).log10()).ceil().max(1.0) as usize;
            let told = format!("{:.*}%", digits.saturating_sub(1).max(1), share * 100.0);
            [what, formula, told, self.time((1.0 - share) * year)]
        });
        let head = self.heads([
            ("설계", "design"),
            ("공식", "formula"),
            ("가용성", "availability"),
            ("1년에 멈추는 시간", "away in a year"),
        ]);
        table(head, &[2, 3], &rows)
    }

    fn ladder(&self) -> String {
        let (page, full) = (plain(PAGE_SECONDS), plain(FULL));
        let host = host();
        let each = round(host);
        let redis = self.measured(HOST);
        let mut rows: Vec<(String, String, Option<f64>, String)> = vec![
            (
                self.say(
                    "워커 하나, 세션은 메모리에(13)",
                    "one worker, sessions in its memory (13)",
                ),
                format!("1 ÷ {page} × {full}"),
                Some(FULL / PAGE_SECONDS),
                self.say(
                    "워커가 죽으면 세션도 사라짐. 나머지 코어는 쓰이지 않음",
                    "the sessions die with the worker; the other processors are idle",
                ),
            ),
            (
                self.say(
                    &format!("호스트 하나: 워커 {PROCESSORS}개와 레디스(14, 15)"),
                    &format!("one host: {PROCESSORS} workers, and Redis (14, 15)"),
                ),
                format!("{each} × {full}"),
                Some(host * FULL),
                self.say("호스트", "the host"),
            ),
            (
                self.say("호스트 둘과 HAProxy 하나(16)", "two hosts, one HAProxy (16)"),
                format!("(2 − 1) × {each} × {full}"),
                Some(host * FULL),
                self.say("하나뿐인 HAProxy와 레디스", "the one HAProxy, and the one Redis"),
            ),
            (
                self.say(
                    "호스트 다섯, HAProxy 둘, 레디스와 복제본과 센티널(17)",
                    "five hosts, two HAProxies, Redis with a replica and sentinels (17)",
                ),
                format!("(5 − 1) × {each} × {full}"),
                Some(4.0 * host * FULL),
                self.say("네트워크: 정적 파일을 CDN으로", "the network: files go to a CDN"),
            ),
        ];
        let full_redis = |redis: f64, masters: f64| {
            let requests = redis * FULL * masters;
            let count = round(hosts(requests, host));
            // As many as that takes, where it was measured what one carries.
            let balancers = self.measured(BALANCER).map(|balancer| hosts(requests, balancer));
            let (ko, en) = (format!("호스트 {count}개"), format!("{count} hosts"));
            let needed = match balancers.map(round) {
                Some(count) => self
                    .say(&format!("{ko}, HAProxy {count}개"), &format!("{en}, {count} HAProxies")),
                None => self.say(&ko, &en),
            };
            (requests, needed)
        };
        match redis {
            Some(redis) => {
                let (requests, needed) = full_redis(redis, 1.0);
                rows.push((
                    self.say(
                        &format!("레디스 마스터 하나로 되는 만큼: {needed}"),
                        &format!("as many as one Redis master carries: {needed}"),
                    ),
                    format!("{} × {full}", round(redis)),
                    Some(requests),
                    self.say("레디스 마스터의 명령", "the commands of one Redis master"),
                ));
                let (requests, needed) = full_redis(redis, 10.0);
                rows.push((
                    self.say(
                        &format!("마스터 10개의 Redis Cluster, {needed}"),
                        &format!("Redis Cluster with 10 masters, {needed}"),
                    ),
                    format!("10 × {} × {full}", round(redis)),
                    Some(requests),
                    self.say("데이터 센터", "the data centre"),
                ));
                rows.push((
                    self.say(
                        "그런 데이터 센터 셋, DNS나 애니캐스트로",
                        "three such data centres, by DNS or anycast",
                    ),
                    format!("(3 − 1) × 10 × {} × {full}", round(redis)),
                    Some(2.0 * requests),
                    self.say("한곳에만 있어야 하는 데이터", "data that can be in one place only"),
                ));
            }
            None => rows.push((
                "Redis Cluster".to_owned(),
                "–".to_owned(),
                None,
                self.say("데이터 센터", "the data centre"),
            )),
        }
        let rows = rows.into_iter().enumerate().map(|(at, (what, formula, requests, next))| {
            let of = |count: &dyn Fn(f64) -> f64| {
                requests.map_or_else(|| self.missing(), |requests| round(count(requests)))
            };
            [
                (at + 1).to_string(),
                what,
                formula,
                of(&|requests| requests),
                of(&visitors),
                of(&|requests| a_day(visitors(requests))),
                next,
            ]
        });
        let head = self.heads([
            ("단", "rung"),
            ("설계", "design"),
            ("공식", "formula"),
            ("초당 요청", "requests a second"),
            ("동시 방문자", "visitors at once"),
            ("하루 방문자", "visitors a day"),
            ("다음에 막히는 곳", "what breaks next"),
        ]);
        table(head, &[3, 4, 5], &rows.collect::<Vec<_>>())
    }
}

const LOADS: [f64; 7] = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
