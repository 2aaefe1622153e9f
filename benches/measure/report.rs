//! The tables and plots of the page "How fast is it?", made from the data file alone: after a run by
//! the bench, and by the test that holds them together. And those of "To the internet and back",
//! which reckons with them.

#[path = "internet.rs"]
pub mod internet;
#[path = "plot.rs"]
mod plot;

use serde_json::Value;

/// The file with all that was measured; the others in its folder are made from it.
pub const DATA: &str = "data.json";

/// What tables and plots call each server: where it is no step, in Korean and in English.
const TITLES: [(&str, &str, &str); 4] = [
    ("nginx", "nginx", "nginx"),
    ("node", "Node cluster", "Node cluster"),
    ("pm2", "pm2", "pm2"),
    ("pm2_graceful", "pm2, 우아한 종료", "pm2, graceful page"),
];

/// What is missing of a step that was not built; of the others it is the name of a tool.
pub const BINARY: &str = "binary";

pub const LANGUAGES: [&str; 2] = ["ko", "en"];

/// The data file's text.
pub fn text(data: &Value) -> String {
    let mut text = serde_json::to_string_pretty(data).expect("it is made of plain values");
    text.push('\n');
    text
}

/// Every file that is made from the data: its name and its text.
pub fn files(data: &Value) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for language in LANGUAGES {
        for (name, _) in TABLES {
            let text = table(data, name, language).expect("it is in TABLES");
            files.push((format!("{name}.{language}.md"), text));
        }
        for (name, text) in plots(data, language) {
            files.push((format!("{name}.{language}.svg"), text));
        }
        files.extend(internet::files(data, language));
    }
    files
}

pub type Make = fn(&Value, &str) -> Table;

/// The tables, and what makes each of all that was measured, in a language.
pub const TABLES: [(&str, Make); 12] = [
    ("machine", machine),
    ("start", start),
    ("load", load),
    ("memory", memory),
    ("reload", reload),
    ("restart", restart),
    ("slow", slow),
    ("balancer", balancer),
    ("hosts", hosts),
    ("failover", failover),
    ("grow", grow),
    ("build", build),
];

pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// A table, in Markdown.
pub fn table(data: &Value, name: &str, language: &str) -> Option<String> {
    let (_, make) = TABLES.iter().find(|(known, _)| *known == name)?;
    let Table { head, rows } = make(data, language);
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    // Numbers stand at the right, words at the left.
    let is_number = |cell: &String| cell.starts_with(|first: char| first.is_ascii_digit());
    let has_numbers =
        |column: usize| name != "machine" && rows.iter().any(|row| is_number(&row[column]));
    let rule = (0..head.len())
        .map(|column| if column > 0 && has_numbers(column) { "--:" } else { "---" }.to_owned());
    let rule: Vec<String> = rule.collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    Some(line(&head) + &line(&rule) + &rows)
}

/// Picks the words of a language.
fn say(language: &str, korean: &str, english: &str) -> String {
    if language == "ko" { korean } else { english }.to_owned()
}

fn heads<const N: usize>(language: &str, heads: [(&str, &str); N]) -> Vec<String> {
    heads.map(|(korean, english)| say(language, korean, english)).into()
}

fn title(name: &str, language: &str) -> String {
    let title = TITLES.iter().find(|(known, ..)| *known == name);
    title.map_or(format!("`{name}`"), |(_, korean, english)| say(language, korean, english))
}

/// What was measured of a server: the numbers of all rounds.
struct Sample(Vec<f64>);

impl Sample {
    /// `None` where there is none.
    fn of(part: &Value, name: &str, what: &str) -> Option<Sample> {
        let all = part["subjects"][name][what].as_array()?;
        let mut all: Vec<f64> = all.iter().filter_map(Value::as_f64).collect();
        all.sort_by(f64::total_cmp);
        (!all.is_empty()).then_some(Sample(all))
    }

