//! A [`Study`] as one page of HTML: figures for people to look at, on a screen or on paper.
//!
//! The page needs nothing but itself: no scripts, no fonts, no other files.

mod comparisons;
mod curves;
mod figure;
mod fronts;
mod labels;
mod measurements;
mod names;
mod opening;
mod pareto;
mod part;
mod scale;
mod text;

use clipsmaster_host::{Study, size};
use names::Names;
use part::Part;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn html(study: &Study) -> String {
    let (parts, names) = (part::parts(study), Names::of(study));
    let sections: String = parts.iter().enumerate().map(|(i, part)| section(i, part, &names)).collect();
    let body = if study.rows.is_empty() {
        "<p>Nothing was measured.</p>\n".into()
    } else {
        let contents = opening::contents(&parts, &names);
        format!("{contents}{sections}{}", measurements::section(&parts))
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Compression measured</title>\n<style>\n{STYLE}</style></head>\n\
         <body><main>\n{}{body}{}</main></body></html>\n",
        opening::header(study),
        measurements::skipped(&study.skipped)
    )
}

/// One piece of data.
fn section(i: usize, part: &Part<'_>, names: &Names<'_>) -> String {
    let name = text::escape(part.name);
    let (sizes, threads) = (part.piece_sizes(), part.thread_counts());
    let (Some(largest), Some(fewest)) = (sizes.last(), threads.first()) else {
        return format!(
            "<section id=\"data-{i}\"><h2 class=\"name\">{name}</h2><p>Nothing was measured.</p></section>\n"
        );
    };
    let devices = part.hardware().iter().any(|hardware| *hardware != "cpu");
    let mut html = format!("<section id=\"data-{i}\"><h2 class=\"name\">{name}</h2>\n");
    html += &names.legend(&part.algorithms(), devices);
    html += &fronts::figures(part, names, *largest, *fewest);
    html += &smaller(part, names, &sizes, *fewest);
    if sizes.len() > 1 {
        html += &curves::figures(part, names, *fewest);
    }
    if threads.len() > 1 {
        html += &comparisons::scaling(part, names);
    }
    if part.hardware().len() > 1 {
        html += &comparisons::hardware(part);
    }
    html + "</section>\n"
}

/// Fronts of the smaller pieces, folded away.
fn smaller(part: &Part<'_>, names: &Names<'_>, sizes: &[u64], threads: u32) -> String {
    let [smaller @ .., largest] = sizes else {
        return String::new();
    };
    if smaller.is_empty() {
        return String::new();
    }
    let all: String =
        smaller.iter().rev().map(|bytes| fronts::figures(part, names, *bytes, threads)).collect();
    let largest = size::binary(*largest);
    format!(
        "<details class=\"more\"><summary>The same with pieces smaller than {largest}</summary>{all}</details>\n"
    )
}

#[cfg(test)]
mod tests;
