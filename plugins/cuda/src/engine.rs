//! What one instance has on the device, and one round on one of its lanes: staging, one call of nvCOMP, and
//! the results.
//!
//! A *round* is what goes to the device together. Its pieces come from one chunk or from many; how many there are is bounded
//! by the memory it takes. Which round goes to which lane, and when, is up to
//! [`Rounds`](crate::rounds::Rounds). Nothing here knows a frame.

#![expect(unsafe_code, reason = "the one call that hands addresses to nvCOMP")]

use crate::{
    device::{Buffer, Device, Lane},
    nvcomp::{Direction, Nvcomp, Opts},
    plan::{Piece, Plan},
};
use clipsmaster_plugin_api::{Error, ErrorKind, Result};

/// Lanes of an instance: while one is computing, the other is copying.
pub(crate) const LANES: usize = 2;
/// Most pieces in a round: enough, on all lanes, for the largest devices.
const MOST_PIECES: usize = 512;

/// Which way a round goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Compress,
    Decompress,
}

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Index of the device.
    pub device: i32,
    /// Device memory that may be used, in bytes; a quarter of what is free if `None`.
    pub memory_bytes: Option<usize>,
    /// Whether staging buffers are pinned.
    pub pinned: bool,
    /// nvCOMP's name of the format.
    pub family: &'static str,
    pub opts: Opts,
    /// Largest piece that will be compressed, in bytes.
    pub piece_bytes: usize,
}

/// What one instance has on the device.
pub(crate) struct Engine {
    /// One from the start on, the second from when there was a second round.
    lanes: Vec<Lane>,
    compress: Direction,
    decompress: Direction,
    /// Room for the output of a compressed piece, in bytes.
    slot_bytes: usize,
    memory_bytes: usize,
}

/// A round under way.
pub(crate) struct Pending {
    lane: usize,
    way: Way,
    plan: Plan,
}

impl Pending {
    /// Number of its lane.
    pub(crate) fn lane(&self) -> usize {
        self.lane
    }
}

/// A round that is over.
pub(crate) struct Done {
    lane: usize,
    /// Where each output begins, and how long it is.
    outputs: Vec<(usize, Result<usize>)>,
}

impl Engine {
    pub(crate) fn open(setup: &Setup) -> Result<Self> {
        let device = Device::open(setup.device)?;
        let nvcomp = Nvcomp::get()?;
        let lanes = vec![Lane::new(device, setup.pinned)?];
        let (compress, slot_bytes) =
            Direction::compress(nvcomp, setup.family, setup.opts, setup.piece_bytes)?;
        let decompress = Direction::decompress(nvcomp, setup.family)?;
        let memory_bytes = match setup.memory_bytes {
            Some(bytes) => bytes,
            None => device.memory()?.0 / 4,
        };
        Ok(Self { lanes, compress, decompress, slot_bytes, memory_bytes })
    }

    /// Device memory, in bytes, that this engine may use on all lanes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// What each lane may use of that where there are several.
    pub(crate) fn share_bytes(&self) -> usize {
        self.memory_bytes / LANES
    }

    /// Device memory, in bytes, that a round of `pieces` of `piece_bytes` takes in the hungrier direction.
    pub(crate) fn needed_bytes(&self, pieces: usize, piece_bytes: usize) -> Result<usize> {
        let body = vec![0; piece_bytes];
        let piece = Piece { head: &[], body: &body, content_bytes: piece_bytes };
        let round = vec![piece; pieces];
        let needed = |way| Ok::<_, Error>(self.plan(way, &round)?.device_bytes());
        Ok(needed(Way::Compress)?.max(needed(Way::Decompress)?))
    }

    /// To be called before others from each thread.
    pub(crate) fn enter(&self) -> Result<()> {
        self.lanes[0].enter()
    }

    /// Waits for all that is under way on all lanes, whose results nobody wants any more.
    pub(crate) fn abandon(&mut self) {
        for lane in &mut self.lanes {
            // What goes wrong now concerns nobody, and the next lane must settle all the same.
            let _ = lane.settle();
        }
    }

    /// Gives up all lanes but the first, with their memory, when what is under way on them has ended.
    pub(crate) fn shrink(&mut self) {
        self.lanes.truncate(1);
    }

    /// Waits for what a launch that failed has left on its lane; the second is given up.
    pub(crate) fn give_up(&mut self, lane: usize) {
        match lane {
            0 => {
                // The launch has said why.
                let _ = self.lanes[0].settle();
            }
            _ => self.shrink(),
        }
    }

    /// What became of the piece at `index` of a round; asked for before its lane gets another.
    pub(crate) fn output(&self, done: &Done, index: usize) -> Result<&[u8]> {
        let (start, len) = &done.outputs[index];
        let len = len.clone()?;
        Ok(&self.lanes[done.lane].settled(Buffer::Output)[*start..start + len])
    }

    fn direction(&self, way: Way) -> &Direction {
        if way == Way::Compress { &self.compress } else { &self.decompress }
    }