    fn least(&self) -> f64 {
        self.0[0]
    }

    fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        let both = [self.0[self.0.len() - 1 - middle], self.0[middle]];
        (both[0] + both[1]) / 2.0
    }

    /// The median and the spread: `12 (10–15)`.
    fn told(&self) -> String {
        let all = [self.median(), self.least(), self.most()].map(number);
        // No line breaks around the dash.
        format!("{} ({}\u{2060}–\u{2060}{})", all[0], all[1], all[2])
    }
}

/// A number with three digits that count, at the least: `0.41`, `12.3`, `1,234,567`.
fn number(number: f64) -> String {
    match number {
        0.0 => "0".to_owned(),
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => whole(number.round() as u64),
    }
}

/// `1,234,567`.
fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why there is nothing of a server.
fn why_not(part: &Value, name: &str, language: &str) -> String {
    match part["subjects"][name]["missing"].as_str() {
        Some(BINARY) => say(language, "빌드하지 않음", "not built"),
        Some(tool) => not_installed(tool, language),
        None if part["subjects"][name]["failed"] == true => say(language, "실패", "failed"),
        None if part["wrk"] == false => not_installed("wrk", language),
        None => say(language, "측정하지 않음", "not measured"),
    }
}

fn not_installed(tool: &str, language: &str) -> String {
    say(language, &format!("{tool} 설치되지 않음"), &format!("{tool} not installed"))
}

/// What a table says of a server's numbers.
fn cell(part: &Value, name: &str, what: &str, language: &str) -> String {
    let sample = Sample::of(part, name, what);
    sample.map_or_else(|| why_not(part, name, language), |sample| sample.told())
}

/// All that can be started: the steps, and what they are compared with.
pub const ALL: [&str; 9] = [
    "nginx",
    "00_fork",
    "03_respawn",
    "05_loop",
    "06_handoff",
    "12_reload",
    "14_redis",
    "node",
    "pm2",
];
pub const LOADED: [&str; 8] =
    ["nginx", "00_fork", "05_loop", "06_handoff", "12_reload", "14_redis", "node", "pm2"];
pub const RELOADED: [&str; 4] = ["12_reload", "nginx", "pm2", "pm2_graceful"];
pub const GROWING: [&str; 4] = ["nginx", "00_fork", "06_handoff", "node"];

/// What is measured of restarts: each with its words in Korean and in English.
pub const RESTARTS: [(&str, &str, &str); 4] = [
    ("own socket", "자기 소켓, 옛것을 먼저 종료", "its own socket, the old one ends first"),
    ("lent, old first", "빌린 소켓, 옛것을 먼저 종료", "lent, the old one ends first"),
    ("lent, new first", "빌린 소켓, 새것을 먼저 시작", "lent, the new one starts first"),
    ("lent, killed", "빌린 소켓, 옛것을 `KILL`로", "lent, the old one is killed"),
];

/// The same of hosts behind a balancer.
pub const TURNS: [(&str, &str, &str); 6] = [
    ("restarted", "호스트를 차례로 재시작", "the hosts are restarted in turn"),
    ("restarted, lent", "같음, 빌린 소켓", "the same, on lent sockets"),
    ("drained", "먼저 비우고 재시작", "drained first, then restarted"),
    ("killed", "마스터 프로세스를 `KILL`로", "a primary is killed"),
    ("killed, asked again", "같음, 다시 요청함", "the same, and asked again"),
    ("balancer reloaded", "HAProxy를 리로드", "HAProxy itself is reloaded"),
];

/// The same of the master of Redis.
pub const FAILURES: [(&str, &str, &str); 5] = [
    ("killed", "`KILL`로 종료", "it is killed"),
    ("stopped", "`STOP`으로 멈춤", "it is stopped"),
    ("lagged", "복제본이 0.8초 끊긴 뒤 `KILL`", "killed, its replica cut off for 0.8 s"),
    (
        "lagged, refused",
        "1.5초 끊긴 뒤 `KILL`, `min-replicas-to-write 1`",
        "killed, cut off for 1.5 s, `min-replicas-to-write 1`",
    ),
    ("planned", "`SENTINEL FAILOVER`", "`SENTINEL FAILOVER`"),
];

