//! Pictures: sheets of images, heat maps, lettering, colours of classes, curves, scatters, the report's page.

pub mod heat;
pub mod lettering;
pub mod overlay;
pub mod palette;
pub mod plot;
pub mod preview;
pub mod report;
pub mod scatter;
pub mod sheet;
