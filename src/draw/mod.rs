//! Pictures: sheets of images, lettering, curves, the report's page.

pub mod lettering;
pub mod plot;
pub mod preview;
pub mod report;
pub mod sheet;
