//! Many pieces at once through the device: staging, one call of nvCOMP, and the results.
//!
//! A *round* is what goes to the device together. Its pieces come from one chunk or from many; how many there are is bounded
//! by the memory it takes. Nothing here knows a frame.

#![expect(unsafe_code, reason = "the one call that hands addresses to nvCOMP")]

use crate::{
    device::{Buffer, Device, Lane},
    nvcomp::{ALIGNMENT, Direction, Nvcomp, Opts, Round},
};
use clipsmaster_plugin_api::{Error, ErrorKind, Result};

/// Most pieces in a round: enough for the largest devices.
const MOST_PIECES: usize = 1024;
/// Most content in a round, in bytes, unless one piece is larger.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// A piece on its way to the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Bytes before `body`.
    pub head: &'a [u8],
    pub body: &'a [u8],
    /// Bytes of content: its own when it is to be compressed, those it decodes to otherwise.
    pub content_bytes: usize,
}

impl Piece<'_> {
    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

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
    lane: Lane,
    compress: Direction,
    decompress: Direction,
    /// Room for the output of a compressed piece, in bytes.
    slot_bytes: usize,
    memory_bytes: usize,
    /// Where the outputs of the last round begin, and how long they are.
    outputs: Vec<(usize, Result<usize>)>,
}

impl Engine {
    pub(crate) fn open(setup: &Setup) -> Result<Self> {
        let device = Device::open(setup.device)?;
        let nvcomp = Nvcomp::get()?;
        let lane = Lane::new(device, setup.pinned)?;
        let (compress, slot_bytes) =
            Direction::compress(nvcomp, setup.family, setup.opts, setup.piece_bytes)?;
        let decompress = Direction::decompress(nvcomp, setup.family)?;
        let memory_bytes = match setup.memory_bytes {
            Some(bytes) => bytes,
            None => device.memory()?.0 / 4,
        };
        Ok(Self { lane, compress, decompress, slot_bytes, memory_bytes, outputs: Vec::new() })
    }

    /// Device memory, in bytes, that this engine may use.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Device memory, in bytes, that a round of `pieces` of `piece_bytes` takes in the hungrier direction.
    pub(crate) fn needed_bytes(&self, pieces: usize, piece_bytes: usize) -> Result<usize> {
        let body = vec![0; piece_bytes];
        let piece = Piece { head: &[], body: &body, content_bytes: piece_bytes };
        let round = vec![piece; pieces];
        let needed = |way| Ok::<_, Error>(self.plan(way, &round)?.device_bytes());
        Ok(needed(Way::Compress)?.max(needed(Way::Decompress)?))
    }

