//! Bars beside each other, on a logarithmic scale, as SVG in `docs/plots`.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Of the picture, in its own units.
const SIZE: (u32, u32) = (1200, 480);

/// Draws a group of bars for each of `groups`, one for each of `series` that has a value there.
///
/// # Errors
///
/// Those of writing the file. Nothing is drawn where there is no `docs` to put it into.
pub(crate) fn bars(
    file: &str,
    title: &str,
    groups: &[&str],
    series: &[&str],
    value: impl Fn(usize, usize) -> Option<f64>,
) -> io::Result<()> {
    if !Path::new("docs").exists() {
        return Ok(());
    }
    std::fs::create_dir_all("docs/plots")?;
    let path = format!("docs/plots/{file}.svg");
    draw(&path, title, groups, series, value).map_err(|error| io::Error::other(error.to_string()))
}

fn draw(
    path: &str,
    title: &str,
    groups: &[&str],
    series: &[&str],
    value: impl Fn(usize, usize) -> Option<f64>,
) -> Result<(), Box<dyn Error>> {
    let places = || (0..groups.len()).flat_map(|g| (0..series.len()).map(move |s| (g, s)));
    let values = || places().filter_map(|(group, series)| value(group, series));
    let (least, most) = values().fold((f64::MAX, 1.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    // Down to where the scale has a line.
    let floor = 10_f64.powf(least.log10().floor());

    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..groups.len() as f64, (floor..most * 1.3).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&|value| value.to_string())
        .draw()?;
    let width = 0.85 / series.len() as f64;
    for (at, name) in series.iter().enumerate() {
        let colour = Palette99::pick(at).mix(0.9);
        let bars = groups.iter().enumerate().filter_map(|(group, _)| {
            let left = group as f64 + 0.075 + at as f64 * width;
            let top = value(group, at)?;
            let corners = [(left, floor), (left + width * 0.9, top)];
            Some(Rectangle::new(corners, colour.filled()))
        });
        chart
            .draw_series(bars)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    let middle = Pos::new(HPos::Center, VPos::Top);
    let style = ("sans-serif", 12).into_font().color(&BLACK).pos(middle);
    for (group, name) in groups.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, floor));
        area.draw(&Text::new((*name).to_owned(), (x, y + 8), style.clone()))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
