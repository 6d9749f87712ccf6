//! Where the server's programs are.

use std::env;
use std::path::{Path, PathBuf};

use super::ServerError;
use super::fetch;

/// The server's programs.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    /// The folder of `initdb` and `postgres`.
    pub(super) bin: PathBuf,
    /// Folders of shared libraries that were fetched with them.
    pub(super) libraries: Vec<PathBuf>,
    /// One line that tells where they come from.
    pub(super) description: String,
}

impl Binaries {
    /// The programs in `bin`, if both are there.
    pub(super) fn at(bin: &Path, how: &str) -> Option<Self> {
        let there = bin.join("initdb").is_file() && bin.join("postgres").is_file();
        let description = format!("PostgreSQL {how}: {}", bin.display());
        there.then(|| Binaries { bin: bin.to_owned(), libraries: Vec::new(), description })
    }
}

/// Finds the programs, or fetches them.
pub(super) fn binaries() -> Result<Binaries, ServerError> {
    let fetch = env::var("BATCHKIT_PG_FETCH").ok();
    if fetch.is_none() {
        if let Ok(bin) = env::var("BATCHKIT_PG_BIN") {
            return Binaries::at(Path::new(&bin), "of BATCHKIT_PG_BIN").ok_or_else(|| {
                ServerError::new(format!("BATCHKIT_PG_BIN is {bin:?}, where initdb and postgres are not both found"))
            });
        }
        if let Some(found) = installed().iter().find_map(|bin| Binaries::at(bin, "found")) {
            return Ok(found);
        }
    }
    fetch::fetch(fetch.as_deref())
}

/// The folders where package managers install the programs, the newest version first, then `PATH`.
fn installed() -> Vec<PathBuf> {
    let mut folders = versions(Path::new("/usr/lib/postgresql"), |name| name.parse().ok());
    for prefix in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(versions(Path::new(prefix), |name| name.strip_prefix("postgresql@")?.parse().ok()));
    }
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    folders
}

fn versions(parent: &Path, version: impl Fn(&str) -> Option<u32>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path().join("bin")))).collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, bin)| bin).collect()
}