    /// Does as many of `pieces` as fit into one round, from the front: how many that are. Their results are asked for with
    /// [`output`](Self::output).
    ///
    /// # Errors
    /// When the round as a whole fails: the device is lost, or not even one piece fits into its memory.
    pub(crate) fn round(&mut self, way: Way, pieces: &[Piece<'_>]) -> Result<usize> {
        self.outputs.clear();
        let answer = self.lane.enter().and_then(|()| self.try_round(way, pieces));
        if answer.is_err() {
            self.outputs.clear();
            let _ = self.lane.settle();
        }
        answer
    }

    /// What became of the piece at `index` of the last round.
    pub(crate) fn output(&self, index: usize) -> Result<&[u8]> {
        let (start, len) = &self.outputs[index];
        let len = len.clone()?;
        Ok(&self.lane.settled(Buffer::Output)[*start..start + len])
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
        plan.scratch_bytes = self.direction(way).scratch_bytes(plan.len(), most, total, &self.lane)?;
        Ok(plan)
    }

    /// The longest round from the front of `pieces` that fits.
    fn fit(&self, way: Way, pieces: &[Piece<'_>]) -> Result<Plan> {
        let mut total = 0;
        let within = |piece: &&Piece<'_>| {
            total += piece.content_bytes;
            total <= MOST_BYTES
        };
        let mut len = pieces.iter().take(MOST_PIECES).take_while(within).count().max(1);
        loop {
            let plan = self.plan(way, &pieces[..len])?;
            let needed = plan.device_bytes();
            if needed <= self.memory_bytes {
                return Ok(plan);
            }
            if len == 1 {
                let (needed, most) = (needed >> 20, self.memory_bytes >> 20);
                let text =
                    format!("cuda: one piece takes {needed} MiB on the device, {most} MiB are granted");
                return Err(Error::new(ErrorKind::OutOfMemory, text));
            }
            len = len.div_ceil(2);
        }
    }

    fn try_round(&mut self, way: Way, pieces: &[Piece<'_>]) -> Result<usize> {
        let plan = self.fit(way, pieces)?;
        let pieces = &pieces[..plan.len()];
        let table = Table { pieces: plan.len() };
        self.lane.grow(Buffer::Input, plan.input_bytes)?;
        self.lane.grow(Buffer::Output, plan.output_bytes)?;
        self.lane.grow(Buffer::Table, table.len())?;
        let scratch = self.lane.scratch(plan.scratch_bytes)?;

        let input = self.lane.host(Buffer::Input)?;
        for (piece, start) in pieces.iter().zip(&plan.inputs) {
            let (head, body) = input[*start..start + piece.len()].split_at_mut(piece.head.len());
            head.copy_from_slice(piece.head);
            body.copy_from_slice(piece.body);
        }
        self.fill_table(&table, &plan, pieces)?;
        self.lane.upload(Buffer::Input, plan.input_bytes)?;
        self.lane.upload(Buffer::Table, table.results())?;
        let round = table.round(&plan, self.lane.address(Buffer::Table), scratch);
        let direction = *self.direction(way);
        // SAFETY: the buffers have grown to what the plan says, the table was filled from the plan, and `host` settles before
        // anything is touched.
        unsafe { direction.launch(&mut self.lane, &round) }?;
        self.lane.download(Buffer::Table, table.results(), table.len())?;
        if way == Way::Decompress {
            self.lane.download(Buffer::Output, 0, plan.output_bytes)?;
        }
        self.collect(&table, &plan, &direction)?;
        if way == Way::Compress {
            let width = self.outputs.iter().filter_map(|(_, len)| len.as_ref().ok()).max();
            self.lane.download_rows(
                Buffer::Output,
                self.slot_bytes,
                width.copied().unwrap_or(0),
                plan.len(),
            )?;
            self.lane.settle()?;
        }
        Ok(plan.len())
    }

    fn fill_table(&mut self, table: &Table, plan: &Plan, pieces: &[Piece<'_>]) -> Result<()> {
        let (input, output) = (self.lane.address(Buffer::Input), self.lane.address(Buffer::Output));
        let bytes = self.lane.host(Buffer::Table)?;
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

    /// Waits for the round and notes what became of every piece.
    fn collect(&mut self, table: &Table, plan: &Plan, direction: &Direction) -> Result<()> {
        let bytes = self.lane.host(Buffer::Table)?;
        let number = |at: usize| bytes[at..].first_chunk().map_or(0, |b| u64::from_ne_bytes(*b));
        let status = |at: usize| bytes[at..].first_chunk().map_or(-1, |b| i32::from_ne_bytes(*b));
        for (i, (start, room)) in plan.outputs.iter().zip(&plan.rooms).enumerate() {
            let len = number(table.column(4) + 8 * i) as usize;
            let outcome = direction.check_piece(status(table.column(5) + 4 * i));
            let outcome = outcome.and_then(|()| match len {
                len if len <= *room => Ok(len),
                len => Err(Error::internal(format!("nvcomp: {len} bytes in a room of {room}"))),
            });
            self.outputs.push((*start, outcome));
        }
        Ok(())
    }
}

/// Where everything of a round lies.
#[derive(Default)]
struct Plan {
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    rooms: Vec<usize>,
    input_bytes: usize,
    output_bytes: usize,
    scratch_bytes: usize,
    most_bytes: usize,
    total_bytes: usize,
}

impl Plan {
    fn put(&mut self, piece: &Piece<'_>, room: usize) {
        self.inputs.push(self.input_bytes);
        self.outputs.push(self.output_bytes);
        self.rooms.push(room);
        // One alignment more: nothing reads past its piece into what is not there.
        self.input_bytes += piece.len().next_multiple_of(ALIGNMENT) + ALIGNMENT;
        self.output_bytes += room.next_multiple_of(ALIGNMENT);
        self.most_bytes = self.most_bytes.max(piece.content_bytes);
        self.total_bytes += piece.content_bytes;
    }

    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn device_bytes(&self) -> usize {
        self.input_bytes + self.output_bytes + self.scratch_bytes + Table { pieces: self.len() }.len()
    }
}

/// Arrays of a round: input addresses, input lengths, output addresses, output rooms; then the results, output lengths and statuses.
struct Table {
    pieces: usize,
}

impl Table {
    /// Where the array of that number begins; all but the last have elements of eight bytes.
    fn column(&self, number: usize) -> usize {
        number * 8 * self.pieces
    }

    fn results(&self) -> usize {
        self.column(4)
    }

    fn len(&self) -> usize {
        self.column(5) + 4 * self.pieces
    }

    fn round(&self, plan: &Plan, table: u64, scratch: u64) -> Round {
        let column = |number| table + self.column(number) as u64;
        Round {
            pieces: self.pieces,
            most_bytes: plan.most_bytes,
            input_addresses: column(0),
            input_lens: column(1),
            output_addresses: column(2),
            output_rooms: column(3),
            output_lens: column(4),
            statuses: column(5),
            scratch,
            scratch_bytes: plan.scratch_bytes,
        }
    }
}
