//! Where and when it is measured.

use std::fs;

use chrono::Utc;

use crate::results::Machine;

/// This machine. Neither names nor paths of it are told.
pub fn machine(description: &str, version: &str) -> Machine {
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    Machine {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: memory.unwrap_or_default() / f64::from(1 << 20),
        server: format!("PostgreSQL {version}, {}", without_path(description)),
        date: Utc::now().format("%Y-%m-%d").to_string(),
        command: command(),
    }
}

/// The first value of a field of a file of Linux's.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The description of a server, up to the folder that it is in.
fn without_path(description: &str) -> &str {
    let how = description.split('/').next().unwrap_or_default().trim_end().trim_end_matches(':');
    how.strip_prefix("PostgreSQL ").unwrap_or(how)
}

/// How to do the same again: without the options that say where files go.
fn command() -> String {
    let mut text = String::from("cargo run --release --manifest-path bench/Cargo.toml");
    let mut arguments = std::env::args().skip(1);
    let mut separator = " --";
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" | "--json" => _ = arguments.next(),
            "--dry" => {}
            other if other.starts_with("--out=") || other.starts_with("--json=") => {}
            other => {
                text.push_str(std::mem::take(&mut separator));
                text.push(' ');
                text.push_str(other);
            }
        }
    }
    text
}
