//! Client and server on processors of their own, as on two machines: left to the kernel, a server that answers at once
//! mostly runs on the processor of the client that waits for it.

use batchkit_testbed::server::Server;

/// Keeps this process and a server, with the connections that it accepts from then on, apart until it is dropped.
#[derive(Debug)]
pub struct Apart {
    #[cfg(target_os = "linux")]
    before: Vec<(rustix::process::Pid, rustix::thread::CpuSet)>,
}

#[cfg(target_os = "linux")]
impl Apart {
    /// `None` where that cannot be done: there is one processor, or the server is not ours.
    pub fn new(server: &Server) -> Option<Self> {
        use rustix::process::Pid;
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

        let server = Pid::from_raw(i32::try_from(server.pid()?).ok()?)?;
        let all = sched_getaffinity(None).ok()?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|&processor| all.is_set(processor));
        let (ours, theirs) = (processors.next()?, processors.next()?);
        let threads = std::fs::read_dir("/proc/self/task").ok()?;
        let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
        let mut apart = Apart { before: Vec::new() };
        for (process, processor) in
            threads.filter_map(Pid::from_raw).map(|thread| (thread, ours)).chain([(server, theirs)])
        {
            let mut one = CpuSet::new();
            one.set(processor);
            apart.before.push((process, sched_getaffinity(Some(process)).ok()?));
            sched_setaffinity(Some(process), &one).ok()?;
        }
        Some(apart)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Apart {
    fn drop(&mut self) {
        for (process, before) in &self.before {
            // A thread may have ended.
            let _ = rustix::thread::sched_setaffinity(Some(*process), before);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Apart {
    /// `None`: it is known how to do that on Linux only.
    pub fn new(_: &Server) -> Option<Self> {
        None
    }
}
