//! Two hosts behind one HAProxy, as in step 16.

use std::process::Command;

use nix::sys::signal::Signal;

use super::{
    Cluster, Ended, Haproxy, Lent, Port, Redis, assert_nothing, assert_status, step, until,
};

/// What HAProxy calls the two.
pub const NAMES: [&str; 2] = ["a", "b"];

/// Where a host listens, each time that it is started: on a socket of its own, or on one that it is
/// lent.
pub enum Place {
    Own(Port),
    Lent(Lent),
}

impl Place {
    pub fn own() -> Place {
        Place::Own(Port::reserve())
    }

    pub fn lent() -> Place {
        Place::Lent(Lent::listen())
    }

    pub fn port(&self) -> u16 {
        match self {
            Place::Own(port) => port.number,
            Place::Lent(lent) => lent.port.number,
        }
    }

    /// `command`, which is to listen here.
    pub fn to(&self, mut command: Command) -> Command {
        command.env("PORT", self.port().to_string());
        match self {
            Place::Own(_) => command,
            Place::Lent(lent) => lent.to(command),
        }
    }
}

/// Two hosts with one Redis, and a HAProxy before them.
pub struct Hosts {
    pub haproxy: Haproxy,
    pub hosts: [Cluster; 2],
    pub places: [Place; 2],
    pub redis: Redis,
    programs: [fn(&str) -> Command; 2],
    workers: usize,
}

impl Hosts {
    /// Starts step 16 twice, with two workers each, and a HAProxy with these settings.
    pub fn start(places: [Place; 2], settings: &[(&str, &str)]) -> Hosts {
        Hosts::start_with(places, [step, step], 2, settings)
    }

    /// [`Hosts::start`] where these start the two hosts, with so many workers each.
    pub fn start_with(
        places: [Place; 2],
        programs: [fn(&str) -> Command; 2],
        workers: usize,
        settings: &[(&str, &str)],
    ) -> Hosts {
        let redis = Redis::start();
        let hosts = [0, 1].map(|at| start_at(&places[at], programs[at], workers, &redis));
        let [a, b] = places.each_ref().map(|place| format!("127.0.0.1:{}", place.port()));
        let haproxy = Haproxy::start([&a, &b], settings);
        Hosts { haproxy, hosts, places, redis, programs, workers }
    }

    /// Where visitors come.
    pub fn front(&self) -> u16 {
        self.haproxy.front.number
    }

    /// Has the HAProxy send nobody to this host any more, and waits until nobody is left there.
    pub fn drain(&self, host: usize) {
        self.haproxy.order("drain", NAMES[host]);
        until("the host should have answered all", || self.haproxy.count(NAMES[host], "scur") == 0);
    }

    /// Ends the host in order, as for a new version or a new kernel.
    #[track_caller]
    pub fn stop(&mut self, host: usize) {
        let cluster = &mut self.hosts[host];
        cluster.send(Signal::SIGTERM, cluster.primary);
        let Ended { status, stderr, .. } = cluster.wait_for_end();
        assert_nothing(stderr.lines(), "nothing was wrong");
        assert_status(status, 0);
    }

    /// Kills the host's primary. Its workers end with it.
    pub fn kill(&mut self, host: usize) {
        self.hosts[host].send(Signal::SIGKILL, self.hosts[host].primary);
        self.hosts[host].wait_for_end();
    }

    /// Starts the host once more where it was, and waits until the HAProxy sends visitors there.
    pub fn start_again(&mut self, host: usize) {
        let (place, program) = (&self.places[host], self.programs[host]);
        self.hosts[host] = start_at(place, program, self.workers, &self.redis);
        // It may have been drained.
        self.haproxy.order("ready", NAMES[host]);
        self.haproxy.until_up(NAMES[host]);
    }
}

fn start_at(place: &Place, program: fn(&str) -> Command, workers: usize, redis: &Redis) -> Cluster {
    let mut command = program("16_hosts");
    // A busy machine is no reason to say that Redis does not answer.
    command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "2000");
    Cluster::start(place.to(command), workers)
}
