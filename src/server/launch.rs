//! Starts the server in a temporary folder, under a watchdog that ends it with this process.
//!
//! The watchdog is a shell whose standard input is a pipe that only this process holds. However this process
//! ends (also by SIGKILL, and with statics that are never dropped), the pipe closes: the watchdog stops the
//! server, waits for it, and removes the folder.

use std::env;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ServerError;
use super::locate::Binaries;

/// Names the socket's file; no network port is opened.
pub(super) const PORT: u16 = 5432;
/// The superuser that `initdb` makes.
pub(super) const SUPERUSER: &str = "postgres";

/// Starts the server at each line of the watchdog's input, and stops it at the end. It is deaf to the
/// terminal's signals.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP
folder=$1; shift
server=
while read -r _; do
    # One that was killed is still listed as a process until it is waited for.
    [ -z "$server" ] || wait "$server"
    "$@" >>"$folder/log" 2>&1 </dev/null &
    server=$!
done
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// Nothing here has to survive a crash of the machine.
const SETTINGS: [&str; 8] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "max_wal_size=256MB",
    // The zone that needs no files.
    "timezone=GMT",
    "log_timezone=GMT",
    "lc_messages=C",
];

/// A server that was started here.
#[derive(Debug)]
pub(super) struct Launched {
    folder: PathBuf,
    pid: u32,
    watchdog: Child,
}

impl Launched {
    /// The temporary folder: the socket, the log and the data are in it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Starts the server, for the first time or after a crash.
    pub(super) fn start(&mut self) -> Result<(), ServerError> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let logged = self.log().len();
            let pipe = self.watchdog.stdin.as_mut().ok_or_else(|| ServerError::new("the server was stopped"))?;
            pipe.write_all(b"start\n").map_err(|error| ServerError::while_doing("starting the server", error))?;
            match self.wait_until_ready(logged, deadline) {
                Ok(pid) => {
                    self.pid = pid;
                    return Ok(());
                }
                // The children of a postmaster that was killed take a moment to notice.
                Err(log) if log.contains("shared memory block") && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(log) => return Err(ServerError::while_doing("the server did not start; its log ends", log)),
            }
        }
    }

    /// Ends a process of the server's without a warning.
    pub(super) fn kill(&self, pid: u32) -> Result<(), ServerError> {
        match Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(ServerError::new(format!("kill ended with {status}"))),
            Err(error) => Err(ServerError::while_doing("running kill", error)),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits until the server says in its pid file that it takes connections; its process id, or the end of
    /// what it has logged since.
    fn wait_until_ready(&mut self, logged: usize, deadline: Instant) -> Result<u32, String> {
        let pid_file = self.folder.join("data").join("postmaster.pid");
        loop {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            match (lines.first().and_then(|pid| pid.parse().ok()), lines.get(7)) {
                // A postmaster that was killed has left its file behind.
                (Some(pid), Some(&"ready")) if pid != self.pid => return Ok(pid),
                _ => {}
            }
            let log = self.log();
            let new = log.get(logged..).unwrap_or_default();
            let ended = self.watchdog.try_wait().ok().flatten().is_some();
            // Clients that come too early, and the children of a postmaster that was killed, are told FATAL too.
            let why = ["lock file", "shared memory", "could not", "directory", "invalid", "unrecognized"];
            let fatal = |line: &str| line.contains("FATAL") && why.iter().any(|why| line.contains(why));
            let failed = new.lines().any(fatal);
            if ended || failed || Instant::now() > deadline {
                let mut tail: Vec<&str> = new.lines().rev().take(5).collect();
                tail.reverse();
                return Err(tail.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Closing the pipe is what the watchdog waits for.
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Where data folders are made: in memory where there is plenty of it, since tests make and drop hundreds of
/// databases and thousands of temporary tables; else, or where `TMPDIR` says so, in the folder for temporary files.
fn place() -> PathBuf {
    const MEMORY: &str = "/dev/shm";
    const PLENTY: u64 = 4 << 30;
    let is_plenty = rustix::fs::statvfs(MEMORY).is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= PLENTY);
    match env::var_os("TMPDIR") {
        None if is_plenty => PathBuf::from(MEMORY),
        _ => env::temp_dir(),
    }
}

/// Makes a data folder and starts a server in it.
pub(super) fn launch(binaries: &Binaries) -> Result<Launched, ServerError> {
    let user = ServerUser::find()?;
    // Removed by this guard until the watchdog takes over.
    let folder = tempfile::Builder::new()
        .prefix("batchkit-")
        .tempdir_in(place())
        .map_err(|error| ServerError::while_doing("making a temporary folder", error))?;
    user.own(folder.path())?;
    initialise(binaries, &user, folder.path())?;

    let mut command = user.command(Path::new("sh"), binaries);
    command.args(["-c", WATCHDOG, "watchdog"]).arg(folder.path()).arg(binaries.bin.join("postgres"));
    command.arg("-D").arg(folder.path().join("data")).arg("-k").arg(folder.path());
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    // A group of its own, so that Ctrl-C at the terminal does not reach the server before the watchdog.
    command.process_group(0).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let watchdog = command.spawn().map_err(|error| ServerError::while_doing("starting sh", error))?;
    let mut launched = Launched { folder: folder.keep(), pid: 0, watchdog };
    launched.start()?;
    Ok(launched)
}

fn initialise(binaries: &Binaries, user: &ServerUser, folder: &Path) -> Result<(), ServerError> {
    let run = |locale: &str| {
        let mut command = user.command(&binaries.bin.join("initdb"), binaries);
        command.arg("-D").arg(folder.join("data")).args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"]);
        command.arg(format!("--locale={locale}")).current_dir("/").stdin(Stdio::null()).output()
    };
    let mut last = String::new();
    // Not every system has the first of these.
    for locale in ["C.UTF-8", "C"] {
        match run(locale) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => last = String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => last = error.to_string(),
        }
    }
    let what = format!("initdb of {} failed (can the server's user read that folder?)", binaries.bin.display());
    Err(ServerError::while_doing(&what, last))
}

/// The user that the server runs as: `initdb` refuses root.
struct ServerUser(Option<(u32, u32)>);

impl ServerUser {
    /// Ourselves; as root `postgres`, or `nobody` where there is none.
    fn find() -> Result<Self, ServerError> {
        if !is_root() {
            return Ok(ServerUser(None));
        }
        let ids = ["postgres", "nobody"].into_iter().find_map(|name| id(&["-u", name]).zip(id(&["-g", name])));
        match ids {
            Some(ids) => Ok(ServerUser(Some(ids))),
            None => Err(ServerError::new("root cannot run PostgreSQL, and there is no user postgres or nobody")),
        }
    }

    fn own(&self, folder: &Path) -> Result<(), ServerError> {
        let Some((user, group)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(folder, Some(user), Some(group))
            .map_err(|error| ServerError::while_doing("giving the folder to the server's user", error))
    }

    fn command(&self, program: &Path, binaries: &Binaries) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        if !binaries.libraries.is_empty() {
            let libraries = std::env::join_paths(&binaries.libraries).unwrap_or_default();
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.env("TZ", "GMT");
        command
    }
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    id(&["-u"]) == Some(0)
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
