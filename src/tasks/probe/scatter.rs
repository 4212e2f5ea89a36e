//! The features of the images that judge as points in a plane, coloured by class.

use super::head::Labelled;
use crate::base::Result;
use crate::draw::scatter::scatter_svg;
use crate::tasks::pca::Pca;

/// Images that are drawn: of more, as many at even distances.
const MOST: usize = 2000;

/// Draws them as an SVG, along the first two principal components of the features. `classes` are the classes' names.
///
/// # Errors
/// If the drawing library refuses.
pub fn draw(set: &Labelled, classes: &[String], title: &str) -> Result<String> {
    let pca = Pca::of(set.features.view(), 2);
    let places = pca.coordinates(set.features.view());
    let mut groups: Vec<_> = classes.iter().map(|class| (class.clone(), Vec::new())).collect();
    let images = set.labels.len();
    let drawn = images.min(MOST);
    for image in (0..drawn).map(|i| i * images / drawn) {
        groups[set.labels[image]].1.push((places[[image, 0]], places[[image, 1]]));
    }
    groups.retain(|(_, points)| !points.is_empty());
    let title = if drawn < images { format!("{title}; {drawn} are shown") } else { title.to_owned() };
    let axes: Vec<String> = (1..).zip(pca.fractions()).map(|(k, fraction)| axis(k, fraction)).collect();
    scatter_svg(&groups, &title, [&axes[0], &axes[1]])
}

fn axis(component: usize, fraction: f64) -> String {
    format!("component {component}, {:.1} % of the variance", 100.0 * fraction)
}
