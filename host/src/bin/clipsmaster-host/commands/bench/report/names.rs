//! Who a mark is: short names of implementations, colours and shapes of algorithms.

use super::{
    part::distinct,
    text::{cut, escape},
};
use clipsmaster_host::{MEMCPY, Row, Study};

/// Colours of the style sheet.
const COLOURS: usize = 7;
/// Outlines about the origin, of about the same area.
const SHAPES: [&str; 8] = [
    "M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0z",
    "M-3.8 -3.8h7.6v7.6h-7.6z",
    "M0 -5L4.8 3.6H-4.8z",
    "M0 -5.4L5 0L0 5.4L-5 0z",
    "M0 5L-4.8 -3.6H4.8z",
    "M-1.6 -5h3.2v3.4h3.4v3.2h-3.4v3.4h-3.2v-3.4h-3.4v-3.2h3.4z",
    "M-4.8 -2.6L-2.6 -4.8L0 -2.2L2.6 -4.8L4.8 -2.6L2.2 0L4.8 2.6L2.6 4.8L0 2.2L-2.6 4.8L-4.8 2.6L-2.2 0z",
    "M0 -5L1.5 -1.6L5 -1.5L2.3 .9L3.2 4.4L0 2.4L-3.2 4.4L-2.3 .9L-5 -1.5L-1.5 -1.6z",
];
/// Longer names do not fit beside a mark.
const LONGEST: usize = 26;

/// All names of a study.
pub(super) struct Names<'a> {
    algorithms: Vec<&'a str>,
    implementations: Vec<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(study: &'a Study) -> Self {
        let codecs = || study.rows.iter().filter(|row| !row.is_limit());
        let mut algorithms = distinct(codecs().map(|row| row.algorithm.as_str()));
        algorithms.sort_unstable();
        Self { algorithms, implementations: distinct(codecs().map(|row| row.implementation.as_str())) }
    }

    /// As much of `<algorithm>/<hardware>/<library>` as tells it from the others.
    pub(super) fn short(&self, implementation: &str) -> String {
        let [algorithm, hardware, library] = implementation.split('/').collect::<Vec<_>>()[..] else {
            return implementation.into();
        };
        let beside = format!("{algorithm}/{hardware}/");
        let mut name = String::from(algorithm);
        if hardware != "cpu" {
            name = format!("{name} {hardware}");
        }
        if self.implementations.iter().filter(|other| other.starts_with(&beside)).count() > 1 {
            name = format!("{name} {library}");
        }
        name
    }

    /// The same with the level: `zstd 3`.
    pub(super) fn label(&self, row: &Row) -> String {
        if row.is_limit() {
            return MEMCPY.into();
        }
        let level = row.level.to_string();
        let room = LONGEST.saturating_sub(level.len() + 1);
        format!("{} {level}", cut(&self.short(&row.implementation), room))
    }

    /// Class that gives an algorithm its colour.
    pub(super) fn colour(&self, algorithm: &str) -> String {
        self.place(algorithm).map_or_else(|| "neutral".into(), |i| format!("c{}", i % COLOURS))
    }

    fn place(&self, algorithm: &str) -> Option<usize> {
        self.algorithms.iter().position(|a| *a == algorithm)
    }

    /// The mark of an algorithm at a place; `title` shows when it is pointed at. Hollow where no processor did it.
    pub(super) fn mark(&self, row: &Row, (x, y): (f64, f64), size: f64, title: &str) -> String {
        let shape = SHAPES[self.place(&row.algorithm).unwrap_or(0) % SHAPES.len()];
        let colour = self.colour(&row.algorithm);
        let hollow = if ["cpu", ""].contains(&row.hardware.as_str()) { "" } else { " hollow" };
        let faint = if size < 1.0 { " faint" } else { "" };
        let title = escape(title);
        format!(
            "<path class=\"{colour}{hollow}{faint}\" d=\"{shape}\" \
             transform=\"translate({x:.1} {y:.1}) scale({size})\"><title>{title}</title></path>"
        )
    }

    /// What the marks mean, for the algorithms named.
    pub(super) fn legend(&self, algorithms: &[&str], devices: bool) -> String {
        let mut legend = String::from("<ul class=\"legend\">");
        for algorithm in algorithms {
            let shape = SHAPES[self.place(algorithm).unwrap_or(0) % SHAPES.len()];
            let (colour, name) = (self.colour(algorithm), escape(algorithm));
            legend.push_str(&format!(
                "<li><svg viewBox=\"-7 -7 14 14\" aria-hidden=\"true\">\
                 <path class=\"{colour}\" d=\"{shape}\"/></svg>{name}</li>"
            ));
        }
        if devices {
            legend.push_str("<li class=\"muted\">hollow: not on the processor</li>");
        }
        legend + "</ul>"
    }
}
