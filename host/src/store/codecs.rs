//! Codecs by policy, opened once, and the buffers they work in; both are accounted for.

use super::budget::{Budget, For, Grant};
use crate::{
    Compressor, Filter, Host, Request, Result,
    pipeline::{self, Filtering},
    policy::Policy,
    sync::lock,
};
use std::sync::{Arc, Mutex};

/// A compressor, and what its contexts take: as many as were ever at work at a time, which it keeps.
#[derive(Debug)]
pub(super) struct Codec {
    pub compressor: Compressor,
    context_bytes: u64,
    contexts: Mutex<Contexts>,
}

#[derive(Debug, Default)]
struct Contexts {
    grants: Vec<Grant>,
    at_work: usize,
}

/// A context at work.
#[derive(Debug)]
pub(super) struct AtWork<'a>(&'a Codec);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        lock(&self.0.contexts).at_work -= 1;
    }
}

impl Codec {
    /// A context to compress with, where it fits into the budget.
    pub(super) fn work(&self, budget: &Arc<Budget>) -> Option<AtWork<'_>> {
        let mut contexts = lock(&self.contexts);
        if contexts.at_work == contexts.grants.len() {
            let grant = budget.take(self.context_bytes, For::Work)?;
            contexts.grants.push(grant);
        }
        contexts.at_work += 1;
        Some(AtWork(self))
    }

    fn held_bytes(&self) -> u64 {
        lock(&self.contexts).grants.iter().map(Grant::bytes).sum()
    }
}

/// A codec for one resource.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub codec: Arc<Codec>,
    pub filter: Filtering,
}

/// Buffers for one piece of work.
#[derive(Debug)]
pub(super) struct Scratch {
    pub filtered: Vec<u8>,
    pub out: Vec<u8>,
    pub back: Vec<u8>,
    grant: Grant,
}

impl Scratch {
    /// What chunks of `chunk_bytes` take; a bound is the chunk and a little, or a sixth more for snappy.
    fn bytes_for(chunk_bytes: usize) -> u64 {
        let chunk = chunk_bytes as u64;
        3 * chunk + chunk / 4 + (64 << 10)
    }

    fn held_bytes(&self) -> u64 {
        (self.filtered.capacity() + self.out.capacity() + self.back.capacity()) as u64
    }
}

/// What has been opened.
#[derive(Debug)]
pub(super) struct Codecs {
    host: Arc<Host>,
    budget: Arc<Budget>,
    opened: Mutex<Vec<(Request, Arc<Codec>)>>,
    idle: Mutex<Vec<Scratch>>,
    /// Levels that policies ask for, and what there is instead.
    levels: Mutex<Vec<(Asked, Option<i32>)>>,
}

/// Algorithm, level, hardware and implementation.
type Asked = (String, Option<i32>, Option<String>, Option<String>);

/// Why there is no codec.
#[derive(Debug)]
pub(super) enum NoCodec {
    /// Its contexts do not fit into the budget.
    NoRoom,
    /// What it says.
    Failed(crate::Error),
}

impl Codecs {
    pub(super) fn new(host: Arc<Host>, budget: Arc<Budget>) -> Self {
        Self { host, budget, opened: Mutex::default(), idle: Mutex::default(), levels: Mutex::default() }
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The codec that `policy` asks for, for `data`.
    pub(super) fn choose(&self, policy: &Policy, data: &[u8]) -> Result<Chosen, NoCodec> {
        if !policy.is_auto() {
            let codec = self.open(Request { level: self.level(policy), ..policy.request() })?;
            return Ok(Chosen { codec, filter: policy.filter.unwrap_or_default() });
        }
        let choice = self.host.choose_for_like(data, &policy.wanted()).map_err(NoCodec::Failed)?;
        let request = Request { algorithm: choice.algorithm.clone(), ..policy.request() };
        let codec = self.open(request.level(choice.level))?;
        Ok(Chosen { codec, filter: Filtering::Always(choice.filter) })
    }

    /// The level of `policy`, or the nearest there is.
    fn level(&self, policy: &Policy) -> Option<i32> {
        let key =
            (policy.algorithm.clone(), policy.level, policy.hardware.clone(), policy.implementation.clone());
        if let Some((_, level)) = lock(&self.levels).iter().find(|(known, _)| *known == key) {
            return *level;
        }
        let level = self.host.installed().level(policy);
        lock(&self.levels).push((key, level));
        level
    }

    fn open(&self, request: Request) -> Result<Arc<Codec>, NoCodec> {
        if let Some((_, codec)) = lock(&self.opened).iter().find(|(opened, _)| *opened == request) {
            return Ok(Arc::clone(codec));
        }
        let compressor = self.host.compressor(&request).map_err(NoCodec::Failed)?;
        let chunk_bytes = request.bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let context_bytes = compressor.scratch_bytes(chunk_bytes);
        if !self.budget.has_room(context_bytes, For::Work) {
            return Err(NoCodec::NoRoom);
        }
        let codec = Arc::new(Codec { compressor, context_bytes, contexts: Mutex::default() });
        // Who opened the same meanwhile has one of its own.
        lock(&self.opened).push((request, Arc::clone(&codec)));
        Ok(codec)
    }

    /// Buffers for chunks of `chunk_bytes`, where they fit into the budget.
    pub(super) fn scratch(&self, chunk_bytes: usize) -> Option<Scratch> {
        let idle = lock(&self.idle).pop();
        let mut scratch = idle.unwrap_or_else(|| Scratch {
            filtered: Vec::new(),
            out: Vec::new(),
            back: Vec::new(),
            grant: self.budget.nothing(),
        });
        let bytes = scratch.grant.bytes().max(Scratch::bytes_for(chunk_bytes));
        scratch.grant.resize(bytes, For::Work).then_some(scratch)
    }

    /// Takes them back for the next one.
    pub(super) fn give_back(&self, mut scratch: Scratch) {
        let held = scratch.held_bytes();
        if scratch.grant.resize(held, For::Work) {
            lock(&self.idle).push(scratch);
        }
    }

    /// What the codecs that are open take.
    pub(super) fn open_bytes(&self) -> u64 {
        lock(&self.opened).iter().map(|(_, codec)| codec.held_bytes()).sum()
    }

    /// Frees the buffers that nobody works in, and closes the codecs that nothing is compressed with any more; how many bytes that were.
    pub(super) fn rest(&self) -> u64 {
        let idle = std::mem::take(&mut *lock(&self.idle));
        let unused = |(_, codec): &mut (Request, Arc<Codec>)| Arc::strong_count(codec) == 1;
        let closed: Vec<_> = lock(&self.opened).extract_if(.., unused).collect();
        lock(&self.levels).clear();
        let buffers: u64 = idle.iter().map(|scratch| scratch.grant.bytes()).sum();
        buffers + closed.iter().map(|(_, codec)| codec.held_bytes()).sum::<u64>()
    }
}

/// The filter of one chunk.
pub(super) fn filter_for(filter: Filtering, compressor: &Compressor, raw: &[u8]) -> Result<Filter> {
    match filter {
        Filtering::Always(filter) => Ok(filter),
        Filtering::Auto => pipeline::best_filter(compressor, raw),
    }
}
