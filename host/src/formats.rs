//! Which algorithm a file is of: by its first bytes, or by its name.

use crate::{Host, algorithm};
use std::path::Path;

/// Bytes of a file's head that [`Host::detect`] wants to see.
pub const DETECT_BYTES: usize = 64 << 10;

impl Host {
    /// Algorithm of a file by its first bytes (give [`DETECT_BYTES`] of them, or all), or else by the extension of `name`. Formats without
    /// magic are known by name alone.
    pub fn detect(&self, head: &[u8], name: Option<&Path>) -> Option<String> {
        let snapshot = self.snapshot();
        let infos: Vec<_> = snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info).collect();
        let installed = infos.iter().map(|i| (&i.magic[..], i.algorithm.as_str()));
        let known = algorithm::KNOWN.iter().map(|k| (k.magic, k.name));
        let magics: Vec<(&[u8], &str)> = installed.chain(known).filter(|(m, _)| !m.is_empty()).collect();
        let by_magic =
            |head: &[u8]| magics.iter().find(|(m, _)| head.starts_with(m)).map(|(_, a)| (*a).to_owned());
        let mut rest = head;
        let mut skipped = false;
        // Skippable frames may come first, and do not tell whose they are.
        while let Some(len) = algorithm::skippable_frame_len(rest) {
            skipped = true;
            rest = rest.get(usize::try_from(len).unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        let extension = name.and_then(Path::extension).and_then(|e| e.to_str());
        let named = |with_magic: bool| {
            let mut fitting = infos.iter().filter(|i| i.magic.is_empty() != with_magic);
            let found = fitting.find(|i| !i.extension.is_empty() && Some(i.extension.as_str()) == extension);
            found.map(|i| i.algorithm.clone())
        };
        // Where frames have no magic, what they contain may have one: the name goes before it. A format with one is only
        // known by name behind a skippable frame.
        let skippable = || if skipped { named(true).or(Some(algorithm::DEFAULT.to_owned())) } else { None };
        named(false).or_else(|| by_magic(rest)).or_else(skippable)
    }

    /// Usual extension of files of `algorithm`, without the dot, if it has one.
    pub fn extension(&self, algorithm: &str) -> Option<String> {
        let snapshot = self.snapshot();
        let infos = snapshot.entries.iter().flat_map(|e| &e.report.codecs).map(|c| &c.info);
        let mut named = infos.filter(|i| i.algorithm == algorithm && !i.extension.is_empty());
        named.next().map(|i| i.extension.clone())
    }

    /// All extensions that installed plugins use.
    pub fn extensions(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let codecs = snapshot.entries.iter().flat_map(|e| &e.report.codecs);
        let mut all: Vec<String> =
            codecs.map(|c| c.info.extension.clone()).filter(|e| !e.is_empty()).collect();
        all.sort();
        all.dedup();
        all
    }
}
