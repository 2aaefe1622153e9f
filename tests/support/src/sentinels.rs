//! A Redis, its replica, and three sentinels for a test.

use std::fs;
use std::sync::OnceLock;

use super::{Folder, Port, Redis, root, until};

/// Two Redis servers, one of which is the master and the other its replica, and three sentinels that
/// watch them, all of them at ports of their own.
///
/// Dropping it ends them and removes what the sentinels have written; so does the end of the test,
/// however that comes.
pub struct Sentinels {
    /// The first of them is the master at the start.
    pub redis: [Redis; 2],
    pub sentinels: Vec<Redis>,
    /// Removed when it is dropped, and after the servers.
    _folder: Folder,
}

impl Sentinels {
    /// Starts all five as `scripts/sentinels` does, and waits until the sentinels know each other and
    /// the replica. Panics where `redis-server` cannot be run.
    pub fn start() -> Sentinels {
        Sentinels::start_with(None, None)
    }

    /// [`Sentinels::start`], where the two servers, and the sentinels, answer only those that know
    /// their password.
    pub fn start_with(
        password: Option<&'static str>,
        of_sentinels: Option<&'static str>,
    ) -> Sentinels {
        let [first, second] = [Port::reserve(), Port::reserve()];
        let (number, master) = (first.number, format!("127.0.0.1 {}", first.number));
        let folder = Folder::create();
        let path = folder.path.to_str().expect("a path of ASCII");
        let mut arguments = vec!["--save", "", "--appendonly", "no", "--databases", "1"];
        // A replica need not wait for others that want the same. It first writes what it gets to a
        // file.
        arguments.extend(["--repl-diskless-sync-delay", "0", "--dir", path]);
        if let Some(password) = password {
            arguments.extend(["--requirepass", password, "--masterauth", password]);
        }
        let first = Redis::start_as(first, password, &arguments);
        let second = Redis::start_as(second, password, &arguments);
        second.order(&format!("REPLICAOF {master}"));
        let template = fs::read_to_string(root().join("steps/redis/sentinel.conf"));
        let template = template.expect("it is there").replace(" 6380 ", &format!(" {number} "));
        let sentinel = || {
            let port = Port::reserve();
            let mut settings = template.replace("26379", &port.number.to_string());
            if let Some(password) = password {
                settings += &format!("sentinel auth-pass mymaster {password}\n");
            }
            if let Some(password) = of_sentinels {
                settings += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
            }
            let file = folder.path.join(format!("{}.conf", port.number));
            fs::write(&file, settings).expect("the folder is ours");
            let file = file.to_str().expect("a path of ASCII").to_owned();
            Redis::start_as(port, of_sentinels, &[&file, "--sentinel"])
        };
        until("the replica should be in sync", || is_in_sync(&second));
        until_it_is_sent_on(&first, &second);
        let sentinels: Vec<Redis> = (0..3).map(|_| sentinel()).collect();
        for sentinel in &sentinels {
            // They tell each other of themselves and ask a server of itself sooner, and a busy machine
            // does not make them pause for half a minute. Redis before 7.0 knows no such order.
            let sooner = ["PUBLISH-PERIOD", "100", "INFO-PERIOD", "1000", "TILT-TRIGGER", "60000"];
            sentinel.cli(&[&["SENTINEL", "DEBUG"], &sooner[..]].concat());
        }
        // It may be started again, and then it is nobody's replica until the sentinels say so.
        let redis = [first, second];
        let all = Sentinels { redis, sentinels, _folder: folder };
        all.settled();
        all
    }