/// One host that is asked directly, and two behind HAProxy.
pub const BALANCED: [&str; 2] = ["16_hosts", "16_hosts behind HAProxy"];

fn machine(data: &Value, language: &str) -> Table {
    let machine = &data["machine"];
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let parts = data["parts"].as_object();
    let parts: Vec<&Value> = parts.into_iter().flat_map(|parts| parts.values()).collect();
    let mut dates: Vec<String> = parts.iter().map(|part| text(&part["date"])).collect();
    dates.sort();
    dates.dedup();
    let seconds: u64 = parts.iter().filter_map(|part| part["seconds"].as_u64()).sum();
    let mut rows = vec![
        vec![say(language, "날짜", "date"), dates.join(", ")],
        vec![
            say(language, "측정 시간", "time it took"),
            say(language, &format!("{seconds}초"), &format!("{seconds} seconds")),
        ],
        vec![say(language, "시스템", "system"), text(&machine["system"])],
        vec![
            say(language, "프로세서", "processor"),
            format!(
                "{}{}",
                machine["cpu"].as_str().map_or(String::new(), |cpu| format!("{cpu}, ")),
                say(
                    language,
                    &format!("CPU {}개", machine["cores"]),
                    &format!("{} CPUs", machine["cores"])
                )
            ),
        ],
    ];
    for (tool, version) in machine["versions"].as_object().into_iter().flatten() {
        let version = version.as_str().map(str::to_owned);
        rows.push(vec![
            tool.clone(),
            version.unwrap_or_else(|| say(language, "설치되지 않음", "not installed")),
        ]);
    }
    Table { head: heads(language, [("항목", "what"), ("값", "value")]), rows }
}

fn start(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("서버", "server"),
            ("시작부터 모두 응답할 때까지, ms", "start until all answer, ms"),
            ("워커가 죽고 새 워커가 응답할 때까지, ms", "kill until the new one answers, ms"),
        ],
    );
    let rows = ALL.map(|name| {
        let kill = match name {
            // It replaces nobody.
            "00_fork" => "–".to_owned(),
            _ => cell(&data["parts"]["kill"], name, "ms", language),
        };
        vec![title(name, language), cell(&data["parts"]["start"], name, "ms", language), kill]
    });
    Table { head, rows: rows.into() }
}

fn load(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("서버", "server"),
            ("킵얼라이브, 초당 요청", "keep-alive, requests a second"),
            ("클라이언트 하나의 p99, ms", "one client's 99th percentile, ms"),
            ("요청마다 새 연결, 초당 요청", "a connection each, requests a second"),
            ("클라이언트 하나의 p99, ms", "one client's 99th percentile, ms"),
        ],
    );
    let kinds = [
        "keep-alive a second",
        "keep-alive one client p99 ms",
        "each a second",
        "each one client p99 ms",
    ];
    let part = &data["parts"]["load"];
    let rows = LOADED.map(|name| {
        // Too many columns for both on one line.
        let cells = kinds.map(|kind| cell(part, name, kind, language).replace(" (", "<br>("));
        [vec![title(name, language)], cells.into()].concat()
    });
    Table { head, rows: rows.into() }
}

fn memory(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("서버", "server"),
            ("워커 하나, MB", "a worker, MB"),
            ("마스터 프로세스, MB", "the primary, MB"),
        ],
    );
    let part = &data["parts"]["load"];
    let rows = LOADED.map(|name| {
        let cells = ["worker MB", "primary MB"].map(|what| cell(part, name, what, language));
        [vec![title(name, language)], cells.into()].concat()
    });
    Table { head, rows: rows.into() }
}

