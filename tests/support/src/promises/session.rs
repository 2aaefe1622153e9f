//! What the steps promise that remember a visitor, wherever they do.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::thread;

use nix::unistd::Pid;

use crate::{Answer, Cluster, OrFail, agent, any_answer, assert_nothing, connect, pid, step};

/// What steps 14 to 17 say where a visit cannot be counted.
pub const SORRY: &str = "<h1>Service Unavailable</h1><p>This visit could not be counted.</p>";

/// Somebody who keeps the cookie, as a browser does.
#[derive(Clone)]
pub struct Visitor {
    port: u16,
    /// The id of the session, once there is one.
    pub id: Option<String>,
}

/// What the page says of one visit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    pub worker: Pid,
    pub count: u64,
}

impl Visitor {
    pub fn new(cluster: &Cluster) -> Visitor {
        Visitor::of(cluster.port.number)
    }

    /// One who comes to this port, where a balancer may listen.
    pub fn of(port: u16) -> Visitor {
        Visitor { port, id: None }
    }

    /// Visits the page over a connection of its own. The error is what came in place of the page.
    pub fn try_visit(&mut self) -> Result<Visit, String> {
        self.try_visit_over(&mut connect(self.port))
    }

    /// [`Visitor::try_visit`], over this connection.
    pub fn try_visit_over(&mut self, client: &mut TcpStream) -> Result<Visit, String> {
        let cookie = self.id.as_ref().map(|id| format!("session={id}"));
        let answer = ask_for("/", cookie.as_deref().map(str::as_bytes), client)?;
        let (id, visit) = session(&answer)?;
        self.id = Some(id);
        Ok(visit)
    }

    /// Visits the page over a connection of its own. Panics where it does not come.
    #[track_caller]
    pub fn visit(&mut self) -> Visit {
        self.try_visit().or_fail("the page should come")
    }

    /// How often it has been here, by the page, after each of as many visits.
    #[track_caller]
    pub fn counts(&mut self, visits: usize) -> Vec<u64> {
        (0..visits).map(|_| self.visit().count).collect()
    }
}

