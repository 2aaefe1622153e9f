//! How long visitors wait: by formula where there is one, and else by a simulation, which comes out
//! the same each time. What a worker does for one visitor is called a page here.

use std::collections::VecDeque;
use std::iter;

/// Nanoseconds, so that moments can be ordered.
type Time = u64;

const SECOND: f64 = 1e9;

/// How long pages take, beside their mean.
#[derive(Clone, Copy)]
pub enum Pages {
    /// All the same: used where the simulation is compared with the formulas.
    #[allow(dead_code, reason = "only the test asks for it")]
    Equal,
    /// Most are short, a few are long: spread exponentially.
    Spread,
}

/// Who chooses the queue for the next visitor, and how.
#[derive(Clone, Copy, PartialEq)]
pub enum Choice {
    /// One queue after the other.
    InTurn,
    /// The one with the fewest visitors, those that are being answered too.
    Fewest,
    AtRandom,
    /// As step 06 does. Each queue is a worker, and says `+` whenever it has taken a visitor; the
    /// primary hands the next one to whoever said so first. So one may wait behind a long page.
    HandedOver,
}

/// Some queues, each with some workers, and the load on all of them.
#[derive(Clone, Copy)]
pub struct Plan {
    pub queues: usize,
    pub workers: usize,
    pub choice: Choice,
    pub pages: Pages,
    /// The mean time of a page, in seconds.
    pub page: f64,
    /// The share of the workers' time that the load takes.
    pub load: f64,
}

/// What is seen of the waits of many visitors, in seconds.
pub struct Waits {
    #[allow(dead_code, reason = "only the test looks at it")]
    pub mean: f64,
    pub median: f64,
    pub p99: f64,
}

impl Waits {
    fn of(waits: &mut [Time]) -> Waits {
        let mean = waits.iter().map(|wait| *wait as f64).sum::<f64>() / waits.len() as f64;
        let mut at = |share: f64| {
            let at = (waits.len() as f64 * share) as usize;
            *waits.select_nth_unstable(at).1 as f64 / SECOND
        };
        Waits { mean: mean / SECOND, median: at(0.5), p99: at(0.99) }
    }
}

/// When visitors come, and how long the page of each takes.
struct Visitors {
    random: fastrand::Rng,
    now: f64,
    between: f64,
    pages: Pages,
    page: f64,
}

impl Visitors {
    fn of(plan: &Plan, seed: u64) -> Visitors {
        let workers = (plan.queues * plan.workers) as f64;
        let between = plan.page / (plan.load * workers);
        let random = fastrand::Rng::with_seed(seed);
        Visitors { random, now: 0.0, between, pages: plan.pages, page: plan.page }
    }

    /// Of a spread with this mean.
    fn spread(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.random.f64()).ln()
    }
}

impl Iterator for Visitors {
    type Item = (Time, Time);

    fn next(&mut self) -> Option<(Time, Time)> {
        self.now += self.spread(self.between);
        let page = match self.pages {
            Pages::Equal => self.page,
            Pages::Spread => self.spread(self.page),
        };
        Some(((self.now * SECOND) as Time, (page * SECOND) as Time))
    }
}

/// First come, first served, by the first of its workers that is free.
struct Queue {
    /// When each worker has done all that was given to it.
    free: Vec<Time>,
    /// When each visitor leaves that has not left yet.
    ends: Vec<Time>,
}

impl Queue {
    fn new(workers: usize) -> Queue {
        Queue { free: vec![0; workers], ends: Vec::new() }
    }

    /// Lets a visitor in, and returns how long it waits.
    fn let_in(&mut self, now: Time, page: Time) -> Time {
        let first = self.free.iter_mut().min().expect("it has a worker");
        let start = now.max(*first);
        *first = start + page;
        self.ends.push(start + page);
        start - now
    }

    fn visitors(&mut self, now: Time) -> usize {
        self.ends.retain(|end| *end > now);
        self.ends.len()
    }
}

/// How long `count` visitors wait. Those before them, a tenth as many, are left out: they find the
/// queues empty at first.
pub fn simulate(plan: &Plan, count: usize) -> Waits {
    let before = count / 10;
    let visitors = Visitors::of(plan, 1).take(before + count);
    let mut waits = match plan.choice {
        Choice::HandedOver => handed_over(plan.queues, visitors),
        choice => chosen(plan, choice, visitors),
    };
    Waits::of(&mut waits[before..])
}

fn chosen(plan: &Plan, choice: Choice, visitors: impl Iterator<Item = (Time, Time)>) -> Vec<Time> {
    let mut queues: Vec<Queue> =
        iter::repeat_with(|| Queue::new(plan.workers)).take(plan.queues).collect();
    let mut random = fastrand::Rng::with_seed(2);
    let mut next = 0;
    let wait = |(now, page)| {
        next = match choice {
            _ if plan.queues == 1 => 0,
            Choice::AtRandom => random.usize(..plan.queues),
            // Among those with the fewest it goes in turn.
            Choice::Fewest => {
                let turn = |at: usize| (at + plan.queues - next - 1) % plan.queues;
                let fewest = queues.iter_mut().map(|queue| queue.visitors(now)).enumerate();
                fewest.min_by_key(|(at, count)| (*count, turn(*at))).expect("there is one").0
            }
            _ => (next + 1) % plan.queues,
        };
        queues[next].let_in(now, page)
    };
    visitors.map(wait).collect()
}