/// How the clients ask, and how a table says it.
const MODES: [(&str, (&str, &str)); 2] = [
    ("keep-alive", ("킵얼라이브", "keep-alive")),
    ("each", ("요청마다 새 연결", "one per request")),
];

fn reload(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("서버", "server"),
            ("연결", "connections"),
            ("리로드", "reloads"),
            ("요청", "requests"),
            ("잃은 요청", "lost"),
        ],
    );
    let part = &data["parts"]["reload"];
    let mut rows = Vec::new();
    for name in RELOADED {
        for (mode, (korean, english)) in MODES {
            let runs = part["subjects"][name][mode].as_array();
            let sum = |runs: &Vec<Value>, what: &str| {
                whole(runs.iter().filter_map(|run| run[what].as_u64()).sum())
            };
            let cells = match runs {
                Some(runs) => ["reloads", "requests", "lost"].map(|what| sum(runs, what)),
                None => [why_not(part, name, language), "–".to_owned(), "–".to_owned()],
            };
            let first = [title(name, language), say(language, korean, english)];
            rows.push([first.as_slice(), &cells].concat());
        }
    }
    Table { head, rows }
}

/// A table of what became of the load while something changed behind it, again and again.
fn changes(
    part: &Value,
    rows: &[(&str, &str, &str)],
    first: (&str, &str),
    change: (&str, &str),
    language: &str,
) -> Table {
    let head = heads(
        language,
        [
            first,
            ("연결", "connections"),
            change,
            ("요청", "requests"),
            ("잃은 요청", "lost"),
            ("가장 긴 대기, ms", "longest wait, ms"),
        ],
    );
    let mut lines = Vec::new();
    for (name, korean, english) in rows {
        for (mode, words) in MODES {
            let runs = part["subjects"][name][mode].as_array();
            let cells = match runs {
                Some(runs) => {
                    let all = |what: &str| -> Vec<f64> {
                        runs.iter().filter_map(|run| run[what].as_f64()).collect()
                    };
                    let sum = |what: &str| whole(all(what).iter().sum::<f64>() as u64);
                    let longest = all("longest ms").into_iter().fold(0.0, f64::max);
                    [sum("changes"), sum("requests"), sum("lost"), whole(longest.ceil() as u64)]
                }
                None => [why_not(part, name, language), "–".into(), "–".into(), "–".into()],
            };
            let first = [say(language, korean, english), say(language, words.0, words.1)];
            lines.push([first.as_slice(), &cells].concat());
        }
    }
    Table { head, rows: lines }
}

fn restart(data: &Value, language: &str) -> Table {
    changes(
        &data["parts"]["restart"],
        &RESTARTS,
        ("`15_socket`의 소켓과 순서", "`15_socket`, its socket and the order"),
        ("재시작", "restarts"),
        language,
    )
}

/// What a restart costs whoever comes meanwhile, where an old request takes its time.
fn slow(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("빌린 소켓", "a lent socket"),
            (
                "3초 걸리는 요청이 있을 때 온 방문자의 대기, ms",
                "wait of a visitor behind a request of 3 s, ms",
            ),
        ],
    );
    let part = &data["parts"]["restart"];
    let rows = RESTARTS.iter().filter(|(name, ..)| SLOW.contains(name));
    let rows = rows.map(|(name, korean, english)| {
        vec![say(language, korean, english), cell(part, name, "slow wait ms", language)]
    });
    Table { head, rows: rows.collect() }
}

/// Those that finish what has begun, on a socket that stays.
const SLOW: [&str; 2] = ["lent, old first", "lent, new first"];

fn hosts(data: &Value, language: &str) -> Table {
    changes(
        &data["parts"]["hosts"],
        &TURNS,
        ("무엇이 바뀌는가", "what happens"),
        ("횟수", "times"),
        language,
    )
}

