//! Pictures of how time and memory grow with the number of watchers. They have a background of their own,
//! so that they are read on dark pages too.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::rounds::Way;
use crate::scale::{Line, Point, Scale};

const SIZE: (u32, u32) = (760, 460);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe2, 0xe2, 0xe2);
/// Between two figures at the ends of lines.
const LINE_HEIGHT: i32 = 16;

/// Until nearly all watchers have a change.
pub(crate) fn latency(scale: &Scale) -> anyhow::Result<String> {
    draw(
        scale,
        "Until 99 of 100 watchers have a change",
        "p99 in milliseconds",
        |point| point.p99_ms,
    )
}

/// What the server has for watchers that wait.
pub(crate) fn memory(scale: &Scale) -> anyhow::Result<String> {
    draw(
        scale,
        "Memory of the server for idle watchers",
        "MiB over the server without watchers",
        |point| point.server_mib,
    )
}

/// One line for each system on each way: the way is the colour, and the others' are dashed.
fn draw(
    scale: &Scale,
    title: &str,
    unit: &str,
    figure: fn(&Point) -> f64,
) -> anyhow::Result<String> {
    let points = || scale.lines.iter().flat_map(|line| &line.points);
    let most = points().map(|point| point.watchers).max();
    let most = most.map_or(1.0, count);
    let highest = points().map(figure).fold(0.0, f64::max);
    let highest = if highest > 0.0 { highest * 1.05 } else { 1.0 };

    let mut picture = String::new();
    let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 21).with_color(INK))
        .margin(12)
        .margin_right(76)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..most, 0.0..highest)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 15).with_color(INK))
        .axis_desc_style((FONT, 16).with_color(INK))
        .x_desc("watchers, each with a connection of its own")
        .y_desc(unit)
        .x_label_formatter(&|watchers| thousands(*watchers))
        .y_label_formatter(&|value| thousands(*value))
        .draw()?;
    for line in &scale.lines {
        let style = colour(line).stroke_width(if line.is_ours { 3 } else { 2 });
        let places: Vec<_> = (line.points.iter())
            .map(|point| (count(point.watchers), figure(point)))
            .collect();
        let series = if line.is_ours {
            chart.draw_series(LineSeries::new(places.clone(), style))?
        } else {
            chart.draw_series(DashedLineSeries::new(places.clone(), 12, 6, style))?
        };
        let (dash, gap) = if line.is_ours { (28, 0) } else { (12, 4) };
        series
            .label(&line.name)
            .legend(move |(x, y)| DashedPathElement::new([(x, y), (x + 28, y)], dash, gap, style));
        let dot = colour(line).filled();
        chart.draw_series(places.into_iter().map(|place| Circle::new(place, 3, dot)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(10)
        .legend_area_size(34)
        .label_font((FONT, 16).with_color(INK))
        .background_style(WHITE)
        .draw()?;

    // The last figure of each line stands beside it, and none upon another.
    let mut ends: Vec<_> = (scale.lines.iter())
        .filter_map(|line| Some((line, line.points.last()?)))
        .map(|(line, point)| {
            let value = figure(point);
            let (x, y) = chart.backend_coord(&(count(point.watchers), value));
            (line, value, x, y)
        })
        .collect();
    ends.sort_by_key(|&(.., y)| std::cmp::Reverse(y));
    let mut above = i32::MAX;
    for (line, value, x, y) in ends {
        let y = y.min(above);
        above = y - LINE_HEIGHT;
        let style = (FONT, 15).with_color(colour(line)).into_text_style(&root);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(thousands(value), (x + 9, y), style))?;
    }
    root.present()?;
    drop(chart);
    drop(root);
    Ok(picture)
}

/// Blue and vermilion, which everybody tells apart.
fn colour(line: &Line) -> RGBColor {
    match line.way {
        Way::LongPoll => RGBColor(0x00, 0x72, 0xb2),
        Way::Grpc => RGBColor(0xd5, 0x5e, 0x00),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of what is measured")]
fn count(watchers: usize) -> f64 {
    watchers as f64
}

/// `1234.5` as `1,234`, and what is under ten with a tenth.
fn thousands(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