    fn plan(&self, way: Way, pieces: &[Piece<'_>]) -> Result<Plan> {
        let mut plan = Plan::default();
        for piece in pieces {
            let room = if way == Way::Compress { self.slot_bytes } else { piece.content_bytes };
            plan.put(piece, room);
        }
        let (most, total) = (plan.most_bytes, plan.total_bytes);
        plan.scratch_bytes = self.direction(way).scratch_bytes(plan.len(), most, total, &self.lanes[0])?;
        Ok(plan)
    }

    /// The longest round from the front of `pieces` that fits: about `content_bytes` of content, in
    /// `memory_bytes` of the device.
    pub(crate) fn fit(
        &self,
        way: Way,
        pieces: &[Piece<'_>],
        content_bytes: usize,
        memory_bytes: usize,
    ) -> Result<Plan> {
        let mut total = 0;
        let within = |piece: &&Piece<'_>| {
            let more = total < content_bytes;
            total += piece.content_bytes;
            more
        };
        let mut len = pieces.iter().take(MOST_PIECES).take_while(within).count().max(1);
        loop {
            let plan = self.plan(way, &pieces[..len])?;
            let needed = plan.device_bytes();
            if needed <= memory_bytes {
                return Ok(plan);
            }
            if len == 1 {
                let (needed, most) = (needed >> 20, memory_bytes >> 20);
                let text =
                    format!("cuda: one piece takes {needed} MiB on the device, {most} MiB are granted");
                return Err(Error::new(ErrorKind::OutOfMemory, text));
            }
            // As many as have room, if all are alike; so rounds are alike too, and buffers need not grow.
            len = (len * memory_bytes / needed).clamp(1, len - 1);
        }
    }

    /// Puts a round of `pieces`, as planned, on the lane of that number, which is made if it is missing;
    /// waits for nothing but what that lane had to do before. A round that takes more than a lane's share of
    /// the memory goes to the first, and ends the others.
    ///
    /// # Errors
    /// Something may be under way on the lane then.
    pub(crate) fn launch(
        &mut self,
        number: usize,
        way: Way,
        plan: Plan,
        pieces: &[Piece<'_>],
    ) -> Result<Pending> {
        let mut memory_bytes = self.share_bytes();
        if plan.device_bytes() > memory_bytes {
            assert_eq!(number, 0, "with more than its share, a round is alone");
            self.shrink();
            memory_bytes = self.memory_bytes;
        }
        if number == self.lanes.len() {
            self.lanes.push(self.lanes[0].another()?);
        }
        let direction = *self.direction(way);
        let lane = &mut self.lanes[number];
        let table = plan.table();
        let lens = [plan.input_bytes, plan.output_bytes, table.len()];
        lane.reserve(lens, plan.scratch_bytes, memory_bytes)?;
        stage(lane, &plan, pieces)?;
        fill_table(lane, &plan, pieces)?;
        lane.upload(Buffer::Input, plan.input_bytes)?;
        lane.upload(Buffer::Table, table.results())?;
        let round = table.round(&plan, lane.address(Buffer::Table), lane.scratch());
        // SAFETY: the lane's buffers have grown to what the plan says, and the table was filled from the
        // plan; the lane settles before it reuses or frees any of them.
        unsafe { direction.launch(lane, &round) }?;
        lane.download(Buffer::Table, table.results(), table.len())?;
        if way == Way::Decompress {
            lane.download(Buffer::Output, 0, plan.output_bytes)?;
        }
        Ok(Pending { lane: number, way, plan })
    }

    /// Waits for a round, and for no other. Of what was compressed only as much is copied back as the longest
    /// piece needs, which is known only now.
    pub(crate) fn finish(&mut self, pending: &Pending) -> Result<Done> {
        let Pending { lane: number, way, plan } = pending;
        let direction = *self.direction(*way);
        let lane = &mut self.lanes[*number];
        let outputs = collect(lane, plan, &direction)?;
        let width = outputs.iter().filter_map(|(_, len)| len.as_ref().ok()).max();
        if let (Way::Compress, Some(width)) = (way, width) {
            lane.download_rows(Buffer::Output, self.slot_bytes, *width, plan.len())?;
            lane.settle()?;
        }
        Ok(Done { lane: *number, outputs })
    }
}

fn stage(lane: &mut Lane, plan: &Plan, pieces: &[Piece<'_>]) -> Result<()> {
    let input = lane.host(Buffer::Input)?;
    for (piece, start) in pieces.iter().zip(&plan.inputs) {
        let (head, body) = input[*start..start + piece.len()].split_at_mut(piece.head.len());
        head.copy_from_slice(piece.head);
        body.copy_from_slice(piece.body);
    }
    Ok(())
}

fn fill_table(lane: &mut Lane, plan: &Plan, pieces: &[Piece<'_>]) -> Result<()> {
    let table = plan.table();
    let (input, output) = (lane.address(Buffer::Input), lane.address(Buffer::Output));
    let bytes = lane.host(Buffer::Table)?;
    for (i, piece) in pieces.iter().enumerate() {
        let row = [
            input + plan.inputs[i] as u64,
            piece.len() as u64,
            output + plan.outputs[i] as u64,
            plan.rooms[i] as u64,
        ];
        for (column, value) in row.into_iter().enumerate() {
            let at = table.column(column) + 8 * i;
            bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
    }
    Ok(())
}

/// Waits for the lane, and notes what became of every piece: where its output begins, and how long it is.
fn collect(lane: &mut Lane, plan: &Plan, direction: &Direction) -> Result<Vec<(usize, Result<usize>)>> {
    let table = plan.table();
    let bytes = lane.host(Buffer::Table)?;
    let number = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
    let status = |at: usize| bytes[at..].first_chunk().map_or(-1, |b| i32::from_ne_bytes(*b));
    let outcome = |(i, (start, room)): (usize, (&usize, &usize))| {
        let len = number(table.column(4) + 8 * i) as usize;
        let outcome = direction.check_piece(status(table.column(5) + 4 * i));
        let outcome = outcome.and_then(|()| match len {
            len if len <= *room => Ok(len),
            len => Err(Error::internal(format!("nvcomp: {len} bytes in a room of {room}"))),
        });
        (*start, outcome)
    };
    Ok(plan.outputs.iter().zip(&plan.rooms).enumerate().map(outcome).collect())
}
