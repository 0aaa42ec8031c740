//! Gzip members (RFC 1952) around any inflate that decodes raw deflate data and checks the member's trailer.

use clipsmaster_plugin_api::{Error, ErrorKind, Result};
use std::io::{self, BufRead, Read};

/// First bytes of a member: the two magic bytes, and deflate.
pub const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// CRC-32 and length of the content.
pub const TRAILER_BYTES: usize = 8;

const HEADER_CRC: u8 = 0x02;
const EXTRA: u8 = 0x04;
const NAME: u8 = 0x08;
const COMMENT: u8 = 0x10;
const RESERVED: u8 = 0xe0;

/// The error of input that ends within a member.
pub fn truncated() -> Error {
    Error::new(ErrorKind::Truncated, "the input ends within a gzip member")
}

/// Reads the header of a member, with everything optional in it; `input` is then at the deflate data.
///
/// # Errors
/// `UnexpectedEof` when the input ends before, `InvalidData` for what is no header, and the input's own errors.
pub fn skip_header(input: impl BufRead) -> io::Result<()> {
    let mut header = Header { input, crc: crc32fast::Hasher::new() };
    let fixed: [u8; 10] = header.take()?;
    if !fixed.starts_with(&MAGIC) {
        return Err(Error::corrupt("no gzip member").into());
    }
    let flags = fixed[3];
    if flags & RESERVED != 0 {
        return Err(Error::corrupt(format!("gzip header with reserved flags {flags:#04x}")).into());
    }
    if flags & EXTRA != 0 {
        let len = u16::from_le_bytes(header.take()?);
        header.skip(len.into())?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            header.skip_text()?;
        }
    }
    if flags & HEADER_CRC != 0 {
        let expected = header.crc.clone().finalize() as u16;
        if u16::from_le_bytes(header.take()?) != expected {
            return Err(Error::corrupt("gzip header checksum differs").into());
        }
    }
    Ok(())
}

struct Header<R> {
    input: R,
    /// Of all bytes read so far.
    crc: crc32fast::Hasher,
}

impl<R: BufRead> Header<R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(name_the_end)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    fn skip(&mut self, mut len: usize) -> io::Result<()> {
        while len > 0 {
            let n = self.available()?.len().min(len);
            self.pass(n)?;
            len -= n;
        }
        Ok(())
    }

    /// Up to and with the next zero.
    fn skip_text(&mut self) -> io::Result<()> {
        loop {
            let seen = self.available()?;
            let end = seen.iter().position(|b| *b == 0);
            let len = end.map_or(seen.len(), |at| at + 1);
            self.pass(len)?;
            if end.is_some() {
                return Ok(());
            }
        }
    }

    fn available(&mut self) -> io::Result<&[u8]> {
        let seen = self.input.fill_buf()?;
        if seen.is_empty() { Err(truncated().into()) } else { Ok(seen) }
    }

    fn pass(&mut self, len: usize) -> io::Result<()> {
        self.crc.update(&self.input.fill_buf()?[..len]);
        self.input.consume(len);
        Ok(())
    }
}

fn name_the_end(e: io::Error) -> io::Error {
    if e.kind() == io::ErrorKind::UnexpectedEof { truncated().into() } else { e }
}

/// Decodes the raw deflate data of members and compares their trailers, piece by piece.
pub trait Inflate {
    /// A member begins: its header was read.
    fn begin(&mut self);

    /// Decodes some of `src` into `dst`, which may both be empty.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`].
    fn inflate(&mut self, src: &[u8], dst: &mut [u8]) -> Result<Step>;
}

/// What one call of [`Inflate::inflate`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// Bytes of the source that are done with.
    pub read: usize,
    /// Bytes written.
    pub written: usize,
    /// Whether the member ended and its trailer was right.
    pub ended: bool,
}

/// Reads members one after the other; like gzip(1), it passes over zeros behind the last and says that other bytes are ignored.
#[derive(Debug)]
pub struct Members<R, I> {
    input: R,
    inflate: I,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Start,
    Inside,
    Behind,
}

impl<R: BufRead, I: Inflate> Members<R, I> {
    /// Members of `input`, decoded by `inflate`.
    pub fn new(input: R, inflate: I) -> Self {
        Self { input, inflate, place: Place::Start }
    }

    /// Goes on to the next member; whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        if self.place == Place::Behind {
            let has_zeros = self.skip_zeros()?;
            let Some(first) = self.input.fill_buf()?.first() else { return Ok(false) };
            if has_zeros || *first != MAGIC[0] {
                return Err(Error::from(ErrorKind::Trailing).into());
            }
        }
        skip_header(&mut self.input)?;
        self.inflate.begin();
        self.place = Place::Inside;
        Ok(true)
    }

    fn skip_zeros(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            let zeros = self.input.fill_buf()?.iter().take_while(|b| **b == 0).count();
            if zeros == 0 {
                return Ok(any);
            }
            self.input.consume(zeros);
            any = true;
        }
    }
}

impl<R: BufRead, I: Inflate> Read for Members<R, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.place != Place::Inside && !self.next()? {
                return Ok(0);
            }
            let src = self.input.fill_buf()?;
            let at_end = src.is_empty();
            let step = self.inflate.inflate(src, buf)?;
            self.input.consume(step.read);
            if step.ended {
                self.place = Place::Behind;
            }
            if step.written > 0 {
                return Ok(step.written);
            }
            if at_end && !step.ended {
                return Err(truncated().into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything a header may have: extra field, name, comment, checksum.
    fn header(flags: u8) -> Vec<u8> {
        let mut header = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        if flags & EXTRA != 0 {
            header.extend([3, 0, 0, b'x', 0]);
        }
        if flags & NAME != 0 {
            header.extend(b"name\0");
        }
        if flags & COMMENT != 0 {
            header.extend(b"why\0");
        }
        if flags & HEADER_CRC != 0 {
            let crc = crc32fast::hash(&header) as u16;
            header.extend(crc.to_le_bytes());
        }
        header
    }

    #[test]
    fn every_header_is_read_to_its_end_and_every_cut_of_it_is_noticed() {
        for flags in (0..0x20).map(|f| f << 1 & 0x1f) {
            let header = header(flags);
            let mut input = &[&header[..], b"deflate"].concat()[..];
            skip_header(&mut input).expect("a header");
            assert_eq!(input, b"deflate", "flags {flags:#x}");
            for cut in 0..header.len() {
                let e = skip_header(&header[..cut]).map_err(|e| e.kind());
                assert_eq!(e, Err(io::ErrorKind::UnexpectedEof), "flags {flags:#x}, cut at {cut}");
            }
            // A small buffer: all of it is read in pieces.
            skip_header(io::BufReader::with_capacity(2, &header[..])).expect("the same header");
        }
    }

    #[test]
    fn damage_in_a_header_with_a_checksum_is_noticed() {
        let good = header(HEADER_CRC | EXTRA);
        for at in [4, 12, 13, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(skip_header(&bad[..]).is_err(), "at {at}");
        }
        assert!(skip_header(&header(RESERVED)[..]).is_err());
    }
}