/// Asks for `path` with this value of the header `Cookie`. Any answer is one; the error says what
/// came in place of one.
pub fn ask_for(
    path: &str,
    cookie: Option<&[u8]>,
    client: &mut TcpStream,
) -> Result<Answer, String> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    if let Some(cookie) = cookie {
        request.extend([b"Cookie: ", cookie, b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    client.write_all(&request).map_err(|error| error.to_string())?;
    any_answer(client)
}

/// What an answer with the page says: the session's id, and the visit. The error shows any other.
fn session(answer: &Answer) -> Result<(String, Visit), String> {
    let Answer { head, body } = answer;
    let instead =
        || format!("another answer came than a page with a cookie and a count:\n{head}\n{body}");
    read_session(answer).ok_or_else(instead)
}

fn read_session(answer: &Answer) -> Option<(String, Visit)> {
    let page =
        answer.body.strip_prefix("<h1>Hello Cluster!</h1><p>")?.strip_suffix("번째 방문</p>")?;
    let (worker, count) = page.split_once("번 워커, ")?;
    let visit = Visit { worker: pid(worker)?, count: count.parse().ok()? };
    let (_, cookie) = answer.head.split_once("\r\nset-cookie: session=")?;
    let (id, _) = cookie.split_once("; ")?;
    (answer.status() == Some(200)).then(|| (id.to_owned(), visit))
}

fn is_an_id(text: &str) -> bool {
    text.len() == 32 && text.chars().all(|it| it.is_ascii_digit() || ('a'..='f').contains(&it))
}

pub fn the_page_counts_visits_and_no_other_path_is_there(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let worker = cluster.workers[0];
    let page = |count| format!("<h1>Hello Cluster!</h1><p>{worker}번 워커, {count}번째 방문</p>");
    cluster.assert_answer("GET", "/", 200, &page(1));
    let mut visitor = Visitor::new(&cluster);
    assert_eq!(visitor.counts(2), [1, 2], "the page should count the visits");
    let cookie = format!("session={}", visitor.id.as_ref().unwrap());
    // A browser asks for its icon by itself: that is no visit.
    for path in ["/favicon.ico", "/any/path", "//", "/index.html?at=all"] {
        let client = &mut connect(cluster.port.number);
        let answer = ask_for(path, Some(cookie.as_bytes()), client).expect("it should be answered");
        assert_eq!(answer.status(), Some(404), "{path} should not be there: {answer:?}");
        assert_eq!(answer.body, "", "{path}: a body, though there is nothing");
        assert!(!answer.head.contains("set-cookie"), "{path}: a cookie for nothing: {answer:?}");
    }
    let url = format!("http://127.0.0.1:{}/?at=all", cluster.port.number);
    let posted = agent().post(url).header("Cookie", &cookie).send("a body");
    let posted = posted.or_fail("POST / should be answered").body_mut().read_to_string();
    assert_eq!(posted.unwrap(), page(3), "whatever the method, and whatever is asked");
}

pub fn the_cookie_holds_an_id_for_this_site_alone_and_for_no_script(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let url = format!("http://127.0.0.1:{}/", cluster.port.number);
    let ask = |cookie: &str| {
        let response =
            agent().get(&url).header("Cookie", cookie).call().or_fail("the page should come");
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), 1, "one cookie should be set: {cookies:?}");
        let cookie = cookies[0].to_str().unwrap().to_owned();
        let parts = cookie.strip_prefix("session=").and_then(|rest| rest.split_once("; "));
        let (id, attributes) = parts.unwrap_or_else(|| panic!("not the session: {cookie}"));
        assert!(is_an_id(id), "an id should be 32 hexadecimal digits: {id}");
        assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/", "the attributes, of {cookie}");
        id.to_owned()
    };
    let id = ask("other=1");
    assert_eq!(ask(&format!("session={id}")), id, "who has an id should keep it");
    assert_eq!(ask(&format!("a=b; session={id}; c=d")), id, "among others it should be found");
}

pub fn over_one_connection_that_is_kept_it_counts_1_2_3(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    let (mut visitor, mut client) = (Visitor::new(&cluster), connect(cluster.port.number));
    let visits =
        [(); 3].map(|()| visitor.try_visit_over(&mut client).or_fail("the page should come"));
    assert_eq!(visits.map(|visit| visit.count), [1, 2, 3], "the page should count the visits");
    assert!(visits.iter().all(|visit| visit.worker == visits[0].worker), "one worker has it");
}

/// All different, and each of 128 bits is as often 1 as 0: 5,000 times, and not once in a lifetime
/// of tests 500 more or fewer, which is ten times the standard deviation.
pub fn ten_thousand_ids_are_all_different_and_every_bit_is_random(name: &str) {
    let cluster = Cluster::start(step(name), 2);
    let mut ids = BTreeSet::new();
    for _ in 0..10 {
        let mut client = connect(cluster.port.number);
        for _ in 0..1_000 {
            let answer = ask_for("/", None, &mut client).or_fail("it should be answered");
            let (id, visit) = session(&answer).or_fail("the page should come");
            assert!(is_an_id(&id), "an id should be 32 hexadecimal digits: {id}");
            assert_eq!(visit.count, 1, "a new id has not been here");
            assert!(ids.insert(u128::from_str_radix(&id, 16).unwrap()), "twice the same id: {id}");
        }
    }
    for bit in 0..128 {
        let ones = ids.iter().filter(|id| *id >> bit & 1 == 1).count();
        assert!((4_500..=5_500).contains(&ones), "bit {bit} is 1 in {ones} of 10,000 ids");
    }
}

