//! Operations that read regions of maps and masks.

use super::case::{Case, MOST, Maps};
use crate::audit::parity::tolerance::{EXACT, relative};
use crate::base::{Real, Result};
use crate::exec::{Backend, Exec};
use crate::models::detect::mask_target as target;
use crate::models::detect::roi_align::{Level, Region, RoiAlign};
use ndarray::{Array2, Axis};

pub(super) fn roi_align<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (Maps { rows, images, size }, boxes) = (case.x()?, case.boxes("rois")?);
    let scale = case.number("scale", "above 0, at most 1", |scale| scale > 0.0 && scale <= 1.0)?;
    let (output, sampling) = (case.whole("output", 1..=MOST)?, case.whole("sampling", 0..=MOST)?);
    let images_of = case.ids("roi_image", boxes.len(), images)?;
    let regions: Vec<_> =
        boxes.into_iter().zip(images_of).map(|(bbox, image)| Region { image, level: 0, bbox }).collect();
    let (channels, cells) = (rows.ncols(), [output; 2]);
    let dy = case.dy(regions.len(), cells, channels)?;
    let map = RoiAlign { output, sampling }.of(&regions, &[Level { size, scale }]);
    let (cx, tolerance) = (&mut Exec::new(Backend::default()), relative::<F>(1e-11, 3e-5));
    let mut dx = [Array2::zeros(rows.dim())];
    let y = map.forward(&[rows], cx);
    map.backward(dy.view(), &mut dx, cx);
    case.compare_maps("y", &y, cells, tolerance)?;
    case.compare_maps("dx", &dx[0], size, tolerance)
}

pub(super) fn mask_target<F: Real>(case: &mut Case<F>) -> Result<()> {
    let (boxes, output) = (case.boxes("boxes")?, case.whole("output", 1..=MOST)?);
    let [masks, height, width] = case.shape("masks")?;
    let masks_of = case.ids("box_mask", boxes.len(), masks)?;
    let bits = case.input("masks", &[masks, height, width])?.mapv(|bit| bit > F::zero());
    let shape = [boxes.len(), output, output];
    let recorded = ["soft", "y"].map(|tensor| case.key(tensor));
    if !(case.recording.promised(&recorded[0], &shape)? && case.recording.promised(&recorded[1], &shape)?) {
        return Ok(());
    }
    let (mut soft, mut hard) = (Vec::new(), Vec::new());
    for (bbox, mask) in boxes.into_iter().zip(masks_of) {
        let mask = bits.index_axis(Axis(0), mask).into_dimensionality().expect("two axes");
        soft.extend(target::covered(mask, bbox, output).mapv(F::of));
        hard.extend(target::mask_target::<F>(mask, bbox, output));
    }
    case.compare("soft", &shape, &soft, relative::<F>(1e-11, 5e-5))?;
    case.compare("y", &shape, &hard, EXACT)
}