fn handed_over(workers: usize, visitors: impl Iterator<Item = (Time, Time)>) -> Vec<Time> {
    /// What a worker has: until when it is busy, and whom it was handed meanwhile.
    #[derive(Clone, Default)]
    struct Worker {
        busy: Time,
        next: Option<usize>,
    }
    let visitors: Vec<(Time, Time)> = visitors.collect();
    let mut waits = vec![0; visitors.len()];
    let mut all = vec![Worker::default(); workers];
    let mut ready: VecDeque<usize> = (0..workers).collect();
    let mut waiting: VecDeque<usize> = VecDeque::new();
    let mut to_come = 0;
    loop {
        // What happens next: somebody comes, or a worker that has another one has done its page.
        let ends = all.iter().enumerate().filter(|(_, worker)| worker.next.is_some());
        let end = ends.map(|(at, worker)| (worker.busy, at)).min();
        let comes = visitors.get(to_come).map(|(time, _)| *time);
        let mut start = |worker: &mut Worker, visitor: usize, now: Time| {
            let (came, page) = visitors[visitor];
            waits[visitor] = now - came;
            worker.busy = now + page;
        };
        let now = match (end, comes) {
            (Some((end, at)), comes) if comes.is_none_or(|comes| end <= comes) => {
                let visitor = all[at].next.take().expect("it was handed one");
                start(&mut all[at], visitor, end);
                ready.push_back(at);
                end
            }
            (_, Some(comes)) => {
                waiting.push_back(to_come);
                to_come += 1;
                comes
            }
            (_, None) => return waits,
        };
        while let Some(at) = ready.pop_front() {
            let Some(visitor) = waiting.pop_front() else {
                ready.push_front(at);
                break;
            };
            match all[at].busy > now {
                // It says `+` when it has got round to taking this one.
                true => all[at].next = Some(visitor),
                false => {
                    start(&mut all[at], visitor, now);
                    ready.push_back(at);
                }
            }
        }
    }
}

/// What visitors see of one host that is away for some time.
pub struct Away {
    /// When each came, in seconds from when the host went, and how long it waited.
    pub waits: Vec<(f64, f64)>,
    pub longest: f64,
    /// From when the host is back until somebody waits no more.
    pub drained: f64,
}

/// One of some hosts goes for some seconds and comes back; the others have one queue in common.
/// Nobody gives up.
pub fn away(hosts: usize, workers: usize, page: f64, load: f64, seconds: f64) -> Away {
    const BEFORE: f64 = 2.0;
    let choice = Choice::InTurn;
    let plan =
        Plan { queues: 1, workers: hosts * workers, choice, pages: Pages::Spread, page, load };
    let mut queue = Queue::new(plan.workers);
    let (goes, back) = ((BEFORE * SECOND) as Time, ((BEFORE + seconds) * SECOND) as Time);
    let mut here = true;
    let mut away = Away { waits: Vec::new(), longest: 0.0, drained: 0.0 };
    for (now, page) in Visitors::of(&plan, 3) {
        if here && now >= goes {
            here = false;
            queue.free.iter_mut().take(workers).for_each(|free| *free = back.max(*free));
        }
        let wait = queue.let_in(now, page) as f64 / SECOND;
        queue.ends.clear();
        away.waits.push((now as f64 / SECOND - BEFORE, wait));
        if !here {
            away.longest = wait.max(away.longest);
        }
        if now >= back && wait == 0.0 {
            away.drained = (now - back) as f64 / SECOND;
            return away;
        }
        assert!(
            wait < 20.0 * seconds,
            "more comes than {hosts} hosts can do, and the queue never ends"
        );
    }
    unreachable!("visitors never end")
}

/// Erlang's formula: how likely a visitor has to wait where `workers` have one queue.
pub fn has_to_wait(workers: usize, load: f64) -> f64 {
    // That all are busy, where nobody waits but goes away: one worker after the other is added.
    let offered = load * workers as f64;
    let blocked = (1..=workers)
        .fold(1.0, |before, count| offered * before / (count as f64 + offered * before));
    blocked / (1.0 - load * (1.0 - blocked))
}

/// The mean wait for one queue and pages that are spread, in times of a page.
pub fn mean_wait(workers: usize, load: f64) -> f64 {
    has_to_wait(workers, load) / (workers as f64 * (1.0 - load))
}

/// The wait that this share of the visitors does not exceed, likewise.
pub fn wait_of(share: f64, workers: usize, load: f64) -> f64 {
    let longer = has_to_wait(workers, load) / (1.0 - share);
    longer.ln().max(0.0) / (workers as f64 * (1.0 - load))
}
