//! The page "Deploying": what it says of containers, seen without an engine that runs them.

use std::fs;
use std::process::{Command, Stdio};

use support::root;

/// A file that the page shows.
fn shown(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const CONTAINERFILE: &str = "steps/container/Containerfile";
const COMPOSE: &str = "steps/container/compose.yaml";
const MANIFEST: &str = "steps/container/cluster.yaml";

/// The settings that these files give to a program, each with its value.
fn settings(path: &str) -> Vec<(String, String)> {
    let text = shown(path);
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| {
        let in_an_image = line.strip_prefix("ENV ").and_then(|line| line.split_once('='));
        let in_a_manifest = line
            .strip_prefix("- {name: ")
            .and_then(|line| line.strip_suffix('}').and_then(|line| line.split_once(", value: ")));
        in_an_image.or(in_a_manifest).or_else(|| line.split_once(": "))
    });
    let is_a_setting =
        |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    let settings = pairs.filter(|(name, _)| is_a_setting(name));
    settings.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// The number behind `name` in this file.
#[track_caller]
fn number(path: &str, name: &str) -> u64 {
    let text = shown(path);
    let found = text.lines().find_map(|line| line.trim().strip_prefix(name));
    let digits = found.map(|rest| rest.chars().filter(char::is_ascii_digit).collect::<String>());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("{path} should have a line `{name}` with one number"))
}

#[test]
fn what_the_files_set_is_what_the_program_and_haproxy_read() {
    let (program, haproxy) = (shown("steps/16_hosts.rs"), shown("steps/haproxy/hosts.cfg"));
    for path in [CONTAINERFILE, COMPOSE, MANIFEST] {
        let settings = settings(path);
        assert!(!settings.is_empty(), "{path} should set something");
        for (name, _) in settings {
            let is_read = program.contains(&format!("\"{name}\""))
                || haproxy.contains(&format!("presetenv {name} "));
            assert!(is_read, "{path} sets {name}, but neither the step nor hosts.cfg reads that");
        }
    }
    assert!(program.contains(".route(\"/health\""));
    assert_eq!(shown(MANIFEST).matches("{path: /health, ").count(), 2, "both probes ask for it");
}

#[test]
fn whoever_ends_the_program_gives_it_more_time_than_it_takes_itself() {
    let limit = number("steps/16_hosts.rs", "const LIMIT: Duration = Duration::from_secs(");
    let docker = number(COMPOSE, "stop_grace_period: ");
    assert!(
        docker > limit,
        "Docker sends KILL after {docker} seconds, but the step may take {limit}"
    );
    let (pause, all) =
        (number(MANIFEST, "sleep: "), number(MANIFEST, "terminationGracePeriodSeconds: "));
    assert!(
        all > pause + limit,
        "Kubernetes sends KILL after {all} seconds, but preStop takes {pause} and the step {limit}"
    );
}

/// Runs a tool that says whether a file is well, and panics with what it says where it is not.
#[track_caller]
fn finds_it_well(mut command: Command) {
    let output = command.stdin(Stdio::null()).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{command:?} says:\n{said}{complained}");
}

#[test]
#[ignore = "needs kubernetes-validate: pip's kubernetes-validate"]
fn kubernetes_knows_the_manifest_be_it_the_oldest_that_sleeps_by_default_or_the_newest() {
    for version in [&["--kubernetes-version", "1.30"][..], &[]] {
        let mut command = Command::new("kubernetes-validate");
        command.arg("--strict").args(version).arg(MANIFEST);
        finds_it_well(command);
    }
}

#[test]
#[ignore = "needs check-jsonschema: pip's check-jsonschema"]
fn the_specification_of_compose_knows_what_the_compose_file_says() {
    let mut command = Command::new("check-jsonschema");
    command.args(["--builtin-schema", "vendor.compose-spec", COMPOSE]);
    finds_it_well(command);
}

#[test]
#[ignore = "needs haproxy"]
fn haproxy_takes_its_configuration_with_what_the_compose_file_sets() {
    let mut command = Command::new("haproxy");
    command.args(["-c", "-f", "steps/haproxy/hosts.cfg"]).envs(settings(COMPOSE));
    finds_it_well(command);
}

/// An image that is a folder, and its program as process 1 in there.
#[cfg(target_os = "linux")]
mod image {
    use std::fs;
    use std::io::Write;
    use std::net::TcpStream;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use support::{
        Cluster, Console, Redis, Signal, answer, assert_nothing, assert_status, connect, is_dead,
        is_read, root, until,
    };

