//! Streams: all members of the input, and what tapes, block devices and others leave behind them.

use clipsmaster_plugin_api::{Error, ErrorKind};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// First byte of a member (RFC 1952, 2.3.1).
const ID1: u8 = 0x1f;

/// Reads members one after the other; like gzip(1), it passes over zeros behind the last and says that other bytes are ignored.
pub(crate) struct Members<R> {
    /// Always there, but while one is replaced by the next.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(input)) }
    }

    /// Goes on to the next member; whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        let Some(member) = &mut self.member else { return Ok(false) };
        let input = member.get_mut();
        let has_zeros = skip_zeros(input)?;
        if input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        if has_zeros || input.fill_buf()?.first() != Some(&ID1) {
            return Err(Error::from(ErrorKind::Trailing).into());
        }
        self.member = self.member.take().map(|m| GzDecoder::new(m.into_inner()));
        Ok(true)
    }
}

fn skip_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    let mut any = false;
    loop {
        let seen = input.fill_buf()?;
        let zeros = seen.iter().take_while(|b| **b == 0).count();
        if zeros == 0 {
            return Ok(any);
        }
        input.consume(zeros);
        any = true;
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let len = member.read(buf)?;
            if len > 0 || buf.is_empty() || !self.next()? {
                return Ok(len);
            }
        }
    }
}