fn failover(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("마스터에 생긴 일", "what happens to the master"),
            ("응답받은 방문", "visits acknowledged"),
            ("그중 잃은 방문", "of these, lost"),
            ("503이 나온 시간, 초", "no visit counted for, s"),
            ("가장 긴 대기, 초", "longest wait, s"),
        ],
    );
    let part = &data["parts"]["failover"];
    let rows = FAILURES.map(|(name, korean, english)| {
        let Some(runs) = part["subjects"][name]["runs"].as_array() else {
            let none = "–".to_owned();
            let why = why_not(part, name, language);
            return vec![say(language, korean, english), why, none.clone(), none.clone(), none];
        };
        let all =
            |what: &str| -> Vec<f64> { runs.iter().filter_map(|run| run[what].as_f64()).collect() };
        let sum = |what: &str| whole(all(what).iter().sum::<f64>() as u64);
        let seconds =
            |what: &str| format!("{:.1}", all(what).into_iter().fold(0.0, f64::max) / 1000.0);
        vec![
            say(language, korean, english),
            sum("acknowledged"),
            sum("lost"),
            seconds("gap ms"),
            seconds("longest ms"),
        ]
    });
    Table { head, rows: rows.into() }
}

fn balancer(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [
            ("누구에게 요청하는가", "who is asked"),
            ("킵얼라이브, 초당 요청", "keep-alive, requests a second"),
            ("요청마다 새 연결, 초당 요청", "a connection each, requests a second"),
        ],
    );
    let words = [
        ("`16_hosts` 하나", "one `16_hosts`"),
        ("HAProxy, 뒤에 `16_hosts` 둘", "HAProxy, with two `16_hosts` behind it"),
    ];
    let part = &data["parts"]["hosts"];
    let rows = BALANCED.iter().zip(words).map(|(name, (korean, english))| {
        let cells = ["keep-alive", "each"]
            .map(|mode| cell(part, name, &format!("{mode} a second"), language));
        [vec![say(language, korean, english)], cells.into()].concat()
    });
    Table { head, rows: rows.collect() }
}

