//! Limits of a process, getrlimit(2): what a step does where there is no more of something.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::libc::{self, rlimit};
#[cfg(target_os = "linux")]
use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};

use super::step;

#[cfg(target_os = "linux")]
pub(crate) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_os = "linux"))]
pub(crate) type Resource = libc::c_int;

/// Sets both limits of this process, the soft and the hard one.
pub(crate) fn limit(what: Resource, most: u64) -> io::Result<()> {
    let limit = rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: setrlimit(2) reads one rlimit.
    match unsafe { libc::setrlimit(what, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn limited(mut command: Command, what: Resource, most: u64) -> Command {
    // SAFETY: setrlimit(2) alone is called, which is async-signal-safe.
    unsafe { command.pre_exec(move || limit(what, most)) };
    command
}

/// `command`, each process of which may have `most` descriptors open.
pub fn limit_descriptors(command: Command, most: u64) -> Command {
    limited(command, libc::RLIMIT_NOFILE, most)
}

/// `command`, whose processes may have `most` descriptors open, but may allow themselves as many as
/// this test's own may.
#[cfg(target_os = "linux")]
pub fn limit_descriptors_softly(mut command: Command, most: u64) -> Command {
    let set = move || {
        let (_, hard) = getrlimit(RLIMIT_NOFILE)?;
        Ok(setrlimit(RLIMIT_NOFILE, most, hard)?)
    };
    // SAFETY: it calls getrlimit(2) and setrlimit(2), which are async-signal-safe.
    unsafe { command.pre_exec(set) };
    command
}

/// `command`, where no process can ask to be ended with its parent, prctl(2): as on a system that knows
/// no such signal. The call does nothing, and says that all is well.
#[cfg(target_os = "linux")]
pub fn without_parent_death_signal(mut command: Command) -> Command {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};

    let step = |code, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // A seccomp filter reads a `seccomp_data`: the call's number is at 0, its first argument at 16.
    let filter = [
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0, 0),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, libc::SYS_prctl as u32),
        step(BPF_LD | BPF_W | BPF_ABS, 0, 0, 16),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, libc::PR_SET_PDEATHSIG as u32),
        step(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        step(BPF_RET | BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let set = move || {
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: prctl(2) reads the filter, and changes this process alone.
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: it calls prctl(2), which is async-signal-safe.
    unsafe { command.pre_exec(set) };
    command
}

/// `command`, which can start no process while its user has `most` or more: those that run count,
/// and on Linux their threads. It has to be [`step_of_an_ordinary_user`], for root is not limited.
pub fn limit_processes(command: Command, most: u64) -> Command {
    limited(command, libc::RLIMIT_NPROC, most)
}

/// The command that runs the step `name` as a user for whom the number of processes can be limited:
/// as the one who runs this test, but where that is root, on Linux, as user 65534, "nobody".
pub fn step_of_an_ordinary_user(name: &str) -> Command {
    let command = step(name);
    #[cfg(target_os = "linux")]
    if is_root() {
        use std::os::fd::AsRawFd;

        // Opened by root, it can be run even where the folders above it are closed to others.
        let path = command.get_program().to_owned();
        let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        command.uid(NOBODY).gid(NOBODY);
        let keep_it_open = move || {
            let _ = &file;
            Ok(())
        };
        // SAFETY: it does nothing.
        unsafe { command.pre_exec(keep_it_open) };
        return command;
    }
    command
}

#[cfg(target_os = "linux")]
pub(crate) const NOBODY: u32 = 65534;

/// Whether this test is run by root.
#[cfg(target_os = "linux")]
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) only asks.
    unsafe { libc::geteuid() == 0 }
}

/// From now on the process `pid` can start no process and no thread any more, or can again, unless
/// it has ended. It has to be one of [`step_of_an_ordinary_user`]'s. Linux alone limits a process
/// that runs.
#[cfg(target_os = "linux")]
pub fn allow_new_processes_and_threads(pid: nix::unistd::Pid, allow: bool) {
    use nix::errno::Errno;

    let set = move || {
        let (pid, what) = (pid.as_raw(), libc::RLIMIT_NPROC);
        let mut limit = rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: prlimit(2) writes one rlimit.
        Errno::result(unsafe { libc::prlimit(pid, what, std::ptr::null(), &mut limit) })?;
        limit.rlim_cur = if allow { limit.rlim_max } else { 0 };
        // SAFETY: prlimit(2) reads one rlimit.
        Errno::result(unsafe { libc::prlimit(pid, what, &limit, std::ptr::null_mut()) })
    };
    let set = move || match set() {
        Ok(_) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    };
    // One user may not limit another's processes, and in a container, root may not either.
    let mut command = Command::new("true");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // SAFETY: it only calls prlimit(2).
    unsafe { command.pre_exec(set) };
    let child = super::process::spawn(&mut command, &[]);
    let done = child
        .and_then(|mut child| child.wait())
        .unwrap_or_else(|error| panic!("prlimit {pid}: {error}"));
    assert!(done.success(), "true: {done}");
}
