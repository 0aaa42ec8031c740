//! `store-sim`: what a resource store does for an application that works like this: gain, latencies, hits, and what it costs.

mod measure;
mod workload;

use super::open;
use crate::{
    Failure, Outcome,
    arguments::{Common, StoreSimArguments},
    print, print_json,
    progress::StepProgress,
    table::{Align, Table},
};
use clipsmaster_host::{
    Error, size,
    store::{ResourceStore, StoreOptions, StoreStats, give_freed_memory_back},
};
use measure::{Latencies, Rss, Tally};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use workload::{Call, Random, Resource, Zipf};

/// How long resources that are in memory as they are get asked for, without anything else, for their number a second.
const RAW_PHASE: Duration = Duration::from_secs(1);

/// What came of it; times in seconds, sizes in bytes.
#[derive(Debug, Serialize)]
struct Report {
    budget_bytes: u64,
    resources: u64,
    /// Original bytes of all resources.
    raw_bytes: u64,
    refused: u64,
    fill_s: f64,
    /// From the first call after the filling to the last.
    busy_s: f64,
    threads: usize,
    gets: u64,
    /// The share of gets that needed no decompression.
    hit_rate: f64,
    /// `raw_bytes` per byte held.
    gain: f64,
    /// How much the memory of this process grew at most.
    rss_growth_bytes: u64,
    /// Gets a second of resources that are in memory as they are, by all threads; nothing where there are none.
    raw_gets_per_s: Option<f64>,
    /// The background thread's share of a processor meanwhile.
    worker_cpu_share: f64,
    latencies: Vec<Latencies>,
    store: StoreStats,
}

pub(crate) fn run(common: &Common, arguments: &StoreSimArguments) -> Outcome {
    give_freed_memory_back();
    let host = Arc::new(open(common)?);
    let options = StoreOptions {
        hot_bytes: arguments.hot,
        spill_dir: arguments.spill_dir.clone(),
        cpu_share: arguments.cpu_share,
        ..StoreOptions::with_budget(arguments.budget)
    };
    let mut random = Random::new(arguments.seed);
    let meta = std::fs::metadata(&arguments.source).map_err(Error::io("read", &arguments.source))?;
    let report = if meta.is_dir() {
        let fill = arguments.fill.unwrap_or(arguments.budget / 5 * 8);
        let resources = workload::cut(&arguments.source, fill, &mut random)?;
        let rss = Rss::start();
        let store = ResourceStore::open(host, options)?;
        simulate(common, arguments, &store, resources, rss)?
    } else {
        let calls = workload::trace(&arguments.source)?;
        let rss = Rss::start();
        let store = ResourceStore::open(host, options)?;
        replay(common, &store, calls, rss)?
    };
    if common.json { print_json(&report) } else { print(&text(&report)) }
}

/// Fills the store, and asks for what is in it, some far more often than others.
fn simulate(
    common: &Common,
    arguments: &StoreSimArguments,
    store: &ResourceStore,
    resources: Vec<Resource>,
    rss: Rss,
) -> Result<Report, Failure> {
    let start = Instant::now();
    let (mut kept, mut refused) = (Vec::new(), 0);
    {
        let progress = StepProgress::new(common, "filling", resources.len());
        for resource in resources {
            progress.step();
            let bytes = resource.piece.read()?;
            let crc = crc32fast::hash(&bytes);
            match store.insert(resource.id.as_bytes(), &resource.resource_type, bytes) {
                Ok(()) => kept.push((resource.id, crc)),
                Err(Error::StoreFull { .. }) => refused += 1,
                Err(e) => return Err(e.into()),
            }
        }
    }
    let fill_s = start.elapsed().as_secs_f64();
    if kept.is_empty() {
        return Err(Failure::usage("nothing fits into the budget"));
    }
    let worker_before = store.stats().worker_s;
    let zipf = Zipf::new(kept.len(), arguments.zipf);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(arguments.seconds);
    let progress = StepProgress::new(common, "asking", arguments.seconds as usize);
    let ask = |thread: usize| -> Result<Tally, Failure> {
        let mut random = Random::new(arguments.seed + 1 + thread as u64);
        let mut tally = Tally::default();
        while Instant::now() < end {
            let (id, crc) = &kept[zipf.draw(&mut random)];
            tally.get(store, id, Some(*crc))?;
            if thread == 0 {
                progress.set(start.elapsed().as_secs() as usize);
            }
        }
        Ok(tally)
    };
    let tally = thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads.get()).map(|t| scope.spawn(move || ask(t))).collect();
        threads.into_iter().try_fold(Tally::default(), |sum, thread| {
            let one = thread.join().map_err(|_| Failure::new(crate::code::FAILED, "a thread panicked"))??;
            Ok::<_, Failure>(sum.with(one))
        })
    })?;
    let busy_s = start.elapsed().as_secs_f64();
    let worker_cpu_share = (store.stats().worker_s - worker_before) / busy_s;
    let report = Report { threads: arguments.threads.get(), ..Report::of(store, tally, rss) };
    let raw_gets_per_s = raw_gets(store, arguments.threads.get());
    drop(progress);
    Ok(Report { refused, fill_s, busy_s, worker_cpu_share, raw_gets_per_s, ..report })
}

