//! Where the pieces of a round lie, the same on both sides, and what memory that takes. Nothing is allocated
//! here.

use crate::nvcomp::{ALIGNMENT, Round};

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
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Where everything of a round lies.
#[derive(Default)]
pub(crate) struct Plan {
    /// Where each piece begins, where its output begins, and how long that may be.
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    pub rooms: Vec<usize>,
    pub input_bytes: usize,
    pub output_bytes: usize,
    pub scratch_bytes: usize,
    /// Content of the largest piece, and of all.
    pub most_bytes: usize,
    pub total_bytes: usize,
}

impl Plan {
    pub(crate) fn put(&mut self, piece: &Piece<'_>, room: usize) {
        self.inputs.push(self.input_bytes);
        self.outputs.push(self.output_bytes);
        self.rooms.push(room);
        // One alignment more: nothing reads past its piece into what is not there.
        self.input_bytes += piece.len().next_multiple_of(ALIGNMENT) + ALIGNMENT;
        self.output_bytes += room.next_multiple_of(ALIGNMENT);
        self.most_bytes = self.most_bytes.max(piece.content_bytes);
        self.total_bytes += piece.content_bytes;
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.len()
    }

    pub(crate) fn table(&self) -> Table {
        Table { pieces: self.len() }
    }

    /// Device memory that the round takes.
    pub(crate) fn device_bytes(&self) -> usize {
        self.input_bytes + self.output_bytes + self.scratch_bytes + self.table().len()
    }
}

/// Arrays of a round: input addresses, input lengths, output addresses, output rooms; then the results,
/// output lengths and statuses.
pub(crate) struct Table {
    pieces: usize,
}

impl Table {
    /// Where the array of that number begins; all but the last have elements of eight bytes.
    pub(crate) fn column(&self, number: usize) -> usize {
        number * 8 * self.pieces
    }

    /// Where what the device writes begins.
    pub(crate) fn results(&self) -> usize {
        self.column(4)
    }

    pub(crate) fn len(&self) -> usize {
        self.column(5) + 4 * self.pieces
    }

    pub(crate) fn round(&self, plan: &Plan, table: u64, scratch: u64) -> Round {
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
