//! Client and server on processors of their own, as on two machines: left to the kernel, a server that answers at once
//! mostly runs on the processor of the client that waits for it.

use batchkit_testbed::server::Server;

/// Keeps this process and a server apart until it is dropped.
#[derive(Debug)]
pub struct Apart {
    #[cfg(target_os = "linux")]
    server: rustix::process::Pid,
    #[cfg(target_os = "linux")]
    before: rustix::thread::CpuSet,
}

#[cfg(target_os = "linux")]
impl Apart {
    /// `None` where that cannot be done: there is one processor, or the server is not ours.
    pub fn new(server: &Server) -> Option<Self> {
        use rustix::thread::{CpuSet, sched_getaffinity};

        let server = rustix::process::Pid::from_raw(i32::try_from(server.pid()?).ok()?)?;
        let before = sched_getaffinity(None).ok()?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&processor| before.is_set(processor)).map(|processor| {
            let mut one = CpuSet::new();
            one.set(processor);
            one
        });
        let (ours, theirs) = (processors.next()?, processors.next()?);
        let apart = Apart { server, before };
        apart.keep_on(&ours, &theirs).then_some(apart)
    }

    /// Keeps this process's threads on these processors, and the server's processes on those.
    fn keep_on(&self, ours: &rustix::thread::CpuSet, theirs: &rustix::thread::CpuSet) -> bool {
        use rustix::process::Pid;
        use rustix::thread::sched_setaffinity;

        // What has ended by then has no processor.
        let move_to =
            |process: i32, to| Pid::from_raw(process).is_some_and(|it| sched_setaffinity(Some(it), to).is_ok());
        let server = self.server.as_raw_nonzero().get();
        for thread in numbers_in("/proc/self/task") {
            move_to(thread, ours);
        }
        for child in numbers_in("/proc").filter(|&process| parent(process) == Some(server)) {
            move_to(child, theirs);
        }
        // Those that it starts from then on stay with it.
        move_to(server, theirs)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Apart {
    fn drop(&mut self) {
        self.keep_on(&self.before, &self.before);
    }
}

/// The files in a folder whose names are numbers.
#[cfg(target_os = "linux")]
fn numbers_in(folder: &str) -> impl Iterator<Item = i32> {
    let files = std::fs::read_dir(folder).into_iter().flatten();
    files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok())
}

/// Who has started a process.
#[cfg(target_os = "linux")]
fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, in which anything may be, and the state.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
impl Apart {
    /// `None`: it is known how to do that on Linux only.
    pub fn new(_: &Server) -> Option<Self> {
        None
    }
}