/// Gets a second, by `threads` threads, of resources that are in memory as they are.
fn raw_gets(store: &ResourceStore, threads: usize) -> Option<f64> {
    let is_raw = |r: &clipsmaster_host::store::ResourceInfo| {
        !r.is_spilled && r.held_bytes >= r.raw_bytes && r.raw_bytes > 0
    };
    let ids: Vec<Vec<u8>> = store.resources().into_iter().filter(is_raw).map(|r| r.id).collect();
    if ids.is_empty() {
        return None;
    }
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let ask = |thread: usize| {
        let mut gets = 0_u64;
        // Each begins elsewhere: threads of one application rarely want the same at the same time.
        for id in ids.iter().cycle().skip(thread * ids.len() / threads) {
            if gets.is_multiple_of(1024) && stop.load(Ordering::Relaxed) {
                break;
            }
            gets += u64::from(matches!(store.get(id), Ok(Some(_))));
        }
        gets
    };
    let ask = &ask;
    let gets: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|t| scope.spawn(move || ask(t))).collect();
        thread::sleep(RAW_PHASE);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|t| t.join().unwrap_or_default()).sum()
    });
    Some(gets as f64 / start.elapsed().as_secs_f64())
}

/// Does what a trace says, in its order.
fn replay(common: &Common, store: &ResourceStore, calls: Vec<Call>, rss: Rss) -> Result<Report, Failure> {
    let start = Instant::now();
    let (mut tally, mut refused) = (Tally::default(), 0);
    let mut crcs: BTreeMap<String, u32> = BTreeMap::new();
    let progress = StepProgress::new(common, "replaying", calls.len());
    for call in calls {
        progress.step();
        match call {
            Call::Insert(resource) => {
                let bytes = resource.piece.read()?;
                let crc = crc32fast::hash(&bytes);
                match store.insert(resource.id.as_bytes(), &resource.resource_type, bytes) {
                    Ok(()) => _ = crcs.insert(resource.id, crc),
                    Err(Error::StoreFull { .. }) => refused += 1,
                    Err(e) => return Err(e.into()),
                }
            }
            Call::Get(id) => tally.get(store, &id, crcs.get(&id).copied())?,
            Call::Remove(id) => {
                store.remove(id.as_bytes());
                crcs.remove(&id);
            }
            Call::Release(id) => _ = store.release(id.as_bytes()),
            Call::Sleep(ms) => thread::sleep(Duration::from_millis(ms)),
        }
    }
    let busy_s = start.elapsed().as_secs_f64();
    let worker_cpu_share = store.stats().worker_s / busy_s;
    Ok(Report { refused, busy_s, worker_cpu_share, ..Report::of(store, tally, rss) })
}

impl Report {
    fn of(store: &ResourceStore, tally: Tally, rss: Rss) -> Self {
        let stats = store.stats();
        Self {
            budget_bytes: stats.budget_bytes,
            resources: stats.types.values().map(|t| t.resources).sum(),
            raw_bytes: stats.raw_bytes,
            refused: 0,
            fill_s: 0.0,
            busy_s: 0.0,
            threads: 1,
            gets: tally.gets(),
            hit_rate: tally.hit_rate(),
            gain: stats.gain(),
            rss_growth_bytes: rss.growth(),
            raw_gets_per_s: None,
            worker_cpu_share: 0.0,
            latencies: tally.latencies(),
            store: stats,
        }
    }
}

