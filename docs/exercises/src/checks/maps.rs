//! The checks of the 3 × 3 convolution and of RoIAlign.

use super::{check, filled, no_weights, random};
use crate::grader::{Measured, Trial, measured};
use ndarray::{Array2, Array3};
use vit_mae::layers::Conv3x3;
use vit_mae::models::detect::roi_align::{Level, Region, RoiAlign};

type Backward = fn(&Conv3x3<f64>, &Array3<f64>, &Array3<f64>, &mut Conv3x3<f64>) -> Array3<f64>;

/// `conv3x3::backward` of one map that is not square.
pub fn conv3x3(trial: Trial, backward: Backward) -> Vec<Measured> {
    let (height, width) = (3, 4);
    let x: Array3<f64> = random((height, width, 2));
    measured(&check().layer(
        &filled(Conv3x3::new(2, 3)),
        &x,
        |layer, x, cx| {
            let rows = x.to_shape((height * width, 2)).expect("the same elements").to_owned();
            let y = layer.forward(rows, [height, width], cx).0;
            (y.into_shape_with_order((height, width, 3)).expect("the same elements"), x.clone())
        },
        |layer, x, dy, grad, _| trial.run(grad, x.shape(), |grad| backward(layer, &x, dy, grad)),
    ))
}

/// `roi_align::backward` of a region that leaves the map.
pub fn roi_align(
    trial: Trial,
    answer: impl Fn(&Array2<f64>, &Array2<f64>, [usize; 2], &Array3<f64>) -> Array3<f64>,
) -> Vec<Measured> {
    let (level, align) = (Level { size: [4, 5], scale: 0.5 }, RoiAlign { output: 3, sampling: 2 });
    let bbox = [-3.1, 0.7, 11.9, 9.3];
    let map = align.of(&[Region { image: 0, level: 0, bbox }], &[level]);
    // Sample a of cell p, from one edge to the other.
    let places = |[start, end]: [f64; 2]| {
        let [start, end] = [start, end].map(|edge| edge * level.scale - 0.5);
        Array2::from_shape_fn((3, 2), |(p, a)| start + (end - start) * (4 * p + 2 * a + 1) as f64 / 12.0)
    };
    let (rows, columns) = (places([bbox[1], bbox[3]]), places([bbox[0], bbox[2]]));
    let x: Array3<f64> = random((4, 5, 2));
    measured(&check().function(
        &x,
        |x, cx| {
            let x = x.to_shape((20, 2)).expect("the same elements").to_owned();
            map.forward(&[x], cx).into_shape_with_order((3, 3, 2)).expect("the same elements")
        },
        |x, dy, _| trial.run(&mut no_weights(), x.shape(), |_| answer(&rows, &columns, level.size, dy)),
    ))
}