    use super::{CONTAINERFILE, shown};

    /// What the Containerfile says, carried out. Dropping it removes the folder.
    struct Image {
        folder: PathBuf,
        user: String,
        command: Vec<String>,
    }

    impl Image {
        /// Builds the program anew where it has changed.
        fn build() -> Image {
            let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let folder = place.join(format!("image-{}", std::process::id()));
            let mut build = Command::new("steps/container/build");
            // Others' flags are not for this program.
            build
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                .env("CARGO_TARGET_DIR", place.join("static"));
            let status = build.arg(&folder).current_dir(root()).status();
            let image = Image { folder, user: said("USER"), command: list(&said("ENTRYPOINT")) };
            assert!(status.expect("sh runs").success(), "the program should be built");
            assert_eq!(said("FROM"), "scratch");
            let copy = said("COPY");
            let (from, to) = copy.split_once(" /").expect("it has a source and a destination");
            fs::rename(image.folder.join(from), image.folder.join(to)).expect("it was built");
            image
        }

        /// The command that runs it, as an engine would.
        fn run(&self) -> Command {
            let mut run = Command::new(root().join("steps/container/run"));
            run.arg(&self.folder).arg(&self.user).args(&self.command);
            run
        }

        /// Whether anything is mounted in it, as far as anybody else can see.
        fn is_mounted(&self) -> bool {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
            mounts.contains(self.folder.to_str().expect("it has no odd name"))
        }
    }

    impl Drop for Image {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }

    /// What follows this word in the Containerfile.
    #[track_caller]
    fn said(instruction: &str) -> String {
        let text = shown(CONTAINERFILE);
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(instruction));
        let said = lines.next().unwrap_or_else(|| panic!("it should say {instruction}"));
        said.trim().to_owned()
    }

    fn list(json: &str) -> Vec<String> {
        serde_json::from_str(json).expect("it is a list of words")
    }

    #[test]
    #[ignore = "needs root on Linux: to make namespaces for processes and mounts; and redis-server"]
    fn in_an_empty_image_as_process_1_it_answers_and_told_to_end_it_finishes_first() {
        let redis = Redis::start();
        let image = Image::build();
        let mut command = image.run();
        // This container shares the network with its host, so it listens on loopback only.
        command.env("WORKERS", "2").env("HOST", "127.0.0.1");
        command.env("REDIS_URL", redis.url()).env("REDIS_MILLISECONDS", "2000");
        let mut cluster = Cluster::spawn(command, Console::Read);
        assert_eq!(cluster.line(), "마스터 프로세스 아이디: 1", "the primary should be process 1");
        cluster.started();
        cluster.started();

        let primary = cluster.children()[0].pid;
        let status = fs::read_to_string(format!("/proc/{primary}/status")).expect("it runs");
        let is_nobody = status.lines().any(|line| line == "Uid:\t65534\t65534\t65534\t65534");
        assert!(is_nobody, "it should run as nobody:\n{status}");
        let seen = fs::read_dir(format!("/proc/{primary}/root")).expect("it runs").flatten();
        let mut seen: Vec<_> = seen.map(|entry| entry.file_name()).collect();
        seen.sort();
        assert_eq!(seen, ["dev", "proc", "server"], "nothing else should be in its image");

        assert_eq!(cluster.answer_to("GET", "/health").status, 200);
        cluster.assert_answers();

        let mut slow = connect(cluster.port.number);
        let half = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nsl";
        slow.write_all(half).expect("it is connected");
        until("a worker should begin with the slow request", || is_read(&slow));
        cluster.send(Signal::SIGTERM, primary);
        let port = cluster.port.number;
        until("it should take no more visitors", || {
            TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        assert!(!is_dead(primary), "it should wait for the slow request");
        slow.write_all(b"ow!").expect("it is connected");
        let answer = answer(&mut slow).expect("what has begun is answered");
        assert!(
            answer.is_the_last(),
            "the answer should say that it is the last, but it is {answer}"
        );

        let ended = cluster.wait_for_end();
        assert_status(ended.status, 0);
        assert_nothing(ended.stderr.lines(), "all went well");
        assert!(is_dead(primary));
        assert!(!image.is_mounted(), "what was mounted should be gone");
    }
}