fn text(report: &Report) -> String {
    let binary = size::binary;
    let stats = &report.store;
    let mut text = String::new();
    let mut line = |name: &str, what: String| text.push_str(&format!("{name:<11}{what}\n"));
    let refused = if report.refused == 0 { String::new() } else { format!(", {} refused", report.refused) };
    line(
        "resources",
        format!(
            "{} of {} in {:.1} s{refused}",
            report.resources,
            binary(report.raw_bytes),
            if report.fill_s > 0.0 { report.fill_s } else { report.busy_s }
        ),
    );
    line(
        "budget",
        format!(
            "{}: {} held, at most {}; this process grew by {} ({:.0} %)",
            binary(report.budget_bytes),
            binary(stats.held_bytes),
            binary(stats.peak_bytes),
            binary(report.rss_growth_bytes),
            report.rss_growth_bytes as f64 / report.budget_bytes.max(1) as f64 * 100.0
        ),
    );
    line("gain", format!("{:.2}x: original bytes per byte held; pressure {}", report.gain, stats.pressure));
    let rate = report.gets as f64 / report.busy_s.max(1e-9);
    line(
        "gets",
        format!(
            "{} in {:.1} s by {} threads ({rate:.0} a second, each compared), {:.1} % without decompressing",
            report.gets,
            report.busy_s,
            report.threads,
            report.hit_rate * 100.0
        ),
    );
    if let Some(per_s) = report.raw_gets_per_s {
        line("raw gets", format!("{:.1} million a second, of what is in memory as it is", per_s / 1e6));
    }
    line(
        "background",
        format!(
            "{:.1} % of a processor meanwhile, {:.1} s in all",
            report.worker_cpu_share * 100.0,
            stats.worker_s
        ),
    );
    text.push('\n');
    text.push_str(&latencies(report).render());
    text.push('\n');
    text.push_str(&types(stats).render());
    text.push_str(&skipped(stats));
    text
}

fn latencies(report: &Report) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("GET", Align::Left),
        ("SIZE", right),
        ("COUNT", right),
        ("P50 us", right),
        ("P99 us", right),
        ("P99.9 us", right),
    ]);
    for of in &report.latencies {
        let us = |s: f64| format!("{:.1}", s * 1e6);
        table.row(vec![
            of.form.clone(),
            of.size.clone(),
            of.count.to_string(),
            us(of.p50_s),
            us(of.p99_s),
            us(of.p999_s),
        ]);
    }
    table
}

fn types(stats: &StoreStats) -> Table {
    let right = Align::Right;
    let mut table = Table::new(&[
        ("TYPE", Align::Left),
        ("RAW", right),
        ("HELD", right),
        ("RATIO", right),
        ("AS IS", right),
        ("PACKED", right),
        ("FILES", right),
        ("GETS", right),
        ("COMP s", right),
        ("DECOMP s", right),
        ("BY", Align::Left),
    ]);
    for (name, of) in &stats.types {
        let by: Vec<String> = of.implementations.iter().map(|(id, count)| format!("{id} {count}")).collect();
        table.row(vec![
            name.clone(),
            size::binary(of.raw_bytes),
            size::binary(of.held_bytes),
            format!("{:.2}", of.ratio),
            of.uncompressed.to_string(),
            of.compressed.to_string(),
            of.spilled.to_string(),
            of.gets.to_string(),
            format!("{:.2}", of.compress_s),
            format!("{:.2}", of.decompress_s),
            by.join(", "),
        ]);
    }
    table
}

fn skipped(stats: &StoreStats) -> String {
    let all = stats.types.iter().flat_map(|(name, of)| of.skipped.iter().map(move |(why, n)| (name, why, n)));
    let lines: Vec<String> = all.map(|(name, why, n)| format!("{name}: {n} as they are: {why}\n")).collect();
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.concat()) }
}
