//! Measurements of one codec, which are read from the cache when somebody looks at them. They are most of a report, and a program
//! that starts to compress one file needs those of one algorithm.

use super::report::Cell;
use serde::{Serialize, Serializer};
use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader},
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, OnceLock},
};

/// Measured points of one codec; derefs to their list.
#[derive(Clone, Default)]
pub struct Cells {
    /// File of the report, and the line in it, from 0, that is the list's JSON.
    stored: Option<(Arc<Path>, usize)>,
    read: OnceLock<Vec<Cell>>,
}

impl Cells {
    /// Those in a line of a file of the cache, as it is when somebody looks at them. A file that is damaged or gone has none, so that
    /// they are measured anew.
    pub(super) fn stored(file: Arc<Path>, line: usize) -> Self {
        Self { stored: Some((file, line)), read: OnceLock::new() }
    }

    fn read(&self) -> Option<Vec<Cell>> {
        let (file, line) = self.stored.as_ref()?;
        let text = BufReader::new(File::open(file).ok()?).lines().nth(*line)?.ok()?;
        serde_json::from_str(&text).ok()
    }
}

impl Deref for Cells {
    type Target = Vec<Cell>;

    fn deref(&self) -> &Vec<Cell> {
        self.read.get_or_init(|| self.read().unwrap_or_default())
    }
}

impl DerefMut for Cells {
    fn deref_mut(&mut self) -> &mut Vec<Cell> {
        let _: &Vec<Cell> = self;
        self.read.get_mut().expect("it has just been read")
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Cells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}