/// Each value is sent twice: where it was taken for an id, the second visit would be number two.
pub fn a_value_that_is_no_id_gets_a_new_one_and_is_never_a_key(name: &str) {
    let mut cluster = Cluster::start(step(name), 1);
    let a = |letter: &str, times| letter.repeat(times).into_bytes();
    let values = [
        a("", 0),
        a("1", 1),
        a("a", 31),
        a("a", 33),
        a("A", 32),
        a("g", 32),
        a("a", 100_000),
        a("가", 10),
        [a("가", 10), a("a", 2)].concat(),
        [a("a", 31), vec![0xff]].concat(),
        [a("a", 31), vec![b'\t']].concat(),
        [b"0x".to_vec(), a("a", 30)].concat(),
        [b"-".to_vec(), a("1", 31)].concat(),
        [b"*".to_vec(), a("a", 31)].concat(),
        b"../../../../../../../etc/passwd0".to_vec(),
        b"%0D%0ASET%20x%20y%0D%0A0000000000".to_vec(),
        b"__proto__".to_vec(),
        b"null".to_vec(),
    ];
    let mut ids = BTreeSet::new();
    let mut check = |cookie: &[u8], cluster: &Cluster| {
        for _ in 0..2 {
            let shown = String::from_utf8_lossy(&cookie[..cookie.len().min(80)]).into_owned();
            let answer = ask_for("/", Some(cookie), &mut connect(cluster.port.number));
            let answer = answer.or_fail(&format!("{shown} should be answered"));
            let (id, visit) = session(&answer).or_fail(&format!("{shown} should be answered"));
            assert!(is_an_id(&id), "{shown}: should get an id, but it gets {id}");
            assert_eq!(visit.count, 1, "{shown}: should be nobody who was here");
            assert!(ids.insert(id), "{shown}: should get an id of its own");
        }
    };
    for value in values {
        check(&[b"session=", &*value].concat(), &cluster);
    }
    let id = "a".repeat(32);
    for cookie in [
        format!("Session={id}"),
        format!("xsession={id}"),
        format!("a=session={id}"),
        format!("session={id}{id}"),
        format!("session=1; session={}; session=", "A".repeat(32)),
        "session".to_owned(),
        ";;;=;==".to_owned(),
    ] {
        check(cookie.as_bytes(), &cluster);
    }
    assert_nothing(cluster.end().stderr.lines(), "nothing of that is worth a word");
}

/// In turn over one connection, as behind a proxy, and then all at once.
pub fn two_visitors_never_share_a_count(name: &str) {
    let cluster = Cluster::start(step(name), 1);
    let mut client = connect(cluster.port.number);
    let mut visitors = [(); 5].map(|()| Visitor::new(&cluster));
    for round in 1..=4 {
        for visitor in &mut visitors {
            let visit = visitor.try_visit_over(&mut client).or_fail("the page should come");
            assert_eq!(visit.count, round, "others came meanwhile, but they do not count");
        }
    }
    let ids: BTreeSet<_> = visitors.iter().map(|visitor| visitor.id.clone()).collect();
    assert_eq!(ids.len(), visitors.len(), "each should have an id of its own");
    thread::scope(|scope| {
        for visitor in &mut visitors {
            scope.spawn(|| {
                let expected: Vec<u64> = (5..=54).collect();
                assert_eq!(visitor.counts(50), expected, "others came at the same time");
            });
        }
    });
}

/// What every step promises that remembers a visitor.
#[macro_export]
macro_rules! promises_of_every_session {
    ($step:literal $(, $needs:ident)?) => {
        $crate::promises! { $step $(, $needs)?:
            the_page_counts_visits_and_no_other_path_is_there
            the_cookie_holds_an_id_for_this_site_alone_and_for_no_script
            over_one_connection_that_is_kept_it_counts_1_2_3
            ten_thousand_ids_are_all_different_and_every_bit_is_random
            a_value_that_is_no_id_gets_a_new_one_and_is_never_a_key
            two_visitors_never_share_a_count
        }
    };
}
