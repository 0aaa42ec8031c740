//! Several chunks as one item of the engine, for codecs that want more than one in a call. For all others a group is one chunk.

use crate::Result;

/// Up to so many chunks, whose buffers stay when they are filled anew.
#[derive(Debug)]
pub(super) struct Group<T> {
    chunks: Vec<T>,
    len: usize,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Default> Group<T> {
    /// Fills up to `most` chunks with `fill`, as long as it says that there was one; whether there was any.
    pub(super) fn fill(&mut self, most: usize, mut fill: impl FnMut(&mut T) -> Result<bool>) -> Result<bool> {
        self.len = 0;
        while self.len < most {
            if self.len == self.chunks.len() {
                self.chunks.push(T::default());
            }
            if !fill(&mut self.chunks[self.len])? {
                break;
            }
            self.len += 1;
        }
        Ok(self.len > 0)
    }

    /// The chunks filled.
    pub(super) fn chunks(&mut self) -> &mut [T] {
        &mut self.chunks[..self.len]
    }
}