/// The numbers of workers that were tried.
fn counts(part: &Value) -> Vec<u64> {
    part["workers"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn grow(data: &Value, language: &str) -> Table {
    let part = &data["parts"]["grow"];
    let mut head = heads(language, [("서버", "server"), ("항목", "what")]);
    head.extend(counts(part).iter().map(|count| match count {
        1 => say(language, "워커 1개", "1 worker"),
        _ => say(language, &format!("{count}개"), &count.to_string()),
    }));
    let kinds = [
        ("ms", "시작, ms", "start, ms", 1.0),
        ("worker MB", "워커 하나, MB", "a worker, MB", 1.0),
        // In thousands, or a fast machine's numbers are too wide for so many columns.
        ("a second", "초당 요청, 천 개", "thousand requests a second", 1000.0),
    ];
    let mut rows = Vec::new();
    for name in GROWING {
        for (what, korean, english, unit) in kinds {
            let cells = counts(part).into_iter().map(|count| {
                let sample = Sample::of(part, name, &format!("{count} {what}"));
                sample.map_or_else(
                    || why_not(part, name, language),
                    |sample| number(sample.median() / unit),
                )
            });
            let first = [title(name, language), say(language, korean, english)];
            rows.push(first.into_iter().chain(cells).collect());
        }
    }
    Table { head, rows }
}

fn build(data: &Value, language: &str) -> Table {
    let head = heads(
        language,
        [("명령", "command"), ("크레이트", "crates"), ("첫 빌드, 초", "first build, seconds")],
    );
    let sets = data["parts"]["build"]["sets"].as_array();
    let rows = sets.into_iter().flatten().map(|set| {
        let text = |name: &str| set[name].as_str().unwrap_or_default();
        let features = match text("features") {
            "" => String::new(),
            features => format!(" --features {features}"),
        };
        let seconds = set["seconds"].as_f64().map_or(String::new(), number);
        vec![
            format!("`cargo build{features} --bin {}`", text("binary")),
            set["crates"].to_string(),
            seconds,
        ]
    });
    Table { head, rows: rows.collect() }
}

fn plots(data: &Value, language: &str) -> Vec<(&'static str, String)> {
    let parts = &data["parts"];
    let plain = |name: &str| title(name, language).replace('`', "");
    let rows = |part: &Value, names: &[&str], what: &str| {
        let rows = names.iter().map(|name| plot::Row {
            name: plain(name),
            value: match Sample::of(part, name, what) {
                Some(all) => Ok([all.least(), all.median(), all.most()]),
                None => {
                    let why = why_not(part, name, language);
                    // The tool's name has no room there.
                    let mut short = ["설치되지 않음", "not installed"].into_iter();
                    let short = short.find(|short| why.ends_with(short)).map(str::to_owned);
                    Err(short.unwrap_or(why))
                }
            },
        });
        rows.collect::<Vec<_>>()
    };
    let without_00: Vec<&str> = ALL.into_iter().filter(|name| *name != "00_fork").collect();
    let lines = |what: &str| {
        let part = &parts["grow"];
        GROWING.map(|name| {
            let points = counts(part).into_iter().filter_map(|count| {
                let sample = Sample::of(part, name, &format!("{count} {what}"))?;
                Some((count, sample.median()))
            });
            (plain(name), points.collect())
        })
    };
    let (start, kill, load) = (&parts["start"], &parts["kill"], &parts["load"]);
    let requests = ("초당 요청", "requests a second");
    type Draw<'a> = &'a dyn Fn(&plot::Frame) -> String;
    let draw = |id, title: (&str, &str), unit: (&str, &str), draw: Draw| {
        let [title, unit] = [title, unit].map(|(korean, english)| say(language, korean, english));
        (id, draw(&plot::Frame { id, title: &title, unit: &unit, language }))
    };
    vec![
        draw(
            "start",
            ("시작부터 모든 워커가 응답할 때까지", "From the start until all workers answer"),
            ("ms", "ms"),
            &|frame| plot::dots(frame, &rows(start, &ALL, "ms")),
        ),
        draw(
            "kill",
            (
                "워커를 죽인 때부터 새 워커가 응답할 때까지",
                "From a kill until the new worker answers",
            ),
            ("ms", "ms"),
            &|frame| plot::dots(frame, &rows(kill, &without_00, "ms")),
        ),
        draw(
            "keep-alive",
            ("초당 요청, 킵얼라이브", "Requests a second, keep-alive"),
            requests,
            &|frame| plot::bars(frame, &rows(load, &LOADED, "keep-alive a second")),
        ),
        draw(
            "each",
            ("초당 요청, 요청마다 새 연결", "Requests a second, a connection each"),
            requests,
            &|frame| plot::bars(frame, &rows(load, &LOADED, "each a second")),
        ),
        draw(
            "memory",
            ("부하를 준 뒤 워커 하나의 메모리", "Memory of a worker after the load"),
            ("MB", "MB"),
            &|frame| plot::bars(frame, &rows(load, &LOADED, "worker MB")),
        ),
        draw(
            "grow-start",
            ("워커 수에 따른 시작 시간", "Start, by the number of workers"),
            ("ms", "ms"),
            &|frame| plot::lines(frame, &lines("ms")),
        ),
        draw(
            "grow-memory",
            ("워커 수에 따른 워커 하나의 메모리", "Memory of a worker, by the number of workers"),
            ("MB", "MB"),
            &|frame| plot::lines(frame, &lines("worker MB")),
        ),
        draw(
            "grow-load",
            ("워커 수에 따른 초당 요청", "Requests a second, by the number of workers"),
            requests,
            &|frame| plot::lines(frame, &lines("a second")),
        ),
    ]
}
