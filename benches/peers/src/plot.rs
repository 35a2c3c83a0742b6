//! Bar charts, written as SVG to `docs/plots`.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The width and height of a chart, in SVG units.
const SIZE: (u32, u32) = (1500, 480);

/// The scale of the value axis.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scale {
    /// Begins at zero.
    Linear,
    Logarithmic,
}

/// The data of a chart: a group of bars for each of `groups`, with a bar for each of `series` that
/// has a value there.
struct Bars<'a> {
    groups: &'a [&'a str],
    series: &'a [&'a str],
    value: &'a dyn Fn(usize, usize) -> Option<f64>,
}

/// Draws a bar chart. Does nothing if there is no folder `docs` in the working directory.
///
/// # Errors
///
/// Returns the error of writing the file.
pub(crate) fn bars(
    file: &str,
    title: &str,
    scale: Scale,
    (groups, series): (&[&str], &[&str]),
    value: impl Fn(usize, usize) -> Option<f64>,
) -> io::Result<()> {
    if !Path::new("docs").exists() {
        return Ok(());
    }
    std::fs::create_dir_all("docs/plots")?;
    let path = format!("docs/plots/{file}.svg");
    let bars = Bars {
        groups,
        series,
        value: &value,
    };
    draw(&path, title, scale, &bars).map_err(|error| io::Error::other(error.to_string()))
}

fn draw(path: &str, title: &str, scale: Scale, bars: &Bars<'_>) -> Result<(), Box<dyn Error>> {
    let places = (0..bars.groups.len()).flat_map(|g| (0..bars.series.len()).map(move |s| (g, s)));
    let values = places.filter_map(|(group, series)| (bars.value)(group, series));
    let (least, most) = values.fold((f64::MAX, 1.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut builder = ChartBuilder::on(&area);
    builder
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(60);
    let width = 0.0..bars.groups.len() as f64;
    // The space above the bars is for the legend.
    match scale {
        Scale::Linear => {
            let chart = builder.build_cartesian_2d(width, 0.0..most * 1.4)?;
            fill(&area, chart, 0.0, bars)?;
        }
        Scale::Logarithmic => {
            // The axis begins at a power of ten, where the scale has a line.
            let floor = 10_f64.powf(least.log10().floor());
            let chart = builder.build_cartesian_2d(width, (floor..most * 1.4).log_scale())?;
            fill(&area, chart, floor, bars)?;
        }
    }
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

fn fill<'a, Y>(
    area: &Area<'a>,
    mut chart: Chart<'a, Y>,
    floor: f64,
    bars: &Bars<'_>,
) -> Result<(), Box<dyn Error>>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let Bars {
        groups,
        series,
        value,
    } = bars;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_label_formatter(&f64::to_string)
        .draw()?;
    let width = 0.85 / series.len() as f64;
    for (at, name) in series.iter().enumerate() {
        let color = Palette99::pick(at).mix(0.9);
        let bars = groups.iter().enumerate().filter_map(|(group, _)| {
            let left = group as f64 + 0.075 + at as f64 * width;
            let top = value(group, at)?;
            let corners = [(left, floor), (left + width * 0.9, top)];
            Some(Rectangle::new(corners, color.filled()))
        });
        chart
            .draw_series(bars)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled()));
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
    Ok(())
}
