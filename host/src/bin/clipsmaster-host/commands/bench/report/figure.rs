//! The frame of a figure: its size, axes, ticks and caption.

use super::{
    labels::{Anchor, Area, Placed},
    scale::Scale,
    text::escape,
};

/// Size of the drawing, in its own units; the style sheet's letters of 11.5 fit it.
pub(super) const WIDTH: f64 = 420.0;
pub(super) const HEIGHT: f64 = 330.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 26.0;
const BELOW: f64 = 40.0;

/// A drawing under way.
pub(super) struct Figure {
    pub(super) plot: Area,
    height: f64,
    body: String,
}

impl Figure {
    /// With `right` units left free beside the plot.
    pub(super) fn new(height: f64, right: f64) -> Self {
        let plot = Area { left: LEFT, top: TOP, right: WIDTH - right, bottom: height - BELOW };
        Self { plot, height, body: String::new() }
    }

    /// Ends of the horizontal axis.
    pub(super) fn across(&self) -> (f64, f64) {
        (self.plot.left, self.plot.right)
    }

    /// Ends of the vertical axis, lowest value first.
    pub(super) fn upward(&self) -> (f64, f64) {
        (self.plot.bottom, self.plot.top)
    }

    pub(super) fn push(&mut self, element: &str) {
        self.body.push_str(element);
    }

    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (anchor, text) = (anchor.name(), escape(text));
        self.push(&format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(super) fn line(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        self.push(&format!("<polyline class=\"{class}\" points=\"{points}\"/>"));
    }

    /// A label in the colour of its mark.
    pub(super) fn label(&mut self, placed: &Placed, colour: &str) {
        if let Some(ends) = placed.leader {
            self.line("leader", &ends);
        }
        self.text(placed.at, placed.anchor, &format!("label {colour}"), &placed.text);
    }

    /// The vertical axis: lines across the plot, and its name above them.
    pub(super) fn vertical(&mut self, scale: &Scale, name: &str) {
        for (value, text) in scale.ticks() {
            let y = scale.at(value);
            self.line("grid", &[(self.plot.left, y), (self.plot.right, y)]);
            self.text((self.plot.left - 6.0, y + 4.0), Anchor::End, "tick", &text);
        }
        self.text((2.0, 13.0), Anchor::Start, "axis", name);
    }

    /// The horizontal axis: ticks below the plot, and its name below them.
    pub(super) fn horizontal(&mut self, places: &[(f64, String)], name: &str) {
        let (bottom, right) = (self.plot.bottom, self.plot.right);
        self.line("frame", &[(self.plot.left, bottom), (right, bottom)]);
        for (x, text) in places {
            self.line("frame", &[(*x, bottom), (*x, bottom + 4.0)]);
            self.text((*x, bottom + 16.0), Anchor::Middle, "tick", text);
        }
        self.text((right, self.height - 6.0), Anchor::End, "axis", name);
    }

    /// The element, under its caption; `said` is for those who do not see it.
    pub(super) fn element(&self, title: &str, conditions: &str, said: &str) -> String {
        let (body, height) = (&self.body, self.height);
        let (title, conditions, said) = (escape(title), escape(conditions), escape(said));
        format!(
            "<figure><figcaption><b>{title}</b> {conditions}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{said}\">{body}</svg></figure>\n"
        )
    }
}
