//! The throw-away server: it starts, keeps to itself, and is gone when its process is, however that ends.
#![allow(clippy::unwrap_used, reason = "a test that fails here has failed")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use batchkit_testbed::server::Server;

async fn version(server: &Server) -> i32 {
    let client = server.create_database("version").await.unwrap().connect().await.unwrap();
    let text: String = client.query_one("SHOW server_version_num", &[]).await.unwrap().get(0);
    text.parse().unwrap()
}

#[tokio::test]
async fn it_starts_and_answers_and_its_folder_goes_with_it() {
    let server = Server::start().await.unwrap();
    assert!(version(&server).await >= 120_000, "{}", server.description());
    let folder = server.data_dir();
    assert!(folder.is_dir());
    drop(server);
    assert!(!folder.exists());
}

#[tokio::test]
async fn databases_are_apart_whatever_they_are_called() {
    let server = Server::shared().await.unwrap();
    let (one, two) = (server.create_database("same").await.unwrap(), server.create_database("same").await.unwrap());
    let hostile = server.create_database("\"; DROP DATABASE postgres; --\0 ü").await.unwrap();
    assert_ne!(one.name(), two.name());
    for database in [&one, &two, &hostile] {
        let client = database.connect().await.unwrap();
        client.batch_execute("CREATE TABLE only_here (id int4)").await.unwrap();
    }
}

#[tokio::test]
async fn two_servers_run_at_once() {
    let (one, two) = tokio::join!(Server::start(), Server::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.data_dir(), two.data_dir());
    drop(one);
    version(&two).await;
}

/// Runs this test binary as a child that starts a server, tells its folder and pid, and waits to be killed.
const CHILD: &str = "BATCHKIT_TEST_CHILD";

#[tokio::test]
async fn a_child_for_the_next_test() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::shared().await.unwrap();
    println!("\nserver {} {}", server.pid().unwrap(), server.data_dir().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_nothing() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["a_child_for_the_next_test", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.into_iter().find_map(|line| line.strip_prefix("server ").map(str::to_owned)).unwrap();
    let (pid, folder) = told.split_once(' ').unwrap();
    let (process, folder) = (Path::new("/proc").join(pid), PathBuf::from(folder));
    assert!(folder.is_dir());
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while folder.exists() || (cfg!(target_os = "linux") && process.exists()) {
        assert!(Instant::now() < deadline, "{told} is still there");
        tokio::task::yield_now().await;
    }
}

/// The path on which no server is installed: the local programs are hidden, the cache is empty.
#[test]
fn where_no_server_is_installed_one_is_fetched() {
    let cache = tempfile::tempdir().unwrap();
    // As root the server runs as another user, who has to read the folder.
    std::fs::set_permissions(cache.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let fetched = |method: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["a_fetched_server", "--exact", "--nocapture"])
            .env("BATCHKIT_PG_FETCH", method)
            .env("BATCHKIT_PG_CACHE", cache.path().join(method))
            .env_remove("BATCHKIT_DATABASE_URL")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = fetched("only");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(told.contains("PostgreSQL fetched by") && errors.contains("fetching PostgreSQL by"), "{told}\n{errors}");
    // A second time it is there already.
    let again = fetched("only");
    assert!(again.status.success() && !String::from_utf8_lossy(&again.stderr).contains("fetching"));
}

#[tokio::test]
async fn a_fetched_server() {
    if std::env::var_os("BATCHKIT_PG_FETCH").is_none() {
        return;
    }
    let server = Server::start().await.unwrap();
    println!("{} {}", version(&server).await, server.description());
}
