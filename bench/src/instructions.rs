//! The client's work in instructions per row, counted by callgrind: unlike times, they repeat from run to run.
//!
//! What is counted is a process of its own, this program with `--calls`: once with one call and once with more, and all
//! else the same. The difference is what the calls of a warm connection take.

use std::process::{Command, Stdio};

use batchkit_testbed::server::Database;
use clap::ValueEnum;
use tokio_postgres::config::Host;

use crate::Failure;
use crate::contestants::Name;
use crate::measure::Bench;
use crate::results::{Count, Counts};
use crate::task::{Task, Verb};

/// The calls of the longer one of the two processes.
pub const CALLS: u32 = 3;
/// The rows of each call.
const ROWS: usize = 10_000;

/// The instructions of each contestant; none where there is no valgrind.
pub fn count(database: &Database, verbs: &[Verb], names: &[Name]) -> Result<Counts, Failure> {
    let mut counts = Counts { rows: ROWS, counts: Vec::new() };
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("instructions are not counted: there is no valgrind");
        return Ok(counts);
    }
    let url = url(database)?;
    // The floor has no client, and two workers do what one does.
    let counted = |name: &&Name| !matches!(name, Name::Floor | Name::BatchkitParallel);
    for &name in names.iter().filter(counted) {
        for &verb in verbs {
            let Some(one) = instructions(&url, name, verb, 1)? else { continue };
            let Some(all) = instructions(&url, name, verb, CALLS)? else { continue };
            let rows = u32::try_from(ROWS)? * (CALLS - 1);
            counts.counts.push(Count { verb, name, instructions: (all - one) / f64::from(rows) });
        }
        eprintln!("instructions of {}", name.title());
    }
    Ok(counts)
}

/// How another process connects to the same server.
fn url(database: &Database) -> Result<String, Failure> {
    let config = database.config();
    let (Some(Host::Unix(folder)), Some(user)) = (config.get_hosts().first(), config.get_user()) else {
        return Err("instructions are counted on a server that was started here".into());
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    Ok(format!("host='{}' port={port} user='{user}' dbname=postgres", folder.display()))
}

/// All instructions of a process with so many calls; `None` where it says that the contestant takes no part.
fn instructions(url: &str, name: Name, verb: Verb, calls: u32) -> Result<Option<f64>, Failure> {
    let value = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let (Some(name), Some(verb)) = (value(name.to_possible_value()), value(verb.to_possible_value())) else {
        return Ok(None);
    };
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--calls", &calls.to_string(), "--rows", &ROWS.to_string(), "--verbs", &verb, "--contestants", &name])
        .env("BATCHKIT_DATABASE_URL", url)
        .env("GLIBC_TUNABLES", LOOPS)
        .stdin(Stdio::null())
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(i32::from(TAKES_NO_PART)) {
        return Ok(None);
    }
    let collected = told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse::<f64>().ok());
    match collected {
        Some(instructions) if output.status.success() => Ok(Some(instructions)),
        _ => Err(format!("callgrind has counted nothing: {told}").into()),
    }
}

/// The C library copies in loops, on any processor: callgrind counts each byte that a string instruction copies as an
/// instruction, and whether these are used depends on the processor.
const LOOPS: &str = "glibc.cpu.x86_rep_movsb_threshold=1000000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000000";

/// The status of a process whose contestant takes no part.
pub const TAKES_NO_PART: u8 = 3;

/// What is counted: so many calls, and the state before each of the calls that there may be. Whether the contestant
/// takes part.
pub async fn calls(bench: &Bench, name: Name, verb: Verb, rows: usize, calls: u32) -> Result<bool, Failure> {
    let mut contestant = name.connect(&bench.place, &bench.place.database).await?;
    for call in 1..=CALLS {
        bench.put_in_state(verb, rows).await?;
        let mut task = Task::new(verb, 1, rows, false);
        if call <= calls && (!name.takes_part(rows) || contestant.run(verb, &mut task).await?.is_none()) {
            return Ok(false);
        }
    }
    Ok(true)
}