    /// Starts five for all clusters of this test's program that are not told of others, as
    /// [`Redis::share`] does with one.
    pub fn share() -> &'static Sentinels {
        SHARED.get_or_init(Sentinels::start)
    }

    /// Those that are shared, where there are.
    pub(crate) fn shared() -> Option<&'static Sentinels> {
        SHARED.get()
    }

    /// All five, the sentinels last.
    pub fn all(&self) -> impl Iterator<Item = &Redis> {
        self.redis.iter().chain(&self.sentinels)
    }

    /// The addresses of all three sentinels, with the password where there is one, as `REDIS_URL`
    /// takes them.
    pub fn url(&self) -> String {
        self.sentinels.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }

    /// The same without the password, and without `redis://`.
    pub fn address(&self) -> String {
        self.sentinels.iter().map(Redis::address).collect::<Vec<_>>().join(",")
    }

    /// Which of the two servers is the master, for the first sentinel that runs.
    pub fn master(&self) -> usize {
        let sentinel = self.sentinels.iter().find(|it| it.is_running()).expect("one runs");
        let answer = sentinel.cli(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]);
        let is_this = |redis: &Redis| answer.get(1) == Some(&redis.port().to_string());
        let at = self.redis.iter().position(is_this);
        at.unwrap_or_else(|| panic!("neither of the two is the master, but {answer:?}"))
    }

    /// Waits until this one is the master for all sentinels that run.
    pub fn until_master_is(&self, at: usize) {
        let port = self.redis[at].port().to_string();
        let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
        for sentinel in self.sentinels.iter().filter(|it| it.is_running()) {
            until("the sentinels should choose the other as the master", || {
                sentinel.cli(&command).get(1) == Some(&port)
            });
        }
    }

    /// Waits until so many workers count visits at this one.
    pub fn until_workers_are_at(&self, at: usize, workers: usize) {
        until("the workers should count at the other Redis", || {
            let clients = self.redis[at].cli(&["CLIENT", "LIST"]);
            clients.iter().filter(|client| client.contains(" cmd=exec ")).count() >= workers
        });
    }

    /// Waits until the replica is in sync, and the sentinels see that and each other.
    pub fn settled(&self) {
        for sentinel in &self.sentinels {
            until("the sentinels should know each other, and a replica that is in sync", || {
                let quorum = sentinel.cli(&["SENTINEL", "CKQUORUM", "mymaster"]);
                let replicas = sentinel.cli(&["SENTINEL", "REPLICAS", "mymaster"]);
                let has = |name: &str, value: &str| {
                    replicas.windows(2).any(|pair| pair[0] == name && pair[1] == value)
                };
                quorum.first().is_some_and(|it| it.starts_with("OK 3 "))
                    && has("flags", "slave")
                    && has("master-link-status", "ok")
            });
        }
        let master = self.master();
        let [replica, master] = [&self.redis[1 - master], &self.redis[master]];
        until("the replica should be in sync", || is_in_sync(replica));
        until_it_is_sent_on(master, replica);
    }

    /// From now on the sentinels ask and tell as seldom as they do by themselves. So they take ten
    /// seconds or more until they tell a server that comes back whose replica it is.
    pub fn in_their_own_time(&self) {
        for sentinel in &self.sentinels {
            sentinel.cli(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "2000", "INFO-PERIOD", "10000"]);
        }
    }

    /// From now on they do so often, as they do from the start on.
    pub fn in_no_time(&self) {
        for sentinel in &self.sentinels {
            sentinel.cli(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "100", "INFO-PERIOD", "1000"]);
        }
    }

    /// Cuts the replica off from its master, which would take it back, but it says a wrong password.
    pub fn cut_off(&self) {
        let master = self.master();
        let replica = &self.redis[1 - master];
        replica.order("CONFIG SET masteruser nobody");
        replica.order("CONFIG SET masterauth wrong");
        self.redis[master].cli(&["CLIENT", "KILL", "TYPE", "REPLICA"]);
        until("the replica should be cut off", || !is_in_sync(replica));
    }

    /// Has the other take over, though the master is well: `SENTINEL FAILOVER`.
    pub fn fail_over(&self) {
        self.sentinels[0].order("SENTINEL FAILOVER mymaster");
    }
}

static SHARED: OnceLock<Sentinels> = OnceLock::new();

/// Whether this replica has what its master has, and is told what is new.
fn is_in_sync(replica: &Redis) -> bool {
    replica.cli(&["INFO", "replication"]).iter().any(|line| line == "master_link_status:up")
}

/// Waits until the replica has what the master is told now. The master may begin to send that a second
/// after the replica has said that it is in sync.
fn until_it_is_sent_on(master: &Redis, replica: &Redis) {
    until("what is new should be sent on to the replica", || {
        master.cli(&["SET", "new", "1"]);
        replica.cli(&["GET", "new"]) == ["1"]
    });
    master.cli(&["DEL", "new"]);
    until("what is deleted, too", || replica.cli(&["GET", "new"]) != ["1"]);
}
